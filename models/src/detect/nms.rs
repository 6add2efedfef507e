//! Greedy, class-aware non-maximum suppression.
//!
//! Arithmetic and order are those of `torchvision.ops.nms`, which `ultralytics` calls as well: single precision, a box
//! goes when its IoU with a kept one is *greater* than the threshold, equal scores keep the order of the output tensor.

use std::collections::HashMap;

use crate::boxes::{Detection, Rect};

/// A box before suppression: corners `x1, y1, x2, y2` in pixels of the network's input.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    pub corners: [f32; 4],
    pub class: usize,
    pub score: f32,
}

impl Candidate {
    /// From centre, width and height. Halves the sides before it adds them, as the libraries do.
    pub fn from_centre([cx, cy, w, h]: [f32; 4], class: usize, score: f32) -> Self {
        let (w, h) = (w / 2.0, h / 2.0);
        Candidate { corners: [cx - w, cy - h, cx + w, cy + h], class, score }
    }

    /// Broken networks give NaN and infinities; no box can be made of those.
    pub(crate) fn is_finite(&self) -> bool {
        self.score.is_finite() && self.corners.iter().all(|v| v.is_finite())
    }

    pub(crate) fn detection(&self) -> Detection {
        let [x1, y1, x2, y2] = self.corners;
        Detection { rect: Rect::from_corners(x1, y1, x2, y2), class: self.class, confidence: self.score }
    }
}

impl From<&Detection> for Candidate {
    fn from(found: &Detection) -> Self {
        let Rect { x, y, w, h } = found.rect;
        Candidate { corners: [x, y, x + w, y + h], class: found.class, score: found.confidence }
    }
}

/// How a library keeps the classes apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Classes {
    /// Each class by itself.
    Apart,
    /// Each class moved by so many pixels, which is what `ultralytics` does. Far from the origin single precision is
    /// coarse (1/16 pixel at class 79), and that decides where an IoU falls beside the threshold.
    Shifted(f32),
}

/// The offset of `ultralytics`' `non_max_suppression` (`max_wh`).
pub const ULTRALYTICS: Classes = Classes::Shifted(7680.0);

/// No more candidates than this are looked at, the most confident first (`max_nms` of `ultralytics`): a network that
/// finds something everywhere must not hold up the stream.
pub const MAX_CANDIDATES: usize = 30_000;

/// The most confident candidates that overlap no more confident one of their class by more than `iou` (0 to 1), most
/// confident first and at most `limit`. Candidates with a NaN or infinite number are dropped.
pub fn suppress(mut candidates: Vec<Candidate>, iou: f32, classes: Classes, limit: usize) -> Vec<Candidate> {
    sort(&mut candidates);
    candidates.truncate(MAX_CANDIDATES);
    let mut kept = Vec::with_capacity(limit.min(candidates.len()));
    // What is kept, by class, with the area that every comparison needs.
    let mut by_class: HashMap<usize, Vec<Placed>> = HashMap::new();
    for candidate in candidates {
        if kept.len() == limit {
            break;
        }
        let rivals = by_class.entry(candidate.class).or_default();
        let placed = Placed::new(&candidate, classes);
        if !rivals.iter().any(|rival| rival.iou(&placed) > iou) {
            rivals.push(placed);
            kept.push(candidate);
        }
    }
    kept
}

/// Most confident first; equal ones keep their order. Drops what has no finite numbers.
pub(crate) fn sort(candidates: &mut Vec<Candidate>) {
    candidates.retain(Candidate::is_finite);
    candidates.sort_by(|a, b| b.score.total_cmp(&a.score));
}

/// A box where the comparison sees it.
struct Placed {
    corners: [f32; 4],
    area: f32,
}

impl Placed {
    fn new(candidate: &Candidate, classes: Classes) -> Self {
        let shift = match classes {
            Classes::Apart => 0.0,
            Classes::Shifted(by) => candidate.class as f32 * by,
        };
        let corners = candidate.corners.map(|v| v + shift);
        let [x1, y1, x2, y2] = corners;
        Placed { corners, area: (x2 - x1) * (y2 - y1) }
    }

