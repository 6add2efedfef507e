//! Denoising, deblocking and deblurring: a picture of the same size, as a correction of the one that came.
//!
//! The denoiser is recurrent: beside the noisy frame it sees what it made of the frame before, moved to where things are
//! now, and the level of the noise. That is the cheap half of what FastDVDnet (Tassano et al. 2020) and its successors do
//! with five frames: no frame is waited for, and all of the past is in the one picture. Noise levels as an input map are
//! FFDNet's (Zhang et al. 2018). The deblocker and the deblurrer see the present frame alone, as DnCNN (Zhang et al. 2017)
//! does, and learn the difference, as it does; what is small beside the brightness of samples is all that they mend, so that
//! they see it apart from that. The deblocker's cells are as large as the blocks of JPEG, and lie as they do, so
//! that it knows where their edges are, and has a block's samples, or its frequencies, in one place.
//!
//! Where there is a history, half of the last convolution's channels say how much of it to take in place of the noisy
//! samples, as a Kalman filter weighs what it predicted against what it measured; the other half is a correction of that.

use tch::nn::Path;
use tch::{Kind, TchError, Tensor};

use super::backbone::{Backbone, CHANGE, Conv, DETAIL, MEANS, cropped, detail, padded};
use crate::restore::{Config, SAMPLES};

pub struct Filter {
    backbone: Backbone,
    last: Conv,
    /// Pictures in the input, one or two.
    pictures: i64,
    level: bool,
    /// Samples of the half-size maps each way in a cell.
    cell: i64,
}

impl Filter {
    pub fn new(path: &Path, config: &Config) -> Result<Self, TchError> {
        let cell = config.cell();
        let pictures = config.inputs() / SAMPLES;
        let channels = pictures * SAMPLES * cell * cell;
        Ok(Filter {
            backbone: Backbone::new(
                path,
                channels + if config.level { 1 } else { MEANS },
                config.channels,
                config.blocks,
            )?,
            last: Conv::zero(&(path / "last"), config.channels, channels)?,
            pictures,
            level: config.level,
            cell,
        })
    }

    pub fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let Filter { pictures, cell, .. } = *self;
        let whole = padded(x, cell)?;
        let cells = whole.f_narrow(1, 0, pictures * SAMPLES)?.f_pixel_unshuffle(cell)?;
        let pictures = cells.f_chunk(pictures, 1)?;
        let input = if self.level {
            // The same everywhere in a cell, so that one of its samples is enough.
            let level = whole.f_slice(1, -1, None, 1)?.f_slice(2, None, None, cell)?.f_slice(3, None, None, cell)?;
            Tensor::f_cat(&[&cells, &level], 1)?
        } else {
            let [detail, means] = detail(&pictures, cell * cell)?;
            Tensor::f_cat(&[&detail.f_mul_scalar(DETAIL)?, &means], 1)?.f_to_kind(x.f_kind()?)?
        };
        // In fp32: corrections of less than half a level would be lost in bf16, and with them most of what there is to learn.
        let last = self.last.forward(&self.backbone.forward(&input)?)?.f_to_kind(Kind::Float)?;
        let last = last.f_chunk(pictures.len() as i64, 1)?;
        let change = if self.level { last[0].shallow_clone() } else { last[0].f_mul_scalar(1.0 / CHANGE)? };
        let frame = pictures[0].f_to_kind(Kind::Float)?;
        let mut restored = frame.f_add(&change)?;
        if let [_, history] = &pictures[..] {
            restored = history.f_to_kind(Kind::Float)?.f_sub(&frame)?.f_mul(&last[1])?.f_add(&restored)?;
        }
        cropped(&restored.f_pixel_shuffle(cell)?, x, 1)
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind, Tensor, nn};

    use crate::restore::network::RestoreNet;
    use crate::restore::{Config, Task};

    #[test]
    fn a_fresh_network_gives_the_frame_that_came_at_any_size() {
        for task in [Task::Denoise, Task::Deblock, Task::Deblur] {
            let store = nn::VarStore::new(Device::Cpu);
            let config = Config { channels: 8, blocks: 1, ..Config::of(task, 1) };
            let net = RestoreNet::new(&store.root(), &config).unwrap();
            for (height, width) in [(1, 1), (9, 16), (16, 31)] {
                let x = Tensor::rand([2, config.inputs(), height, width], (Kind::Float, Device::Cpu));
                assert_eq!(tch::no_grad(|| net.forward(&x).unwrap()), x.narrow(1, 0, 6), "{task} {height}x{width}");
            }
        }
    }

    #[test]
    fn gradients_reach_every_weight_and_all_of_the_input_is_used() {
        let store = nn::VarStore::new(Device::Cpu);
        let config = Config { channels: 8, blocks: 2, ..Config::of(Task::Denoise, 1) };
        let net = RestoreNet::new(&store.root(), &config).unwrap();
        for (_, variable) in store.variables() {
            let _ = tch::no_grad(|| variable.shallow_clone().normal_(0.0, 0.1));
        }
        let x = Tensor::rand([1, 13, 8, 8], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        net.forward(&x).unwrap().square().sum(Kind::Float).backward();
        for (name, variable) in store.variables() {
            assert!(variable.grad().abs().max().double_value(&[]) > 0.0, "{name} got no gradient");
        }
        let used = x.grad().abs().amax([0i64, 2, 3], false);
        assert!(used.min().double_value(&[]) > 0.0, "{used}");
    }
}
