//! The network of the vector-quantised coding: a code of digits for each cell of 8x8 luma samples, and back.
//!
//! The codebook is not learnt but a product of scalar ones, finite scalar quantisation (Mentzer et al. 2023): every digit is
//! bounded by a hyperbolic tangent and rounded, and the code is the tuple of the digits. So no entry of it is ever idle, and
//! nothing has to be searched. Digits are ordered by nested dropout (Rippel et al. 2014): training keeps the first few of
//! them, another number each time, so that any number of them makes a picture, and one model serves every rate.
//!
//! Both directions are a linear transform (it begins as a cosine transform) plus a small convolutional network at 1/8
//! resolution. Nothing that is coded depends on what was decoded, so ordinary floating point serves.

use gst_torch_runtime::planes::channels_last;
use serde::{Deserialize, Serialize};
use tch::nn::{Init, Path};
use tch::{Device, Kind, TchError, Tensor};

use crate::codec::basis;
use crate::codec::exact::round;
use crate::codec::symbols::{CELL, CHROMA};

const CELLS: i64 = CELL as i64;
/// Digits have at most this many levels to each side of zero.
pub const REACH_MAX: i64 = 63;
/// What a digit's level stands for to begin with, in levels of 8 bits times the square root of the samples it spreads over.
/// It is kept out of the weights, which so are all of a size that one learning rate suits.
const STEP: f64 = 20.0;

/// Sizes of the network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Levels of each digit, the most important digit first; odd numbers.
    pub levels: Vec<i64>,
    /// Channels and residual blocks of either direction.
    pub encoder: [i64; 2],
    pub decoder: [i64; 2],
}

impl Default for Config {
    /// 40 digits; 3.8 kMAC a luma sample to encode, 4.0 to decode.
    fn default() -> Self {
        let levels = ORDER.iter().map(|&(plane, index)| match (plane, index) {
            (0, 0) => 81,
            (0, 1..=5) | (1 | 2, 0) => 33,
            (0, 6..=14) | (1 | 2, 1..=2) => 17,
            _ => 9,
        });
        Config { levels: levels.collect(), encoder: [64, 3], decoder: [64, 3] }
    }
}

/// Which latents of the cosine transform the digits begin as: plane and place along its zigzag.
const ORDER: [(usize, usize); 40] = [
    (0, 0),
    (1, 0),
    (2, 0),
    (0, 1),
    (0, 2),
    (0, 3),
    (0, 4),
    (0, 5),
    (1, 1),
    (2, 1),
    (1, 2),
    (2, 2),
    (0, 6),
    (0, 7),
    (0, 8),
    (0, 9),
    (0, 10),
    (0, 11),
    (0, 12),
    (0, 13),
    (0, 14),
    (1, 3),
    (2, 3),
    (1, 4),
    (2, 4),
    (0, 15),
    (0, 16),
    (0, 17),
    (0, 18),
    (0, 19),
    (0, 20),
    (1, 5),
    (2, 5),
    (0, 21),
    (0, 22),
    (0, 23),
    (0, 24),
    (0, 25),
    (0, 26),
    (0, 27),
];

impl Config {
    pub fn checked(self) -> Result<Self, String> {
        let fits = |[channels, blocks]: [i64; 2]| (8..=512).contains(&channels) && (0..=32).contains(&blocks);
        let levels = self.levels.iter().all(|l| l % 2 == 1 && (3..=2 * REACH_MAX + 1).contains(l));
        if fits(self.encoder) && fits(self.decoder) && levels && (1..=CELL).contains(&self.levels.len()) {
            return Ok(self);
        }
        let expected =
            "8 to 512 channels and 0 to 32 blocks; 1 to 96 digits, each of an odd number of levels, 3 to 127";
        Err(format!("[config] has {self:?}; expected {expected}"))
    }

    pub fn digits(&self) -> usize {
        self.levels.len()
    }

    /// Levels of each digit to either side of zero.
    pub fn reach(&self) -> Vec<i32> {
        self.levels.iter().map(|levels| (levels / 2) as i32).collect()
    }

