//! What VAE and VQ-VAE share: pictures to maps of a coarse grid, and back.
//!
//! Residual blocks of dense 3x3 convolutions without norms. The finest maps are cells of 2x2 pixels (`pixel_shuffle`, Shi et al.
//! 2016), so that nothing runs at full size.

use tch::nn::Path;
use tch::{TchError, Tensor};

use super::layers::{Conv, Residual, as_picture, doubled};

/// Sizes of both halves.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub colours: i64,
    /// At half the size of the pictures; each further halving doubles them, up to [`WIDEST`] times as many.
    pub channels: i64,
    /// Halvings from the pictures to the grid, at least 2.
    pub halvings: usize,
}

const WIDEST: i64 = 4;
/// Residual blocks on the grid of the decoder; half as many on that of the encoder.
const DEEP: usize = 4;

impl Shape {
    /// Channels after so many halvings, from 1.
    fn width(&self, halvings: usize) -> i64 {
        (self.channels << (halvings - 1)).min(self.channels * WIDEST)
    }

    /// Multiplications of one picture of so many pixels, encoder and decoder.
    pub fn macs(&self, pixels: i64, inner: i64) -> [i64; 2] {
        let cells = |halvings: usize| pixels >> (2 * halvings);
        let deepest = self.width(self.halvings);
        let ends = 9 * cells(self.halvings) * deepest * inner;
        let outer = 9 * cells(1) * 4 * self.colours * self.channels;
        let steps: i64 = (2..=self.halvings).map(|h| 9 * self.width(h - 1) * self.width(h) * cells(h)).sum();
        let ups: i64 = (2..=self.halvings).map(|h| 9 * self.width(h - 1) * self.width(h) * cells(h - 1)).sum();
        let block = |h: usize| 2 * 9 * self.width(h) * self.width(h) * cells(h);
        let blocks: i64 = (1..self.halvings).map(block).sum();
        let deep = block(self.halvings);
        [outer + steps + blocks + DEEP as i64 / 2 * deep + ends, ends + ups + blocks + DEEP as i64 * deep + outer]
    }
}

fn blocks(path: &Path, count: usize, channels: i64) -> Result<Vec<Residual>, TchError> {
    (0..count).map(|index| Residual::new(&(path / index), channels)).collect()
}

fn through(blocks: &[Residual], x: &Tensor) -> Result<Tensor, TchError> {
    blocks.iter().try_fold(x.shallow_clone(), |x, block| block.forward(&x))
}

/// Pictures `(N, colours, H, W)` of 0 to 1 to maps `(N, outputs, H >> halvings, W >> halvings)`.
pub struct Encoder {
    first: Conv,
    /// Blocks at a size, and the convolution that halves it.
    stages: Vec<(Vec<Residual>, Conv)>,
    deep: Vec<Residual>,
    last: Conv,
}

impl Encoder {
    pub fn new(path: &Path, shape: Shape, outputs: i64) -> Result<Self, TchError> {
        let stage = |halvings: usize| {
            let path = path / "stages" / (halvings - 1);
            let (from, to) = (shape.width(halvings), shape.width(halvings + 1));
            Ok((blocks(&(&path / "blocks"), 1, from)?, Conv::new(&(&path / "half"), from, to, 3, 1.0)?.strided(2)))
        };
        let deepest = shape.width(shape.halvings);
        Ok(Encoder {
            first: Conv::new(&(path / "first"), 4 * shape.colours, shape.channels, 3, 1.0)?,
            stages: (1..shape.halvings).map(stage).collect::<Result<_, TchError>>()?,
            deep: blocks(&(path / "deep"), DEEP / 2, deepest)?,
            last: Conv::new(&(path / "last"), deepest, outputs, 3, 0.7)?,
        })
    }

    pub fn forward(&self, pictures: &Tensor) -> Result<Tensor, TchError> {
        let centred = pictures.f_mul_scalar(2.0)?.f_add_scalar(-1.0)?;
        let mut x = self.first.forward(&centred.f_pixel_unshuffle(2)?)?;
        for (blocks, half) in &self.stages {
            x = half.forward(&through(blocks, &x)?)?;
        }
        self.last.forward(&through(&self.deep, &x)?.f_relu()?)
    }
}

/// Maps `(N, inputs, h, w)` to pictures of 0 to 1.
pub struct Decoder {
    first: Conv,
    deep: Vec<Residual>,
    /// The convolution after a doubling, and blocks at the new size.
    stages: Vec<(Conv, Vec<Residual>)>,
    last: Conv,
}

impl Decoder {
    pub fn new(path: &Path, shape: Shape, inputs: i64) -> Result<Self, TchError> {
        let stage = |halvings: usize| {
            let path = path / "stages" / (halvings - 1);
            let (from, to) = (shape.width(halvings + 1), shape.width(halvings));
            Ok((Conv::new(&(&path / "double"), from, to, 3, 0.7)?, blocks(&(&path / "blocks"), 1, to)?))
        };
        let deepest = shape.width(shape.halvings);
        Ok(Decoder {
            first: Conv::new(&(path / "first"), inputs, deepest, 3, 1.0)?,
            deep: blocks(&(path / "deep"), DEEP, deepest)?,
            stages: (1..shape.halvings).rev().map(stage).collect::<Result<_, TchError>>()?,
            last: Conv::new(&(path / "last"), shape.channels, 4 * shape.colours, 3, 0.5)?,
        })
    }

    pub fn forward(&self, maps: &Tensor) -> Result<Tensor, TchError> {
        let mut x = through(&self.deep, &self.first.forward(maps)?)?;
        for (double, blocks) in &self.stages {
            x = through(blocks, &double.forward(&doubled(&x)?)?)?;
        }
        as_picture(&self.last.forward(&x.f_relu()?)?.f_pixel_shuffle(2)?)
    }
}
