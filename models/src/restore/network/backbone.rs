//! What the networks have in common: residual blocks of dense 3x3 convolutions over cells of 4x4 luma samples, or 8x8.
//!
//! Working on cells (`pixel_unshuffle`, Shi et al. 2016 turned around, as FFDNet does: Zhang et al. 2018) makes the
//! convolutions few and wide, which is what bf16 units run at full rate, and lets each of them see 12x12 samples or more.
//! Blocks have no norms, as in EDSR (Lim et al. 2017): one convolution, ReLU, a second one beside a way past both.

use tch::nn::{Init, Path};
use tch::{Kind, TchError, Tensor};

use crate::in_place::{add, relu};

/// A 3x3 convolution with bias, "same" padding.
pub struct Conv {
    weight: Tensor,
    bias: Tensor,
}

impl Conv {
    /// `gain` scales the deviation that keeps variance through a ReLU (He et al. 2015).
    pub fn new(path: &Path, inputs: i64, outputs: i64, gain: f64) -> Result<Self, TchError> {
        let init = Init::Randn { mean: 0.0, stdev: gain * (2.0 / (9 * inputs) as f64).sqrt() };
        Ok(Conv {
            weight: path.f_var("weight", &[outputs, inputs, 3, 3], init)?,
            bias: path.f_var("bias", &[outputs], Init::Const(0.0))?,
        })
    }

    /// All weights zero: what this gives, added to something, changes nothing until it is trained.
    pub fn zero(path: &Path, inputs: i64, outputs: i64) -> Result<Self, TchError> {
        Ok(Conv {
            weight: path.f_var("weight", &[outputs, inputs, 3, 3], Init::Const(0.0))?,
            bias: path.f_var("bias", &[outputs], Init::Const(0.0))?,
        })
    }

    pub fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let (weight, bias) = (in_kind_of(&self.weight, x)?, in_kind_of(&self.bias, x)?);
        x.f_conv2d(&weight, Some(&bias), [1, 1], [1, 1], [1, 1], 1)
    }
}

/// Training keeps fp32 weights and may compute in bf16; elsewhere both agree and nothing happens, not even in a trace.
pub fn in_kind_of(weight: &Tensor, x: &Tensor) -> Result<Tensor, TchError> {
    let kind = x.f_kind()?;
    if weight.f_kind()? == kind { Ok(weight.shallow_clone()) } else { weight.f_to_kind(kind) }
}

/// Channels of the means that [`detail`] gives.
pub const MEANS: i64 = 3;
/// Differences are multiplied by the first on their way into a network, and what it gives is divided by the second. Both are
/// then about as large as random weights make them.
pub const DETAIL: f64 = 8.0;
pub const CHANGE: f64 = 64.0;

/// Of pictures as cells `(N, 6 * area, h, w)`, each plane less what the first picture has on average in the 3x3 cells about,
/// and these means, in fp32. The brightness of samples is twenty times what is to be seen in them; left in, it is all that
/// first layers see for thousands of steps of training.
pub fn detail(pictures: &[Tensor], area: i64) -> Result<[Tensor; 2], TchError> {
    let (mut parts, mut means): (Vec<Tensor>, Vec<Tensor>) = (Vec::new(), Vec::new());
    for picture in pictures {
        for (index, plane) in picture.f_split_with_sizes([4 * area, area, area], 1)?.iter().enumerate() {
            let plane = plane.f_to_kind(Kind::Float)?;
            if means.len() == index {
                let mean = plane.f_mean_dim(&[1i64][..], true, Kind::Float)?;
                means.push(mean.f_avg_pool2d([3, 3], [1, 1], [1, 1], false, false, None::<i64>)?);
            }
            parts.push(plane.f_sub(&means[index])?);
        }
    }
    Ok([Tensor::f_cat(&parts, 1)?, Tensor::f_cat(&means, 1)?.f_add_scalar(-0.5)?])
}

struct Residual([Conv; 2]);

impl Residual {
    fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        add(self.0[1].forward(&relu(self.0[0].forward(x)?)?)?, x)
    }
}

/// `inputs` channels to `channels` by one convolution, then the blocks; no resolution is lost.
pub struct Backbone {
    first: Conv,
    blocks: Vec<Residual>,
}

impl Backbone {
    pub fn new(path: &Path, inputs: i64, channels: i64, blocks: i64) -> Result<Self, TchError> {
        let block = |index: i64| {
            let path = path / "blocks" / index;
            // Small second convolutions: a deep sum of blocks begins as about one of them.
            Ok(Residual([
                Conv::new(&(&path / 0), channels, channels, 1.0)?,
                Conv::new(&(&path / 1), channels, channels, 0.3)?,
            ]))
        };
        Ok(Backbone {
            first: Conv::new(&(path / "first"), inputs, channels, 1.0)?,
            blocks: (0..blocks).map(block).collect::<Result<_, TchError>>()?,
        })
    }

    pub fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let mut x = relu(self.first.forward(x)?)?;
        for block in &self.blocks {
            x = block.forward(&x)?;
        }
        relu(x)
    }
}

/// Cells a side, at least: where every cell lies at a border, a network sees what it was never trained on. It moved the mean of
/// frames of three rows by ten levels.
const LEAST: i64 = 4;

/// `x` with its last row and column repeated until both sides are whole cells, and enough of them.
pub fn padded(x: &Tensor, cell: i64) -> Result<Tensor, TchError> {
    let (_, _, height, width) = x.size4()?;
    let missing = |side: i64| (LEAST * cell - side).max((cell - side % cell) % cell);
    match (missing(height), missing(width)) {
        (0, 0) => Ok(x.shallow_clone()),
        (below, right) => x.f_replication_pad2d([0, right, 0, below]),
    }
}

/// The upper left part of `x`, as large as `like` times `scale`.
pub fn cropped(x: &Tensor, like: &Tensor, scale: i64) -> Result<Tensor, TchError> {
    let (_, _, height, width) = like.size4()?;
    let (_, _, from_height, from_width) = x.size4()?;
    if (height * scale, width * scale) == (from_height, from_width) {
        return Ok(x.shallow_clone());
    }
    x.f_narrow(2, 0, height * scale)?.f_narrow(3, 0, width * scale)
}
