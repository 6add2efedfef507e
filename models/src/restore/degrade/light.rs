//! Too little light: a darker picture, and what a sensor adds to it.

use rand::Rng;

use super::map_planes;
use super::noise::Noise;
use crate::restore::{self, samples::Frame};

const BLACK: f32 = restore::BLACK as f32;
const WHITE: f32 = restore::WHITE as f32;
/// Chroma of grey.
const GREY: f32 = 128.0;

/// Luma becomes `gain * luma ^ gamma` on the scale from black to white; chroma shrinks with it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Darkness {
    pub gamma: f64,
    pub gain: f64,
    pub noise: Noise,
}

impl Darkness {
    pub fn random(rng: &mut impl Rng) -> Self {
        let noise = Noise { level: rng.random_range(0.0..4.0), shot: rng.random_range(0.0..1.0), chroma: 0.7 };
        Darkness { gamma: rng.random_range(1.2..3.4), gain: rng.random_range(0.35..1.0), noise }
    }

    pub fn apply(&self, frame: &Frame, rng: &mut impl Rng) -> Frame {
        let luma = frame.plane(0);
        let darker = |v: f32| {
            let light = ((v - BLACK) / (WHITE - BLACK)).clamp(0.0, 1.2);
            BLACK + (WHITE - BLACK) * self.gain as f32 * light.powf(self.gamma as f32)
        };
        let table: Vec<f32> = (0..256).map(|v| darker(v as f32)).collect();
        let dark = map_planes(frame, |index, plane, width| {
            if index == 0 {
                return plane.iter().map(|&v| table[usize::from(v)].round() as u8).collect();
            }
            let sample = |(at, &v): (usize, &u8)| {
                let (x, y) = (at % width * 2, at / width * 2);
                let light = luma[y * frame.width + x];
                let ratio = (table[usize::from(light)] - BLACK + 1.0) / (f32::from(light) - BLACK).max(0.0).max(1.0);
                (GREY + (f32::from(v) - GREY) * ratio.min(1.0)).round() as u8
            };
            plane.iter().enumerate().map(sample).collect()
        });
        self.noise.apply(&dark, rng)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn light_goes_and_colour_with_it() {
        let planes = [vec![126u8; 9 * 7], vec![168u8; 5 * 4]];
        let frame = Frame::copy(9, 7, [(&planes[0], 9), (&planes[1], 5), (&planes[1], 5)]).unwrap();
        let darkness = Darkness { gamma: 2.0, gain: 0.5, noise: Noise::gaussian(0.0) };
        let dark = darkness.apply(&frame, &mut StdRng::seed_from_u64(1));
        let light = 110.0f64 / 219.0;
        let expected = 16.0 + 219.0 * 0.5 * light * light;
        assert!((f64::from(dark.plane(0)[30]) - expected).abs() < 1.0);
        let ratio = (expected - 15.0) / 110.0;
        assert!((f64::from(dark.plane(1)[7]) - 128.0 - 40.0 * ratio).abs() < 1.0);
    }
}
