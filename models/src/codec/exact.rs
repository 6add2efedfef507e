//! The half of the codec's networks that decoders run, synthesis and filters: convolutions in whole numbers.
//!
//! **They are exact.** What the decoder computes becomes the next picture's reference, so it must be the same to the last
//! bit on every machine, thread count and precision. Activations are whole numbers within plus and minus 127, so are
//! weights, in units of 1/256; a convolution's sum is a whole number of those units below 2^24, which fp32 accumulators hold
//! exactly in any order of summation; it is then rounded to bfloat16 (what a bf16 convolution does anyway), and to the
//! nearest whole number, ties to even. Training runs the very same function, with gradients passed straight through the
//! roundings (Bengio et al. 2013).

use gst_torch_runtime::planes::{self, Element, channels_last};
use half::bf16;
use multiversion::multiversion;
use tch::nn::{Init, Path};
use tch::{Device, Kind, TchError, Tensor};

use super::network::parameter;

/// Weights are multiples of 1/256.
const WEIGHT_UNIT: f64 = 256.0;
/// Activations and weights are whole numbers within plus and minus this.
pub(super) const ACTIVATION_MAX: f64 = 127.0;
/// Corrections are in sixteenths of a level and within plus and minus this, which bf16 has not: they are bounded when they are
/// no longer bf16.
pub(super) const CORRECTION_MAX: f64 = 1023.0;

/// The nearest whole number, ties to even, with the gradient of the identity.
pub fn round(x: &Tensor) -> Result<Tensor, TchError> {
    if !x.requires_grad() {
        return x.f_round();
    }
    x.f_add(&x.f_round()?.f_sub(x)?.f_detach()?)
}

/// Within bounds, with the gradient of the identity: what is out of bounds must find its way back.
pub fn bound(x: &Tensor, low: f64, high: f64) -> Result<Tensor, TchError> {
    if !x.requires_grad() {
        return x.f_clamp(low, high);
    }
    x.f_add(&x.f_clamp(low, high)?.f_sub(x)?.f_detach()?)
}

/// The whole numbers nearest to `sums`, within bounds; then `past` is added where given, and the sum is within the same
/// bounds.
fn settle(mut sums: Tensor, [low, high]: [f64; 2], past: Option<&Tensor>) -> Result<Tensor, TchError> {
    if !sums.requires_grad() && settled(&mut sums, [low as f32, high as f32], past).is_some() {
        return Ok(sums);
    }
    let kind = sums.kind();
    if kind == Kind::Float {
        let rounded = sums.f_to_kind(Kind::BFloat16)?.f_to_kind(kind)?;
        sums = if sums.requires_grad() { sums.f_add(&rounded.f_sub(&sums)?.f_detach()?)? } else { rounded };
    }
    let whole = round(&sums)?.f_clamp(low, high)?;
    match past {
        Some(past) => whole.f_add(past)?.f_clamp(low, high),
        None => Ok(whole),
    }
}

/// The same in one pass, in the memory of `sums`, if that is the CPU's and pixel after pixel, as that of `past` is; else `None`
/// and nothing is done.
fn settled(sums: &mut Tensor, bounds: [f32; 2], past: Option<&Tensor>) -> Option<()> {
    fn of<T: Element>(sums: &mut Tensor, bounds: [f32; 2], past: Option<&Tensor>) -> Option<()> {
        let pixels = |x: &Tensor| x.f_permute([0, 2, 3, 1]);
        let past = past.map(pixels).transpose().ok()?;
        let past = past.as_ref().map(planes::numbers::<T>).transpose().ok()?;
        let mut sums = pixels(sums).ok()?;
        settle_numbers(planes::numbers_mut::<T>(&mut sums).ok()?, past, bounds);
        Some(())
    }
    match sums.kind() {
        Kind::BFloat16 => of::<bf16>(sums, bounds, past),
        Kind::Float => of::<f32>(sums, bounds, past),
        _ => None,
    }
}

// Compiled for several sets of instructions, which all give the same bits: nothing is fused.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2"))]
fn settle_numbers<T: Element>(sums: &mut [T], past: Option<&[T]>, [low, high]: [f32; 2]) {
    let bounded = |sum: f32| sum.max(low).min(high);
    match past {
        None => sums.iter_mut().for_each(|sum| *sum = T::from_f32(bounded(whole(sum.to_f32())))),
        Some(past) => {
            for (sum, past) in sums.iter_mut().zip(past) {
                *sum = T::from_f32(bounded(bounded(whole(sum.to_f32())) + past.to_f32()));
            }
        }
    }
}

