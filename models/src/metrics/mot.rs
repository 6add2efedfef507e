//! How good tracks are: CLEAR MOT (Bernardin and Stiefelhagen, 2008) and identity measures (Ristani et al., 2016,
//! arXiv:1609.01775).
//!
//! Gives the numbers of py-motmetrics (github.com/cheind/py-motmetrics), which the field reports.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::boxes::Rect;
use crate::track::assign;
use crate::track::mot_format::Frames;

/// One box with the id of whom it shows.
pub type Labelled = (i64, Rect);

/// Collects what was tracked against what was there, frame by frame.
#[derive(Debug, Default)]
pub struct MotAccumulator {
    min_iou: f32,
    /// Which track an object was last paired with; kept while it is not seen.
    partner: HashMap<i64, i64>,
    /// On how many frames an object and a track overlap enough, paired or not.
    together: BTreeMap<(i64, i64), i64>,
    summary: MotSummary,
}

/// Counts over a sequence, and the measures that follow from them.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct MotSummary {
    pub frames: u64,
    /// Boxes of the ground truth.
    pub objects: u64,
    /// Boxes of the tracks.
    pub hypotheses: u64,
    pub misses: u64,
    pub false_positives: u64,
    /// How often an object is paired with another track than before.
    pub switches: u64,
    /// Boxes on the right track, when each object is given the one track that explains it best.
    pub id_true_positives: u64,
}

impl MotSummary {
    /// Multiple object tracking accuracy, 1 at best; below 0 where there are more errors than objects.
    pub fn mota(&self) -> f64 {
        1.0 - ratio(self.misses + self.false_positives + self.switches, self.objects)
    }

    /// F1 score of the identities, 0 to 1.
    pub fn idf1(&self) -> f64 {
        ratio(2 * self.id_true_positives, self.objects + self.hypotheses)
    }

    /// Share of the tracks' boxes that show an object, 0 to 1.
    pub fn precision(&self) -> f64 {
        ratio(self.objects - self.misses, self.hypotheses)
    }

    /// Share of the objects' boxes that a track found, 0 to 1.
    pub fn recall(&self) -> f64 {
        ratio(self.objects - self.misses, self.objects)
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { f64::NAN } else { part as f64 / whole as f64 }
}

impl MotAccumulator {
    /// Boxes that overlap by at least `min_iou` (intersection over union, commonly 0.5) may be the same object.
    pub fn new(min_iou: f32) -> Self {
        MotAccumulator { min_iou, ..Default::default() }
    }

    /// Takes in one frame: the objects that are there and the tracks that say so. Ids are unique within each.
    pub fn update(&mut self, objects: &[Labelled], tracks: &[Labelled]) {
        let overlap = |o: usize, t: usize| {
            let iou = objects[o].1.iou(&tracks[t].1);
            (iou >= self.min_iou && iou > 0.0).then_some(iou)
        };
        for (o, object) in objects.iter().enumerate() {
            for (t, track) in tracks.iter().enumerate() {
                if overlap(o, t).is_some() {
                    *self.together.entry((object.0, track.0)).or_default() += 1;
                }
            }
        }

        // Pairs of the frame before stay while they overlap, even where another pairing would overlap more.
        let mut pairs: Vec<(usize, usize)> = Vec::new();
        for (o, object) in objects.iter().enumerate() {
            let Some(partner) = self.partner.get(&object.0) else {
                continue;
            };
            let same = tracks.iter().position(|track| track.0 == *partner);
            if let Some(t) = same.filter(|&t| overlap(o, t).is_some() && pairs.iter().all(|pair| pair.1 != t)) {
                pairs.push((o, t));
            }
        }
        // The others are paired as many as possible, then as tightly as possible.
        let free_objects: Vec<usize> = (0..objects.len()).filter(|o| pairs.iter().all(|pair| pair.0 != *o)).collect();
        let free_tracks: Vec<usize> = (0..tracks.len()).filter(|t| pairs.iter().all(|pair| pair.1 != *t)).collect();
        const ANY_PAIR: i64 = 1 << 40;
        let new_pairs = assign(free_objects.len(), free_tracks.len(), |row, column| {
            let iou = overlap(free_objects[row], free_tracks[column])?;
            Some(ANY_PAIR + (f64::from(iou) * 1e9) as i64)
        });
        for (row, column) in new_pairs {
            let (o, t) = (free_objects[row], free_tracks[column]);
            if self.partner.get(&objects[o].0).is_some_and(|partner| *partner != tracks[t].0) {
                self.summary.switches += 1;
            }
            self.partner.insert(objects[o].0, tracks[t].0);
            pairs.push((o, t));
        }

        self.summary.frames += 1;
        self.summary.objects += objects.len() as u64;
        self.summary.hypotheses += tracks.len() as u64;
        self.summary.misses += (objects.len() - pairs.len()) as u64;
        self.summary.false_positives += (tracks.len() - pairs.len()) as u64;
    }

