//! How good a network in training is, on the middle of each validation shot.

use anyhow::Result;
use gst_torch_models::metrics::psnr::psnr;
use gst_torch_models::metrics::ssim::ssim;
use gst_torch_models::restore::align::Aligner;
use gst_torch_models::restore::degrade::{Darkness, Degradation, Kernel, Noise};
use gst_torch_models::restore::network::RestoreNet;
use gst_torch_models::restore::samples::{self, Frame};
use gst_torch_models::restore::{Config, Task, noise};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tch::{Device, Kind};

use super::super::footage::{Cut, Footage};
use super::coded;
use super::streams::frame;
use crate::media::Yuv;

/// Side of the cut-outs that are scored, where the shots are as large.
const SIDE: usize = 256;
/// Frames of each shot.
const FRAMES: usize = 8;

/// A way to make good frames bad.
pub enum Example {
    /// Each for itself.
    Alone(Degradation),
    /// Coded one after the other, with a quantiser.
    X264(u32),
}

impl Example {
    fn apply(&self, cut: &Cut, frames: &[Yuv], rng: &mut StdRng) -> Result<Vec<Frame>> {
        Ok(match self {
            Example::Alone(degradation) => {
                frames.iter().map(|yuv| degradation.apply(&frame(cut.of(yuv)), rng)).collect()
            }
            Example::X264(quantiser) => {
                let pair = coded::pair(frames.to_vec(), *quantiser, "medium")?;
                pair.coded.iter().map(|yuv| frame(cut.of(yuv))).collect()
            }
        })
    }
}

/// What is scored, with its name.
pub fn examples(task: Task, scale: usize) -> Vec<(String, Example)> {
    let named = |name: &str, degradation| (name.to_string(), Example::Alone(degradation));
    match task {
        Task::Denoise => {
            [10.0, 25.0, 50.0].map(|s| named(&format!("sigma {s}"), Degradation::Noise(Noise::gaussian(s)))).into()
        }
        Task::Deblock => {
            let jpeg = [20, 40, 80].map(|q| named(&format!("JPEG {q}"), Degradation::Jpeg(q)));
            jpeg.into_iter().chain([28, 34].map(|q| (format!("x264 {q}"), Example::X264(q)))).collect()
        }
        Task::Deblur => {
            let still = Noise::gaussian(0.0);
            vec![
                named("line 5", Degradation::Blur(Kernel::Motion { length: 5.0, angle: 0.5 }, still)),
                named("line 9", Degradation::Blur(Kernel::Motion { length: 9.0, angle: 2.0 }, still)),
                named("disc 5", Degradation::Blur(Kernel::Focus { diameter: 5.0 }, still)),
            ]
        }
        Task::SuperResolution => vec![named("bicubic", Degradation::Shrink { scale, sharpness: 0.6 })],
        Task::LowLight => {
            let noise = Noise { level: 2.0, shot: 0.5, chroma: 0.7 };
            vec![named("dark", Degradation::Dark(Darkness { gamma: 2.0, gain: 0.6, noise }))]
        }
    }
}

/// Means over frames of what a network gives: PSNR and SSIM of luma, and the PSNR of what it was given, if of equal size.
#[derive(Debug, Clone, Copy, Default)]
pub struct Score {
    pub psnr: f64,
    pub ssim: f64,
    pub before: Option<f64>,
}

/// Scores `net` with one example. Gaussian levels are estimated, as they are where nobody knows them.
pub fn score(
    net: &RestoreNet,
    config: &Config,
    val: &Footage,
    example: &Example,
    (kind, device): (Kind, Device),
) -> Result<Option<Score>> {
    let _guard = tch::no_grad_guard();
    let mut rng = StdRng::seed_from_u64(1);
    let (mut score, mut count, mut before) = (Score::default(), 0.0, 0.0);
    for shot in val.shots() {
        let side = SIDE.min(shot[0].width).min(shot[0].height) & !15;
        let cut = Cut::middle(&shot[0], side);
        let mut aligner = Aligner::default();
        let mut restored: Option<Frame> = None;
        let wanted = if config.history || matches!(example, Example::X264(_)) { FRAMES } else { 1 };
        let frames = &shot[..shot.len().min(wanted)];
        for (yuv, bad) in frames.iter().zip(example.apply(&cut, frames, &mut rng)?) {
            let clean = frame(cut.of(yuv));
            let level = if config.level { noise::estimate(&bad) } else { 0.0 };
            let history = restored.take().and_then(|before| aligner.align(&bad, &before, level));
            let input = samples::input(config, &bad, history.as_ref(), level, kind)?.f_to_device(device)?;
            let output = net.forward(&input)?;
            let frame = samples::to_frames(&output.f_to_kind(Kind::Float)?, side, side)?.remove(0);
            score.psnr += psnr(&clean.plane(0), &frame.plane(0));
            score.ssim += ssim(&clean.plane(0), &frame.plane(0), side).unwrap_or(0.0);
            if bad.width == clean.width {
                before += psnr(&clean.plane(0), &bad.plane(0));
            }
            restored = Some(frame);
            count += 1.0;
        }
    }
    let mean = Score {
        psnr: score.psnr / count,
        ssim: score.ssim / count,
        before: (config.scale == 1).then_some(before / count),
    };
    Ok((count > 0.0).then_some(mean))
}
