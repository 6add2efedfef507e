//! Which step each picture gets.

use std::collections::VecDeque;

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

impl Default for Rate {
    fn default() -> Self {
        Rate::Step(step_of_quality(60.0))
    }
}

/// A key frame may take this many times the share of another picture.
const KEY_SHARE: f64 = 6.0;
/// What was spent too much or too little is made good over so many seconds.
const REPAY: f64 = 0.35;
/// What a key frame took beyond its share is made good over so many seconds.
const MEMORY: f64 = 1.0;

/// Holds a mean bit rate: each picture is told how many bits it may take, from what is left of the last second.
#[derive(Debug, Clone)]
pub struct RateControl {
    bits_per_second: f64,
    /// What was coded of late: seconds and bits.
    recent: VecDeque<(f64, f64)>,
    duration: f64,
}

impl RateControl {
    pub fn new(bits_per_second: f64) -> Self {
        RateControl { bits_per_second, recent: VecDeque::new(), duration: 0.0 }
    }

    /// The new rate holds from now on; what went before is not made good.
    pub fn set_bitrate(&mut self, bits_per_second: f64) {
        if bits_per_second != self.bits_per_second {
            self.bits_per_second = bits_per_second;
            self.recent.clear();
        }
    }

    /// What the next picture may take, which will be shown for so many seconds.
    pub fn plan(&mut self, key: bool, duration: f64) -> Rate {
        self.duration = duration.clamp(1e-3, 1.0);
        let share = self.bits_per_second * self.duration;
        let spent: f64 = self.recent.iter().map(|(_, bits)| bits).sum();
        let seconds: f64 = self.recent.iter().map(|(seconds, _)| seconds).sum();
        // Below zero where too much was spent.
        let left = self.bits_per_second * seconds - spent;
        let share = if key { share * KEY_SHARE } else { share };
        let target = (share + left * (self.duration / REPAY).min(1.0)).clamp(share * 0.3, share * 2.0);
        let bits = |x: f64| x.clamp(64.0, 4e9) as u32;
        Rate::Bits { target: bits(target), least: bits(target * 0.9), most: bits(target * 1.1) }
    }

    /// What the picture took.
    pub fn coded(&mut self, bits: u32, _key: bool) {
        self.recent.push_back((self.duration, f64::from(bits)));
        let mut seconds: f64 = self.recent.iter().map(|(seconds, _)| seconds).sum();
        while seconds > MEMORY && self.recent.len() > 1 {
            seconds -= self.recent.pop_front().map_or(0.0, |(seconds, _)| seconds);
        }
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

    /// An encoder that misses its targets at random, and a key frame every two seconds.
    #[test]
    fn the_mean_is_held() {
        let mut control = RateControl::new(500_000.0);
        let mut bits = Vec::new();
        let mut state = 1u32;
        for index in 0..300 {
            let key = index % 60 == 0;
            let Rate::Bits { target, least, most } = control.plan(key, 1.0 / 30.0) else { panic!() };
            assert!(least < target && target < most);
            state = state.wrapping_mul(1664525).wrapping_add(1013904223);
            let coded = (f64::from(target) * (0.85 + f64::from(state >> 24) / 255.0 * 0.3)) as u32;
            control.coded(coded, key);
            bits.push(f64::from(coded));
        }
        for window in bits[30..].windows(60) {
            let mean = window.iter().sum::<f64>() / 2.0;
            assert!((mean / 500_000.0 - 1.0).abs() < 0.05, "{mean}");
        }
    }
}
