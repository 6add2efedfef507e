//! Multi-object tracking by detection, in two stages.
//!
//! Method: boxes are predicted by a Kalman filter and paired by overlap with the Hungarian algorithm, as in SORT
//! (Bewley et al., 2016, arXiv:1602.00763); sure detections are paired first, and what they leave unexplained is
//! looked for among the doubtful ones, as in ByteTrack (Zhang et al., 2022, arXiv:2110.06864). Doubtful boxes carry an
//! object through partial occlusion and motion blur but never start a track. No appearance is used.
//!
//! Two things are added for live video: steps in time have any length, and a frame on which no detector ran moves the
//! boxes on without counting against them.

use super::assignment::assign;
use super::kalman::BoxFilter;
use crate::boxes::{Detection, Rect};

/// Least overlap of a doubtful detection with the track it carries on. It has to be where it is expected, as there is
/// little else that speaks for it.
const MIN_IOU_OF_DOUBTFUL: f32 = 0.5;

/// What the tracker may be told. The defaults are ByteTrack's, and SORT's where that asks an object to be seen 3 times.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Detections of at least this confidence are sure: they are paired first, and start tracks. Range 0 to 1.
    pub high_threshold: f32,
    /// Detections below this are ignored; those between are doubtful. Range 0 to 1.
    pub low_threshold: f32,
    /// Least overlap (intersection over union) of a predicted and a detected box, times the confidence of the latter,
    /// to be paired. Range 0 to 1.
    pub min_iou: f32,
    /// On how many frames in a row an object must be detected before it gets its id; not asked of those that are there
    /// when tracking starts. At least 1.
    pub frames_to_confirm: u32,
    /// For how many frame periods a track that is no longer found is remembered.
    pub frames_to_forget: u32,
}

impl Default for Config {
    fn default() -> Self {
        Config { high_threshold: 0.6, low_threshold: 0.1, min_iou: 0.2, frames_to_confirm: 3, frames_to_forget: 30 }
    }
}