    /// The counts over all frames so far.
    pub fn summary(&self) -> MotSummary {
        let distinct = |ids: BTreeSet<i64>| ids.into_iter().collect::<Vec<_>>();
        let objects = distinct(self.together.keys().map(|pair| pair.0).collect());
        let tracks = distinct(self.together.keys().map(|pair| pair.1).collect());
        let frames = |o: usize, t: usize| self.together.get(&(objects[o], tracks[t])).copied();
        let best = assign(objects.len(), tracks.len(), frames);
        let id_true_positives = best.iter().filter_map(|&(o, t)| frames(o, t)).sum::<i64>() as u64;
        MotSummary { id_true_positives, ..self.summary.clone() }
    }
}

/// Scores a file of tracks against one of ground truth. As py-motmetrics does, all frames that either file mentions
/// count, and truth with a confidence below 1 is not there.
pub fn score(truth: &Frames, tracks: &Frames, min_iou: f32) -> MotSummary {
    let boxes = |frames: &Frames, frame: &u64, least: f32| -> Vec<Labelled> {
        let entries = frames.get(frame).into_iter().flatten();
        entries.filter(|entry| entry.confidence >= least).map(|entry| (entry.id, entry.rect)).collect()
    };
    let mut scores = MotAccumulator::new(min_iou);
    for frame in truth.keys().chain(tracks.keys()).collect::<BTreeSet<_>>() {
        scores.update(&boxes(truth, frame, 1.0), &boxes(tracks, frame, f32::NEG_INFINITY));
    }
    scores.summary()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(x: f32) -> Rect {
        Rect { x, y: 0.0, w: 10.0, h: 10.0 }
    }

    #[test]
    fn perfect_tracks_score_one() {
        let mut scores = MotAccumulator::new(0.5);
        for frame in 0..5 {
            let x = frame as f32;
            scores.update(&[(1, at(x)), (2, at(50.0 + x))], &[(11, at(50.0 + x)), (12, at(x))]);
        }
        let summary = scores.summary();
        assert_eq!((summary.mota(), summary.idf1(), summary.switches), (1.0, 1.0, 0));
    }

    /// Two objects whose tracks are swapped half way: 2 switches, and each object keeps half its boxes.
    #[test]
    fn swapped_ids_count_as_switches() {
        let mut scores = MotAccumulator::new(0.5);
        for frame in 0..10 {
            let (a, b) = if frame < 5 { (1, 2) } else { (2, 1) };
            scores.update(&[(1, at(0.0)), (2, at(50.0))], &[(a, at(0.0)), (b, at(50.0))]);
        }
        let summary = scores.summary();
        assert_eq!((summary.switches, summary.misses, summary.false_positives), (2, 0, 0));
        assert_eq!((summary.mota(), summary.idf1()), (0.9, 0.5));
    }

    #[test]
    fn a_switch_counts_across_frames_in_which_the_object_was_missed() {
        let mut scores = MotAccumulator::new(0.5);
        scores.update(&[(1, at(0.0))], &[(7, at(0.0))]);
        scores.update(&[(1, at(0.0))], &[]);
        scores.update(&[(1, at(0.0))], &[(8, at(0.0))]);
        let summary = scores.summary();
        assert_eq!((summary.switches, summary.misses, summary.false_positives), (1, 1, 0));
        assert_eq!(summary.id_true_positives, 1);
    }

    #[test]
    fn an_old_pair_stays_though_another_track_fits_better() {
        let mut scores = MotAccumulator::new(0.5);
        scores.update(&[(1, at(0.0))], &[(7, at(0.0))]);
        scores.update(&[(1, at(0.0))], &[(8, at(0.0)), (7, at(2.0))]);
        let summary = scores.summary();
        assert_eq!((summary.switches, summary.false_positives), (0, 1));
    }

    #[test]
    fn too_little_overlap_is_a_miss_and_a_false_positive() {
        let mut scores = MotAccumulator::new(0.5);
        scores.update(&[(1, at(0.0))], &[(7, at(6.0))]);
        let summary = scores.summary();
        assert_eq!((summary.misses, summary.false_positives, summary.mota()), (1, 1, -1.0));
        assert_eq!((summary.precision(), summary.recall()), (0.0, 0.0));
    }

    #[test]
    fn nothing_to_find_has_no_score() {
        assert!(MotAccumulator::new(0.5).summary().mota().is_nan());
    }
}
