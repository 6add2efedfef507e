//! What latents will cost, in a form that has a gradient: training's stand-in for the entropy coder.
//!
//! The coder in `entropy` adapts to what it has seen, in integers, and cannot be differentiated. Here each latent has a
//! Laplace distribution, whose centre and width are predicted from what the coder would have seen before it: the cells to
//! the left and above, and the lower latents of its own cell. Rounding is replaced by uniform noise (Ballé et
//! al. 2017).

use tch::nn::{Init, Path};
use tch::{Kind, TchError, Tensor};

use super::symbols::{CELL, CHROMA};

const CELLS: i64 = CELL as i64;
/// Widths of the distributions are between these, in steps.
const WIDTHS: [f64; 2] = [0.06, 200.0];

pub struct RateModel {
    weight: Tensor,
    centre: Tensor,
    mask: Tensor,
    bias: Tensor,
    slope: Tensor,
}

impl RateModel {
    pub fn new(path: &Path) -> Result<Self, TchError> {
        let mut weight = path.f_var("weight", &[CELLS, CELLS, 3, 3], Init::Const(0.0))?;
        let seen = vec![1.0f32; CELL * CELL];
        let lower: Vec<f32> = (0..CELL * CELL).map(|i| f32::from(u8::from(i % CELL < i / CELL))).collect();
        let unseen = vec![0.0f32; CELL * CELL];
        let taps = [&seen, &seen, &seen, &seen, &lower, &unseen, &unseen, &unseen, &unseen];
        let taps: Vec<Tensor> = taps.iter().map(|t| Tensor::f_from_slice(t)).collect::<Result<_, _>>()?;
        let mask = Tensor::f_stack(&taps, 1)?.f_view([CELLS, CELLS, 3, 3])?;
        // To begin with, a latent is as large as its namesakes to the left and above.
        let same =
            Tensor::f_eye(CELLS, (Kind::Float, path.device()))?.f_view([CELLS, CELLS, 1, 1])?.f_mul_scalar(0.4)?;
        let sides = Tensor::f_from_slice(&[0f32, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0])?;
        let sides = sides.f_view([1, 1, 3, 3])?.f_to_device(path.device())?;
        tch::no_grad(|| weight.f_copy_(&same.f_mul(&sides)?))?;
        // What is alike nearby, the means of Y, U and V, is like its neighbours; of the rest nothing is known.
        let centre = path.f_var("centre", &[CELLS, CELLS, 3, 3], Init::Const(0.0))?;
        tch::no_grad(|| -> Result<(), TchError> {
            for mean in [0, CHROMA[0] as i64, CHROMA[1] as i64] {
                centre.f_get(mean)?.f_get(mean)?.f_copy_(&sides.f_view([3, 3])?.f_mul_scalar(0.45)?)?;
            }
            Ok(())
        })?;
        Ok(RateModel {
            weight,
            centre,
            mask: mask.f_to_device(path.device())?,
            bias: path.f_var("bias", &[CELLS], Init::Const(-1.5))?,
            slope: path.f_var("slope", &[CELLS], Init::Const(0.0))?,
        })
    }

    /// Bits of each latent of `(N, 96, h, w)`. `soft` are latents before rounding, `hard` after it.
    pub fn bits(&self, soft: &Tensor, hard: &Tensor, index: &Tensor, kind: Kind) -> Result<Tensor, TchError> {
        let noise = soft.f_rand_like()?.f_add_scalar(-0.5)?;
        self.bits_of(&soft.f_add(&noise)?, hard, index, kind)
    }

