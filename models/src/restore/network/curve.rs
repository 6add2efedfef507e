//! Low light: each place gets a tone curve of its own, estimated from a small copy of the picture.
//!
//! The curves are those of Zero-DCE (Guo et al. 2020): `x + a x (1 - x)`, applied several times, with an `a` for each time
//! and place; they are smooth, keep black and white, and never turn the order of two tones around. As in Zero-DCE++ (Li et
//! al. 2021) they are estimated at low resolution and enlarged, which costs next to nothing. Other than there, training is
//! by pairs of dark and good pictures, so that the brightness is that of the good ones; and how light the picture is as a whole
//! ([`tones`](crate::restore::tones)) is told to every place of it. Colour is scaled by a factor that is estimated likewise.

use tch::nn::Path;
use tch::{Kind, TchError, Tensor};

use super::backbone::{Backbone, Conv, cropped, padded};
use crate::restore::{self, Config, UNIT};

/// Samples of the half-size maps each way that share an estimate.
pub const CELL: i64 = 8;
/// Times that a curve is applied.
const TIMES: i64 = 8;
/// What is estimated: the bends of a curve, and the gain of colour.
pub const OUTPUTS: i64 = TIMES + 1;
/// As samples; full range is brightened nearly as well.
const BLACK: f64 = restore::BLACK / UNIT;
const WHITE: f64 = restore::WHITE / UNIT;
/// Chroma of grey.
const GREY: f64 = 128.0 / UNIT;

pub struct Curve {
    backbone: Backbone,
    last: Conv,
}

impl Curve {
    pub fn new(path: &Path, config: &Config) -> Result<Self, TchError> {
        Ok(Curve {
            backbone: Backbone::new(path, config.inputs(), config.channels, config.blocks)?,
            last: Conv::zero(&(path / "last"), config.channels, OUTPUTS)?,
        })
    }

    pub fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        // The border is repeated for the sake of the cells that it does not fill.
        let whole = padded(x, CELL)?;
        let small = whole.f_avg_pool2d([CELL, CELL], [CELL, CELL], [0, 0], false, true, None::<i64>)?;
        let curves = self.last.forward(&self.backbone.forward(&small)?)?.f_to_kind(Kind::Float)?;
        // From here on in fp32: bf16 would round the light at each bend.
        let x = &x.f_to_kind(Kind::Float)?;
        let (_, _, rows, columns) = curves.size4()?;
        let curves = curves.f_upsample_bilinear2d([rows * CELL, columns * CELL], false, None, None)?;
        let curves = cropped(&curves, x, 1)?;
        // Within -1 to 1, the order of tones and the ends stay.
        let bends = curves.f_narrow(1, 0, TIMES)?.f_tanh()?;

        let mut light = x.f_narrow(1, 0, 4)?.f_add_scalar(-BLACK)?.f_mul_scalar(1.0 / (WHITE - BLACK))?;
        for time in 0..TIMES {
            let bend = bends.f_narrow(1, time, 1)?;
            light = light.f_neg()?.f_add_scalar(1.0)?.f_mul(&light)?.f_mul(&bend)?.f_add(&light)?;
        }
        let luma = light.f_mul_scalar(WHITE - BLACK)?.f_add_scalar(BLACK)?;
        let gain = curves.f_narrow(1, TIMES, 1)?.f_add_scalar(1.0)?;
        let chroma = x.f_narrow(1, 4, 2)?.f_add_scalar(-GREY)?.f_mul(&gain)?.f_add_scalar(GREY)?;
        Tensor::f_cat(&[&luma, &chroma], 1)
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind, Tensor, nn};

    use crate::restore::network::RestoreNet;
    use crate::restore::{Config, Task};

    #[test]
    fn a_fresh_network_leaves_the_light_as_it_is_at_any_size() {
        let store = nn::VarStore::new(Device::Cpu);
        let net = RestoreNet::new(&store.root(), &Config::of(Task::LowLight, 1)).unwrap();
        for (height, width) in [(1, 1), (9, 16), (24, 31)] {
            let x = Tensor::rand([2, 18, height, width], (Kind::Float, Device::Cpu));
            let apart = tch::no_grad(|| (net.forward(&x).unwrap() - x.narrow(1, 0, 6)).abs().max().double_value(&[]));
            assert!(apart < 1e-6, "{height}x{width}: {apart}");
        }
    }

    #[test]
    fn black_and_white_stay_in_order_and_grey_has_no_colour() {
        let store = nn::VarStore::new(Device::Cpu);
        let net = RestoreNet::new(&store.root(), &Config::of(Task::LowLight, 1)).unwrap();
        let bias = store.variables()["last.bias"].shallow_clone();
        let _ = tch::no_grad(|| bias.shallow_clone().fill_(0.7));
        let of = |luma: f64| {
            let x = Tensor::cat(
                &[
                    Tensor::ones([1, 4, 8, 8], (Kind::Float, Device::Cpu)) * luma / 256.0,
                    Tensor::ones([1, 2, 8, 8], (Kind::Float, Device::Cpu)) * 0.5,
                    Tensor::zeros([1, 12, 8, 8], (Kind::Float, Device::Cpu)),
                ],
                1,
            );
            let y = tch::no_grad(|| net.forward(&x).unwrap()) * 256.0;
            [y.double_value(&[0, 0, 4, 4]), y.double_value(&[0, 5, 4, 4])]
        };
        assert!((of(16.0)[0] - 16.0).abs() < 1e-3 && (of(235.0)[0] - 235.0).abs() < 1e-3);
        assert!(of(60.0)[0] > 120.0, "{:?}", of(60.0));
        assert!((of(60.0)[1] - 128.0).abs() < 1e-3);
        for most in [-9.0, 9.0] {
            let _ = tch::no_grad(|| bias.shallow_clone().fill_(most));
            let luma: Vec<f64> = (16..=235).step_by(3).map(|luma| of(f64::from(luma))[0]).collect();
            assert!(luma.is_sorted() && luma[0] > 15.9 && luma[luma.len() - 1] < 235.1, "{most}: {luma:?}");
        }
    }
}
