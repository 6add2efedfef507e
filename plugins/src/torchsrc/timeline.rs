//! Which frame comes when: from frame rate, seeks and direction, without GStreamer.

/// Nanoseconds of a second.
const SECOND: i128 = 1_000_000_000;

/// A frame of the stream.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Frame {
    /// Counted from the start of the stream at the present frame rate.
    pub number: u64,
    /// Which picture of a sequence it is. A seek makes it the frame's number; from there each picture follows the one before,
    /// whatever frames are left out and however the rate changes, as a sequence gets nowhere without drawing all of them.
    pub picture: u64,
    /// Nanoseconds.
    pub time: u64,
    /// Nanoseconds; 0 for a still picture.
    pub duration: u64,
}

impl Frame {
    pub fn seconds(&self) -> f64 {
        self.time as f64 / SECOND as f64
    }
}

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Timeline {
    /// Frames a second, as a fraction; 0 is a still picture.
    rate: (i32, i32),
    /// When the frame counted as 0 comes; others follow it, evenly spaced.
    origin: u64,
    /// The next frame, counted from there.
    next: i64,
    /// The next picture of a sequence.
    picture: i64,
    /// Nanoseconds; frames that begin at or after the second are not of the stream.
    span: (u64, Option<u64>),
    reverse: bool,
}

impl Timeline {
    pub fn new(rate: (i32, i32)) -> Self {
        Timeline { rate, origin: 0, next: 0, picture: 0, span: (0, None), reverse: false }
    }

    /// What comes from now on lies between `start` and `stop`, and begins with the frame at `position`; all in nanoseconds.
    pub fn seek(&mut self, (start, stop): (u64, Option<u64>), position: u64, reverse: bool) {
        self.origin = 0;
        self.span = (start, stop);
        self.reverse = reverse;
        let (numerator, denominator) = (i128::from(self.rate.0.max(0)), i128::from(self.rate.1.max(1)) * SECOND);
        let frames = i128::from(position) * numerator;
        // The frame that is shown at the position; backwards, the last that begins before it.
        let frame = if reverse { (frames - 1).div_euclid(denominator) } else { frames / denominator };
        self.next = i64::try_from(frame).unwrap_or(i64::MAX / 2);
        self.picture = self.next;
    }

    /// Another frame rate, from the next frame on; a sequence goes on with its next picture.
    pub fn set_rate(&mut self, rate: (i32, i32)) {
        if rate != self.rate {
            *self = Timeline { rate, origin: self.time(self.next), next: 0, ..*self };
        }
    }

    /// The next frame; `None` at the end.
    pub fn next(&self) -> Option<Frame> {
        let (start, stop) = self.span;
        let time = self.time(self.next);
        let end = self.time(self.next.saturating_add(1));
        let still = self.rate.0 <= 0;
        let before_time = i128::from(self.origin) + self.after(self.next) < 0;
        if before_time || still && self.next != 0 {
            return None;
        }
        let beyond = if self.reverse { !still && end <= start } else { stop.is_some_and(|stop| time >= stop) };
        if beyond {
            return None;
        }
        // Counted from the start of the stream, which after a change of rate is not a whole number of frames away.
        let from_start =
            i128::from(time) * i128::from(self.rate.0.max(0)) + i128::from(self.rate.1.max(1)) * SECOND / 2;
        let number = (from_start / (i128::from(self.rate.1.max(1)) * SECOND)) as u64;
        // Backwards, where pictures lag behind frames, the first one stays.
        let picture = self.picture.max(0) as u64;
        Some(Frame { number, picture, time, duration: if still { 0 } else { end - time } })
    }

    pub fn advance(&mut self) {
        self.go(1, 1);
    }

    /// The same without a picture of a sequence: what would have been shown is shown after it.
    pub fn pass(&mut self) {
        self.go(1, 0);
    }

    /// Makes the frame before `frames` others the next again, and with it this picture.
    pub fn rewind(&mut self, frames: usize, picture: u64) {
        self.go(-i64::try_from(frames).unwrap_or(i64::MAX), 0);
        self.picture = i64::try_from(picture).unwrap_or(i64::MAX);
    }

    /// A sequence begins with the next frame.
    pub fn begin(&mut self) {
        self.picture = 0;
    }

    /// So many frames and pictures on, in the direction of play.
    fn go(&mut self, frames: i64, pictures: i64) {
        let sign = if self.reverse { -1 } else { 1 };
        self.next = self.next.saturating_add(sign * frames);
        self.picture = self.picture.saturating_add(sign * pictures);
    }

    /// When so many frames from the start end.
    pub fn duration(&self, frames: u64) -> Option<u64> {
        (self.rate.0 > 0).then(|| self.after(i64::try_from(frames).unwrap_or(i64::MAX)) as u64)
    }

