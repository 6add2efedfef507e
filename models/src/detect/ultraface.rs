//! The slim network of Ultra-Light-Fast-Generic-Face-Detector-1MB (github.com/Linzaer, MIT), for its published weights: a
//! real detector of the SSD type, 1 MB large.
//!
//! A MobileNet of depthwise-separable blocks, four levels of default boxes, two outputs: probabilities `(1, N, 2)` of
//! background and face, and corners `(1, N, 4)`, 0 to 1, with the default boxes already applied: layout `ssd`.
//! Input: RGB `(1, 3, 240, 320)` (or any other size that the weights were trained for), `(level - 127) / 128`, stretched.

use std::collections::HashMap;
use std::path::Path;

use tch::{Device, Kind, TchError, Tensor};

use crate::checkpoint;

/// The strides of the blocks; the first is an ordinary convolution. Widths come with the weights.
const BLOCKS: [i64; 13] = [2, 1, 2, 1, 2, 1, 1, 1, 2, 1, 1, 2, 1];

/// The blocks after which a level is taken; the last level is the extra layers'.
const LEVELS: [usize; 3] = [7, 10, 12];

const STRIDES: [i64; 4] = [8, 16, 32, 64];

/// Sides of the square default boxes of each level, pixels.
const SIDES: [&[f32]; 4] = [&[10.0, 16.0, 24.0], &[32.0, 48.0], &[64.0, 96.0], &[128.0, 192.0, 256.0]];

/// How far offsets move a default box's centre (in its sides) and scale its size (in logarithms).
const VARIANCES: [f64; 2] = [0.1, 0.2];

const NORM_EPSILON: f64 = 1e-5;

/// The network as the bytes of a TorchScript file, for pictures of `width` x `height`, with the weights of `pth`.
///
/// # Errors
/// When the file is no checkpoint of this network.
pub fn torchscript(pth: &Path, width: i64, height: i64) -> Result<Vec<u8>, Error> {
    let weights = Weights { named: checkpoint::read(pth)? };
    let picture = Tensor::f_zeros([1, 3, height, width], (Kind::Float, Device::Cpu))?;
    // Made before: to the tracer, numbers that are copied into a tensor are memory that nothing was written to.
    let defaults = defaults(width, height)?;
    gst_torch_runtime::trace(&picture, |picture| forward(&weights, &defaults, picture)).map_err(Error::Torch)
}

/// Why the network could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Checkpoint(#[from] checkpoint::Error),
    #[error("the UltraFace network cannot be made: {0}")]
    Torch(String),
}

impl From<TchError> for Error {
    fn from(error: TchError) -> Self {
        Error::Torch(error.to_string())
    }
}

struct Weights {
    named: HashMap<String, Tensor>,
}

impl Weights {
    fn get(&self, name: &str) -> Result<&Tensor, TchError> {
        self.named.get(name).ok_or_else(|| TchError::FileFormat(format!("the weights have no '{name}'")))
    }

    /// A convolution with the bias, if it has one; padded so that only the stride changes the size.
    fn conv(&self, x: &Tensor, name: &str, stride: i64) -> Result<Tensor, TchError> {
        let weight = self.get(&format!("{name}.weight"))?;
        let size = weight.size();
        let [_, per_group, kernel, _] = size[..] else {
            return Err(TchError::Shape(format!("'{name}.weight' is {size:?}, no convolution")));
        };
        let groups = if per_group == 1 { x.size()[1] } else { 1 };
        let bias = self.named.get(&format!("{name}.bias"));
        x.f_conv2d(weight, bias, stride, kernel / 2, 1, groups)
    }

