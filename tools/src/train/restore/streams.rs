//! Clips to train on. A network that remembers sees its own former output, aligned as the element aligns it; gradients end at
//! each frame. What a stream becomes when it ends is another scene, as after a cut.

use anyhow::{Context, Result, anyhow};
use gst_torch_models::metrics::psnr::squared_error;
use gst_torch_models::restore::align::Aligner;
use gst_torch_models::restore::degrade::Degradation;
use gst_torch_models::restore::samples::{self, Frame};
use gst_torch_models::restore::{Config, Task, noise};
use rand::Rng;
use rand::rngs::StdRng;
use tch::{Device, Kind, Tensor};

use super::super::footage::{Cut, Footage, Shot};
use super::coded::Pair;

/// Levels to add to a noise level before it says how much a frame's error counts: errors grow slower than noise.
const FLOOR: f64 = 4.0;

/// The deblocker is to mend by as many decibels what was coded finely as what was coded coarsely: what counts is the error
/// against the one that came, in squared levels. This brings the loss of coarse pictures to where it was.
const COARSE: f64 = 16.0;
/// Added to that error, so that a picture which hardly lost anything counts for little.
const FINE: f64 = 4.0;

/// What a step learns from.
pub struct Batch {
    /// Of the network.
    pub input: Tensor,
    /// Good samples.
    pub target: Tensor,
    /// How much each frame's error counts, `(N, 1, 1, 1)`.
    pub weight: Tensor,
}

impl Batch {
    pub fn on(self, device: Device) -> Result<Self> {
        let Batch { input, target, weight } = self;
        let [input, target, weight] =
            [input.f_to_device(device)?, target.f_to_device(device)?, weight.f_to_device(device)?];
        Ok(Batch { input, target, weight })
    }
}

/// Mean luma from which a picture is well lit: what is to come out of the dark is no dark picture.
const WELL_LIT: f64 = 90.0;
/// Pictures that are looked at for one that is well lit.
const LOOKS: usize = 20;

/// One clip between two of its frames.
struct Stream {
    shot: Shot,
    cut: Cut,
    /// How far the cut-out moves from frame to frame, in samples: stills are videos of a moving camera.
    drift: (f64, f64),
    backwards: bool,
    /// Frames from one to the next.
    stride: usize,
    next: usize,
    length: usize,
    degradation: Degradation,
    /// The noise level is given, wrongly by this factor; it is estimated otherwise.
    given: Option<f64>,
    restored: Option<Frame>,
    aligner: Aligner,
}

impl Stream {
    fn begin(rng: &mut StdRng, data: &Footage, config: &Config, side: usize, longest: usize) -> Result<Self> {
        let mut shot = data.pick(rng, 1).context("--data has no frames")?;
        if config.task == Task::LowLight {
            for _ in 1..LOOKS {
                if shot[0].brightness() >= WELL_LIT {
                    break;
                }
                shot = data.pick(rng, 1).context("--data has no frames")?;
            }
        }
        let still = shot.len() == 1;
        let stride = rng.random_range(1..=2);
        let speed = if still { rng.random_range(0.0..5.0f64) } else { 0.0 };
        let angle = rng.random_range(0.0..std::f64::consts::TAU);
        let length = if still { rng.random_range(4..=12) } else { shot.len() / stride };
        Ok(Stream {
            cut: Cut::random(rng, &shot[0], side),
            drift: (speed * angle.cos(), speed * angle.sin()),
            backwards: rng.random(),
            stride,
            next: 0,
            length: length.clamp(1, longest),
            degradation: Degradation::random(config.task, config.scale as usize, rng),
            given: rng.random_bool(0.3).then(|| rng.random_range(0.9..1.1)),
            restored: None,
            aligner: Aligner::default(),
            shot,
        })
    }

    fn take(&mut self) -> Frame {
        let number = (self.next * self.stride).min(self.shot.len() - 1);
        let yuv = &self.shot[if self.backwards { self.shot.len() - 1 - number } else { number }];
        let cut = self.cut.moved(yuv, self.drift.0 * self.next as f64, self.drift.1 * self.next as f64);
        self.next += 1;
        frame(cut.of(yuv))
    }
}

