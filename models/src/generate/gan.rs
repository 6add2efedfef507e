//! A generative adversarial network for little data and little time, after FastGAN (Liu et al., ICLR 2021).
//!
//! **Generator**: a latent spread over a small grid, then doublings: interpolation, 3x3 convolution, batch norm, gated linear unit.
//! Coarse maps gate fine ones, channel by channel (skip-layer excitation): gradients reach the latent in a few steps, which is
//! what makes it learn quickly. Frozen, the norms vanish, and dense 3x3 convolutions are left.
//!
//! What it is trained against is in [`super::discriminator`].

use serde::{Deserialize, Serialize};
use tch::nn::Path;
use tch::{TchError, Tensor};

use super::layers::{BatchNorm, Conv, as_picture, in_kind_of};
use super::{check, check_picture, coarsest, three};

/// Widths of the network; the `[config]` table of a model card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Width and height of the pictures.
    pub size: [i64; 2],
    /// Numbers that a picture is made of.
    pub latent: i64,
    /// 0 is without classes.
    #[serde(default)]
    pub classes: i64,
    /// Channels at full size; each halving doubles them, up to ten times as many.
    pub channels: i64,
    /// 3 is RGB, 1 is grey.
    #[serde(default = "three")]
    pub colours: i64,
}

/// Widest maps, in channels at full size.
const WIDEST: i64 = 10;
/// A map gates the one so many doublings finer.
const SKIP: usize = 3;

impl Config {
    pub fn new(size: [i64; 2]) -> Self {
        Config { size, latent: 128, classes: 0, channels: 16, colours: 3 }
    }

    pub fn checked(self) -> Result<Self, String> {
        check_picture(self.size, self.colours)?;
        check("latent", self.latent, 1..=1024)?;
        check("classes", self.classes, 0..=1000)?;
        check("channels", self.channels, 4..=256)?;
        let (grid, doublings) = coarsest(self.size);
        if doublings < 2 || grid.iter().any(|side| *side > 16) {
            let [width, height] = self.size;
            return Err(format!(
                "[config] size is {width}x{height}; expected 3 to 16 doubled twice or more, both ways"
            ));
        }
        Ok(self)
    }

    /// Channels after `level` of `levels` doublings.
    pub(super) fn width(&self, level: usize, levels: usize) -> i64 {
        (self.channels << (levels - level)).min(self.channels * WIDEST)
    }

    /// Multiplications of one picture, convolutions only.
    pub fn macs(&self) -> i64 {
        let (grid, levels) = coarsest(self.size);
        let levels = levels as usize;
        let cells = |level: usize| (grid[0] * grid[1]) << (2 * level);
        let up = |level: usize| 9 * self.width(level - 1, levels) * 2 * self.width(level, levels) * cells(level);
        (1..=levels).map(up).sum::<i64>() + 9 * self.channels * self.colours * cells(levels)
    }
}

/// The latents `(N, latent, 1, 1)` with the weights of their classes, `(N, classes)`, as the generator takes them.
///
/// # Errors
/// When they are not of as many pictures.
pub fn with_classes(latents: &Tensor, weights: &Tensor) -> Result<Tensor, TchError> {
    let weights = in_kind_of(weights, latents)?.f_unsqueeze(2)?.f_unsqueeze(3)?;
    Tensor::f_cat(&[latents, &weights], 1)
}

/// One doubling. Bilinear: repeated pixels show as a fine weave until training has learnt to smooth them (Karras et al. 2019).
struct Up {
    conv: Conv,
    norm: BatchNorm,
}

impl Up {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor, TchError> {
        let (_, _, height, width) = x.size4()?;
        let doubled = x.f_upsample_bilinear2d([2 * height, 2 * width], false, None, None)?;
        self.norm.forward(&self.conv.forward(&doubled)?, train)?.f_glu(1)
    }
}

/// How much of each channel of a fine map is let through, by a coarse one.
struct Gate([Conv; 2]);

impl Gate {
    /// Grids that a coarse map is averaged over.
    const SIDE: i64 = 4;

    fn new(path: &Path, coarse: i64, fine: i64) -> Result<Self, TchError> {
        let cells = coarse * Self::SIDE * Self::SIDE;
        Ok(Gate([Conv::new(&(path / 0), cells, fine, 1, 1.0)?, Conv::new(&(path / 1), fine, fine, 1, 0.5)?]))
    }

    fn forward(&self, coarse: &Tensor, fine: &Tensor) -> Result<Tensor, TchError> {
        let pooled = coarse.f_adaptive_avg_pool2d([Self::SIDE; 2])?.f_flatten(1, 3)?.f_unsqueeze(2)?.f_unsqueeze(3)?;
        let gate = self.0[1].forward(&self.0[0].forward(&pooled)?.f_silu()?)?.f_sigmoid()?;
        fine.f_mul(&gate)
    }
}

/// The generator with its weights, which live in the `VarStore` it was built in.
pub struct Generator {
    grid: [i64; 2],
    first: Conv,
    norm: BatchNorm,
    ups: Vec<Up>,
    /// Gate `i` is from map `i` to map `i + SKIP`.
    gates: Vec<Gate>,
    last: Conv,
}

impl Generator {
    /// Builds the network under `path` with fresh weights.
    ///
    /// # Errors
    /// When libtorch cannot make the tensors.
    pub fn new(path: &Path, config: &Config) -> Result<Self, TchError> {
        let (grid, levels) = coarsest(config.size);
        let levels = levels as usize;
        let width = |level| config.width(level, levels);
        let spread = 2 * width(0) * grid[0] * grid[1];
        let up = |level: usize| -> Result<Up, TchError> {
            let path = path / "ups" / (level - 1);
            Ok(Up {
                conv: Conv::unbiased(&(&path / "conv"), width(level - 1), 2 * width(level), 3, 1.0)?,
                norm: BatchNorm::new(&(&path / "norm"), 2 * width(level))?,
            })
        };
        let gate = |from: usize| Gate::new(&(path / "gates" / from), width(from), width(from + SKIP));
        Ok(Generator {
            grid,
            first: Conv::unbiased(&(path / "first"), config.latent + config.classes, spread, 1, 1.0)?,
            norm: BatchNorm::new(&(path / "norm"), 2 * width(0))?,
            ups: (1..=levels).map(up).collect::<Result<_, _>>()?,
            gates: (0..(levels + 1).saturating_sub(SKIP)).map(gate).collect::<Result<_, _>>()?,
            last: Conv::new(&(path / "last"), config.channels, config.colours, 3, 0.5)?,
        })
    }

    /// Pictures of latents, see [`super`]. `train` normalises by the batch and learns its statistics.
    ///
    /// # Errors
    /// When `x` is not `(N, latent + classes, 1, 1)`.
    pub fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor, TchError> {
        let [width, height] = self.grid;
        let spread =
            self.first.forward(x)?.f_view([-1, self.first.weight.size()[0] / (width * height), height, width])?;
        let mut maps = vec![self.norm.forward(&spread, train)?.f_glu(1)?];
        for (level, up) in self.ups.iter().enumerate() {
            let mut map = up.forward(&maps[level], train)?;
            if let Some(from) = (level + 1).checked_sub(SKIP) {
                map = self.gates[from].forward(&maps[from], &map)?;
            }
            maps.push(map);
        }
        as_picture(&self.last.forward(&maps[self.ups.len()])?)
    }
}