    /// Convolution, batch norm and ReLU: places `first` to `first + 2` of a block.
    fn unit(&self, x: &Tensor, block: usize, first: usize, stride: i64) -> Result<Tensor, TchError> {
        let norm = format!("base_net.{block}.{}", first + 1);
        let get = |part: &str| self.get(&format!("{norm}.{part}"));
        self.conv(x, &format!("base_net.{block}.{first}"), stride)?
            .f_batch_norm(
                Some(get("weight")?),
                Some(get("bias")?),
                Some(get("running_mean")?),
                Some(get("running_var")?),
                false,
                0.0,
                NORM_EPSILON,
                false,
            )?
            .f_relu()
    }

    /// Depthwise convolution, ReLU, 1x1 convolution.
    fn separable(&self, x: &Tensor, name: &str, stride: i64) -> Result<Tensor, TchError> {
        let depthwise = self.conv(x, &format!("{name}.0"), stride)?.f_relu()?;
        self.conv(&depthwise, &format!("{name}.2"), 1)
    }
}

fn forward(weights: &Weights, defaults: &Tensor, picture: &Tensor) -> Result<Vec<Tensor>, TchError> {
    let mut x = picture.shallow_clone();
    let mut levels = Vec::new();
    for (block, stride) in BLOCKS.into_iter().enumerate() {
        x = weights.unit(&x, block, 0, stride)?;
        if block > 0 {
            x = weights.unit(&x, block, 3, 1)?;
        }
        if LEVELS.contains(&block) {
            levels.push(x.shallow_clone());
        }
    }
    x = weights.conv(&x, "extras.0.0", 1)?.f_relu()?;
    levels.push(weights.separable(&x, "extras.0.2", 2)?.f_relu()?);

    let scores = rows(weights, "classification_headers", &levels, 2)?.f_softmax(2, Kind::Float)?;
    let offsets = rows(weights, "regression_headers", &levels, 4)?;
    Ok(vec![scores, corners(&offsets, defaults)?])
}

/// What a head says about every default box, `(1, N, numbers)`.
fn rows(weights: &Weights, heads: &str, levels: &[Tensor], numbers: i64) -> Result<Tensor, TchError> {
    let mut all = Vec::new();
    for (i, level) in levels.iter().enumerate() {
        let name = format!("{heads}.{i}");
        let map = if i < LEVELS.len() { weights.separable(level, &name, 1)? } else { weights.conv(level, &name, 1)? };
        all.push(map.f_permute([0, 2, 3, 1])?.f_reshape([1, -1, numbers])?);
    }
    Tensor::f_cat(&all, 1)
}

/// Moves and scales the default boxes.
fn corners(offsets: &Tensor, defaults: &Tensor) -> Result<Tensor, TchError> {
    let (centre, size) = (defaults.f_narrow(1, 0, 2)?, defaults.f_narrow(1, 2, 2)?);
    let moved = offsets.f_narrow(2, 0, 2)?.f_mul_scalar(VARIANCES[0])?.f_mul(&size)?.f_add(&centre)?;
    let half = offsets.f_narrow(2, 2, 2)?.f_mul_scalar(VARIANCES[1])?.f_exp()?.f_mul(&size)?.f_mul_scalar(0.5)?;
    Tensor::f_cat(&[moved.f_sub(&half)?, moved.f_add(&half)?], 2)
}

/// The default boxes, `(N, 4)`: centre and size, 0 to 1.
fn defaults(width: i64, height: i64) -> Result<Tensor, TchError> {
    let (w, h) = (width as f32, height as f32);
    let mut numbers = Vec::new();
    for (stride, sides) in STRIDES.into_iter().zip(SIDES) {
        let centre = |cell: i64, side: f32| (cell as f32 + 0.5) * stride as f32 / side;
        let cells = |side: i64| (side + stride - 1) / stride;
        for row in 0..cells(height) {
            for column in 0..cells(width) {
                for side in sides {
                    let default = [centre(column, w), centre(row, h), side / w, side / h];
                    numbers.extend(default.map(|v| v.clamp(0.0, 1.0)));
                }
            }
        }
    }
    Tensor::f_from_slice(&numbers)?.f_view([-1, 4])
}