    /// The same, of values that noise in place of rounding was added to.
    fn bits_of(&self, noisy: &Tensor, hard: &Tensor, index: &Tensor, kind: Kind) -> Result<Tensor, TchError> {
        let seen = hard.f_detach()?.f_abs()?.f_add_scalar(1.0)?.f_log2()?;
        let weight = self.weight.f_mul(&self.mask)?.f_to_kind(kind)?;
        let context = seen.f_to_kind(kind)?.f_conv2d(&weight, None::<Tensor>, 1, 1, 1, 1)?.f_to_kind(Kind::Float)?;
        let along = |v: &Tensor| v.f_view([1, CELLS, 1, 1]);
        let quality = index.f_add_scalar(-64.0)?.f_mul_scalar(1.0 / 32.0)?;
        let log = context.f_add(&along(&self.bias)?)?.f_add(&quality.f_mul(&along(&self.slope)?)?)?;
        let width = log.f_clamp(WIDTHS[0].ln(), WIDTHS[1].ln())?.f_exp()?;
        let weight = self.centre.f_mul(&self.mask)?.f_to_kind(kind)?;
        let seen = hard.f_detach()?.f_to_kind(kind)?;
        let centre = seen.f_conv2d(&weight, None::<Tensor>, 1, 1, 1, 1)?.f_to_kind(Kind::Float)?;
        laplace_bits(&noisy.f_sub(&centre)?, &width)
    }
}

/// `-log2` of what a Laplace distribution about zero of `width` has within half a step of `value`.
fn laplace_bits(value: &Tensor, width: &Tensor) -> Result<Tensor, TchError> {
    let magnitude = value.f_abs()?;
    let tail = |x: &Tensor| x.f_div(width)?.f_neg()?.f_exp();
    // Beyond half a step both edges are on one side. There the logarithm is taken of the ratio of the edges, which does not
    // underflow.
    let step = width.f_reciprocal()?.f_neg()?.f_exp()?.f_neg()?.f_log1p()?;
    let far =
        magnitude.f_add_scalar(-0.5)?.f_div(width)?.f_neg()?.f_add(&step)?.f_add_scalar(-std::f64::consts::LN_2)?;
    let near = magnitude.f_clamp_max(0.5)?;
    let above = tail(&near.f_add_scalar(0.5)?)?;
    let below = tail(&near.f_neg()?.f_add_scalar(0.5)?)?;
    let near = above.f_add(&below)?.f_mul_scalar(-0.5)?.f_add_scalar(1.0)?.f_clamp_min(1e-9)?.f_log()?;
    let inside = magnitude.f_lt(0.5)?;
    near.f_where_self(&inside, &far)?.f_mul_scalar(-std::f64::consts::LOG2_E)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, nn};

    #[test]
    fn probabilities_sum_to_one() {
        for width in [0.1, 0.5, 3.0] {
            let values = Tensor::arange_start(-60, 61, (Kind::Float, Device::Cpu));
            let bits = laplace_bits(&values, &Tensor::from(width as f32)).unwrap();
            let sum = bits.neg().exp2().sum(Kind::Double).double_value(&[]);
            assert!((sum - 1.0).abs() < 1e-5, "{width}: {sum}");
        }
    }

    #[test]
    fn only_what_was_coded_before_is_looked_at() {
        let store = nn::VarStore::new(Device::Cpu);
        let mut model = RateModel::new(&store.root()).unwrap();
        let _guard = tch::no_grad_guard();
        let _ = model.weight.normal_(0.0, 0.3);
        let _ = model.centre.normal_(0.0, 0.3);
        let soft = Tensor::zeros([1, CELLS, 3, 3], (Kind::Float, Device::Cpu));
        let noisy = Tensor::full_like(&soft, 0.3);
        let index = Tensor::full([1, 1, 3, 3], 64.0, (Kind::Float, Device::Cpu));
        let bits = |hard: &Tensor| model.bits_of(&noisy, hard, &index, Kind::Float).unwrap();
        let before = bits(&soft);
        let hard = soft.copy();
        let _ = hard.get(0).get(40).get(1).get(1).fill_(9.0);
        let changed = (bits(&hard) - before).abs();
        let of = |c: i64, y: i64, x: i64| changed.double_value(&[0, c, y, x]);
        assert!(of(41, 1, 1) > 0.0 && of(0, 1, 2) > 0.0 && of(0, 2, 0) > 0.0 && of(0, 2, 2) > 0.0);
        assert_eq!((of(40, 1, 1), of(39, 1, 1), of(95, 1, 0), of(95, 0, 2)), (0.0, 0.0, 0.0, 0.0));
    }
}
