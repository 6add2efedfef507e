//! What a stream does when the model is too slow for it, and how long frames take: decisions without GStreamer.

use std::time::{Duration, Instant};

use gst_torch_runtime::Stats;

/// What happens to a frame that comes while every place for inference is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Late {
    /// It waits.
    Wait,
    /// It is dropped.
    Drop,
    /// It passes without inference.
    Pass,
}

/// Counts frames to infer on: every `interval`-th, from the first on.
#[derive(Debug, Default)]
pub struct Interval {
    position: u32,
}

impl Interval {
    pub fn due(&mut self, interval: u32) -> bool {
        let due = self.position == 0;
        self.position = (self.position + 1) % interval.max(1);
        due
    }

    pub fn reset(&mut self) {
        self.position = 0;
    }
}

/// What a stream reports as its latency: the 99th percentile of what was measured, told anew when it has changed enough
/// to matter, and not more than once a second.
#[derive(Debug, Default)]
pub struct Latency {
    told: Option<(Duration, Instant)>,
}

const MIN_CHANGE: Duration = Duration::from_millis(5);
const MIN_INTERVAL: Duration = Duration::from_secs(1);

impl Latency {
    /// The latency to answer with; `expected` (what the engine measured) stands until frames have been seen.
    pub fn answer(&mut self, stats: &Stats, expected: Duration) -> Duration {
        let latency = stats.percentile(0.99).unwrap_or(expected);
        self.told = Some((latency, Instant::now()));
        latency
    }

    /// Whether the pipeline should ask again.
    pub fn is_stale(&self, stats: &Stats) -> bool {
        // Asked at every frame: the percentile, which sorts, comes last.
        let Some((told, _)) = self.told.filter(|(_, when)| when.elapsed() >= MIN_INTERVAL) else { return false };
        let Some(now) = stats.percentile(0.99) else { return false };
        let grown = now > told + MIN_CHANGE.max(told / 5);
        let shrunk = now + MIN_CHANGE < told / 2;
        grown || shrunk
    }
}

/// Failures of single frames: each is a warning, many in a row are an error.
#[derive(Debug, Default)]
pub struct Failures {
    in_a_row: u32,
}

impl Failures {
    const LIMIT: u32 = 10;

    pub fn succeeded(&mut self) {
        self.in_a_row = 0;
    }

    /// Whether the stream should end.
    pub fn failed(&mut self) -> bool {
        self.in_a_row += 1;
        self.in_a_row >= Self::LIMIT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_nth_frame_is_due_from_the_first_on() {
        let mut interval = Interval::default();
        let due: Vec<bool> = (0..7).map(|_| interval.due(3)).collect();
        assert_eq!(due, [true, false, false, true, false, false, true]);
        interval.reset();
        assert!(interval.due(3));
        assert!((0..4).all(|_| Interval::default().due(0)));
    }

    #[test]
    fn latency_is_told_anew_only_when_it_matters() {
        let mut stats = Stats::default();
        let mut latency = Latency::default();
        assert_eq!(latency.answer(&stats, Duration::from_millis(7)), Duration::from_millis(7));
        stats.record(Duration::from_millis(11));
        assert!(!latency.is_stale(&stats), "4 ms more is no news");
        stats.record(Duration::from_millis(40));
        assert!(!latency.is_stale(&stats), "it was told just now");
        latency.told = Some((Duration::from_millis(7), Instant::now() - Duration::from_secs(2)));
        assert!(latency.is_stale(&stats));
    }

    #[test]
    fn one_bad_frame_is_no_end_but_ten_in_a_row_are() {
        let mut failures = Failures::default();
        assert!((0..9).all(|_| !failures.failed()));
        failures.succeeded();
        assert!((0..9).all(|_| !failures.failed()));
        assert!(failures.failed());
    }
}
