//! DETR and its descendants: a fixed number of queries, each a box of centre and size, 0 to 1, and class logits. No
//! suppression: training made every object belong to one query.

use super::yolo::best;
use super::{Candidate, Params, Table};

/// DETR (arXiv 2005.12872): the best class of a softmax over all of them and "no object", which is last.
pub fn softmax(logits: &Table, boxes: &Table, size: (usize, usize), params: &Params) -> Vec<Candidate> {
    let mut found = Vec::new();
    for (logits, place) in logits.iter().zip(boxes.iter()) {
        let (_, objects) = logits.split_last().unwrap_or((&0.0, &[]));
        let Some((class, logit)) = best(objects.iter().copied()) else {
            continue;
        };
        // Shifted by the highest, so that no exponential overflows.
        let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f32 = logits.iter().map(|l| (l - highest).exp()).sum();
        let score = (logit - highest).exp() / sum;
        if score > params.confidence {
            found.push(candidate(place, size, class, score));
        }
    }
    found
}

/// Deformable DETR (arXiv 2010.04159), DINO, RT-DETR: every class by itself, so that a query may give several boxes.
pub fn sigmoid(logits: &Table, boxes: &Table, size: (usize, usize), params: &Params) -> Vec<Candidate> {
    let mut found = Vec::new();
    for (logits, place) in logits.iter().zip(boxes.iter()) {
        for (class, logit) in logits.iter().enumerate() {
            let score = 1.0 / (1.0 + (-logit).exp());
            if score > params.confidence {
                found.push(candidate(place, size, class, score));
            }
        }
    }
    found
}

/// RT-DETR as `ultralytics` exports it: the box and a score per class, or (since 8.4) one score and its class.
pub fn packed(table: &Table, size: (usize, usize), params: &Params) -> Option<Vec<Candidate>> {
    if table.columns < 5 {
        return None;
    }
    // Six columns are also what two classes' scores take; those are never all whole numbers.
    let chosen = table.columns == 6 && table.iter().all(|row| row[5].fract() == 0.0);
    let mut found = Vec::new();
    for row in table.iter() {
        let pick = if chosen { Some((row[5].max(0.0) as usize, row[4])) } else { best(row[4..].iter().copied()) };
        if let Some((class, score)) = pick.filter(|(_, score)| *score > params.confidence) {
            found.push(candidate(row, size, class, score));
        }
    }
    Some(found)
}

fn candidate(place: &[f32], (width, height): (usize, usize), class: usize, score: f32) -> Candidate {
    let (w, h) = (width as f32, height as f32);
    Candidate::from_centre([place[0] * w, place[1] * h, place[2] * w, place[3] * h], class, score)
}
