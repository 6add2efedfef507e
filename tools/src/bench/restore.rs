//! `gst-torch bench restore`: the whole element against a bare libtorch loop, and against FFmpeg's filter for the task.

use std::path::PathBuf;

use gst_torch_models::builtin;
use gst_torch_models::restore::{Config, Task};
use gst_torch_runtime::{DeviceSpec, PrecisionSpec};
use serde::Deserialize;

use super::pipeline::Frames;
use super::{Clock, Sample, print_beside_bare};
use crate::clip::Clip;
use crate::eval::restore::conditions::{self, Peer};
use crate::eval::restore::ffmpeg;
use crate::options;

#[derive(clap::Args)]
pub struct Args {
    /// The clip whose frames are used, made bad first: that is what takes the time it takes
    clip: PathBuf,
    /// What is to be mended: denoise, deblock, deblur, super-resolution or low-light
    #[arg(long, default_value = "denoise")]
    task: Task,
    /// How many times larger super-resolution makes a picture, 2 or 4
    #[arg(long, default_value_t = 2, value_parser = options::scale)]
    scale: usize,
    /// model-file of torchrestore [default: the built-in one of the task]
    #[arg(long)]
    model: Option<String>,
    #[arg(long, default_value = "auto")]
    device: DeviceSpec,
    #[arg(long, default_value = "auto")]
    precision: PrecisionSpec,
    /// Frames a measurement
    #[arg(long, default_value_t = 120, value_parser = options::count)]
    frames: usize,
    /// Every measurement is made this many times, in turns; the best counts, as other work only ever takes away
    #[arg(long, default_value_t = 3, value_parser = options::count)]
    rounds: usize,
    /// Width and height of the frames that the element gets
    #[arg(long, value_name = "WIDTHxHEIGHT", default_value = "640x360", value_parser = crate::eval::restore::size)]
    size: (usize, usize),
    /// Standard deviation of the noise, in levels of 8 bits
    #[arg(long, default_value_t = 25.0, value_parser = options::sigma)]
    sigma: f64,
    /// Leave FFmpeg's filters out
    #[arg(long)]
    alone: bool,
}

/// Frames of the clip that are shown in turns, there and back, so that they always follow each other.
const SHOWN: usize = 30;
/// Frames that a filter of FFmpeg's is timed on; some take a second for ten.
const FILTERED: usize = 20;

pub fn run(args: Args) -> anyhow::Result<()> {
    let name = args.model.clone().unwrap_or_else(|| args.task.model(args.scale as i64).to_string());
    let file = builtin::open(&name)?;
    let config = Config::deserialize(file.info.config.clone())?;
    let model = file.load(args.device, args.precision)?;
    let (width, height) = args.size;
    let engine = model.engine(config.inputs() as usize, height.div_ceil(2), width.div_ceil(2))?;

    // Super-resolution gets what is small already.
    let scale = config.scale as usize;
    let good = Clip::read(&args.clip, Some((width * scale, height * scale)), 0, SHOWN)?;
    let condition = conditions::conditions(args.task, scale, &[args.sigma]).remove(0);
    let mut bad = condition.apply(&good)?;
    bad.extend(bad.clone().into_iter().rev());
    let frames = Frames::of(&Clip::new(good.name.clone(), good.rate, bad.clone())?);
    let element = format!(
        "torchrestore task={} scale={} model-file=\"{name}\" device={} precision={}",
        args.task, args.scale, args.device, args.precision
    );
    println!("{name} on {}: {}, {:.1} kMAC a luma sample", model.device(), engine.describe(), config.macs() / 1e3);
    println!("{}, {width}x{height}, {}; {} frames, best of {}", good.name, condition.name, args.frames, args.rounds);

    let peers = if args.alone || !ffmpeg::is_there() {
        Vec::new()
    } else {
        conditions::peers(args.task, (width * scale, height * scale))
    };
    let mut samples: [Vec<Sample>; 3] = Default::default();
    let mut filters: Vec<f64> = vec![0.0; peers.len()];
    // In turns, so that whatever else the machine does falls on all alike.
    for _ in 0..args.rounds {
        for (side_by_side, samples) in [false, true].into_iter().zip(&mut samples) {
            let clock = Clock::start()?;
            engine.time_bare(args.frames, side_by_side, None)?;
            samples.push(clock.stop()?);
        }
        samples[2].push(frames.time(&element, 1, args.frames)?);
        for (Peer { filters: settings, .. }, best) in peers.iter().zip(&mut filters) {
            let speed = ffmpeg::filter(&bad[..FILTERED.min(bad.len())], &settings[settings.len() / 2])?.1;
            *best = best.max(speed);
        }
    }
    let names = [
        "bare libtorch loop, all cores a frame",
        "bare libtorch loops, one core a frame each",
        "torchrestore, one stream",
    ];
    let bare = print_beside_bare(&names, &samples, args.frames);
    for (peer, speed) in peers.iter().zip(filters) {
        println!("{:<48} {speed:9.1} {:8.3}", format!("FFmpeg's {}, one thread", peer.name), speed / bare);
    }
    Ok(())
}