/// Rounded to bf16, and to the nearest whole number, ties to even both times. `sum` is below 2^22 in size.
#[inline(always)]
fn whole(sum: f32) -> f32 {
    let bits = sum.to_bits();
    let sum = f32::from_bits(bits.wrapping_add(0x7fff + (bits >> 16 & 1)) & 0xffff_0000);
    // From 2^23 on the last bit of a float counts ones.
    const ONES: f32 = 12_582_912.0;
    (sum + ONES) - ONES
}

/// A convolution in whole numbers, see the module.
struct Exact {
    weight: Tensor,
    bias: Tensor,
    /// The whole numbers, once they do not change any more.
    whole: Option<(Tensor, Tensor)>,
}

impl Exact {
    fn new(path: &Path, inputs: i64, outputs: i64, size: i64, deviation: f64) -> Result<Self, TchError> {
        let init = Init::Randn { mean: 0.0, stdev: deviation };
        Ok(Exact {
            weight: parameter(path, "weight", &[outputs, inputs, size, size], init)?,
            bias: parameter(path, "bias", &[outputs], Init::Const(0.0))?,
            whole: None,
        })
    }

    fn share(&self) -> Self {
        let whole = self.whole.as_ref().map(|(weight, bias)| (weight.shallow_clone(), bias.shallow_clone()));
        Exact { weight: self.weight.shallow_clone(), bias: self.bias.shallow_clone(), whole }
    }

    /// What is multiplied and added, as `kind`: whole numbers, weights divided by 256, which changes no sum's digits and
    /// saves dividing the sums.
    fn whole(&self, kind: Kind) -> Result<(Tensor, Tensor), TchError> {
        let weight = round(&self.weight.f_mul_scalar(WEIGHT_UNIT)?)?.f_clamp(-ACTIVATION_MAX, ACTIVATION_MAX)?;
        let weight = weight.f_mul_scalar(1.0 / WEIGHT_UNIT)?;
        // A bias has the unit of the result, so that bf16 holds it exactly.
        let bias = round(&self.bias)?.f_clamp(-ACTIVATION_MAX, ACTIVATION_MAX)?;
        Ok((channels_last(&weight.f_to_kind(kind)?)?, bias.f_to_kind(kind)?))
    }

    /// Within bounds, and again after `past` was added; `softly` as [`ExactNetwork::soften`] says.
    fn forward(&self, x: &Tensor, bounds: [f64; 2], past: Option<&Tensor>, softly: bool) -> Result<Tensor, TchError> {
        if softly {
            return self.forward_softly(x, bounds, past);
        }
        let kind = x.kind();
        let (weight, bias) = match &self.whole {
            Some((weight, bias)) if weight.kind() == kind => (weight.shallow_clone(), bias.shallow_clone()),
            _ => self.whole(kind)?,
        };
        let padding = weight.size()[2] / 2;
        settle(x.f_conv2d(&weight, Some(&bias), 1, padding, 1, 1)?, bounds, past)
    }

    fn forward_softly(&self, x: &Tensor, [low, _]: [f64; 2], past: Option<&Tensor>) -> Result<Tensor, TchError> {
        let most = ACTIVATION_MAX / WEIGHT_UNIT;
        let weight = channels_last(&self.weight.f_clamp(-most, most)?.f_to_kind(x.kind())?)?;
        let sums = x.f_conv2d(&weight, Some(self.bias.f_to_kind(x.kind())?), 1, weight.size()[2] / 2, 1, 1)?;
        match past {
            Some(past) => sums.f_add(past),
            None if low == 0.0 => sums.f_relu(),
            None => Ok(sums),
        }
    }

