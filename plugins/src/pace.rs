//! Whether an element keeps up with the clock, and what it does where it does not.

use std::time::Duration;

use gst::glib;

/// What becomes of frames of elements that have nothing to let through in their place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[enum_type(name = "GstTorchSkipPolicy")]
pub enum LatePolicy {
    #[default]
    #[enum_value(name = "skip when live, block otherwise", nick = "auto")]
    Auto,
    #[enum_value(name = "No frame is left out, however late", nick = "block")]
    Block,
    #[enum_value(name = "Frames that there is no time for are left out", nick = "skip")]
    Skip,
}

impl LatePolicy {
    pub fn skips(self, live: bool) -> bool {
        self == LatePolicy::Skip || self == LatePolicy::Auto && live
    }
}

/// How far it is behind: what frames took beyond their spacing. Independent of clocks, timestamps that lie included.
#[derive(Debug, Default)]
pub struct Backlog {
    behind: Duration,
}

/// Being behind by less is jitter.
const LENIENCE: Duration = Duration::from_millis(100);

impl Backlog {
    /// A frame comes, so long after the one before; whether there is no time for it.
    pub fn is_late(&mut self, spacing: Duration) -> bool {
        self.behind = self.behind.saturating_sub(spacing);
        self.behind > LENIENCE.max(spacing)
    }

    pub fn took(&mut self, time: Duration) {
        self.behind += time;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames left out of 100 that come every 40 ms and take so long.
    fn late(took: u64) -> usize {
        let mut backlog = Backlog::default();
        let mut late = 0;
        for _ in 0..100 {
            if backlog.is_late(Duration::from_millis(40)) {
                late += 1;
            } else {
                backlog.took(Duration::from_millis(took));
            }
        }
        late
    }

    #[test]
    fn as_many_frames_are_left_out_as_there_is_no_time_for() {
        assert_eq!((late(10), late(39)), (0, 0));
        assert!((45..=50).contains(&late(80)), "{}", late(80));
        assert!((70..=75).contains(&late(160)), "{}", late(160));
    }

    #[test]
    fn one_slow_frame_is_forgiven() {
        let mut backlog = Backlog::default();
        backlog.took(Duration::from_millis(130));
        assert!(!backlog.is_late(Duration::from_millis(40)));
    }
}
