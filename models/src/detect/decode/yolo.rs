//! The YOLO family of `ultralytics`: what their predictor's post-processing does before suppression, that is: the best
//! class of a box counts, its score must be above the threshold.

use super::{Candidate, Params, Table};

/// `(1, N, 5 + C)`: centre, size, objectness, class scores; the score is objectness times class.
pub fn rows(table: &Table, params: &Params) -> Option<Vec<Candidate>> {
    if table.columns < 6 {
        return None;
    }
    let mut found = Vec::new();
    for row in table.iter() {
        // Class scores are at most 1, so that objectness alone rules out nearly every row.
        if row[4] > params.confidence
            && let Some((class, score)) = best(row[5..].iter().map(|class| class * row[4]))
            && score > params.confidence
        {
            found.push(Candidate::from_centre([row[0], row[1], row[2], row[3]], class, score));
        }
    }
    Some(found)
}

/// `(1, 4 + C, N)`: each number of a box in a row of its own.
pub fn columns(table: &Table, params: &Params) -> Option<Vec<Candidate>> {
    let (n, classes) = (table.columns, table.rows.checked_sub(4).filter(|classes| *classes > 0)?);
    if n == 0 {
        return Some(Vec::new());
    }
    let (boxes, scores) = table.values().split_at(4 * n);
    let mut found = Vec::new();
    // Class by class over a few hundred boxes at a time: the inner loop runs along memory and vectorises, and the best
    // scores so far stay in the first-level cache. Whose they are is only asked where they count.
    const BLOCK: usize = 512;
    let mut best = [0f32; BLOCK];
    for start in (0..n).step_by(BLOCK) {
        let best = &mut best[..BLOCK.min(n - start)];
        best.fill(f32::NEG_INFINITY);
        for class in 0..classes {
            for (best, score) in best.iter_mut().zip(&scores[class * n + start..]) {
                *best = if *score > *best { *score } else { *best };
            }
        }
        for (i, &score) in best.iter().enumerate().filter(|(_, score)| **score > params.confidence) {
            let at = start + i;
            let Some(class) = (0..classes).find(|class| scores[class * n + at] == score) else { continue };
            found.push(Candidate::from_centre(std::array::from_fn(|side| boxes[side * n + at]), class, score));
        }
    }
    Some(found)
}

/// `(1, N, 6)`: corners, score, class; the network has suppressed already and fills up with zeros.
pub fn end_to_end(table: &Table, params: &Params) -> Option<Vec<Candidate>> {
    if table.columns != 6 {
        return None;
    }
    let found = table.iter().filter(|row| row[4] > params.confidence && row[5] >= 0.0);
    // Float to integer saturates, so that a broken class is a large number, not undefined.
    Some(found.map(|r| Candidate { corners: [r[0], r[1], r[2], r[3]], class: r[5] as usize, score: r[4] }).collect())
}

/// The first of the highest scores; NaN is none.
pub fn best(scores: impl Iterator<Item = f32>) -> Option<(usize, f32)> {
    let mut best = None;
    for (class, score) in scores.enumerate() {
        if score > best.map_or(f32::NEG_INFINITY, |(_, s)| s) {
            best = Some((class, score));
        }
    }
    best
}
