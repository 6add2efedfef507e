//! What an element counts: frames, skipped ones, and how long inference took.

use std::collections::VecDeque;
use std::time::Duration;

/// Latencies of the last frames, enough for a steady 99th percentile.
const WINDOW: usize = 512;

#[derive(Debug, Default, Clone)]
pub struct Stats {
    /// Frames that left.
    pub frames: u64,
    /// Frames that inference passed over because the model was too slow.
    pub skipped: u64,
    window: VecDeque<Duration>,
}

impl Stats {
    pub fn record(&mut self, latency: Duration) {
        if self.window.len() == WINDOW {
            self.window.pop_front();
        }
        self.window.push_back(latency);
    }

    /// The latency that the fraction `p` (0 to 1) of the last frames stayed within; `None` before the first.
    pub fn percentile(&self, p: f64) -> Option<Duration> {
        let mut sorted: Vec<_> = self.window.iter().copied().collect();
        sorted.sort_unstable();
        let last = sorted.len().checked_sub(1)?;
        sorted.get((p.clamp(0.0, 1.0) * last as f64).round() as usize).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_last_frames() {
        let mut stats = Stats::default();
        assert_eq!(stats.percentile(0.5), None);
        (0..WINDOW as u64 * 2).for_each(|ms| stats.record(Duration::from_millis(ms)));
        assert_eq!(stats.percentile(0.0), Some(Duration::from_millis(WINDOW as u64)));
        assert_eq!(stats.percentile(1.0), Some(Duration::from_millis(WINDOW as u64 * 2 - 1)));
    }
}