    /// An error where a sum could leave the numbers that fp32 counts exactly.
    fn check(&self, name: &str) -> Result<(), String> {
        let largest = || -> Result<f64, TchError> {
            let (weight, bias) = tch::no_grad(|| self.whole(Kind::Double))?;
            let sums = weight.f_abs()?.f_sum_dim_intlist(&[1i64, 2, 3][..], false, Kind::Double)?;
            let sums = sums.f_mul_scalar(ACTIVATION_MAX)?.f_add(&bias.f_abs()?)?;
            sums.f_mul_scalar(WEIGHT_UNIT)?.f_max()?.try_into()
        };
        match largest() {
            Ok(sum) if sum < (1 << 24) as f64 => Ok(()),
            Ok(sum) => Err(format!("{name}: its sums reach {sum}; expected less than 2^24, so that they are exact")),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// Two convolutions beside a way past them.
struct Residual([Exact; 2]);

impl Residual {
    fn share(&self) -> Self {
        Residual([self.0[0].share(), self.0[1].share()])
    }

    fn forward(&self, x: &Tensor, softly: bool) -> Result<Tensor, TchError> {
        let inner = self.0[0].forward(x, [0.0, ACTIVATION_MAX], None, softly)?;
        self.0[1].forward(&inner, [-ACTIVATION_MAX, ACTIVATION_MAX], Some(x), softly)
    }
}

/// What the first and the last layer of a network are like.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ends {
    /// Numbers that come and go at each place.
    pub(super) inputs: i64,
    pub(super) outputs: i64,
    /// Sides of the convolutions.
    pub(super) side: i64,
    /// Deviation of the first one's weights.
    pub(super) deviation: f64,
    /// Whether the last one sees what is above zero only.
    pub(super) rectified: bool,
}

/// A network of whole numbers: what it sees is within plus and minus [`ACTIVATION_MAX`], what it says are corrections.
pub(super) struct ExactNetwork {
    first: Exact,
    blocks: Vec<Residual>,
    last: Exact,
    rectified: bool,
    soft: bool,
}

impl ExactNetwork {
    pub(super) fn new(path: &Path, ends: Ends, [channels, blocks]: [i64; 2]) -> Result<Self, TchError> {
        let Ends { inputs, outputs, side, .. } = ends;
        let deviation = (2.0 / (9 * channels) as f64).sqrt();
        let block = |i| {
            let path = path / "blocks" / i;
            Ok(Residual([
                Exact::new(&(&path / 0), channels, channels, 3, deviation)?,
                Exact::new(&(&path / 1), channels, channels, 3, deviation * 0.3)?,
            ]))
        };
        Ok(ExactNetwork {
            first: Exact::new(&(path / "first"), inputs, channels, side, ends.deviation)?,
            blocks: (0..blocks).map(block).collect::<Result<_, TchError>>()?,
            last: Exact::new(&(path / "last"), channels, outputs, side, 0.0)?,
            rectified: ends.rectified,
            soft: false,
        })
    }

    pub(super) fn share(&self) -> Self {
        let blocks = self.blocks.iter().map(Residual::share).collect();
        ExactNetwork {
            first: self.first.share(),
            blocks,
            last: self.last.share(),
            rectified: self.rectified,
            soft: self.soft,
        }
    }

    /// Has it compute in any numbers, within no bounds, until it is told otherwise: it learns faster so, and to get by with whole
    /// ones within bounds it learns in the end.
    pub(super) fn soften(&mut self, soft: bool) {
        self.soft = soft;
    }

    /// Whole sixteenths of a level, not within [`CORRECTION_MAX`] yet.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let mut x = self.first.forward(x, [-ACTIVATION_MAX, ACTIVATION_MAX], None, self.soft)?;
        for block in &self.blocks {
            x = block.forward(&x, self.soft)?;
        }
        if self.rectified {
            x = x.f_relu()?;
        }
        self.last.forward(&x, [f64::NEG_INFINITY, f64::INFINITY], None, self.soft)
    }

    /// The same as fp32 and within its bounds.
    pub(super) fn correct(&self, x: &Tensor) -> Result<Tensor, TchError> {
        self.forward(x)?.f_to_kind(Kind::Float)?.f_clamp(-CORRECTION_MAX, CORRECTION_MAX)
    }

    fn layers_mut(&mut self) -> impl Iterator<Item = &mut Exact> {
        self.blocks.iter_mut().flat_map(|block| &mut block.0).chain([&mut self.first, &mut self.last])
    }

    pub(super) fn device(&self) -> Device {
        self.first.weight.device()
    }

    /// Moves the weights as they are learnt.
    pub(super) fn place(&mut self, device: Device) -> Result<(), TchError> {
        self.layers_mut().try_for_each(|layer| {
            layer.weight = layer.weight.f_to_device(device)?;
            layer.bias = layer.bias.f_to_device(device)?;
            Ok(())
        })
    }

    /// Makes the whole numbers, as `kind`, once for all.
    pub(super) fn prepare(&mut self, kind: Kind) -> Result<(), TchError> {
        self.layers_mut().try_for_each(|layer| {
            layer.whole = Some(layer.whole(kind)?);
            Ok(())
        })
    }

    /// An error that names the layer, where one is not exact.
    pub(super) fn check(&self, name: &str) -> Result<(), String> {
        self.first.check(&format!("{name}.first"))?;
        for (i, block) in self.blocks.iter().enumerate() {
            block.0.iter().try_for_each(|layer| layer.check(&format!("{name}.blocks.{i}")))?;
        }
        self.last.check(&format!("{name}.last"))
    }
}