/// One tracked object in one frame.
#[derive(Debug, Clone, PartialEq)]
pub struct TrackedBox {
    /// 1 and up, in the order in which objects were confirmed. Never given twice by one `Tracker`.
    pub id: u64,
    /// As the filter estimates it: smoother than the detection, and there when nothing was detected.
    pub rect: Rect,
    pub class: usize,
    /// Of the last detection of this object.
    pub confidence: f32,
    /// Index of the detection in this frame, `None` where the box is predicted.
    pub detection: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Phase {
    /// Seen so many times in a row; without an id so far.
    Tentative(u32),
    /// Found when the detector last ran.
    Tracked(u64),
    /// Looked for in vain since so many frame periods.
    Lost(u64, f64),
}

#[derive(Debug)]
struct Track {
    phase: Phase,
    filter: BoxFilter,
    class: usize,
    confidence: f32,
    /// Frame periods since it was last detected.
    unseen: f64,
}

/// Follows the objects of one stream.
#[derive(Debug, Default)]
pub struct Tracker {
    config: Config,
    tracks: Vec<Track>,
    last_id: u64,
    /// Whether a frame with inference was seen since the start or the last reset.
    started: bool,
}

impl Tracker {
    pub fn new(config: Config) -> Self {
        Tracker { config, ..Default::default() }
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Takes effect with the next frame; tracks go on.
    pub fn set_config(&mut self, config: Config) {
        self.config = config;
    }

    /// Forgets all objects, as after a seek. Ids go on from where they were.
    pub fn reset(&mut self) {
        self.tracks.clear();
        self.started = false;
    }

    /// How many ids were given so far.
    pub fn confirmed(&self) -> u64 {
        self.last_id
    }

    /// How many objects with an id are followed now, the lost ones included.
    pub fn active(&self) -> usize {
        self.tracks.iter().filter(|track| !matches!(track.phase, Phase::Tentative(_))).count()
    }

    /// Takes in the next frame, `elapsed` frame periods (above 0, fractions allowed) after the one before.
    ///
    /// `Some(detections)` where a detector ran, with what it found, however little: the answer holds the tracks that it
    /// found again. Objects that it missed are not reported, since where they are is a guess, but they are remembered
    /// and keep their id when they come back. `None` where no detector ran: the answer holds all tracks found by the
    /// last run, moved on to where they should be by now, unless that was longer ago than a lost track is
    /// remembered. Detections with sides that are not above 0 are ignored.
    pub fn update(&mut self, elapsed: f64, detections: Option<&[Detection]>) -> Vec<TrackedBox> {
        let elapsed = if elapsed.is_finite() { elapsed.max(0.0) } else { 0.0 };
        let forget = f64::from(self.config.frames_to_forget);
        if elapsed > forget.max(1.0) {
            // A hole in the stream that is longer than anything is remembered.
            self.reset();
        }
        for track in &mut self.tracks {
            track.predict(elapsed);
        }
        self.tracks.retain(|track| !matches!(track.phase, Phase::Lost(_, since) if since > forget));
        match detections {
            Some(detections) => self.follow(detections),
            None => self.coast(forget),
        }
    }

    fn coast(&self, forget: f64) -> Vec<TrackedBox> {
        let known = self.tracks.iter().filter(|track| track.unseen <= forget);
        known.filter_map(|track| track.report(None)).collect()
    }

    fn follow(&mut self, detections: &[Detection]) -> Vec<TrackedBox> {
        let config = &self.config;
        let usable = |i: &usize| is_box(&detections[*i].rect) && detections[*i].confidence >= config.low_threshold;
        let (mut sure, mut doubtful): (Vec<usize>, Vec<usize>) =
            (0..detections.len()).filter(usable).partition(|&i| detections[i].confidence >= config.high_threshold);

        let sure_overlap = |iou: f32, confidence: f32| iou * confidence - config.min_iou;
        let doubtful_overlap = |iou: f32, _| iou - config.min_iou.max(MIN_IOU_OF_DOUBTFUL);
        let mut found: Vec<Option<usize>> = vec![None; self.tracks.len()];
        self.pair(|phase| !matches!(phase, Phase::Tentative(_)), detections, &mut sure, sure_overlap, &mut found);
        self.pair(|phase| matches!(phase, Phase::Tracked(_)), detections, &mut doubtful, doubtful_overlap, &mut found);
        self.pair(|phase| matches!(phase, Phase::Tentative(_)), detections, &mut sure, sure_overlap, &mut found);

        let at_start = !std::mem::replace(&mut self.started, true);
        for (track, found) in self.tracks.iter_mut().zip(&found) {
            match found {
                Some(i) => track.seen(&detections[*i]),
                None => track.missed(),
            }
        }
        for i in sure {
            self.tracks.push(Track::new(&detections[i]));
            found.push(Some(i));
        }
        let needed = if at_start { 1 } else { self.config.frames_to_confirm };
        for track in &mut self.tracks {
            if matches!(track.phase, Phase::Tentative(seen) if seen >= needed) {
                self.last_id += 1;
                track.phase = Phase::Tracked(self.last_id);
            }
        }
        let reports = self.tracks.iter().zip(&found).filter_map(|(track, found)| track.report(*found)).collect();

        self.tracks.retain(|track| track.phase != Phase::Tentative(0));
        reports
    }

    /// Pairs the tracks in a phase that `wanted` accepts with `detections[free]`, takes those out of `free` and notes
    /// them in `found`. `excess` says from overlap and confidence by how much a pair is better than the least one; below
    /// 0 it is not made.
    fn pair(
        &self,
        wanted: impl Fn(&Phase) -> bool,
        detections: &[Detection],
        free: &mut Vec<usize>,
        excess: impl Fn(f32, f32) -> f32,
        found: &mut [Option<usize>],
    ) {
        let tracks: Vec<usize> =
            (0..found.len()).filter(|&t| found[t].is_none() && wanted(&self.tracks[t].phase)).collect();
        let boxes: Vec<Rect> = tracks.iter().map(|&t| self.tracks[t].filter.rect()).collect();
        let pairs = assign(tracks.len(), free.len(), |row, column| {
            let detection = &detections[free[column]];
            if detection.class != self.tracks[tracks[row]].class {
                return None;
            }
            let iou = boxes[row].iou(&detection.rect);
            let excess = excess(iou, detection.confidence);
            // Whole numbers keep the solver exact. Without any overlap there is no pair, however low the limit.
            (iou > 0.0 && excess >= 0.0).then(|| 1 + (excess * 1e6) as i64)
        });
        for &(row, column) in &pairs {
            found[tracks[row]] = Some(free[column]);
        }
        let mut index = 0..;
        free.retain(|_| {
            let column = index.next();
            !pairs.iter().any(|&(_, taken)| Some(taken) == column)
        });
    }
}

impl Track {
    fn new(detection: &Detection) -> Self {
        Track {
            phase: Phase::Tentative(1),
            filter: BoxFilter::new(&detection.rect),
            class: detection.class,
            confidence: detection.confidence,
            unseen: 0.0,
        }
    }

