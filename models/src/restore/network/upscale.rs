//! Super-resolution: a picture two or four times wider and higher.
//!
//! The residual blocks run at the size that came, and sub-pixel shuffling (ESPCN, Shi et al. 2016) makes their channels
//! pixels, as in EDSR (Lim et al. 2017) and SRVGGNetCompact (Wang et al. 2021). They work on 2x2 luma samples and their
//! chroma, half the cell of the other networks, since the finest detail is what counts here. What they correct is a plain
//! enlargement that a convolution does beside them: it begins as bicubic interpolation (Keys 1981), and learns.

use tch::nn::Path;
use tch::{Kind, TchError, Tensor};

use super::backbone::{Backbone, CHANGE, Conv, DETAIL, MEANS, detail, in_kind_of};
use crate::restore::{Config, SAMPLES};

/// Cells each way that plain enlargement looks at.
const SEEN: usize = 5;

pub struct Upscale {
    backbone: Backbone,
    last: Conv,
    /// What bicubic interpolation adds to the nearest sample: `(6 * scale^2, 6, SEEN, SEEN)`.
    plain: Tensor,
    /// Channels of the nearest samples. Made beforehand: a tracer records of a tensor made within how large it is, not what
    /// is in it.
    nearest: Tensor,
    scale: i64,
}

impl Upscale {
    pub fn new(path: &Path, config: &Config) -> Result<Self, TchError> {
        let outputs = SAMPLES * config.scale * config.scale;
        let seen = SEEN as i64;
        let plain = (path / "plain").f_var("weight", &[outputs, SAMPLES, seen, seen], tch::nn::Init::Const(0.0))?;
        let bicubic = Tensor::f_from_slice(&bicubic(config.scale as usize))?.f_view([outputs, SAMPLES, seen, seen])?;
        tch::no_grad(|| plain.shallow_clone().f_copy_(&bicubic))?;
        let nearest: Vec<i64> = phases(config.scale as usize).iter().map(|phase| phase.nearest as i64).collect();
        Ok(Upscale {
            backbone: Backbone::new(path, SAMPLES + MEANS, config.channels, config.blocks)?,
            last: Conv::zero(&(path / "last"), config.channels, outputs)?,
            plain,
            nearest: Tensor::f_from_slice(&nearest)?.f_to_device(path.device())?,
            scale: config.scale,
        })
    }

    pub fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let [detail, means] = detail(&[x.shallow_clone()], 1)?;
        let input = Tensor::f_cat(&[&detail.f_mul_scalar(DETAIL)?, &means], 1)?.f_to_kind(x.f_kind()?)?;
        let change = self.last.forward(&self.backbone.forward(&input)?)?.f_to_kind(Kind::Float)?;
        // In fp32: bf16 would round what is interpolated, and lose changes of less than half a level.
        let x = x.f_to_kind(Kind::Float)?;
        let nearest = x.f_index_select(1, &self.nearest)?;
        let around = x.f_replication_pad2d([(SEEN / 2) as i64; 4])?;
        let plain = around.f_conv2d(&in_kind_of(&self.plain, &x)?, None::<Tensor>, [1, 1], [0, 0], [1, 1], 1)?;
        nearest.f_add(&plain)?.f_add(&change.f_mul_scalar(1.0 / CHANGE)?)?.f_pixel_shuffle(self.scale)
    }
}

/// One of the samples that a cell becomes: which channel of the cell it belongs to, where it is, and what is nearest.
struct Phase {
    chroma: Option<usize>,
    /// Down and across, in samples of the plane that came, from the first sample of the cell.
    place: [f64; 2],
    nearest: usize,
}

/// In the order of the channels that `pixel_shuffle` takes apart.
fn phases(scale: usize) -> Vec<Phase> {
    let mut phases = Vec::new();
    for (channel, down, across) in
        (0..SAMPLES as usize).flat_map(|c| (0..scale).flat_map(move |i| (0..scale).map(move |j| (c, i, j))))
    {
        let centre = |fine: usize| (fine as f64 + 0.5) / scale as f64 - 0.5;
        phases.push(if channel < 4 {
            let (y, x) = (2 * down + channel / 2, 2 * across + channel % 2);
            Phase { chroma: None, place: [centre(y), centre(x)], nearest: y / scale * 2 + x / scale }
        } else {
            Phase { chroma: Some(channel), place: [centre(down), centre(across)], nearest: channel }
        });
    }
    phases
}