/// A cut-out has whole blocks, so that its canvas is itself.
pub fn frame(picture: gst_torch_models::codec::picture::Picture) -> Frame {
    let (width, height) = (picture.planes[0].width, picture.planes[0].height);
    Frame { picture, width, height }
}

pub struct Streams {
    config: Config,
    side: usize,
    longest: usize,
    running: Vec<Stream>,
    /// For the deblocker.
    pub coded: Vec<Pair>,
}

/// How often the deblocker is given H.264 rather than JPEG.
const H264: f64 = 0.5;

impl Streams {
    pub fn new(config: Config, side: usize, longest: usize) -> Self {
        Streams {
            config,
            side,
            longest: if config.history { longest } else { 1 },
            running: Vec::new(),
            coded: Vec::new(),
        }
    }

    /// The next frame of each of `batch` streams.
    pub fn next(&mut self, rng: &mut StdRng, data: &Footage, batch: usize, kind: Kind) -> Result<Batch> {
        for slot in 0..batch {
            let ended = self.running.get(slot).is_none_or(|s| s.next >= s.length);
            if !ended {
                continue;
            }
            let mut fresh = Stream::begin(rng, data, &self.config, self.side, self.longest)?;
            match self.running.get_mut(slot) {
                Some(old) => {
                    // Half of all begin as after a cut: with a picture of something else to look back on.
                    if rng.random() {
                        (fresh.restored, fresh.aligner) = (old.restored.take(), std::mem::take(&mut old.aligner));
                    }
                    *old = fresh;
                }
                None => {
                    // The very first end at different times, so that later ones begin at different times.
                    fresh.length = rng.random_range(1..=fresh.length);
                    self.running.push(fresh);
                }
            }
        }
        let (mut inputs, mut targets, mut weights) = (Vec::new(), Vec::new(), Vec::new());
        for stream in &mut self.running {
            let (clean, bad);
            if !self.coded.is_empty() && rng.random_bool(H264) {
                let pair = &self.coded[rng.random_range(0..self.coded.len())];
                let number = rng.random_range(0..pair.coded.len());
                let cut = Cut::random(rng, &pair.good[0], self.side);
                (clean, bad) = (frame(cut.of(&pair.good[number])), frame(cut.of(&pair.coded[number])));
                stream.next += 1;
            } else {
                clean = stream.take();
                bad = stream.degradation.apply(&clean, rng);
            }
            let level = match stream.given {
                Some(factor) => stream.degradation.level() * factor,
                None if self.config.level => noise::estimate(&bad),
                None => 0.0,
            };
            let history = stream.restored.take().and_then(|before| stream.aligner.align(&bad, &before, level));
            inputs.push(samples::input(&self.config, &bad, history.as_ref(), level, kind)?);
            weights.push(match self.config.task {
                Task::Deblock | Task::Deblur => {
                    let [clean, bad] = [&clean, &bad].map(|frame| &frame.picture.planes[0].data);
                    COARSE / (squared_error(clean, bad) + FINE)
                }
                _ => 1.0 / (stream.degradation.level() + FLOOR).sqrt(),
            } as f32);
            targets.push(clean);
        }
        Ok(Batch {
            input: Tensor::f_cat(&inputs, 0)?,
            target: samples::of_frames(&targets.iter().collect::<Vec<_>>(), Kind::Float)?,
            weight: Tensor::f_from_slice(&weights)?.f_view([-1, 1, 1, 1])?,
        })
    }

    /// Takes what the network made of the last batch as what was restored.
    pub fn restored(&mut self, output: &Tensor) -> Result<()> {
        if self.config.history {
            let frames = samples::to_frames(output, self.side, self.side).map_err(|e| anyhow!("{e}"))?;
            for (stream, frame) in self.running.iter_mut().zip(frames) {
                stream.restored = Some(frame);
            }
        }
        Ok(())
    }
}
