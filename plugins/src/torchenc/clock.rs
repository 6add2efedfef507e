//! What a picture unit says of its time.

use crate::codec::Timeline;

/// Follows the frames as they come, and knows what the stream says of them.
pub struct Clock {
    timeline: Timeline,
    /// What to take off a timestamp to get the stream's time; set by the first frame, which is at zero.
    origin: Option<i128>,
    begun: bool,
}

/// Of one picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stamp {
    /// For the picture unit, in nanoseconds.
    pub time: Option<u64>,
    /// Since the picture before, in seconds.
    pub elapsed: f64,
}

impl Clock {
    pub fn new(rate: (u32, u32)) -> Self {
        Clock { timeline: Timeline::new(rate), origin: None, begun: false }
    }

    /// The frame rate from now on.
    pub fn set_rate(&mut self, rate: (u32, u32)) {
        self.timeline.set_rate(rate);
    }

    /// Key frames say where they are, so that a reader can begin with them; others only where the frame rate does not
    /// foretell it. Timestamps that do not grow follow by one frame.
    pub fn stamp(&mut self, key: bool, pts: Option<u64>) -> Stamp {
        let before = self.timeline.now();
        let foretold = self.timeline.after(u64::from(self.begun));
        let place = |origin: i128| pts.and_then(|pts| u64::try_from(i128::from(pts) - origin).ok());
        let at = match self.origin.and_then(place).filter(|at| *at > before || !self.begun) {
            Some(at) => at,
            None => {
                self.origin = pts.map(|pts| i128::from(pts) - i128::from(foretold));
                foretold
            }
        };
        let first = !std::mem::replace(&mut self.begun, true);
        let time = match key {
            _ if first => None,
            true => Some(at),
            false => (at != foretold).then_some(at - before),
        };
        if at == foretold && !key {
            self.timeline.follow(u64::from(!first));
        } else {
            self.timeline.set(at);
        }
        let elapsed = if first { self.timeline.after(1) - at } else { at - before };
        Stamp { time, elapsed: elapsed as f64 / 1e9 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn even_spacing_needs_no_words() {
        let mut clock = Clock::new((30, 1));
        let times: Vec<_> = (0..60).map(|n| clock.stamp(n == 30, Some(5 * MS + n * 1_000_000_000 / 30)).time).collect();
        // The origin is no frame's time on the grid, so rounding may differ by a nanosecond; what is said must be right.
        assert_eq!(times[0], None);
        assert_eq!(times[30], Some(1_000_000_000));
        let mut clock = Clock::new((30, 1));
        assert!((0..60).all(|n| clock.stamp(false, Some(n * 1_000_000_000 / 30)).time.is_none()));
    }

    #[test]
    fn gaps_and_jumps_are_told() {
        let mut clock = Clock::new((25, 1));
        let mut time = |key, ms: u64| clock.stamp(key, Some(ms * MS)).time.map(|ns| ns / MS);
        assert_eq!([time(true, 1000), time(false, 1040), time(false, 1080)], [None; 3]);
        assert_eq!(time(false, 1580), Some(500), "a gap");
        assert_eq!(time(false, 1620), None);
        assert_eq!(time(false, 40), None, "back in time: one frame on");
        assert_eq!(time(false, 80), None);
        assert_eq!(time(true, 120), Some(740));
    }

    #[test]
    fn frames_without_time_follow_each_other() {
        let mut clock = Clock::new((0, 1));
        assert_eq!(clock.stamp(true, None), Stamp { time: None, elapsed: 0.04 });
        assert_eq!(clock.stamp(false, None), Stamp { time: None, elapsed: 0.04 });
        assert_eq!(clock.stamp(true, None).time, Some(80 * MS));
    }
}
