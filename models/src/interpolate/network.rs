//! The network that fuses two pictures, moved to the wanted time by their motion, into one.
//!
//! In the way of IFRNet (Kong et al., CVPR 2022) and RIFE (Huang et al., ECCV 2022) it decides at each sample which of its
//! sources to believe, and adds what neither shows; but it does not estimate flow, which block matching has done, and so
//! is a hundred times smaller. All of it runs at a quarter of the resolution (pixel-unshuffle), as dense 3x3 convolutions.
//!
//! Input `(N, 99, h, w)`: four pictures of 24 channels, the motion across and down, and the time. A picture is [`super::cells`] of 4x4 luma samples and the 2x2 of U
//! and of V that go with them, in 256ths (exact in bf16): the first and the second moved to that time, then both as they are. Where things hardly move
//! they may well not move evenly, and pictures as they are come nearest; so the network is told how they move.
//! Output `(N, 24, h, w)`: the picture at that time, likewise, in fp32, neither rounded nor clamped.

use serde::{Deserialize, Serialize};
use tch::{Kind, TchError, Tensor, nn};

use super::cells::{CELL, CHROMA, SAMPLES};
use crate::in_place::{add, relu};

/// Pictures that are fused.
pub const SOURCES: usize = 4;
/// Channels of the input.
pub const INPUTS: usize = SOURCES * SAMPLES + 3;
/// Gates of a cell: one a luma sample, and one for each place of U and V.
const GATES: i64 = (CELL * CELL + CHROMA) as i64;
/// The logit that pictures which were not moved begin with: next to nothing of them.
const STILL: f64 = -3.0;
/// What the last convolution gives, in logits and in levels: gates should open within a few steps of training, while a
/// correction of one level is much.
const LOGITS: f64 = 4.0;
const CORRECTION: f64 = 1.0 / 64.0;

/// Widths of the network; the `[config]` table of a model card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub channels: i64,
    /// Of two convolutions each.
    pub blocks: i64,
}

impl Config {
    pub const DEFAULT: Config = Config { channels: 48, blocks: 4 };

    pub fn checked(self) -> Result<Self, String> {
        if (8..=512).contains(&self.channels) && (0..=32).contains(&self.blocks) {
            return Ok(self);
        }
        Err(format!("[config] has {self:?}; expected 8 to 512 channels and 0 to 32 blocks"))
    }

    /// Multiplications a luma sample.
    pub fn macs(self) -> f64 {
        let Config { channels: c, blocks } = self;
        let inputs = INPUTS as i64;
        let outputs = 3 * GATES + SAMPLES as i64;
        (9 * c * (inputs + 2 * blocks * c) + c * outputs) as f64 / (CELL * CELL) as f64
    }
}

/// The network with its weights, which live in the `VarStore` it was built in.
#[derive(Debug)]
pub struct Fusion {
    first: nn::Conv2D,
    blocks: Vec<[nn::Conv2D; 2]>,
    last: nn::Conv2D,
}

impl Fusion {
    /// Builds the network under `path` with fresh weights, which give the mean of the moved pictures.
    ///
    /// # Errors
    /// When libtorch cannot make the tensors.
    pub fn new(path: &nn::Path, config: Config) -> Result<Self, TchError> {
        let c = config.channels;
        let conv = |path: nn::Path, from: i64, to: i64, size: i64, gain: f64| {
            let stdev = gain * (2.0 / (from * size * size) as f64).sqrt();
            let ws_init = nn::Init::Randn { mean: 0.0, stdev };
            let config =
                nn::ConvConfig { padding: size / 2, ws_init, bs_init: nn::Init::Const(0.0), ..Default::default() };
            nn::conv2d(path, from, to, size, config)
        };
        let blocks = path / "blocks";
        Ok(Fusion {
            first: conv(path / "first", INPUTS as i64, c, 3, 1.0),
            blocks: (0..config.blocks)
                .map(|i| [conv(&blocks / i / 0, c, c, 3, 1.0), conv(&blocks / i / 1, c, c, 3, 0.2)])
                .collect(),
            last: conv(path / "last", c, 3 * GATES + SAMPLES as i64, 1, 0.0),
        })
    }

    /// See the module.
    ///
    /// # Errors
    /// When the input does not have 99 channels.
    pub fn forward(&self, input: &Tensor) -> Result<Tensor, TchError> {
        let mut x = relu(convolve(&self.first, input)?)?;
        for [a, b] in &self.blocks {
            x = add(convolve(b, &relu(convolve(a, &x)?)?)?, &x)?;
        }
        // What blends is fp32: in bf16 two of 256 levels would be lost.
        let decided = convolve(&self.last, &relu(x)?)?.f_to_kind(Kind::Float)?;
        let gate = |index: i64, bias: f64| -> Result<Tensor, TchError> {
            let logits = decided.f_narrow(1, index * GATES, GATES)?.f_mul_scalar(LOGITS)?.f_add_scalar(bias)?;
            let gates = logits.f_sigmoid()?;
            let colour = gates.f_narrow(1, (CELL * CELL) as i64, CHROMA as i64)?;
            Tensor::f_cat(&[&gates, &colour], 1)
        };
        let source = |index: i64| input.f_narrow(1, index * SAMPLES as i64, SAMPLES as i64)?.f_to_kind(Kind::Float);
        let moved = source(0)?.f_lerp_tensor(&source(1)?, &gate(0, 0.0)?)?;
        let still = source(2)?.f_lerp_tensor(&source(3)?, &gate(1, 0.0)?)?;
        let fused = moved.f_lerp_tensor(&still, &gate(2, STILL)?)?;
        fused.f_add(&decided.f_narrow(1, 3 * GATES, SAMPLES as i64)?.f_mul_scalar(CORRECTION)?)
    }
}

fn convolve(layer: &nn::Conv2D, input: &Tensor) -> Result<Tensor, TchError> {
    let weight = layer.ws.f_to_kind(input.kind())?;
    let bias = layer.bs.as_ref().map(|bias| bias.f_to_kind(input.kind())).transpose()?;
    input.f_conv2d(&weight, bias, 1, weight.size()[2] / 2, 1, 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn untrained_it_gives_the_mean_of_the_moved_pictures() {
        let store = nn::VarStore::new(Device::Cpu);
        let network = Fusion::new(&store.root(), Config { channels: 8, blocks: 1 }).unwrap();
        let source = |value: f64| Tensor::full([1, 24, 4, 6], value, (Kind::Float, Device::Cpu));
        let rest = Tensor::zeros([1, 3, 4, 6], (Kind::Float, Device::Cpu));
        let input = Tensor::cat(&[source(0.2), source(0.4), source(0.9), source(0.7), rest], 1);
        let made = network.forward(&input).unwrap();
        assert_eq!(made.size(), [1, 24, 4, 6]);
        let still = 1.0 / (1.0 + 3f64.exp());
        let expected = 0.3 * (1.0 - still) + 0.8 * still;
        assert!(f64::try_from((made - expected).abs().max()).unwrap() < 1e-6);
        assert!(network.forward(&source(0.0)).is_err());
    }

    #[test]
    fn sizes_are_checked() {
        assert!(Config::DEFAULT.checked().is_ok());
        for config in [Config { channels: 0, blocks: 1 }, Config { channels: 48, blocks: -1 }] {
            assert!(config.checked().unwrap_err().contains("8 to 512 channels"));
        }
        assert!((13_000.0..14_000.0).contains(&Config::DEFAULT.macs()));
    }
}
