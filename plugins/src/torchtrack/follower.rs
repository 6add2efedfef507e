//! From the objects and the time of a frame to the tracker's terms, and back.

use gst_torch_models::boxes::Detection;
use gst_torch_models::track::{Config, TrackedBox, Tracker};

use crate::meta::{self, Object};

/// Assumed where the caps give no frame rate.
const DEFAULT_PERIOD: f64 = 1e9 / 30.0;

/// What follows from the caps.
#[derive(Debug, Clone, PartialEq)]
pub struct Format {
    pub width: f32,
    pub height: f32,
    /// Nanoseconds between two frames.
    pub period: f64,
}

impl Format {
    /// `framerate` as numerator and denominator; 0/1 is a variable one.
    pub fn new(width: i32, height: i32, framerate: (i32, i32)) -> Self {
        let period = match framerate {
            (numerator @ 1.., denominator @ 1..) => 1e9 * f64::from(denominator) / f64::from(numerator),
            _ => DEFAULT_PERIOD,
        };
        Format { width: width as f32, height: height as f32, period }
    }
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    pub frames: u64,
    /// Frames on which no detector ran.
    pub predicted: u64,
    /// Ids given.
    pub tracks: u64,
    /// Objects followed now, the hidden ones included.
    pub active: u64,
}

/// Follows the objects of one stream.
#[derive(Debug)]
pub struct Follower {
    tracker: Tracker,
    format: Format,
    /// The tracker knows classes by number. Labels come from lists, so there are few.
    labels: Vec<String>,
    /// Of the last frame that had a time, in nanoseconds.
    last_time: Option<u64>,
    counts: Counts,
    /// The tracker's count when ours began.
    ids_before: u64,
}

impl Default for Follower {
    fn default() -> Self {
        Follower {
            tracker: Tracker::default(),
            format: Format::new(0, 0, (0, 1)),
            labels: Vec::new(),
            last_time: None,
            counts: Counts::default(),
            ids_before: 0,
        }
    }
}

impl Follower {
    /// Forgets all objects; ids go on from where they were.
    pub fn reset(&mut self) {
        self.tracker.reset();
        self.last_time = None;
    }

    /// As `reset`, and counts from 0.
    pub fn restart(&mut self) {
        self.reset();
        self.counts = Counts::default();
        self.ids_before = self.tracker.confirmed();
    }

    /// Boxes of another picture size mean nothing in this one; a new frame rate alone disturbs nothing.
    pub fn set_format(&mut self, format: Format) {
        if (format.width, format.height) != (self.format.width, self.format.height) {
            self.reset();
        }
        self.format = format;
    }

    pub fn set_config(&mut self, config: &Config) {
        if self.tracker.config() != config {
            self.tracker.set_config(config.clone());
        }
    }

    pub fn counts(&self) -> Counts {
        Counts {
            tracks: self.tracker.confirmed() - self.ids_before,
            active: self.tracker.active() as u64,
            ..self.counts
        }
    }

    /// Takes in the objects of a frame at `time` (nanoseconds), on which a detector `ran` or not. Where it did, objects
    /// get the id of their track, or lose one that is not ours; where not, objects are added as predicted. The answer is
    /// whether there are objects to be written back.
    pub fn follow(&mut self, objects: &mut Vec<Object>, ran: bool, time: Option<u64>) -> bool {
        let elapsed = self.elapsed(time);
        self.counts.frames += 1;
        if ran {
            self.mark(objects, elapsed);
        } else {
            self.counts.predicted += 1;
            self.predict(objects, elapsed);
        }
        !objects.is_empty()
    }

    fn mark(&mut self, objects: &mut [Object], elapsed: f64) {
        let (whole, detections): (Vec<usize>, Vec<Detection>) = (0..objects.len())
            .filter(|&i| objects[i].parent.is_none())
            .map(|i| (i, self.detection(&objects[i])))
            .unzip();
        let boxes = self.tracker.update(elapsed, Some(&detections));
        for &i in &whole {
            objects[i].track = None;
        }
        for TrackedBox { id, detection, .. } in boxes {
            if let Some(&i) = detection.and_then(|d| whole.get(d)) {
                objects[i].track = Some(id);
            }
        }
    }

    fn predict(&mut self, objects: &mut Vec<Object>, elapsed: f64) {
        for tracked in self.tracker.update(elapsed, None) {
            let rect = tracked.rect.clip(self.format.width, self.format.height);
            if rect.area() > 0.0 {
                objects.push(Object {
                    id: meta::next_id(objects),
                    parent: None,
                    label: self.labels[tracked.class].clone(),
                    confidence: tracked.confidence.into(),
                    rect,
                    track: Some(tracked.id),
                });
            }
        }
    }

    fn detection(&mut self, object: &Object) -> Detection {
        let class = self.labels.iter().position(|label| *label == object.label).unwrap_or_else(|| {
            self.labels.push(object.label.clone());
            self.labels.len() - 1
        });
        Detection { rect: object.rect, class, confidence: object.confidence as f32 }
    }

