//! Keeps the colours of what is denoised.
//!
//! Networks pull the colour of a noisy place towards that of most places they were trained on: grass came out 9 levels less
//! green, on every frame. Noise has no mean, so that over a wide window colours as they came are right but for little; what is
//! finer stays as the network made it. Luma is left alone: near black and white noise is cut off, and has a mean.

use multiversion::multiversion;

use super::samples::Frame;
use super::windows;
use crate::codec::picture::Plane;

/// Samples of chroma on each side of the middle of the window, for noise of `level`: the mean of the noise in it is about one
/// level of 8 bits at most.
fn reach(level: f64) -> usize {
    (level / 2.0).round().clamp(6.0, 24.0) as usize
}

/// Gives chroma the means that it has in `came`, of the same size, whose noise is of `level`: standard deviation in levels of 8
/// bits.
pub fn keep(restored: &mut Frame, came: &Frame, level: f64) {
    let reach = reach(level);
    for (plane, came) in restored.picture.planes.iter_mut().zip(&came.picture.planes).skip(1) {
        shift(plane, came, reach);
    }
}

/// Adds the mean of the difference from `came` in the window about each sample; windows end at the border.
// Compiled for several sets of instructions, as the smallest knows no rounding.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2"))]
fn shift(plane: &mut Plane, came: &Plane, reach: usize) {
    let (width, height) = (plane.width, plane.height);
    let rows = (0..height).flat_map(|y| came.row(y).iter().zip(plane.row(y)));
    let differences: Vec<i32> = rows.map(|(came, own)| i32::from(*came) - i32::from(*own)).collect();
    let sums = windows::sums(&differences, width, reach);
    for (y, sums) in sums.chunks_exact(width).enumerate() {
        let rows = windows::about(y, reach, height).len();
        for (x, (sample, sum)) in plane.row_mut(y).iter_mut().zip(sums).enumerate() {
            let mean = f64::from(*sum) / (rows * windows::about(x, reach, width).len()) as f64;
            *sample = (f64::from(*sample) + mean).round().clamp(0.0, 255.0) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;
    use crate::restore::degrade::normal;

    fn frame(colour: impl Fn(usize, usize) -> f64) -> Frame {
        let chroma: Vec<u8> = (0..80 * 45).map(|i| colour(i % 80, i / 80).round().clamp(0.0, 255.0) as u8).collect();
        Frame::copy(160, 90, [(&[90; 160 * 90], 160), (&chroma, 80), (&chroma, 80)]).unwrap()
    }

    #[test]
    fn a_shift_of_colour_is_undone_and_detail_stays() {
        let mut rng = StdRng::seed_from_u64(2);
        let noise: Vec<f64> = (0..80 * 45).map(|_| 25.0 * normal(&mut rng)).collect();
        let edge = |x: usize| if x < 40 { 100.0 } else { 140.0 };
        let came = frame(|x, y| edge(x) + noise[y * 80 + x]);
        let mut restored = frame(|x, _| edge(x) + 9.0);
        let luma = restored.picture.planes[0].clone();
        keep(&mut restored, &came, 25.0);
        assert_eq!(restored.picture.planes[0], luma);
        for plane in &restored.picture.planes[1..] {
            let worst =
                (0..80 * 45).map(|i| (f64::from(plane.row(i / 80)[i % 80]) - edge(i % 80)).abs()).fold(0.0, f64::max);
            // A corner's window is a quarter of one.
            assert!(worst < 5.0, "{worst}");
            assert!(plane.row(22)[40] - plane.row(22)[39] >= 39);
        }
    }

    #[test]
    fn what_agrees_with_what_came_stays_at_any_size() {
        for (width, height) in [(1usize, 1usize), (17, 31), (600, 3)] {
            let half = width.div_ceil(2) * height.div_ceil(2);
            let planes: [Vec<u8>; 2] =
                [width * height, half].map(|count| (0..count).map(|i| (i * 37 % 251) as u8).collect());
            let [luma, chroma] = planes;
            let stride = width.div_ceil(2);
            let came = Frame::copy(width, height, [(&luma, width), (&chroma, stride), (&chroma, stride)]).unwrap();
            let mut restored = came.clone();
            keep(&mut restored, &came, 10.0);
            assert_eq!(restored, came, "{width}x{height}");
        }
    }
}
