//! SSD-type detectors (arXiv 1512.02325) whose priors are applied inside the network: a probability per class, background
//! first, and corners from 0 to 1.

use super::{Candidate, Params, Table};
use crate::detect::layout::Hints;

/// Every class above the threshold counts, as in the published post-processing. Class 0 of the result is the first after
/// the background, unless the labels name the background too.
pub fn decode(scores: &Table, boxes: &Table, hints: &Hints, params: &Params) -> Vec<Candidate> {
    let (width, height) = (hints.size.0 as f32, hints.size.1 as f32);
    let background_is_named = hints.classes == scores.columns;
    let first = if background_is_named { 1 } else { 0 };
    let mut found = Vec::new();
    for (scores, place) in scores.iter().zip(boxes.iter()) {
        for (class, score) in scores[1..].iter().enumerate().filter(|(_, score)| **score > params.confidence) {
            let corners = [place[0] * width, place[1] * height, place[2] * width, place[3] * height];
            found.push(Candidate { corners, class: class + first, score: *score });
        }
    }
    found
}
