//! Which step each picture gets.

/// Step index of a quality, 0 to 100.
pub fn step_of_quality(quality: f64) -> u8 {
    (120.0 - quality.clamp(0.0, 100.0)).round() as u8
}

/// How fine a picture is to be coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rate {
    /// Step index, 0 to 127, of inter pictures; key frames are a little finer.
    Step(u8),
    /// As many bits as this, and not outside the bounds if it can be helped.
    Bits { target: u32, least: u32, most: u32 },
}

impl Rate {
    /// Bits, where it is they that are asked for.
    pub(super) fn target(self) -> Option<u32> {
        match self {
            Rate::Step(_) => None,
            Rate::Bits { target, .. } => Some(target),
        }
    }
}

impl Default for Rate {
    fn default() -> Self {
        Rate::Step(step_of_quality(60.0))
    }
}

/// A key frame may take more than its share by as much as the rate gives in so many seconds. Any two seconds that begin or end
/// behind one are then within 3 % of the rate, which leaves something for pictures that miss their bits.
const KEY_LOAN: f64 = 0.06;
/// The same of the first picture, which nothing came before.
const FIRST_LOAN: f64 = 0.2;
/// What was spent too much or too little is made good over so many seconds.
const REPAY: f64 = 0.35;
/// No picture is starved more than this, in shares.
const LEAST: f64 = 0.2;
/// What cannot be helped, as no step is coarser or finer, is forgotten: seconds of bits that are owed, and that are left.
const OWED_MAX: f64 = 0.5;
const LEFT_MAX: f64 = 0.04;

/// Holds a mean bit rate: each picture is told how many bits it may take, from what was spent beyond the rate before it.
#[derive(Debug, Clone)]
pub struct RateControl {
    bits_per_second: f64,
    /// What was spent beyond the rate, in bits; below zero where something is left.
    owed: f64,
    duration: f64,
    begun: bool,
}

impl RateControl {
    pub fn new(bits_per_second: f64) -> Self {
        RateControl { bits_per_second, owed: 0.0, duration: 0.0, begun: false }
    }

    /// The new rate holds from now on; what went before is not made good.
    pub fn set_bitrate(&mut self, bits_per_second: f64) {
        if bits_per_second != self.bits_per_second {
            self.bits_per_second = bits_per_second;
            self.owed = 0.0;
        }
    }

    /// What the next picture may take, which will be shown for so many seconds.
    pub fn plan(&mut self, key: bool, duration: f64) -> Rate {
        self.duration = duration.clamp(1e-3, 1.0);
        let share = self.bits_per_second * self.duration;
        // A loan is repaid before the next one is given in full: where all pictures are key frames, none has more than others.
        let repaid = self.owed * (1.0 - (self.duration / REPAY).min(1.0));
        let loan = match key {
            true => self.bits_per_second * if self.begun { KEY_LOAN } else { FIRST_LOAN },
            false => f64::NEG_INFINITY,
        };
        let target = (share + repaid.max(loan) - self.owed).max(share * LEAST);
        let bits = |x: f64| x.clamp(64.0, 4e9) as u32;
        Rate::Bits { target: bits(target), least: bits(target * 0.9), most: bits(target * 1.1) }
    }

    /// What the picture took.
    pub fn coded(&mut self, bits: u32) {
        self.begun = true;
        let owed = self.owed + f64::from(bits) - self.bits_per_second * self.duration;
        self.owed = owed.clamp(-LEFT_MAX * self.bits_per_second, OWED_MAX * self.bits_per_second);
    }
}

/// How often a picture is coded at most, to meet its bits.
const TRIES: usize = 6;

/// The steps that one picture was tried with, and the bits that came of them.
#[derive(Debug, Default)]
pub(super) struct Tries {
    tried: Vec<(u8, u32)>,
}

