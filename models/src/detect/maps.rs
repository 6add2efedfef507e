//! The "maps" output layout: what our own network's raw outputs mean, and the boxes in them.
//!
//! One map per level, `(1, 4 + classes, h, w)` or `(4 + classes, h, w)`. The cell in row `i` and column `j` of a level
//! with stride `s` speaks for the point `((j + 0.5) s, (i + 0.5) s)` of the network's input:
//!
//! - channels 0 to 3: distances from that point to the left, top, right and bottom side of the box, in strides, before
//!   softplus: `distance = s * ln(1 + e^raw)`. Softplus is linear for large boxes, so errors stay in proportion, cannot
//!   turn a box inside out and never overflow.
//! - channels 4 and up: one logit per class; its sigmoid is the confidence.

use tch::{Kind, TchError, Tensor};

use crate::boxes::{Detection, Rect};

/// The strides of the levels, finest first.
pub const STRIDES: [i64; 3] = [8, 16, 32];

/// Numbers before the class logits of a cell.
pub const BOX_CHANNELS: usize = 4;

/// The boxes of all cells whose best class is at least as confident as `threshold`, in pixels of the network's input of
/// `width` x `height`, before suppression and in no particular order. Boxes may reach over the edges.
///
/// # Errors
/// When a map has no class channel, another shape than described above, or does not fit the input size.
pub fn decode(outputs: &[Tensor], (width, height): (u32, u32), threshold: f32) -> Result<Vec<Detection>, TchError> {
    // Compared as logits: the exponential is taken only for cells that count.
    let least = logit(threshold);
    let mut found = Vec::new();
    for map in outputs {
        let level = Level::read(map, width, height)?;
        level.collect(least, &mut found);
    }
    Ok(found)
}

/// The box of a cell from its four raw distances.
pub fn decode_box(column: usize, row: usize, stride: f32, raw: [f32; 4]) -> Rect {
    let [left, top, right, bottom] = raw.map(|v| stride * softplus(v));
    let (x, y) = ((column as f32 + 0.5) * stride, (row as f32 + 0.5) * stride);
    Rect::from_corners(x - left, y - top, x + right, y + bottom)
}

pub(crate) fn softplus(x: f32) -> f32 {
    if x > 20.0 { x } else { x.exp().ln_1p() }
}

pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

fn logit(probability: f32) -> f32 {
    if probability <= 0.0 { f32::NEG_INFINITY } else { (probability / (1.0 - probability)).ln() }
}

/// One level's map, copied out of libtorch.
struct Level {
    values: Vec<f32>,
    classes: usize,
    rows: usize,
    columns: usize,
    stride: f32,
}

impl Level {
    fn read(map: &Tensor, width: u32, height: u32) -> Result<Level, TchError> {
        let size = map.size();
        let (channels, rows, columns) = match size[..] {
            [1, channels, rows, columns] | [channels, rows, columns] => (channels, rows, columns),
            _ => {
                return Err(TchError::Shape(format!("a (1, 4 + classes, h, w) map is expected, got {size:?}")));
            }
        };
        if channels <= BOX_CHANNELS as i64 || rows < 1 || columns < 1 {
            return Err(TchError::Shape(format!("a map needs 4 + classes channels and at least a cell, got {size:?}")));
        }
        let fits = |&stride: &i64| {
            (width as i64 + stride - 1) / stride == columns && (height as i64 + stride - 1) / stride == rows
        };
        let stride = STRIDES.into_iter().find(fits).ok_or_else(|| {
            TchError::Shape(format!(
                "a {columns}x{rows} map is no level (strides {STRIDES:?}) of a {width}x{height} input"
            ))
        })?;
        let values = map.f_to_kind(Kind::Float)?.f_contiguous()?.f_view([-1])?;
        Ok(Level {
            values: Vec::<f32>::try_from(values)?,
            classes: channels as usize - BOX_CHANNELS,
            rows: rows as usize,
            columns: columns as usize,
            stride: stride as f32,
        })
    }

    fn collect(&self, least: f32, found: &mut Vec<Detection>) {
        let cells = self.rows * self.columns;
        let (distances, logits) = self.values.split_at(BOX_CHANNELS * cells);
        for cell in 0..cells {
            let mut class = 0;
            for other in 1..self.classes {
                if logits[other * cells + cell] > logits[class * cells + cell] {
                    class = other;
                }
            }
            let best = logits[class * cells + cell];
            // Also refuses NaN, which a broken model may give.
            if best >= least {
                let raw = std::array::from_fn(|side| distances[side * cells + cell]);
                let rect = decode_box(cell % self.columns, cell / self.columns, self.stride, raw);
                found.push(Detection { rect, class, confidence: sigmoid(best) });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    fn empty_map(classes: i64, rows: i64, columns: i64) -> Tensor {
        let map = Tensor::zeros([1, 4 + classes, rows, columns], (Kind::Float, Device::Cpu));
        let _ = map.narrow(1, 4, classes).fill_(-10.0);
        map
    }

    #[test]
    fn a_confident_cell_gives_its_box() {
        let map = empty_map(2, 4, 8);
        // Row 1, column 2 of stride 16: the point (40, 24). softplus(raw) of 1, 2, 3 and 0.5 strides.
        for (channel, strides) in [1.0f64, 2.0, 3.0, 0.5].into_iter().enumerate() {
            let _ = map.get(0).get(channel as i64).get(1).get(2).fill_(strides.exp_m1().ln());
        }
        let _ = map.get(0).get(5).get(1).get(2).fill_(3f64.ln());
        let found = decode(&[map], (128, 64), 0.4).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].class, 1);
        assert!((found[0].confidence - 0.75).abs() < 1e-6);
        let expected = Rect::from_corners(40.0 - 16.0, 24.0 - 32.0, 40.0 + 48.0, 24.0 + 8.0);
        for (a, b) in [
            (found[0].rect.x, expected.x),
            (found[0].rect.y, expected.y),
            (found[0].rect.w, expected.w),
            (found[0].rect.h, expected.h),
        ] {
            assert!((a - b).abs() < 1e-3, "{:?}", found[0].rect);
        }
    }

    #[test]
    fn strides_follow_from_the_sizes_even_when_they_do_not_divide() {
        let found = decode(&[empty_map(1, 13, 9), empty_map(1, 7, 5), empty_map(1, 4, 3)], (70, 100), 0.0).unwrap();
        assert_eq!(found.len(), 13 * 9 + 7 * 5 + 4 * 3);
    }

    #[test]
    fn nan_is_no_detection() {
        let mut map = empty_map(1, 4, 4);
        let _ = map.fill_(f64::NAN);
        assert!(decode(&[map], (32, 32), 0.1).unwrap().is_empty());
    }

    #[test]
    fn maps_of_other_shapes_are_refused() {
        for map in [empty_map(1, 5, 4), Tensor::zeros([1, 4, 4, 4], (Kind::Float, Device::Cpu))] {
            assert!(decode(&[map], (32, 32), 0.1).is_err());
        }
        assert!(decode(&[Tensor::from(1.0f32)], (32, 32), 0.1).is_err());
    }
}