    fn predict(&mut self, elapsed: f64) {
        self.unseen += elapsed;
        if let Phase::Lost(_, since) = &mut self.phase {
            *since += elapsed;
        }
        self.filter.predict(elapsed);
    }

    fn seen(&mut self, detection: &Detection) {
        self.filter.update(&detection.rect);
        self.confidence = detection.confidence;
        self.unseen = 0.0;
        self.phase = match self.phase {
            Phase::Tentative(seen) => Phase::Tentative(seen + 1),
            Phase::Tracked(id) | Phase::Lost(id, _) => Phase::Tracked(id),
        };
    }

    fn missed(&mut self) {
        self.phase = match self.phase {
            Phase::Tentative(_) => Phase::Tentative(0),
            Phase::Tracked(id) => Phase::Lost(id, 0.0),
            lost => lost,
        };
        self.filter.hold_size();
    }

    fn report(&self, detection: Option<usize>) -> Option<TrackedBox> {
        let Phase::Tracked(id) = self.phase else { return None };
        let Track { class, confidence, .. } = *self;
        Some(TrackedBox { id, rect: self.filter.rect(), class, confidence, detection })
    }
}

fn is_box(rect: &Rect) -> bool {
    rect.x.is_finite() && rect.y.is_finite() && rect.w.is_finite() && rect.h.is_finite() && rect.w > 0.0 && rect.h > 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(x: f32) -> Detection {
        Detection { rect: Rect { x, y: 100.0, w: 40.0, h: 90.0 }, class: 0, confidence: 0.9 }
    }

    fn ids(boxes: &[TrackedBox]) -> Vec<u64> {
        boxes.iter().map(|b| b.id).collect()
    }

    /// A tracker that follows one person at 4 pixels a frame, last seen at x = 80.
    fn following_one() -> Tracker {
        let mut tracker = Tracker::new(Config::default());
        for i in 0..=20 {
            assert_eq!(ids(&tracker.update(1.0, Some(&[person(4.0 * i as f32)]))), [1], "frame {i}");
        }
        tracker
    }

    #[test]
    fn an_occlusion_keeps_the_id() {
        let mut tracker = following_one();
        for _ in 0..15 {
            assert_eq!(tracker.update(1.0, Some(&[])), [], "where it is hidden is a guess, and not reported");
        }
        let back = tracker.update(1.0, Some(&[person(80.0 + 16.0 * 4.0)]));
        assert_eq!((ids(&back), back[0].detection), (vec![1], Some(0)));
    }

    #[test]
    fn what_is_gone_for_too_long_gets_a_new_id() {
        let mut tracker = following_one();
        for _ in 0..33 {
            tracker.update(1.0, Some(&[]));
        }
        assert_eq!(tracker.active(), 0);
        let seen: Vec<Vec<u64>> = (0..3).map(|_| ids(&tracker.update(1.0, Some(&[person(80.0)])))).collect();
        assert_eq!(seen, [vec![], vec![], vec![2]]);
    }

    #[test]
    fn skipped_frames_are_predicted() {
        let mut tracker = following_one();
        for i in 1..=4 {
            let boxes = tracker.update(1.0, None);
            assert_eq!((ids(&boxes), boxes[0].detection, boxes[0].confidence), (vec![1], None, 0.9));
            assert!((boxes[0].rect.x - (80.0 + 4.0 * i as f32)).abs() < 2.0, "{boxes:?}");
        }
        assert_eq!(ids(&tracker.update(1.0, Some(&[person(100.0)]))), [1]);
    }

    /// The detector may run more rarely than what a lost track is remembered for: only looking in vain counts.
    #[test]
    fn rare_inference_is_no_loss() {
        let mut tracker = Tracker::new(Config { frames_to_forget: 5, ..Config::default() });
        for frame in 0..200 {
            let boxes = tracker.update(1.0, (frame % 20 == 0).then_some(&[person(50.0)][..]));
            assert!(boxes.iter().all(|b| b.id == 1), "frame {frame}: {boxes:?}");
            assert_eq!(boxes.len(), (frame % 20 <= 5) as usize, "frame {frame}");
        }
    }

    #[test]
    fn crossing_paths_keep_their_ids() {
        let mut tracker = Tracker::new(Config::default());
        let mut last = Vec::new();
        for i in 0..60 {
            let (left, right) = (person(5.0 * i as f32), person(300.0 - 5.0 * i as f32));
            // While they overlap the detector's suppression leaves one box.
            let merged = left.rect.iou(&right.rect) > 0.5;
            let found = if merged { vec![left] } else { vec![right, left] };
            last = tracker.update(1.0, Some(&found));
        }
        last.sort_by_key(|b| b.rect.x as i32);
        assert_eq!(tracker.confirmed(), 2);
        assert_eq!(ids(&last), [1, 2], "who went right is still 1: {last:?}");
        assert_eq!(last.iter().map(|b| b.detection).collect::<Vec<_>>(), [Some(0), Some(1)]);
    }

    /// The same motion, seen at 30 frames a second and then, after a gap, at 10 and at uneven times.
    #[test]
    fn steps_in_time_may_vary() {
        let mut tracker = following_one();
        let mut x = 80.0;
        for step in [10.0, 3.0, 3.0, 0.5, 7.25, 1.0, 3.0] {
            x += 4.0 * step as f32;
            let boxes = tracker.update(step, Some(&[person(x)]));
            assert_eq!(ids(&boxes), [1], "after a step of {step}");
            assert!((boxes[0].rect.x - x).abs() < 3.0);
        }
    }

    #[test]
    fn a_hole_in_the_stream_ends_all_tracks() {
        let mut tracker = following_one();
        assert_eq!(ids(&tracker.update(1000.0, Some(&[person(80.0)]))), [2]);
    }

    #[test]
    fn a_reset_forgets_objects_but_not_ids() {
        let mut tracker = following_one();
        tracker.reset();
        assert_eq!(tracker.active(), 0);
        assert_eq!(ids(&tracker.update(1.0, Some(&[person(80.0)]))), [2]);
    }

    #[test]
    fn what_flashes_up_gets_no_id() {
        let mut tracker = following_one();
        for i in 0..50 {
            let mut found = vec![person(80.0)];
            if i % 4 < 2 {
                found.push(person(400.0));
            }
            assert_eq!(ids(&tracker.update(1.0, Some(&found))), [1]);
        }
        assert_eq!(tracker.confirmed(), 1);
    }

    #[test]
    fn doubtful_boxes_carry_tracks_but_start_none() {
        let mut tracker = following_one();
        let doubtful = |x| Detection { confidence: 0.2, ..person(x) };
        for i in 1..20 {
            let found = [doubtful(500.0), doubtful(80.0 + 4.0 * i as f32)];
            let boxes = tracker.update(1.0, Some(&found));
            assert_eq!((ids(&boxes), boxes[0].detection), (vec![1], Some(1)));
        }
        let hopeless = Detection { confidence: 0.05, ..person(160.0) };
        assert_eq!(tracker.update(1.0, Some(&[hopeless])), []);
    }

    #[test]
    fn classes_are_not_mixed() {
        let mut tracker = following_one();
        let dog = Detection { class: 1, ..person(84.0) };
        for _ in 0..5 {
            assert!(ids(&tracker.update(1.0, Some(&[dog]))).iter().all(|id| *id != 1));
        }
        assert_eq!(ids(&tracker.update(1.0, Some(&[dog, person(104.0)]))), [1, 2]);
    }

    #[test]
    fn nonsense_is_ignored() {
        let mut tracker = following_one();
        let with = |w: f32, x: f32, confidence| Detection { rect: Rect { w, ..person(x).rect }, class: 0, confidence };
        let nonsense = [
            with(f32::NAN, 84.0, 0.9),
            with(0.0, 84.0, 0.9),
            with(-5.0, 84.0, 0.9),
            with(40.0, f32::INFINITY, 0.9),
            with(40.0, 84.0, f32::NAN),
        ];
        for elapsed in [1.0, f64::NAN, -3.0, f64::NEG_INFINITY] {
            assert_eq!(tracker.update(elapsed, Some(&nonsense)), []);
        }
        assert_eq!(ids(&tracker.update(1.0, Some(&[person(88.0)]))), [1]);
    }
}