    /// From one frame to the next.
    pub fn spacing(&self) -> Option<u64> {
        self.duration(1)
    }

    fn time(&self, frame: i64) -> u64 {
        u64::try_from(i128::from(self.origin) + self.after(frame)).unwrap_or(0)
    }

    fn after(&self, frame: i64) -> i128 {
        if self.rate.0 <= 0 {
            return 0;
        }
        (i128::from(frame) * i128::from(self.rate.1) * SECOND).div_euclid(i128::from(self.rate.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(timeline: &mut Timeline, most: usize) -> Vec<u64> {
        let mut all = Vec::new();
        while let (Some(frame), true) = (timeline.next(), all.len() < most) {
            all.push(frame.number);
            timeline.advance();
        }
        all
    }

    #[test]
    fn frames_meet_without_gaps_at_any_rate() {
        for rate in [(30, 1), (30000, 1001), (1, 3), (240, 7)] {
            let mut timeline = Timeline::new(rate);
            let mut end = 0;
            for number in 0..1000 {
                let frame = timeline.next().unwrap();
                assert_eq!((frame.number, frame.picture, frame.time), (number, number, end), "{rate:?}");
                end = frame.time + frame.duration;
                timeline.advance();
            }
            let exact = 1000.0 * f64::from(rate.1) / f64::from(rate.0);
            assert!((end as f64 / 1e9 - exact).abs() < 1e-8);
        }
    }

    #[test]
    fn a_seek_ends_in_the_frame_that_is_shown_there() {
        let mut timeline = Timeline::new((30000, 1001));
        for number in [0, 1, 29, 12345] {
            let frame = {
                timeline.seek((0, None), 0, false);
                (0..number).for_each(|_| timeline.advance());
                timeline.next().unwrap()
            };
            for within in [1, frame.duration / 2, frame.duration - 1] {
                timeline.seek((0, None), frame.time + within, false);
                assert_eq!(timeline.next(), Some(frame));
            }
        }
        timeline.seek((0, Some(100_000_000)), 0, false);
        assert_eq!(numbers(&mut timeline, 99), [0, 1, 2]);
    }

    #[test]
    fn backwards_it_goes_from_stop_to_start() {
        let mut timeline = Timeline::new((25, 1));
        timeline.seek((0, Some(200_000_000)), 200_000_000, true);
        assert_eq!(numbers(&mut timeline, 99), [4, 3, 2, 1, 0]);
        timeline.seek((80_000_000, Some(190_000_000)), 190_000_000, true);
        assert_eq!(numbers(&mut timeline, 99), [4, 3, 2]);
    }

    #[test]
    fn another_rate_goes_on_at_the_same_time() {
        let mut timeline = Timeline::new((30, 1));
        assert_eq!(numbers(&mut timeline, 10).len(), 10);
        let time = timeline.next().unwrap().time;
        timeline.set_rate((10, 1));
        let frame = timeline.next().unwrap();
        assert_eq!((frame.time, frame.duration, frame.number), (time, 100_000_000, 3));
        assert_eq!(frame.picture, 10, "a sequence goes on with its next picture");
        timeline.advance();
        assert_eq!(timeline.next().unwrap().number, 4);
        assert_eq!(timeline.next().unwrap().picture, 11);
        timeline.rewind(1, frame.picture);
        assert_eq!(timeline.next(), Some(frame));
    }

    #[test]
    fn a_sequence_has_no_gaps_where_frames_are_left_out_and_rates_change() {
        let mut timeline = Timeline::new((30, 1));
        let mut pictures = Vec::new();
        for round in 0..600 {
            match round {
                200 => timeline.set_rate((60, 1)),
                400 => timeline.set_rate((10, 1)),
                _ => {}
            }
            (0..round % 4).for_each(|_| timeline.pass());
            pictures.push(timeline.next().unwrap().picture);
            timeline.advance();
        }
        assert_eq!(pictures, (0..600).collect::<Vec<_>>());
        // What was dropped comes again, and a seek counts anew.
        timeline.rewind(2, 598);
        assert_eq!(timeline.next().unwrap().picture, 598);
        timeline.seek((0, None), 7_000_000_000, false);
        let sought = timeline.next().unwrap();
        assert_eq!((sought.number, sought.picture), (70, 70));
        timeline.begin();
        assert_eq!(timeline.next().unwrap().picture, 0);
    }

    #[test]
    fn a_still_picture_comes_once() {
        let mut timeline = Timeline::new((0, 1));
        assert_eq!(timeline.next(), Some(Frame { number: 0, picture: 0, time: 0, duration: 0 }));
        timeline.advance();
        assert_eq!((timeline.next(), timeline.spacing()), (None, None));
    }
}
