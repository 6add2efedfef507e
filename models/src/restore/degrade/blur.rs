//! Motion and focus blur.

use rand::Rng;

use super::map_planes;
use crate::restore::samples::Frame;

/// A blur kernel of luma; chroma has it at half the size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kernel {
    /// A line of `length` samples at an angle in radians: what moves while the shutter is open.
    Motion { length: f64, angle: f64 },
    /// A disc of a diameter in samples: what is out of focus.
    Focus { diameter: f64 },
}

/// Points each way that a sample's share of a kernel is counted with.
const POINTS: i32 = 8;

impl Kernel {
    /// Lines and discs of 2.5 to 9.5 samples.
    pub fn random(rng: &mut impl Rng) -> Self {
        let size = rng.random_range(2.5..9.5);
        if rng.random_bool(0.6) {
            Kernel::Motion { length: size, angle: rng.random_range(0.0..std::f64::consts::PI) }
        } else {
            Kernel::Focus { diameter: size }
        }
    }

    /// Weights that add up to 1, of an odd number of samples each way around the middle, in units of `step` luma samples.
    pub fn weights(&self, step: f64) -> Vec<Vec<f32>> {
        let size = match *self {
            Kernel::Motion { length, .. } => length,
            Kernel::Focus { diameter } => diameter,
        } / step;
        let radius = (size / 2.0 + 0.5).ceil() as i32;
        let side = 2 * radius as usize + 1;
        let mut weights = vec![vec![0f64; side]; side];
        let mut put = |x: f64, y: f64| {
            let (x, y) = (x + f64::from(radius), y + f64::from(radius));
            let (fx, fy) = (x.fract(), y.fract());
            for (dy, wy) in [(0, 1.0 - fy), (1, fy)] {
                for (dx, wx) in [(0, 1.0 - fx), (1, fx)] {
                    if let Some(weight) = weights.get_mut(y as usize + dy).and_then(|row| row.get_mut(x as usize + dx))
                    {
                        *weight += wx * wy;
                    }
                }
            }
        };
        match *self {
            Kernel::Motion { angle, .. } => {
                let points = (size * 16.0).ceil() as i32 + 1;
                for i in 0..points {
                    let along = (f64::from(i) + 0.5) / f64::from(points) - 0.5;
                    // A line of one sample blurs nothing, hence the 1.
                    let along = along * (size - 1.0).max(0.0);
                    put(along * angle.cos(), along * angle.sin());
                }
            }
            Kernel::Focus { .. } => {
                let whole = radius * POINTS;
                let inside = |x: f64, y: f64| x.hypot(y) <= (size / 2.0).max(0.5);
                for (x, y) in (-whole..whole).flat_map(|y| (-whole..whole).map(move |x| (x, y))) {
                    let point = |i: i32| (f64::from(i) + 0.5) / f64::from(POINTS);
                    let (x, y) = (point(x), point(y));
                    if inside(x, y) {
                        weights[(y + f64::from(radius)).round() as usize][(x + f64::from(radius)).round() as usize] +=
                            1.0;
                    }
                }
            }
        }
        let sum: f64 = weights.iter().flatten().sum();
        weights.iter().map(|row| row.iter().map(|w| (w / sum) as f32).collect()).collect()
    }

    /// Beyond its border the picture repeats.
    pub fn apply(&self, frame: &Frame) -> Frame {
        let weights = [self.weights(1.0), self.weights(2.0)];
        map_planes(frame, |index, plane, width| {
            let weights = &weights[index.min(1)];
            let radius = weights.len() / 2;
            let height = plane.len() / width;
            let mut padded = vec![0f32; width + 2 * radius];
            let mut sums = vec![0f32; width * height];
            for (dy, taps) in weights.iter().enumerate() {
                if taps.iter().all(|w| *w == 0.0) {
                    continue;
                }
                for (y, sums) in sums.chunks_mut(width).enumerate() {
                    let from = (y + dy).saturating_sub(radius).min(height - 1);
                    let row = &plane[from * width..][..width];
                    for (x, sample) in padded.iter_mut().enumerate() {
                        *sample = row[x.saturating_sub(radius).min(width - 1)].into();
                    }
                    for (dx, weight) in taps.iter().enumerate().filter(|(_, w)| **w != 0.0) {
                        sums.iter_mut().zip(&padded[dx..]).for_each(|(sum, sample)| *sum += weight * sample);
                    }
                }
            }
            sums.iter().map(|sum| sum.round() as u8).collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_add_up_to_one_and_are_centred() {
        for size in [1.0, 3.0, 5.5, 9.0] {
            for kernel in [Kernel::Motion { length: size, angle: 0.7 }, Kernel::Focus { diameter: size }] {
                for step in [1.0, 2.0] {
                    let weights = kernel.weights(step);
                    let sum: f32 = weights.iter().flatten().sum();
                    let middle = (weights.len() / 2) as f32;
                    let (mut x, mut y) = (0.0, 0.0);
                    for (i, row) in weights.iter().enumerate() {
                        for (j, w) in row.iter().enumerate() {
                            x += w * (j as f32 - middle);
                            y += w * (i as f32 - middle);
                        }
                    }
                    assert!((sum - 1.0).abs() < 1e-4 && x.abs() < 1e-3 && y.abs() < 1e-3, "{kernel:?}: {sum} {x} {y}");
                }
            }
        }
    }

    #[test]
    fn a_line_across_blurs_across_by_its_length() {
        let weights = Kernel::Motion { length: 5.0, angle: 0.0 }.weights(1.0);
        let middle = &weights[weights.len() / 2];
        assert!((middle.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        let wide = middle.iter().filter(|w| **w > 0.1).count();
        assert_eq!(wide, 5, "{middle:?}");
    }

    #[test]
    fn a_disc_spreads_a_point_over_its_area() {
        let mut luma = vec![0u8; 31 * 31];
        luma[15 * 31 + 15] = 255;
        let chroma = vec![128; 16 * 16];
        let frame = Frame::copy(31, 31, [(&luma, 31), (&chroma, 16), (&chroma, 16)]).unwrap();
        let blurred = Kernel::Focus { diameter: 7.0 }.apply(&frame).plane(0);
        let lit = blurred.iter().filter(|v| **v > 3).count() as f64;
        assert!((lit - 38.5).abs() < 8.0, "{lit}");
        assert_eq!(blurred[15 * 31 + 15], blurred[15 * 31 + 17]);
        assert_eq!(blurred[15 * 31 + 20], 0);
    }
}
