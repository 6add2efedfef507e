//! Denoising, deblocking and deblurring: a picture of the same size, as a correction of the one that came.
//!
//! The denoiser is recurrent: beside the noisy frame it sees what it made of the frame before, moved to where things are
//! now, and the level of the noise. That is the cheap half of what FastDVDnet (Tassano et al. 2020) and its successors do
//! with five frames: no frame is waited for, and all of the past is in the one picture. Noise levels as an input map are
//! FFDNet's (Zhang et al. 2018). The deblocker and the deblurrer see the present frame alone, as DnCNN (Zhang et al. 2017)
//! does, and learn the difference, as it does.
//!
//! Where there is a history, half of the last convolution's channels say how much of it to take in place of the noisy
//! samples, as a Kalman filter weighs what it predicted against what it measured; the other half is a correction of that.

use tch::nn::Path;
use tch::{TchError, Tensor};

use super::backbone::{Backbone, CELL, Conv, cropped, padded};
use crate::restore::{Config, SAMPLES};

pub struct Filter {
    backbone: Backbone,
    last: Conv,
    /// Channels of the input that are pictures, and are taken apart into cells.
    pictures: i64,
    history: bool,
    level: bool,
}

/// Channels of the cells of a picture.
const CELLS: i64 = SAMPLES * CELL * CELL;

impl Filter {
    pub fn new(path: &Path, config: &Config) -> Result<Self, TchError> {
        let pictures = config.inputs() - i64::from(config.level);
        let inputs = pictures * CELL * CELL + i64::from(config.level);
        Ok(Filter {
            backbone: Backbone::new(path, inputs, config.channels, config.blocks)?,
            last: Conv::zero(&(path / "last"), config.channels, if config.history { 2 * CELLS } else { CELLS })?,
            pictures,
            history: config.history,
            level: config.level,
        })
    }

    pub fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let whole = padded(x)?;
        let cells = whole.f_narrow(1, 0, self.pictures)?.f_pixel_unshuffle(CELL)?;
        let input = if self.level {
            // The same everywhere in a cell, so that one of its samples is enough.
            let level = whole.f_narrow(1, self.pictures, 1)?;
            Tensor::f_cat(&[&cells, &level.f_slice(2, None, None, CELL)?.f_slice(3, None, None, CELL)?], 1)?
        } else {
            cells.shallow_clone()
        };
        let last = self.last.forward(&self.backbone.forward(&input)?)?;
        let frame = cells.f_narrow(1, 0, CELLS)?;
        let restored = if self.history {
            let history = cells.f_narrow(1, CELLS, CELLS)?;
            let share = last.f_narrow(1, CELLS, CELLS)?;
            let correction = last.f_narrow(1, 0, CELLS)?;
            history.f_sub(&frame)?.f_mul(&share)?.f_add(&correction)?.f_add(&frame)?
        } else {
            last.f_add(&frame)?
        };
        cropped(&restored.f_pixel_shuffle(CELL)?, x, 1)
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