    /// Frame periods since the last frame; 1 where frames have no time. Where time jumps back a new stream has begun;
    /// by less than a period it is jitter.
    fn elapsed(&mut self, time: Option<u64>) -> f64 {
        let Some(time) = time else { return 1.0 };
        let Some(last) = self.last_time.replace(time) else { return 1.0 };
        let elapsed = (time as f64 - last as f64) / self.format.period;
        if elapsed < -1.0 {
            self.tracker.reset();
        }
        elapsed.max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gst_torch_models::boxes::Rect;

    const PERIOD: u64 = 40_000_000;

    fn follower() -> Follower {
        let mut follower = Follower::default();
        follower.set_format(Format::new(640, 480, (25, 1)));
        follower
    }

    fn object(id: i32, label: &str, x: f32) -> Object {
        let rect = Rect { x, y: 100.0, w: 60.0, h: 120.0 };
        Object { id, parent: None, label: label.into(), confidence: 0.875, rect, track: None }
    }

    fn tracks(objects: &[Object]) -> Vec<Option<u64>> {
        objects.iter().map(|o| o.track).collect()
    }

    #[test]
    fn parts_are_not_tracked() {
        let mut follower = follower();
        let face = Object { parent: Some(1), track: Some(99), ..object(2, "face", 20.0) };
        let mut objects = vec![face, object(1, "person", 0.0)];
        assert!(follower.follow(&mut objects, true, Some(0)));
        assert_eq!(tracks(&objects), [Some(99), Some(1)], "the part is left alone");
    }

    #[test]
    fn labels_survive_prediction_and_ids_on_the_buffer_stay_apart() {
        let mut follower = follower();
        follower.follow(&mut vec![object(1, "person", 0.0), object(2, "dog", 300.0)], true, Some(0));
        let mut objects = Vec::new();
        assert!(follower.follow(&mut objects, false, Some(PERIOD)));
        let seen: Vec<_> = objects.iter().map(|o| (o.id, o.label.as_str(), o.confidence, o.track)).collect();
        assert_eq!(seen, [(1, "person", 0.875, Some(1)), (2, "dog", 0.875, Some(2))]);
    }

    #[test]
    fn predicted_boxes_stay_within_the_picture() {
        let mut follower = follower();
        for i in 0..5 {
            follower.follow(&mut vec![object(1, "person", 540.0 + 10.0 * i as f32)], true, Some(i * PERIOD));
        }
        let mut objects = Vec::new();
        follower.follow(&mut objects, false, Some(8 * PERIOD));
        let rect = objects[0].rect;
        assert!(rect.x > 590.0 && rect.x + rect.w <= 640.0, "{rect:?}");
        objects.clear();
        assert!(!follower.follow(&mut objects, false, Some(28 * PERIOD)), "it has left: {objects:?}");
    }

    /// Motion is in pixels a second: a frame late by three periods is searched for three steps on.
    #[test]
    fn time_comes_from_the_timestamps() {
        let mut follower = follower();
        for i in 0..10 {
            follower.follow(&mut vec![object(1, "person", 20.0 * i as f32)], true, Some(i * PERIOD));
        }
        let mut objects = vec![object(1, "person", 20.0 * 13.0)];
        follower.follow(&mut objects, true, Some(13 * PERIOD));
        assert_eq!(tracks(&objects), [Some(1)]);
    }

    #[test]
    fn a_jump_back_in_time_starts_anew_but_jitter_does_not() {
        let mut follower = follower();
        let mut at = |time| {
            let mut objects = vec![object(1, "person", 50.0)];
            follower.follow(&mut objects, true, Some(time));
            objects[0].track
        };
        assert_eq!([at(10 * PERIOD), at(11 * PERIOD), at(11 * PERIOD - 5), at(11 * PERIOD - 5)], [Some(1); 4]);
        assert_eq!(at(0), Some(2));
    }

    #[test]
    fn frames_without_time_are_a_period_apart() {
        let mut follower = follower();
        for i in 0..10 {
            let mut objects = vec![object(1, "person", 10.0 * i as f32)];
            follower.follow(&mut objects, true, None);
            assert_eq!(tracks(&objects), [Some(1)]);
        }
    }

    #[test]
    fn a_new_size_starts_anew_but_a_new_rate_does_not() {
        let mut follower = follower();
        let mut at = |format: (i32, i32, (i32, i32))| {
            follower.set_format(Format::new(format.0, format.1, format.2));
            let mut objects = vec![object(1, "person", 50.0)];
            follower.follow(&mut objects, true, None);
            objects[0].track
        };
        assert_eq!(at((640, 480, (25, 1))), Some(1));
        assert_eq!(at((640, 480, (0, 1))), Some(1));
        assert_eq!(at((320, 240, (0, 1))), Some(2));
    }

    #[test]
    fn counts_start_anew_but_ids_do_not() {
        let mut follower = follower();
        follower.follow(&mut vec![object(1, "person", 0.0)], true, Some(0));
        follower.follow(&mut Vec::new(), false, Some(PERIOD));
        assert_eq!(follower.counts(), Counts { frames: 2, predicted: 1, tracks: 1, active: 1 });
        follower.restart();
        assert_eq!(follower.counts(), Counts::default());
        let mut objects = vec![object(1, "person", 0.0)];
        follower.follow(&mut objects, true, Some(0));
        assert_eq!(tracks(&objects), [Some(2)]);
        assert_eq!(follower.counts().tracks, 1);
    }
}
