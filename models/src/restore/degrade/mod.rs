//! Makes good pictures bad, in the ways that the networks are to mend: for training and for measuring.

mod blur;
mod jpeg;
mod light;
mod noise;
mod scale;

use rand::Rng;

pub use blur::Kernel;
pub use jpeg::jpeg;
pub use light::Darkness;
pub use noise::{Noise, normal};
pub use scale::shrink;

use super::Task;
use super::samples::Frame;

/// What happens to a picture, and to all that follow it in a clip.
#[derive(Debug, Clone, PartialEq)]
pub enum Degradation {
    Noise(Noise),
    /// JPEG of a quality, 1 to 100.
    Jpeg(u32),
    /// A blur, and the little noise that sensors always add after it.
    Blur(Kernel, Noise),
    /// So many times smaller, by cubic filters of this sharpness.
    Shrink {
        scale: usize,
        sharpness: f64,
    },
    Dark(Darkness),
}

impl Degradation {
    /// One of those that `task` is trained on.
    pub fn random(task: Task, scale: usize, rng: &mut impl Rng) -> Self {
        match task {
            Task::Denoise => Degradation::Noise(Noise::random(rng)),
            // Two thirds from 8 to 50, a third up to what good cameras send.
            Task::Deblock if rng.random_range(0..3) < 2 => Degradation::Jpeg(rng.random_range(8..=50)),
            Task::Deblock => Degradation::Jpeg(rng.random_range(50..=92)),
            Task::Deblur => Degradation::Blur(Kernel::random(rng), Noise::faint(rng)),
            Task::SuperResolution => Degradation::Shrink { scale, sharpness: rng.random_range(0.5..=0.75) },
            Task::LowLight => Degradation::Dark(Darkness::random(rng)),
        }
    }

    /// The picture as it would have come. Random parts of it are drawn from `rng`.
    pub fn apply(&self, frame: &Frame, rng: &mut impl Rng) -> Frame {
        match self {
            Degradation::Noise(noise) => noise.apply(frame, rng),
            Degradation::Jpeg(quality) => jpeg(frame, *quality),
            Degradation::Blur(kernel, noise) => noise.apply(&kernel.apply(frame), rng),
            Degradation::Shrink { scale, sharpness } => shrink(frame, *scale, *sharpness),
            Degradation::Dark(darkness) => darkness.apply(frame, rng),
        }
    }

    /// The standard deviation of the noise of luma, in levels of 8 bits.
    pub fn level(&self) -> f64 {
        match self {
            Degradation::Noise(noise) | Degradation::Blur(_, noise) => noise.level,
            Degradation::Dark(darkness) => darkness.noise.level,
            Degradation::Jpeg(_) | Degradation::Shrink { .. } => 0.0,
        }
    }
}

/// A picture of the same size whose planes `f` makes of the old ones; it is given a plane's number and the samples with
/// their width.
fn map_planes(frame: &Frame, mut f: impl FnMut(usize, &[u8], usize) -> Vec<u8>) -> Frame {
    let widths = [frame.width, frame.width.div_ceil(2), frame.width.div_ceil(2)];
    let planes: [Vec<u8>; 3] = std::array::from_fn(|index| f(index, &frame.plane(index), widths[index]));
    let mut out = frame.clone();
    out.set(&planes);
    out
}