impl Tries {
    /// The step to try next, if what came of the last one is not near enough: between the nearest that give too many and too few
    /// bits, or where `guess` has it.
    pub fn next(&mut self, rate: Rate, step: u8, bits: u32, guess: u8) -> Option<u8> {
        self.tried.push((step, bits));
        let Rate::Bits { target, least, most } = rate else { return None };
        if (least..=most).contains(&bits) || self.tried.len() >= TRIES {
            return None;
        }
        let log = |bits: u32| f64::from(bits.max(1)).log2();
        let over = self.tried.iter().filter(|(_, bits)| *bits > target).max_by_key(|(step, _)| *step);
        let under = self.tried.iter().filter(|(_, bits)| *bits <= target).min_by_key(|(step, _)| *step);
        let next = match (over, under) {
            (Some(&(fine, many)), Some(&(coarse, few))) if coarse > fine + 1 => {
                // A side that stays as it was counts for less and less, so that the other one does not creep up to it.
                let sides = self.tried.iter().rev().map(|(_, bits)| *bits > target);
                let creeping = sides.clone().take_while(|side| *side == (bits > target)).count() - 1;
                let weights = if bits > target { [0, creeping] } else { [creeping, 0] };
                let [above, below] = [log(many) - log(target), log(target) - log(few)];
                let [above, below] = [above / f64::from(1 << weights[0]), below / f64::from(1 << weights[1])];
                let place = f64::from(fine) + above / (above + below).max(1e-9) * f64::from(coarse - fine);
                (place.round() as u8).clamp(fine + 1, coarse - 1)
            }
            // Next to each other, or the wrong way round: the one that misses by less.
            (Some(&(fine, many)), Some(&(coarse, few))) => {
                if log(many) - log(target) < log(target) - log(few) {
                    fine
                } else {
                    coarse
                }
            }
            (Some(&(fine, _)), None) => guess.max(fine.saturating_add(1)).min(127),
            (None, _) => guess.min(step.saturating_sub(1)),
        };
        (next != step).then_some(next)
    }
}

/// Foretells the bits of a picture from its step: their logarithm falls evenly with the step index, from where it was at the
/// last picture of the kind.
#[derive(Debug, Clone, Default)]
pub(super) struct Guess {
    kinds: [Option<Line>; 2],
}

#[derive(Debug, Clone, Copy)]
struct Line {
    step: f64,
    log: f64,
    /// Change of the binary logarithm of the bits by step index.
    slope: f64,
}

/// Before anything is known. Halving the bits takes about ten indices.
const SLOPE: f64 = -0.1;
const SLOPES: [f64; 2] = [-0.2, -0.03];

impl Guess {
    pub fn step(&self, key: bool, target: u32) -> u8 {
        match self.kinds[usize::from(key)] {
            Some(line) => {
                let change = (f64::from(target.max(1)).log2() - line.log) / line.slope;
                (line.step + change).round().clamp(0.0, 127.0) as u8
            }
            None if key => self.kinds[0].map_or(70, |inter| inter.step as u8),
            None => self.kinds[1].map_or(76, |key| key.step as u8 + 6).min(127),
        }
    }

    /// What a picture of this kind and step may take; nothing is known at first.
    pub fn bits(&self, key: bool, step: u8) -> u32 {
        let line = self.kinds[usize::from(key)];
        line.map_or(0, |line| (line.log + line.slope * (f64::from(step) - line.step)).exp2().min(1e9) as u32)
    }

