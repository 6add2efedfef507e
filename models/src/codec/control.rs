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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn qualities_fall_on_steps() {
        assert_eq!([0.0, 50.0, 100.0, 200.0, -1.0].map(step_of_quality), [120, 70, 20, 20, 120]);
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
}
