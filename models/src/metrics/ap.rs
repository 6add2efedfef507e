//! Average precision of detections, as Pascal VOC (2010 and later) defines it: the area under the precision envelope over
//! all recall points.

use crate::boxes::{Detection, Rect};
use crate::data::Truth;

/// A detection that lies at least this far inside an ignored area is not scored; an object neither.
const INSIDE: f32 = 0.5;

/// Average precision per class; `None` for a class of which no object is in the truth.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    pub classes: Vec<Option<f64>>,
    /// Objects per class that could be found.
    pub objects: Vec<usize>,
}

impl Report {
    /// Over the classes that occur; 0 when none does.
    pub fn mean(&self) -> f64 {
        let known: Vec<f64> = self.classes.iter().flatten().copied().collect();
        if known.is_empty() { 0.0 } else { known.iter().sum::<f64>() / known.len() as f64 }
    }
}

/// Scores `found[i]` against `truths[i]`, for `classes` classes. In order of falling confidence over all pictures, each
/// detection takes the object of its class and picture that it overlaps best and that is still free; an overlap of at
/// least `iou` is a hit. Unmatched detections in ignored areas count neither way, as do objects in them.
///
/// Pictures beyond the shorter of both slices are not looked at.
pub fn average_precision(truths: &[Truth], found: &[Vec<Detection>], classes: usize, iou: f32) -> Report {
    let scores = (0..classes).map(|class| class_precision(truths, found, class, iou));
    let (classes, objects) = scores.unzip();
    Report { classes, objects }
}

struct Objects<'a> {
    /// To be found, and whether it was.
    wanted: Vec<(Rect, bool)>,
    /// Inside an ignored area: finding them is neither right nor wrong.
    excused: Vec<Rect>,
    ignore: &'a [Rect],
}

fn class_precision(truths: &[Truth], found: &[Vec<Detection>], class: usize, iou: f32) -> (Option<f64>, usize) {
    let (judged, total) = judge(truths, found, class, iou);
    let hits: Vec<bool> = judged.into_iter().map(|(_, hit)| hit).collect();
    if total == 0 {
        return (None, 0);
    }
    (Some(area_under_envelope(&hits, total)), total)
}

/// The detections of a class that count, most confident first, each with its confidence and whether it is a hit; and the
/// number of objects that could be found.
pub fn judge(truths: &[Truth], found: &[Vec<Detection>], class: usize, iou: f32) -> (Vec<(f32, bool)>, usize) {
    let mut pictures: Vec<Objects> = truths.iter().map(|truth| Objects::new(truth, class)).collect();
    let total: usize = pictures.iter().map(|p| p.wanted.len()).sum();

    let mut ranked: Vec<(usize, &Detection)> = Vec::new();
    for (picture, detections) in found.iter().take(truths.len()).enumerate() {
        ranked.extend(detections.iter().filter(|d| d.class == class).map(|d| (picture, d)));
    }
    ranked.sort_by(|a, b| b.1.confidence.total_cmp(&a.1.confidence));
    let judged = ranked
        .into_iter()
        .filter_map(|(picture, d)| Some((d.confidence, pictures[picture].judge(&d.rect, iou)?)))
        .collect();
    (judged, total)
}

impl<'a> Objects<'a> {
    fn new(truth: &'a Truth, class: usize) -> Self {
        let mut objects = Objects { wanted: Vec::new(), excused: Vec::new(), ignore: &truth.ignore };
        for object in truth.objects.iter().filter(|o| o.class == class) {
            if lies_in(&object.rect, &truth.ignore) {
                objects.excused.push(object.rect);
            } else {
                objects.wanted.push((object.rect, false));
            }
        }
        objects
    }

    /// Hit or miss; `None` is not scored.
    fn judge(&mut self, rect: &Rect, iou: f32) -> Option<bool> {
        let free = self.wanted.iter_mut().filter(|(_, taken)| !taken);
        let best = free.max_by(|a, b| a.0.iou(rect).total_cmp(&b.0.iou(rect)));
        if let Some((_, taken)) = best.filter(|(object, _)| object.iou(rect) >= iou) {
            *taken = true;
            return Some(true);
        }
        let excused = self.excused.iter().any(|object| object.iou(rect) >= iou) || lies_in(rect, self.ignore);
        (!excused).then_some(false)
    }
}

fn lies_in(rect: &Rect, areas: &[Rect]) -> bool {
    areas.iter().any(|area| area.intersection(rect) >= INSIDE * rect.area())
}

