//! The tracker over a whole recorded sequence, as benchmarks do it.

use super::mot_format::{Entry, Frames};
use super::{Config, Tracker};
use crate::boxes::Detection;

/// Tracks the boxes of a detection file, all as one class, and gives what a live pipeline would have reported: nothing
/// is filled in afterwards. Frames go from 1 (or 0, if there is one) to the last, those without boxes included.
///
/// With an `interval` above 1 only every so many frames count as seen by the detector, from the first on; the others
/// are predicted.
pub fn track(detections: &Frames, config: Config, interval: u64) -> Frames {
    let comparable = confidences_are_comparable(detections);
    let mut tracker = Tracker::new(config);
    let first = detections.keys().next().map_or(1, |&frame| frame.min(1));
    let last = detections.keys().next_back().copied().unwrap_or(0);
    let mut tracks = Frames::new();
    for frame in first..=last {
        let seen = (frame - first).is_multiple_of(interval.max(1));
        let found: Option<Vec<Detection>> = seen.then(|| {
            let entries = detections.get(&frame).into_iter().flatten();
            let confidence = |entry: &Entry| if comparable { entry.confidence } else { 1.0 };
            entries.map(|e| Detection { rect: e.rect, class: 0, confidence: confidence(e) }).collect()
        });
        let boxes = tracker.update(1.0, found.as_deref());
        let entries = boxes.iter().map(|b| Entry { id: b.id as i64, rect: b.rect, confidence: b.confidence });
        tracks.insert(frame, entries.collect());
    }
    tracks
}

/// Whether confidences are within 0 to 1, so that thresholds mean something. Files also come with scores of support
/// vector machines, in per cent, or with -1 throughout; all their boxes then count as sure.
pub fn confidences_are_comparable(detections: &Frames) -> bool {
    detections.values().flatten().all(|entry| (0.0..=1.0).contains(&entry.confidence))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boxes::Rect;

    fn standing(frames: impl IntoIterator<Item = u64>, confidence: f32) -> Frames {
        let rect = Rect { x: 10.0, y: 10.0, w: 40.0, h: 80.0 };
        frames.into_iter().map(|frame| (frame, vec![Entry { id: -1, rect, confidence }])).collect()
    }

    #[test]
    fn every_frame_has_its_tracks_whatever_the_interval() {
        for interval in [1, 3, 7] {
            let tracks = track(&standing(0..20, 0.9), Config::default(), interval);
            assert_eq!(tracks.len(), 20);
            assert!(tracks.values().all(|entries| entries.len() == 1 && entries[0].id == 1), "{interval}: {tracks:?}");
        }
    }

    #[test]
    fn frames_without_boxes_are_frames_in_which_nothing_was_found() {
        let tracks = track(&standing([1, 2, 3, 60], 0.9), Config::default(), 1);
        assert_eq!(tracks.len(), 60);
        assert!((4..60).all(|frame| tracks[&frame].is_empty()));
    }

    #[test]
    fn confidences_beyond_one_count_as_sure() {
        assert!(!confidences_are_comparable(&standing(1..3, -1.0)));
        assert!(!confidences_are_comparable(&standing(1..3, 70.0)));
        assert!(confidences_are_comparable(&standing(1..3, 0.3)));
        assert_eq!(track(&standing(1..3, -1.0), Config::default(), 1)[&2].len(), 1);
        assert_eq!(track(&standing(1..3, 0.3), Config::default(), 1)[&2].len(), 0);
    }
}
