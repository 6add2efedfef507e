//! Noise of sensors: Gaussian, with a part that grows with the signal.

use rand::Rng;

use super::map_planes;
use crate::restore::samples::Frame;

/// A draw from the standard normal distribution (Box and Muller 1958).
pub fn normal(rng: &mut impl Rng) -> f64 {
    pair(rng)[0].into()
}

fn pair(rng: &mut impl Rng) -> [f32; 2] {
    // 1 - [0, 1) is never 0, whose logarithm is not finite.
    let radius = (-2.0 * (1.0 - rng.random::<f32>()).ln()).sqrt();
    let (sin, cos) = (std::f32::consts::TAU * rng.random::<f32>()).sin_cos();
    [radius * cos, radius * sin]
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Noise {
    /// Standard deviation in levels of 8 bits, at mid grey.
    pub level: f64,
    /// How much of the variance is in proportion to the signal, as that of counted photons: 0 to 1.
    pub shot: f64,
    /// Standard deviation of chroma, relative to luma's.
    pub chroma: f64,
}

impl Noise {
    /// The same everywhere, in all planes.
    pub fn gaussian(level: f64) -> Self {
        Noise { level, shot: 0.0, chroma: 1.0 }
    }

    /// Of 0 to 55 levels; half of all are plain Gaussian noise.
    pub fn random(rng: &mut impl Rng) -> Self {
        let level = rng.random_range(0f64..55.0);
        let shot = if rng.random() { 0.0 } else { rng.random_range(0.0..1.0) };
        let chroma = if rng.random() { 1.0 } else { rng.random_range(0.0..1.0) };
        Noise { level, shot, chroma }
    }

    /// Hardly any; none in half of all cases.
    pub fn faint(rng: &mut impl Rng) -> Self {
        Noise::gaussian(if rng.random() { 0.0 } else { rng.random_range(0.0..1.5) })
    }

    pub fn apply(&self, frame: &Frame, rng: &mut impl Rng) -> Frame {
        if self.level <= 0.0 {
            return frame.clone();
        }
        let mut spare = None;
        let mut draw = || match spare.take() {
            Some(draw) => draw,
            None => {
                let [draw, other] = pair(rng);
                spare = Some(other);
                draw
            }
        };
        map_planes(frame, |index, plane, _| {
            let level = (if index == 0 { self.level } else { self.level * self.chroma }) as f32;
            // Chroma does not say how much light there was.
            let shot = if index == 0 { self.shot as f32 } else { 0.0 };
            let deviation = |v: f32| level * (1.0 - shot + shot * v / 128.0).sqrt();
            plane.iter().map(|&v| (f32::from(v) + deviation(v.into()) * draw()).round() as u8).collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    fn flat(value: u8) -> Frame {
        let planes = [vec![value; 200 * 100], vec![128; 100 * 50]];
        Frame::copy(200, 100, [(&planes[0], 200), (&planes[1], 100), (&planes[1], 100)]).unwrap()
    }

    fn deviation(frame: &Frame, index: usize, around: f64) -> f64 {
        let plane = frame.plane(index);
        (plane.iter().map(|&v| (f64::from(v) - around).powi(2)).sum::<f64>() / plane.len() as f64).sqrt()
    }

    #[test]
    fn it_is_as_strong_as_it_says() {
        let mut rng = StdRng::seed_from_u64(1);
        let noisy = Noise { level: 12.0, shot: 0.0, chroma: 0.5 }.apply(&flat(128), &mut rng);
        assert!((deviation(&noisy, 0, 128.0) - 12.0).abs() < 0.3);
        assert!((deviation(&noisy, 1, 128.0) - 6.0).abs() < 0.3);
        assert_eq!(Noise::gaussian(0.0).apply(&flat(7), &mut rng), flat(7));
    }

    #[test]
    fn photons_make_more_noise_where_there_are_more() {
        let mut rng = StdRng::seed_from_u64(1);
        let noise = Noise { level: 10.0, shot: 1.0, chroma: 1.0 };
        let [dark, middle, bright] = [50u8, 128, 200].map(|v| deviation(&noise.apply(&flat(v), &mut rng), 0, v.into()));
        assert!((middle - 10.0).abs() < 0.3);
        assert!((dark - 10.0 * (50f64 / 128.0).sqrt()).abs() < 0.3 && (bright - 12.5).abs() < 0.4, "{dark} {bright}");
    }
}
