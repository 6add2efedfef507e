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

/// Where nothing says how long a frame is shown.
const UNKNOWN: Duration = Duration::from_millis(40);

/// How long after the frame before one comes: its duration, else by the frame rate of its caps, else `since` the timestamp of the
/// frame before.
pub fn spacing(duration: Option<gst::ClockTime>, rate: gst::Fraction, since: Option<gst::ClockTime>) -> Duration {
    let by_rate = || {
        let (frames, seconds) = (u64::try_from(rate.numer()).ok()?, u64::try_from(rate.denom()).ok()?);
        (gst::ClockTime::SECOND * seconds).nseconds().checked_div(frames).map(gst::ClockTime::from_nseconds)
    };
    duration.or_else(by_rate).or(since).map_or(UNKNOWN, Duration::from)
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
    fn frames_without_a_duration_are_spaced_by_what_else_is_known() {
        let ms = gst::ClockTime::from_mseconds;
        let of = |duration, rate: (i32, i32), since| spacing(duration, gst::Fraction::new(rate.0, rate.1), since);
        assert_eq!(of(Some(ms(33)), (25, 1), Some(ms(7))), Duration::from_millis(33));
        assert_eq!(of(None, (4, 1), Some(ms(7))), Duration::from_millis(250));
        assert_eq!(of(None, (0, 1), Some(ms(7))), Duration::from_millis(7));
        assert_eq!(of(None, (0, 1), None), Duration::from_millis(40));
    }

    #[test]
    fn one_slow_frame_is_forgiven() {
        let mut backlog = Backlog::default();
        backlog.took(Duration::from_millis(130));
        assert!(!backlog.is_late(Duration::from_millis(40)));
    }
}
