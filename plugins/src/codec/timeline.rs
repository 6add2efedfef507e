//! Where pictures are in time: `docs/bitstream.md`, field `time` of a picture. Encoder and parser count in the same way, so
//! that what the encoder leaves unsaid is what the parser adds.

const SECOND: u128 = 1_000_000_000;
/// Far beyond any stream, and far from overflows.
const LATEST: u64 = u64::MAX / 8;
/// What a picture takes where neither it nor the header says.
const ANY_RATE: (u32, u32) = (25, 1);

/// The time of the last picture. It is kept as a number of frames since a time, so that rates without a whole number of
/// nanoseconds stay exact: rounded down, as GStreamer does.
#[derive(Debug, Clone)]
pub struct Timeline {
    rate: (u32, u32),
    since: u64,
    frames: u64,
}

impl Timeline {
    /// At time zero. A rate of 0 is unknown.
    pub fn new(rate: (u32, u32)) -> Self {
        Timeline { rate: sensible(rate), since: 0, frames: 0 }
    }

    /// Another rate from now on.
    pub fn set_rate(&mut self, rate: (u32, u32)) {
        if self.rate != sensible(rate) {
            let now = self.now();
            self.rate = sensible(rate);
            self.set(now);
        }
    }

    pub fn now(&self) -> u64 {
        self.after(0)
    }

    /// The time so many frames on.
    pub fn after(&self, frames: u64) -> u64 {
        self.since.saturating_add(self.grid(self.frames.saturating_add(frames))).min(LATEST)
    }

    pub fn follow(&mut self, frames: u64) -> u64 {
        self.frames = self.frames.saturating_add(frames);
        self.now()
    }

    /// On the grid of the rate, if it lies there: counting goes on from its beginning.
    pub fn set(&mut self, time: u64) -> u64 {
        let time = time.min(LATEST);
        let (numer, denom) = (u128::from(self.rate.0), u128::from(self.rate.1));
        let nearest = ((u128::from(time) * numer + SECOND * denom / 2) / (SECOND * denom)) as u64;
        (self.since, self.frames) = if self.grid(nearest) == time { (0, nearest) } else { (time, 0) };
        time
    }

    fn grid(&self, frames: u64) -> u64 {
        let time = u128::from(frames) * SECOND * u128::from(self.rate.1) / u128::from(self.rate.0);
        time.min(u128::from(LATEST)) as u64
    }
}

fn sensible(rate: (u32, u32)) -> (u32, u32) {
    if rate.0 == 0 || rate.1 == 0 { ANY_RATE } else { rate }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_lie_on_the_grid_of_the_rate() {
        let mut timeline = Timeline::new((30_000, 1001));
        let times: Vec<_> = (0..4).map(|_| timeline.follow(1)).collect();
        assert_eq!(times, [33_366_666, 66_733_333, 100_100_000, 133_466_666]);
        assert_eq!((timeline.set(66_733_333), timeline.follow(1)), (66_733_333, 100_100_000));
        assert_eq!((timeline.set(66_733_000), timeline.follow(1)), (66_733_000, 100_099_666));
    }

    #[test]
    fn a_new_rate_counts_from_where_it_began() {
        let mut timeline = Timeline::new((25, 1));
        timeline.follow(3);
        timeline.set_rate((50, 1));
        assert_eq!((timeline.now(), timeline.after(1)), (120_000_000, 140_000_000));
        timeline.set_rate((0, 1));
        assert_eq!(timeline.after(1), 160_000_000, "unknown");
    }

    #[test]
    fn hostile_times_do_not_overflow() {
        let mut timeline = Timeline::new((1, u32::MAX));
        timeline.set(u64::MAX);
        timeline.follow(u64::MAX);
        assert_eq!(timeline.after(u64::MAX), LATEST);
        let mut timeline = Timeline::new((u32::MAX, 1));
        timeline.set(u64::MAX);
        assert!(timeline.follow(u64::MAX) <= LATEST);
    }
}
