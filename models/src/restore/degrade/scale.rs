//! Making a picture smaller, with the cubic filters that scalers call bicubic.

use crate::restore::samples::Frame;

/// A picture a whole number of times smaller each way (rounded up), by a cubic filter of Keys (1981) as wide as the step, so
/// that nothing is aliased. `sharpness` is the negative slope at 1: 0.5 is Catmull and Rom's, 0.6 what FFmpeg's scaler
/// calls bicubic.
pub fn shrink(frame: &Frame, scale: usize, sharpness: f64) -> Frame {
    let scale = scale.max(1);
    let weights = weights(scale, sharpness);
    let (width, height) = (frame.width.div_ceil(scale), frame.height.div_ceil(scale));
    let half = width.div_ceil(2);
    let planes: [Vec<u8>; 3] = std::array::from_fn(|index| {
        let from_width = if index == 0 { frame.width } else { frame.width.div_ceil(2) };
        let (to_width, to_height) = if index == 0 { (width, height) } else { (half, height.div_ceil(2)) };
        let plane: Vec<f32> = frame.plane(index).into_iter().map(f32::from).collect();
        let across = transposed(&fewer_columns(&plane, from_width, to_width, scale, &weights), to_width);
        let both = fewer_columns(&across, across.len() / to_width, to_height, scale, &weights);
        transposed(&both, to_height).into_iter().map(|v| v.round() as u8).collect()
    });
    let [y, u, v] = &planes;
    // The planes have been made to measure.
    Frame::copy(width, height, [(y, width), (u, half), (v, half)]).unwrap_or_else(|_| frame.clone())
}

/// Of the samples around the middle of `scale` samples, `4 * scale` of them.
fn weights(scale: usize, sharpness: f64) -> Vec<f32> {
    let cubic = |x: f64| {
        let (x, a) = (x.abs(), -sharpness);
        if x < 1.0 {
            ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
        } else if x < 2.0 {
            ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a
        } else {
            0.0
        }
    };
    let taps = 4 * scale;
    let weights: Vec<f64> = (0..taps).map(|i| cubic((i as f64 + 0.5 - taps as f64 / 2.0) / scale as f64)).collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|w| (w / sum) as f32).collect()
}

fn fewer_columns(plane: &[f32], width: usize, to: usize, scale: usize, weights: &[f32]) -> Vec<f32> {
    // The filter of sample x is around the middle of scale * x .. scale * (x + 1).
    let before = (weights.len() - scale) / 2;
    let sample = |row: &[f32], x: usize| -> f32 {
        let at = |i: usize| row[(x * scale + i).saturating_sub(before).min(width - 1)];
        weights.iter().enumerate().map(|(i, w)| w * at(i)).sum()
    };
    plane.chunks(width).flat_map(|row| (0..to).map(move |x| sample(row, x))).collect()
}

fn transposed(plane: &[f32], width: usize) -> Vec<f32> {
    let height = plane.len() / width;
    (0..width).flat_map(|x| (0..height).map(move |y| plane[y * width + x])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(width: usize, height: usize, sample: impl Fn(usize, usize) -> u8) -> Frame {
        let luma: Vec<u8> = (0..width * height).map(|i| sample(i % width, i / width)).collect();
        let half = width.div_ceil(2);
        let chroma = vec![77; half * height.div_ceil(2)];
        Frame::copy(width, height, [(&luma, width), (&chroma, half), (&chroma, half)]).unwrap()
    }

    #[test]
    fn slopes_keep_their_place_and_flat_stays_flat() {
        for scale in [2, 4] {
            let small = shrink(&frame(64, 48, |x, y| (x * 2 + y) as u8), scale, 0.6);
            assert_eq!((small.width, small.height), (64 / scale, 48 / scale));
            let middle = scale as f64 / 2.0 - 0.5;
            for (x, y) in [(6, 5), (8, 6)] {
                let expected = (x * scale * 2 + y * scale) as f64 + 3.0 * middle;
                let found = f64::from(small.picture.planes[0].row(y)[x]);
                assert!((found - expected).abs() <= 0.51, "{scale}: {found} {expected}");
            }
            assert!(small.plane(1).iter().all(|v| *v == 77));
        }
    }

    #[test]
    fn what_is_too_fine_goes_and_odd_sizes_round_up() {
        let small = shrink(&frame(63, 31, |x, _| if x % 2 == 0 { 0 } else { 200 }), 2, 0.6);
        assert_eq!((small.width, small.height), (32, 16));
        assert!(small.picture.planes[0].row(8)[4..28].iter().all(|v| v.abs_diff(100) <= 2));
    }
}
