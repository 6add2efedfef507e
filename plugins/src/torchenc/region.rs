//! Boxes as changes of the step index.

use gst_torch_models::boxes::Rect;

/// For each 16x16 block of a picture, row by row, how much finer it is coded: `points` of quality where it touches a box. Empty
/// where nothing changes.
pub fn changes(boxes: &[Rect], points: f64, (columns, rows): (usize, usize)) -> Vec<i8> {
    let finer = -(points.round().clamp(-31.0, 31.0) as i8);
    if finer == 0 || boxes.is_empty() {
        return Vec::new();
    }
    let mut changes = vec![0; columns * rows];
    for rect in boxes {
        // Casts saturate, and NaN becomes 0.
        let span = |from: f32, length: f32, most: usize| {
            let first = (from / 16.0).floor().max(0.0) as usize;
            let end = ((from + length) / 16.0).ceil().max(0.0) as usize;
            first.min(most)..end.min(most)
        };
        for row in span(rect.y, rect.h, rows) {
            for column in span(rect.x, rect.w, columns) {
                changes[row * columns + column] = finer;
            }
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_that_a_box_touches_are_finer() {
        let rect = Rect { x: 15.0, y: 16.0, w: 2.0, h: 16.0 };
        assert_eq!(changes(&[rect], 8.0, (3, 3)), [0, 0, 0, -8, -8, 0, 0, 0, 0]);
        assert_eq!(changes(&[rect], -99.0, (3, 2)), [0, 0, 0, 31, 31, 0]);
        assert!(changes(&[rect], 0.0, (3, 3)).is_empty() && changes(&[], 8.0, (3, 3)).is_empty());
    }

    #[test]
    fn boxes_beyond_the_picture_are_cut() {
        let wide = Rect { x: -50.0, y: -1e30, w: 1e9, h: f32::INFINITY };
        let nowhere = Rect { x: f32::NAN, y: 5.0, w: 10.0, h: 10.0 };
        let outside = Rect { x: 500.0, y: 500.0, w: 10.0, h: 10.0 };
        assert_eq!(changes(&[wide], 1.0, (2, 1)), [-1, -1]);
        assert_eq!(changes(&[outside, nowhere], 1.0, (2, 1)).len(), 2);
    }
}
