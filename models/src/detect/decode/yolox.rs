//! YOLOX as it is exported by default: without its decoding ("YOLOX: Exceeding YOLO Series in 2021", arXiv 2107.08430).

use super::yolo::best;
use super::{Candidate, Params, Table};
use crate::detect::recognise::cells;

/// `(1, N, 5 + C)`, a row per cell, level after level, each from the top left: the centre's offset from the cell's corner
/// in strides, the logarithm of the size in strides, objectness, class scores. `None` where the rows are not those of the
/// strides 8, 16, 32 (and 64).
pub fn rows(table: &Table, (width, height): (usize, usize), params: &Params) -> Option<Vec<Candidate>> {
    const PYRAMIDS: [&[usize]; 2] = [&[8, 16, 32], &[8, 16, 32, 64]];
    let strides = PYRAMIDS.into_iter().find(|strides| cells(strides, (width, height)) == table.rows)?;
    if table.columns < 6 {
        return None;
    }
    let mut found = Vec::new();
    let mut rows = table.iter();
    for &stride in strides {
        let across = width.div_ceil(stride);
        for (cell, row) in rows.by_ref().take(across * height.div_ceil(stride)).enumerate() {
            if row[4] > params.confidence
                && let Some((class, score)) = best(row[5..].iter().map(|class| class * row[4]))
                && score > params.confidence
            {
                let (x, y, stride) = ((cell % across) as f32, (cell / across) as f32, stride as f32);
                let centre =
                    [(row[0] + x) * stride, (row[1] + y) * stride, row[2].exp() * stride, row[3].exp() * stride];
                found.push(Candidate::from_centre(centre, class, score));
            }
        }
    }
    Some(found)
}