    pub fn learn(&mut self, key: bool, step: u8, bits: u32) {
        let (step, log) = (f64::from(step), f64::from(bits.max(1)).log2());
        let line = &mut self.kinds[usize::from(key)];
        let slope = match *line {
            // Two points close together say little about the slope, and so do two pictures.
            Some(old) if (step - old.step).abs() >= 3.0 => {
                let seen = (log - old.log) / (step - old.step);
                0.5 * old.slope + 0.5 * seen.clamp(SLOPES[0], SLOPES[1])
            }
            Some(old) => old.slope,
            None => SLOPE,
        };
        *line = Some(Line { step, log, slope });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn qualities_fall_on_steps() {
        assert_eq!([0.0, 50.0, 100.0, 200.0, -1.0].map(step_of_quality), [120, 70, 20, 20, 120]);
    }

    #[test]
    fn steps_are_guessed_from_what_pictures_took() {
        let bits = |step: u8| (2f64.powf(20.0 - 0.07 * f64::from(step))) as u32;
        let mut guess = Guess::default();
        let mut step = 20;
        for _ in 0..4 {
            guess.learn(false, step, bits(step));
            step = guess.step(false, 10_000);
        }
        assert!((f64::from(bits(step)) / 10_000.0 - 1.0).abs() < 0.05, "{step}");
        assert_eq!(guess.step(true, 5), step, "a first key frame begins where inter pictures are");
        assert_eq!(guess.step(false, 1), 127);
    }

    /// An encoder that misses its targets at random, at any frame rate and distance of key frames.
    #[test]
    fn any_two_seconds_after_the_first_have_the_rate() {
        let mut state = 1u32;
        for (rate, keys) in
            [5, 10, 25, 60].into_iter().flat_map(|rate| [1, 2, 10, 30, 49, 60, 1000].map(|keys| (rate, keys)))
        {
            let mut control = RateControl::new(500_000.0);
            let bits: Vec<f64> = (0..20 * rate)
                .map(|index| {
                    let plan = control.plan(index % keys == 0, 1.0 / rate as f64);
                    let Rate::Bits { target, least, most } = plan else { panic!() };
                    assert!(least < target && target < most);
                    state = state.wrapping_mul(1664525).wrapping_add(1013904223);
                    let coded = (f64::from(target) * (0.92 + f64::from(state >> 24) / 255.0 * 0.16)) as u32;
                    control.coded(coded);
                    f64::from(coded)
                })
                .collect();
            for (first, window) in bits[rate..].windows(2 * rate).enumerate() {
                let mean = window.iter().sum::<f64>() / 2.0;
                let off = mean / 500_000.0 - 1.0;
                assert!(off.abs() < 0.05, "{rate} frames/s, a key frame in {keys}: {off:.3} after {first} pictures");
            }
        }
    }

    #[test]
    fn what_cannot_be_helped_is_forgotten() {
        let mut control = RateControl::new(100_000.0);
        let target = |control: &mut RateControl| match control.plan(false, 0.04) {
            Rate::Bits { target, .. } => target,
            Rate::Step(_) => panic!(),
        };
        for (coded, expected) in [(10, 4000..5000), (100_000, 700..900)] {
            for _ in 0..200 {
                target(&mut control);
                control.coded(coded);
            }
            let next = target(&mut control);
            assert!(expected.contains(&next), "{next} bits after pictures of {coded}");
        }
    }

    #[test]
    fn a_few_tries_find_the_step() {
        for (target, halved, from) in [(60_000, 12.0, 20), (3_000, 5.0, 0), (400_000, 30.0, 127), (9_000, 9.0, 64)] {
            // Not the straight line that is guessed.
            let bits =
                |step: u8| (1e6 * (-f64::from(step) / halved).exp2() + 900.0 + f64::from(step % 3) * 50.0) as u32;
            let rate = Rate::Bits { target, least: target / 10 * 9, most: target / 10 * 11 };
            let (mut tries, mut guess, mut step) = (Tries::default(), Guess::default(), from);
            loop {
                guess.learn(false, step, bits(step));
                match tries.next(rate, step, bits(step), guess.step(false, target)) {
                    Some(next) => step = next,
                    None => break,
                }
            }
            let best = (0..128).map(|step| bits(step).abs_diff(target)).min().unwrap();
            let off = bits(step).abs_diff(target);
            assert!(off <= best.max(target / 10), "{target}: {} at {step} from {from}", bits(step));
        }
        let rate = Rate::Bits { target: 5, least: 4, most: 6 };
        assert_eq!(Tries::default().next(rate, 127, 900, 127), None, "nothing is coarser");
        assert_eq!(Tries::default().next(Rate::Step(9), 9, 900, 9), None);
    }
}