    /// Multiplications a luma sample of both directions.
    pub fn macs(&self) -> [f64; 2] {
        let digits = self.digits() as i64;
        let body = |[c, blocks]: [i64; 2], inputs: i64, outputs: i64| {
            (inputs * c + blocks * 2 * 9 * c * c + c * outputs + digits * CELLS) as f64 / 64.0
        };
        [body(self.encoder, CELLS, digits), body(self.decoder, CELLS + digits + 1, CELLS)]
    }
}

struct Convolution {
    weight: Tensor,
    bias: Tensor,
}

impl Convolution {
    fn new(path: &Path, inputs: i64, outputs: i64, size: i64, gain: f64) -> Result<Self, TchError> {
        let stdev = gain * (2.0 / (inputs * size * size) as f64).sqrt();
        Ok(Convolution {
            weight: path.f_var("weight", &[outputs, inputs, size, size], Init::Randn { mean: 0.0, stdev })?,
            bias: path.f_var("bias", &[outputs], Init::Const(0.0))?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let padding = self.weight.size()[2] / 2;
        if self.weight.kind() == x.kind() {
            return x.f_conv2d(&self.weight, Some(&self.bias), 1, padding, 1, 1);
        }
        let weight = channels_last(&self.weight.f_to_kind(x.kind())?)?;
        x.f_conv2d(&weight, Some(self.bias.f_to_kind(x.kind())?), 1, padding, 1, 1)
    }
}

/// Residual blocks between two convolutions of single cells.
struct Body {
    first: Convolution,
    blocks: Vec<[Convolution; 2]>,
    last: Convolution,
}

impl Body {
    /// What it gives is zero to begin with.
    fn new(path: &Path, inputs: i64, outputs: i64, [channels, blocks]: [i64; 2]) -> Result<Self, TchError> {
        let block = |i| {
            let path = path / "blocks" / i;
            Ok([
                Convolution::new(&(&path / 0), channels, channels, 3, 1.0)?,
                Convolution::new(&(&path / 1), channels, channels, 3, 0.3)?,
            ])
        };
        Ok(Body {
            first: Convolution::new(&(path / "first"), inputs, channels, 1, 1.0)?,
            blocks: (0..blocks).map(block).collect::<Result<_, TchError>>()?,
            last: Convolution::new(&(path / "last"), channels, outputs, 1, 0.0)?,
        })
    }

    fn convolutions(&mut self) -> impl Iterator<Item = &mut Convolution> {
        self.blocks.iter_mut().flatten().chain([&mut self.first, &mut self.last])
    }

    fn forward(&self, x: &Tensor, kind: Kind) -> Result<Tensor, TchError> {
        let mut x = self.first.forward(&channels_last(&x.f_to_kind(kind)?)?)?;
        for [a, b] in &self.blocks {
            x = x.f_add(&b.forward(&a.forward(&x)?.f_relu()?)?)?;
        }
        self.last.forward(&x.f_relu()?)?.f_to_kind(Kind::Float)
    }
}

/// Both directions.
pub struct Network {
    /// Digits of samples, and samples of digits, in units of `STEP`: `(D, 96, 1, 1)` and `(96, D, 1, 1)`.
    forward: Tensor,
    inverse: Tensor,
    encoder: Body,
    decoder: Body,
    /// Half a level beyond the last of each digit, `(1, D, 1, 1)`.
    bounds: Tensor,
    digits: i64,
}

impl Network {
    pub fn new(path: &Path, config: &Config) -> Result<Self, TchError> {
        let digits = config.digits() as i64;
        let cosines = basis::cosines();
        let first = [0, CHROMA[0], CHROMA[1]];
        // More digits than the order names begin as nothing, for the network to use.
        let rows: Vec<f32> = (0..config.digits())
            .flat_map(|d| ORDER.get(d).map_or([0.0; CELL], |&(plane, index)| cosines[first[plane] + index]))
            .collect();
        let rows = Tensor::f_from_slice(&rows)?.f_view([digits, CELLS, 1, 1])?;
        let filled = |name: &str, values: &Tensor| -> Result<Tensor, TchError> {
            let mut matrix = path.f_var(name, &values.size(), Init::Const(0.0))?;
            tch::no_grad(|| matrix.f_copy_(values))?;
            Ok(matrix)
        };
        let bounds: Vec<f32> = config.levels.iter().map(|&levels| levels as f32 / 2.0).collect();
        Ok(Network {
            forward: filled("forward", &rows)?,
            inverse: filled("inverse", &rows.f_transpose(0, 1)?)?,
            encoder: Body::new(&(path / "encoder"), CELLS, digits, config.encoder)?,
            decoder: Body::new(&(path / "decoder"), CELLS + digits + 1, CELLS, config.decoder)?,
            bounds: Tensor::f_from_slice(&bounds)?.f_view([1, digits, 1, 1])?.f_to_device(path.device())?,
            digits,
        })
    }

    /// Digits `(N, D, h, w)` of cells of samples less 128, within their bounds but not rounded. The network runs in `kind`.
    pub fn encode(&self, samples: &Tensor, kind: Kind) -> Result<Tensor, TchError> {
        let linear = samples.f_conv2d(&self.forward, None::<Tensor>, 1, 0, 1, 1)?.f_mul_scalar(1.0 / STEP)?;
        let change = self.encoder.forward(&samples.f_mul_scalar(1.0 / 64.0)?, kind)?;
        linear.f_add(&change)?.f_div(&self.bounds)?.f_tanh()?.f_mul(&self.bounds)
    }

    /// Whole digits; those just below a bound stay within.
    pub fn round(&self, soft: &Tensor) -> Result<Tensor, TchError> {
        let most = self.bounds.f_add_scalar(-0.5)?;
        let whole = round(soft)?;
        let within = whole.f_minimum(&most)?.f_maximum(&most.f_neg()?)?;
        // The gradient of the identity: that of the minimum is halved where both are the same.
        if whole.requires_grad() { whole.f_add(&within.f_sub(&whole)?.f_detach()?) } else { Ok(within) }
    }

    /// Cells of samples less 128, not rounded, of whole digits, of which each picture has the first `kept`, `(N, 1, 1, 1)`,
    /// and zeros instead of the others.
    pub fn decode(&self, digits: &Tensor, kept: &Tensor, kind: Kind) -> Result<Tensor, TchError> {
        // The inverse of the bound, so that levels stand for what was bounded.
        let open = digits.f_div(&self.bounds)?.f_atanh()?.f_mul(&self.bounds)?;
        let linear = open.f_conv2d(&self.inverse, None::<Tensor>, 1, 0, 1, 1)?.f_mul_scalar(STEP)?;
        let size = digits.size();
        let share = kept.f_mul_scalar(2.0 / self.digits as f64)?.f_add_scalar(-1.0)?;
        let share = share.f_expand([size[0], 1, size[2], size[3]], false)?;
        let scaled = linear.f_mul_scalar(1.0 / 64.0)?;
        let input = Tensor::f_cat(&[&scaled, &open.f_mul_scalar(0.25)?, &share], 1)?;
        linear.f_add(&self.decoder.forward(&input, kind)?)
    }

    /// 1 for the first `kept` digits of each picture, 0 for the others, `(N, D, 1, 1)`.
    pub fn mask(&self, kept: &Tensor) -> Result<Tensor, TchError> {
        let places = Tensor::f_arange(self.digits, (Kind::Float, kept.device()))?.f_view([1, -1, 1, 1])?;
        places.f_lt_tensor(kept)?.f_to_kind(Kind::Float)
    }

    fn tensors(&mut self) -> impl Iterator<Item = &mut Tensor> {
        let bodies = self.encoder.convolutions().chain(self.decoder.convolutions());
        let bodies = bodies.flat_map(|c| [&mut c.weight, &mut c.bias]);
        bodies.chain([&mut self.forward, &mut self.inverse, &mut self.bounds])
    }

    pub fn device(&self) -> Device {
        self.bounds.device()
    }

    /// Moves the weights, and readies them to run in `kind` without gradients from now on.
    pub fn prepare(&mut self, device: Device, kind: Kind) -> Result<(), TchError> {
        let _guard = tch::no_grad_guard();
        for tensor in self.tensors() {
            *tensor = tensor.f_to_device(device)?;
        }
        for convolution in self.encoder.convolutions().chain(self.decoder.convolutions()) {
            convolution.weight = channels_last(&convolution.weight.f_to_kind(kind)?)?;
            convolution.bias = convolution.bias.f_to_kind(kind)?;
        }
        Ok(())
    }

    /// The same weights once more, for another thread.
    pub fn share(&self) -> Self {
        let convolution =
            |c: &Convolution| Convolution { weight: c.weight.shallow_clone(), bias: c.bias.shallow_clone() };
        let body = |b: &Body| Body {
            first: convolution(&b.first),
            blocks: b.blocks.iter().map(|[a, b]| [convolution(a), convolution(b)]).collect(),
            last: convolution(&b.last),
        };
        Network {
            forward: self.forward.shallow_clone(),
            inverse: self.inverse.shallow_clone(),
            encoder: body(&self.encoder),
            decoder: body(&self.decoder),
            bounds: self.bounds.shallow_clone(),
            digits: self.digits,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::nn;

    #[test]
    fn untrained_it_quantises_a_cosine_transform() {
        let store = nn::VarStore::new(Device::Cpu);
        let config = Config::default().checked().unwrap();
        let network = Network::new(&store.root(), &config).unwrap();
        let _guard = tch::no_grad_guard();
        // A slope in luma and even chroma: what the first digits can say.
        let slope = Tensor::arange(8, (Kind::Float, Device::Cpu)) * 8.0 - 28.0;
        let luma = slope.view([1, 8]).expand([8, 8], false).contiguous().view([64]);
        let chroma = Tensor::full([32], 20.0, (Kind::Float, Device::Cpu));
        let samples = Tensor::cat(&[luma, chroma], 0).view([1, CELLS, 1, 1]).expand([1, CELLS, 3, 2], false);
        let digits = network.round(&network.encode(&samples, Kind::Float).unwrap()).unwrap();
        assert_eq!(digits.size(), [1, 40, 3, 2]);
        let error = |kept: f32| {
            let kept = Tensor::from_slice(&[kept]).view([1, 1, 1, 1]);
            let digits = &digits * network.mask(&kept).unwrap();
            let decoded = network.decode(&digits, &kept, Kind::Float).unwrap();
            (decoded - &samples).abs().max().double_value(&[])
        };
        assert!(error(40.0) < 4.0, "{}", error(40.0));
        assert!(error(1.0) > 10.0);
    }

    #[test]
    fn digits_keep_within_their_levels() {
        let store = nn::VarStore::new(Device::Cpu);
        let config = Config { levels: vec![3, 5, 127], ..Config::default() }.checked().unwrap();
        let network = Network::new(&store.root(), &config).unwrap();
        // Far beyond what can be said, in the directions of the first three cosines.
        let samples = &network.forward.sum_dim_intlist(&[0i64][..], false, Kind::Float).view([1, CELLS, 1, 1]) * 1e6;
        let samples = Tensor::cat(&[&samples, &-&samples], 3);
        let digits = network.round(&network.encode(&samples, Kind::Float).unwrap()).unwrap();
        assert_eq!(Vec::<f32>::try_from(digits.view([-1])).unwrap(), [1.0, -1.0, 2.0, -2.0, 63.0, -63.0]);
        let back = network.decode(&digits, &Tensor::from(3f32).view([1, 1, 1, 1]), Kind::Float).unwrap();
        assert!(back.isfinite().all().double_value(&[]) == 1.0);
        assert!(Config { levels: vec![4], ..Config::default() }.checked().is_err());
    }
}
