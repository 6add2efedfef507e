//! What a network is tried and timed on: inputs like those that it will get, the same each time.

use serde::{Deserialize, Serialize};
use tch::{Kind, TchError, Tensor};

use crate::planes::channels_last;
use crate::shape::Shape;

/// The kind of an input.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Sample {
    /// A picture `(N, C, H, W)` with values from `low` to `high`: smooth shapes with a little noise.
    Picture { low: f64, high: f64 },
    /// Numbers of the standard normal distribution: a latent.
    Normal,
    /// Whole numbers from 0 to below this: codes. They stay whole numbers, whatever the precision.
    Codes(i64),
}

impl Sample {
    /// Pictures of 0 to 1.
    pub const UNIT: Sample = Sample::Picture { low: 0.0, high: 1.0 };

    /// A sample of this shape; of `kind`, but for codes, which are of `Kind::Int64`.
    pub(crate) fn make(self, shape: Shape, kind: Kind) -> Result<Tensor, TchError> {
        // A fixed congruential sequence: no global seed of the host's process is touched.
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut even = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 40) as f32 / (1u64 << 24) as f32
        };
        let mut evens = |count: i64| -> Vec<f32> { (0..count).map(|_| even()).collect() };
        match (self, shape.dims()) {
            (Sample::Picture { low, high }, &[n, c, h, w]) => {
                let (gh, gw) = ((h / 16).max(2), (w / 16).max(2));
                let coarse = Tensor::f_from_slice(&evens(n * c * gh * gw))?.f_reshape([n, c, gh, gw])?;
                let smooth = coarse.f_upsample_bilinear2d([h, w], false, None, None)?;
                let fine = Tensor::f_from_slice(&evens(n * c * h * w))?.f_reshape([n, c, h, w])?;
                let mixed = (smooth.f_mul_scalar(0.9)?.f_add(&fine.f_mul_scalar(0.1)?)?).f_mul_scalar(high - low)?;
                // NHWC in memory, as frames arrive.
                channels_last(&mixed.f_add_scalar(low)?)?.f_to_kind(kind)
            }
            (Sample::Picture { low, high }, dims) => {
                let values = Tensor::f_from_slice(&evens(shape.count()))?.f_reshape(dims)?;
                values.f_mul_scalar(high - low)?.f_add_scalar(low)?.f_to_kind(kind)
            }
            (Sample::Normal, dims) => {
                // The sum of twelve even numbers has a variance of 1 and nearly a normal distribution.
                let sums = evens(12 * shape.count());
                let values: Vec<f32> = sums.chunks_exact(12).map(|part| part.iter().sum::<f32>() - 6.0).collect();
                Tensor::f_from_slice(&values)?.f_reshape(dims)?.f_to_kind(kind)
            }
            (Sample::Codes(limit), dims) => {
                let code = |value: f32| ((f64::from(value) * limit as f64) as i64).clamp(0, (limit - 1).max(0));
                let codes: Vec<i64> = evens(shape.count()).into_iter().map(code).collect();
                Tensor::f_from_slice(&codes)?.f_reshape(dims)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_what_they_are_called() {
        let shape = Shape::new(&[2, 4096]).unwrap();
        let normal = Vec::<f32>::try_from(Sample::Normal.make(shape, Kind::Float).unwrap().flatten(0, -1)).unwrap();
        let mean = normal.iter().sum::<f32>() / normal.len() as f32;
        let variance = normal.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / normal.len() as f32;
        assert!(mean.abs() < 0.05 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
        let codes = Sample::Codes(7).make(shape, Kind::BFloat16).unwrap();
        assert_eq!((codes.kind(), codes.int64_value(&[0, 0]) < 7), (Kind::Int64, true));
        assert_eq!((i64::try_from(codes.min()).unwrap(), i64::try_from(codes.max()).unwrap()), (0, 6));
        let picture = Sample::Picture { low: -1.0, high: 1.0 }.make([1, 3, 32, 48].into(), Kind::Float).unwrap();
        let (low, high) = (f64::try_from(picture.min()).unwrap(), f64::try_from(picture.max()).unwrap());
        assert!((-1.0..-0.3).contains(&low) && (0.3..=1.0).contains(&high), "{low} {high}");
    }
}
