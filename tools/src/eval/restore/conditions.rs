//! What is done to good clips, and who mends it.

use anyhow::{Result, anyhow};
use gst_torch_models::restore::Task;
use gst_torch_models::restore::degrade::{Darkness, Degradation, Kernel, Noise};
use gst_torch_models::restore::samples::Frame;
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::clip::Clip;
use crate::media::Yuv;
use crate::stream;

/// One way to make a clip bad.
pub struct Condition {
    pub name: String,
    pub how: How,
}

pub enum How {
    Degrade(Degradation),
    X264 { quantiser: u32, preset: &'static str },
}

impl Condition {
    /// The same noise for the same clip, whenever it is asked for.
    pub fn apply(&self, clip: &Clip) -> Result<Vec<Yuv>> {
        match &self.how {
            How::Degrade(degradation) => {
                let mut rng = StdRng::seed_from_u64(1);
                let bad = |frame: &Yuv| Ok(yuv(&degradation.apply(&of_yuv(frame)?, &mut rng)));
                clip.frames.iter().map(bad).collect()
            }
            How::X264 { quantiser, preset } => stream::x264(clip, *quantiser, preset),
        }
    }
}

pub fn of_yuv(frame: &Yuv) -> Result<Frame> {
    let half = frame.width.div_ceil(2);
    let [y, u, v] = &frame.planes;
    Frame::copy(frame.width, frame.height, [(y, frame.width), (u, half), (v, half)]).map_err(|e| anyhow!(e))
}

pub fn yuv(frame: &Frame) -> Yuv {
    Yuv { width: frame.width, height: frame.height, planes: [0, 1, 2].map(|plane| frame.plane(plane)) }
}

/// The conditions that a task is measured under; `sigmas` are the noise levels.
pub fn conditions(task: Task, scale: usize, sigmas: &[f64]) -> Vec<Condition> {
    let degrade = |name: String, degradation| Condition { name, how: How::Degrade(degradation) };
    let blur = |name: &str, kernel| degrade(name.into(), Degradation::Blur(kernel, Noise::gaussian(0.0)));
    let line = |length, degrees: f64| Kernel::Motion { length, angle: degrees.to_radians() };
    match task {
        Task::Denoise => {
            let noise =
                |&sigma| degrade(format!("Gaussian noise, sigma {sigma}"), Degradation::Noise(Noise::gaussian(sigma)));
            sigmas.iter().map(noise).collect()
        }
        Task::Deblock => {
            let mut all: Vec<_> =
                [20, 40, 80].map(|q| degrade(format!("JPEG, quality {q}"), Degradation::Jpeg(q))).into_iter().collect();
            all.extend([("medium", 28), ("medium", 34), ("ultrafast", 28), ("ultrafast", 34)].map(
                |(preset, quantiser)| Condition {
                    name: format!("x264 {preset}, quantiser {quantiser}"),
                    how: How::X264 { quantiser, preset },
                },
            ));
            all
        }
        Task::Deblur => vec![
            blur("line of 3 samples", line(3.0, 20.0)),
            blur("line of 6 samples", line(6.0, 110.0)),
            blur("line of 9 samples", line(9.0, 45.0)),
            blur("disc of 3 samples", Kernel::Focus { diameter: 3.0 }),
            blur("disc of 6 samples", Kernel::Focus { diameter: 6.0 }),
            blur("disc of 9 samples", Kernel::Focus { diameter: 9.0 }),
        ],
        Task::SuperResolution => {
            vec![degrade(format!("{scale} times smaller, bicubic"), Degradation::Shrink { scale, sharpness: 0.6 })]
        }
        Task::LowLight => {
            let dark = |gamma, gain| {
                let noise = Noise { level: 1.5, shot: 0.5, chroma: 0.7 };
                degrade(
                    format!("gamma {gamma}, gain {gain}, sensor noise"),
                    Degradation::Dark(Darkness { gamma, gain, noise }),
                )
            };
            vec![dark(1.8, 0.7), dark(2.4, 0.6)]
        }
    }
}

/// A classical filter, and the settings that are tried, of which the best counts.
pub struct Peer {
    pub name: &'static str,
    pub filters: Vec<String>,
}

/// FFmpeg's filters for a task; `size` is that of the good clip.
pub fn peers(task: Task, size: (usize, usize)) -> Vec<Peer> {
    let peer = |name, settings: &[f64], filter: fn(f64) -> String| Peer {
        name,
        filters: settings.iter().map(|&setting| filter(setting)).collect(),
    };
    match task {
        Task::Denoise => vec![
            peer("hqdn3d", &[2.0, 4.0, 7.0, 11.0, 16.0, 24.0, 36.0], |s| {
                format!("hqdn3d={s}:{}:{}:{}", s * 0.75, s * 1.5, s * 1.1)
            }),
            peer("nlmeans", &[2.0, 4.0, 6.0, 9.0, 13.0, 18.0, 25.0], |s| format!("nlmeans=s={s}")),
            peer("vaguedenoiser", &[2.0, 4.0, 7.0, 11.0, 16.0, 24.0, 36.0], |s| format!("vaguedenoiser=threshold={s}")),
        ],
        Task::Deblock => vec![
            peer("deblock", &[0.05, 0.098, 0.2, 0.4], |a| format!("deblock=filter=strong:alpha={a}:beta={}", a / 2.0)),
            peer("spp", &[4.0, 8.0, 14.0, 20.0, 28.0, 40.0], |q| format!("spp=quality=4:qp={q}")),
        ],
        Task::Deblur => {
            vec![peer("unsharp", &[0.3, 0.6, 1.0, 1.5, 2.0, 3.0], |a| format!("unsharp=lx=5:ly=5:la={a}"))]
        }
        Task::SuperResolution => ["bicubic", "lanczos"]
            .map(|name| Peer {
                name,
                filters: vec![format!("scale={}:{}:flags={name}+accurate_rnd+full_chroma_int", size.0, size.1)],
            })
            .into(),
        Task::LowLight => vec![peer("histeq", &[0.1, 0.2, 0.4, 0.7, 1.0], |s| format!("histeq=strength={s}"))],
    }
}

/// Luma with an even histogram: what is brightened without a model.
pub fn equalised(frame: &Yuv) -> Yuv {
    let mut counts = [0usize; 256];
    frame.planes[0].iter().for_each(|&v| counts[usize::from(v)] += 1);
    let mut below = 0;
    let all = frame.planes[0].len().max(1);
    // From black to white of limited range.
    let table = counts.map(|count| {
        below += count;
        (16.0 + 219.0 * (below as f64 - count as f64 / 2.0) / all as f64).round() as u8
    });
    let mut out = frame.clone();
    out.planes[0].iter_mut().for_each(|v| *v = table[usize::from(*v)]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_equalised_histogram_is_even() {
        let luma: Vec<u8> = (0..1000).map(|i| 16 + (i / 100) as u8).collect();
        let frame = Yuv { width: 100, height: 10, planes: [luma, vec![128; 250], vec![128; 250]] };
        let out = equalised(&frame);
        let levels: Vec<u8> = out.planes[0].chunks(100).map(|c| c[0]).collect();
        assert_eq!((levels[0], levels[9]), (27, 224));
        assert!(levels.windows(2).all(|pair| (21..=22).contains(&(pair[1] - pair[0]))), "{levels:?}");
        assert_eq!(out.planes[1], frame.planes[1]);
    }
}