/// Weights of bicubic interpolation less those of the nearest sample.
fn bicubic(scale: usize) -> Vec<f32> {
    let middle = (SEEN / 2) as i64;
    let cubic = |x: f64| {
        let x = x.abs();
        if x < 1.0 {
            (1.5 * x - 2.5) * x * x + 1.0
        } else if x < 2.0 {
            ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
        } else {
            0.0
        }
    };
    let mut weights = Vec::new();
    for phase in phases(scale) {
        for channel in 0..SAMPLES as usize {
            for (y, x) in (0..SEEN).flat_map(|y| (0..SEEN).map(move |x| (y as i64 - middle, x as i64 - middle))) {
                // Where this weight's sample is in its plane, if it is of the phase's plane.
                let place = match phase.chroma {
                    Some(chroma) => (chroma == channel).then_some([y as f64, x as f64]),
                    None => (channel < 4)
                        .then_some([(2 * y) as f64 + (channel / 2) as f64, (2 * x) as f64 + (channel % 2) as f64]),
                };
                let weight = place.map_or(0.0, |[y, x]| cubic(y - phase.place[0]) * cubic(x - phase.place[1]));
                let nearest = (y, x) == (0, 0) && channel == phase.nearest;
                weights.push((weight - f64::from(u8::from(nearest))) as f32);
            }
        }
    }
    weights
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind, Tensor, nn};

    use super::bicubic;
    use crate::restore::network::RestoreNet;
    use crate::restore::{Config, Task};

    #[test]
    fn a_fresh_network_interpolates_and_keeps_slopes_in_place() {
        for scale in [2, 4] {
            let store = nn::VarStore::new(Device::Cpu);
            let config = Config { channels: 8, blocks: 1, ..Config::of(Task::SuperResolution, scale) };
            let net = RestoreNet::new(&store.root(), &config).unwrap();
            // Luma that rises by 2 across and 1 down, U by 1 across and 3 down, in 256ths.
            let slope = |height: i64, width: i64, down: f64, across: f64, y: f64, x: f64| {
                let axis = |n: i64| Tensor::arange(n, (Kind::Float, Device::Cpu));
                (axis(height).view([-1, 1]) + y) * (down / 256.0) + (axis(width).view([1, -1]) + x) * (across / 256.0)
            };
            let samples = |h: i64, w: i64, step: f64| {
                let o = 0.5 * step - 0.5;
                let luma = slope(2 * h, 2 * w, step, 2.0 * step, o / step, o / step).view([1, 1, 2 * h, 2 * w]);
                let u = slope(h, w, 3.0 * step, step, o / step, o / step).view([1, 1, h, w]);
                Tensor::cat(&[&luma.pixel_unshuffle(2), &u, &u], 1)
            };
            let large = tch::no_grad(|| net.forward(&samples(9, 12, 1.0)).unwrap());
            let expected = samples(9 * scale, 12 * scale, 1.0 / scale as f64);
            assert_eq!(large.size(), expected.size());
            let inner = |x: &Tensor| x.narrow(2, 3 * scale, 3 * scale).narrow(3, 3 * scale, 6 * scale);
            let apart = (inner(&large) - inner(&expected)).abs().max().double_value(&[]);
            assert!(apart < 1e-5, "x{scale}: {apart}");
        }
    }

    #[test]
    fn flat_pictures_stay_flat() {
        for scale in [2, 4] {
            let weights = bicubic(scale);
            assert!(weights.chunks(6 * 25).all(|sample| sample.iter().sum::<f32>().abs() < 1e-5));
        }
    }

    #[test]
    fn what_is_traced_is_what_is_computed() {
        use tch::CModule;

        for config in
            Task::ALL.map(|task| Config::of(task, 2)).into_iter().chain([Config::of(Task::SuperResolution, 4)])
        {
            let mut store = nn::VarStore::new(Device::Cpu);
            let net = RestoreNet::new(&store.root(), &Config { channels: 8, blocks: 1, ..config }).unwrap();
            for (_, variable) in store.variables() {
                let noise = variable.randn_like() * 0.05;
                let _ = tch::no_grad(|| variable.shallow_clone().g_add_(&noise));
            }
            store.freeze();
            let x = Tensor::rand([1, config.inputs(), 12, 18], (Kind::Float, Device::Cpu));
            let archive = gst_torch_runtime::trace(&x, |x| Ok(vec![net.forward(x)?])).unwrap();
            let traced = CModule::load_data(&mut archive.as_slice()).unwrap();
            let other = x.flip([3]);
            let apart = traced.forward_ts(&[&other]).unwrap() - net.forward(&other).unwrap();
            assert!(apart.abs().max().double_value(&[]) < 1e-5, "{}", config.task);
        }
    }
}
