//! The step that gives a picture its bits: foretold from the pictures before, then tried.

use super::control::Rate;

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