    /// NaN, which is above no threshold, for two boxes without area.
    fn iou(&self, other: &Placed) -> f32 {
        let [ax1, ay1, ax2, ay2] = self.corners;
        let [bx1, by1, bx2, by2] = other.corners;
        let w = (ax2.min(bx2) - ax1.max(bx1)).max(0.0);
        let h = (ay2.min(by2) - ay1.max(by1)).max(0.0);
        let intersection = w * h;
        intersection / (self.area + other.area - intersection)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(corners: [f32; 4], class: usize, score: f32) -> Candidate {
        Candidate { corners, class, score }
    }

    fn scores(kept: &[Candidate]) -> Vec<f32> {
        kept.iter().map(|c| c.score).collect()
    }

    #[test]
    fn an_overlap_goes_and_another_class_stays() {
        let all = vec![
            candidate([0.0, 0.0, 10.0, 10.0], 0, 0.8),
            candidate([1.0, 0.0, 11.0, 10.0], 0, 0.9),
            candidate([1.0, 0.0, 11.0, 10.0], 1, 0.7),
            candidate([30.0, 0.0, 40.0, 10.0], 0, 0.6),
        ];
        assert_eq!(scores(&suppress(all.clone(), 0.5, Classes::Apart, 100)), [0.9, 0.7, 0.6]);
        assert_eq!(scores(&suppress(all, 0.5, ULTRALYTICS, 2)), [0.9, 0.7]);
    }

    #[test]
    fn an_iou_equal_to_the_threshold_is_kept() {
        // 10x10 and its lower half: IoU is exactly 0.5.
        let all = vec![candidate([0.0, 0.0, 10.0, 10.0], 0, 0.9), candidate([0.0, 5.0, 10.0, 10.0], 0, 0.8)];
        assert_eq!(suppress(all.clone(), 0.5, Classes::Apart, 100).len(), 2);
        assert_eq!(suppress(all, 0.499, Classes::Apart, 100).len(), 1);
    }

    #[test]
    fn only_what_is_kept_suppresses() {
        // The middle one falls to the first, and so cannot take the last with it.
        let chain = vec![
            candidate([0.0, 0.0, 10.0, 10.0], 0, 0.9),
            candidate([4.0, 0.0, 14.0, 10.0], 0, 0.8),
            candidate([8.0, 0.0, 18.0, 10.0], 0, 0.7),
        ];
        assert_eq!(scores(&suppress(chain, 0.3, Classes::Apart, 100)), [0.9, 0.7]);
    }

    #[test]
    fn equal_scores_keep_their_order() {
        let all = vec![candidate([0.0, 0.0, 10.0, 10.0], 3, 0.5), candidate([0.0, 0.0, 10.0, 10.0], 1, 0.5)];
        let kept = suppress(all, 0.5, Classes::Apart, 100);
        assert_eq!(kept.iter().map(|c| c.class).collect::<Vec<_>>(), [3, 1]);
    }

    #[test]
    fn broken_numbers_and_empty_boxes_do_no_harm() {
        let all = vec![
            candidate([0.0, 0.0, f32::NAN, 10.0], 0, 0.9),
            candidate([0.0, 0.0, 10.0, 10.0], 0, f32::NAN),
            candidate([0.0, 0.0, f32::INFINITY, 10.0], 0, 0.8),
            candidate([5.0, 5.0, 5.0, 5.0], 0, 0.7),
            candidate([5.0, 5.0, 5.0, 5.0], 0, 0.6),
            candidate([-3e38, -3e38, 3e38, 3e38], 0, 0.5),
        ];
        assert_eq!(scores(&suppress(all, 0.5, Classes::Apart, 100)), [0.7, 0.6, 0.5]);
        assert!(suppress(Vec::new(), 0.5, Classes::Apart, 100).is_empty());
    }
}