fn area_under_envelope(hits: &[bool], total: usize) -> f64 {
    let mut right = 0;
    let mut curve: Vec<(f64, f64)> = hits
        .iter()
        .enumerate()
        .map(|(before, &hit)| {
            right += usize::from(hit);
            (right as f64 / total as f64, right as f64 / (before + 1) as f64)
        })
        .collect();
    // From the right: no point is worse than what a longer list would still reach.
    let mut best = 0f64;
    for (_, precision) in curve.iter_mut().rev() {
        best = best.max(*precision);
        *precision = best;
    }
    let mut area = 0.0;
    let mut reached = 0.0;
    for (recall, precision) in curve {
        area += (recall - reached) * precision;
        reached = recall;
    }
    area
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Object;

    fn rect(x: f32) -> Rect {
        Rect { x, y: 0.0, w: 10.0, h: 10.0 }
    }

    fn truth(xs: &[f32]) -> Truth {
        Truth { objects: xs.iter().map(|&x| Object { rect: rect(x), class: 0 }).collect(), ignore: vec![] }
    }

    fn found(list: &[(f32, f32)]) -> Vec<Detection> {
        list.iter().map(|&(x, confidence)| Detection { rect: rect(x), class: 0, confidence }).collect()
    }

    fn ap(truths: &[Truth], found: &[Vec<Detection>]) -> f64 {
        average_precision(truths, found, 1, 0.5).classes[0].unwrap()
    }

    #[test]
    fn perfect_is_one_and_nothing_is_zero() {
        let truths = [truth(&[0.0, 100.0]), truth(&[50.0])];
        assert_eq!(ap(&truths, &[found(&[(0.0, 0.9), (100.0, 0.8)]), found(&[(51.0, 0.3)])]), 1.0);
        assert_eq!(ap(&truths, &[vec![], vec![]]), 0.0);
    }

    #[test]
    fn the_envelope_is_worked_by_hand() {
        // Four objects. Ranked: hit, miss, hit, miss, hit. Precision 1, 1/2, 2/3, 2/4, 3/5 at recall 1/4, 1/4, 2/4, 2/4,
        // 3/4; envelope 1, 2/3, 3/5: 1/4 (1 + 2/3 + 3/5) = 0.566667.
        let truths = [truth(&[0.0, 100.0, 200.0, 300.0])];
        let found = [found(&[(0.0, 0.9), (500.0, 0.8), (100.0, 0.7), (600.0, 0.6), (200.0, 0.5)])];
        assert!((ap(&truths, &found) - 0.566_666_7).abs() < 1e-6);
    }

    #[test]
    fn ranking_runs_over_all_pictures() {
        // The miss of the second picture stands above the hit of the first: precision 1/2 at recall 1.
        let truths = [truth(&[0.0]), truth(&[])];
        assert_eq!(ap(&truths, &[found(&[(0.0, 0.4)]), found(&[(0.0, 0.9)])]), 0.5);
    }

    #[test]
    fn an_object_is_found_only_once() {
        let truths = [truth(&[0.0, 100.0])];
        // hit, duplicate, hit: 1/2 (1 + 2/3).
        let score = ap(&truths, &[found(&[(0.0, 0.9), (1.0, 0.8), (100.0, 0.7)])]);
        assert!((score - 0.833_333_3).abs() < 1e-6, "{score}");
    }

    #[test]
    fn overlap_below_the_limit_is_a_miss() {
        // 4 pixels beside: 60 / 140 = 0.43. 3 pixels: 70 / 130 = 0.54.
        assert_eq!(ap(&[truth(&[0.0])], &[found(&[(4.0, 0.9)])]), 0.0);
        assert_eq!(ap(&[truth(&[0.0])], &[found(&[(3.0, 0.9)])]), 1.0);
    }

    #[test]
    fn ignored_areas_count_neither_way() {
        let mut truth = truth(&[0.0, 100.0]);
        truth.ignore.push(Rect { x: 95.0, y: 0.0, w: 105.0, h: 10.0 });
        // The object at 100 need not be found, and may be; the box at 150 is excused, the one at 300 is not.
        let with = [found(&[(150.0, 0.95), (100.0, 0.9), (300.0, 0.8), (0.0, 0.7)])];
        let report = average_precision(&[truth], &with, 1, 0.5);
        assert_eq!(report.objects, [1]);
        assert_eq!(report.classes, [Some(0.5)]);
    }

    #[test]
    fn classes_are_apart_and_absent_ones_do_not_count() {
        let truths = [truth(&[0.0])];
        let wrong = Detection { class: 1, ..found(&[(0.0, 0.9)])[0] };
        let report = average_precision(&truths, &[vec![wrong]], 3, 0.5);
        assert_eq!(report.classes, [Some(0.0), None, None]);
        assert_eq!(report.mean(), 0.0);
    }
}
