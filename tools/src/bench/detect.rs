//! `gst-torch bench detect`: the whole element against a bare libtorch loop, and many streams through one model.

use std::path::PathBuf;

use anyhow::Context;
use gst_torch_models::builtin;
use gst_torch_runtime::{DeviceSpec, PrecisionSpec};

use super::pipeline::Frames;

#[derive(clap::Args)]
pub struct Args {
    /// The clip whose frames are used.
    clip: PathBuf,
    #[arg(long, default_value = "person")]
    model: String,
    #[arg(long, default_value = "auto")]
    device: DeviceSpec,
    #[arg(long, default_value = "auto")]
    precision: PrecisionSpec,
    /// Frames a measurement.
    #[arg(long, default_value_t = 400)]
    frames: usize,
    /// Every measurement is made this many times, in turns; the median counts.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Width and height of the frames.
    #[arg(long, default_value = "1280x720")]
    size: String,
    /// Writes the TorchScript archive that is run (fp32), so that other runtimes can be measured on the same network.
    #[arg(long)]
    export: Option<PathBuf>,
}

/// Numbers of streams that share the model.
const STREAMS: [usize; 4] = [1, 2, 4, 8];

pub fn run(args: Args) -> anyhow::Result<()> {
    let (width, height) = args.size.split_once('x').context("--size is WIDTHxHEIGHT")?;
    let file = builtin::open(&args.model)?;
    let model = file.load(args.device, args.precision)?;
    let spec = file.info.input_spec([640, 640]);
    let engine = model.engine(spec.channels(), spec.height, spec.width)?;
    if let Some(path) = &args.export {
        std::fs::write(path, engine.export()?).with_context(|| path.display().to_string())?;
    }
    let frames = Frames::read(&args.clip, width.parse()?, height.parse()?, 64)?;
    let element =
        format!("torchdetect model-file=\"{}\" device={} precision={}", args.model, args.device, args.precision);
    println!("{} ({}x{}) on {}: {}", args.model, spec.width, spec.height, model.device(), engine.describe());
    println!(
        "frames {} of {}, {} a measurement, median of {}",
        args.size,
        args.clip.display(),
        args.frames,
        args.rounds
    );

    println!("frame to tensor, one core: {:.3} ms", frames.conversion(&spec, engine.input_kind())?.as_secs_f64() * 1e3);

    // In turns, so that whatever else the machine does falls on all alike.
    let mut rates = vec![Vec::new(); STREAMS.len() + 2];
    for _ in 0..args.rounds {
        rates[0].push(args.frames as f64 / engine.time_bare(args.frames, false)?.as_secs_f64());
        rates[1].push(args.frames as f64 / engine.time_bare(args.frames, true)?.as_secs_f64());
        for (slot, streams) in STREAMS.into_iter().enumerate() {
            rates[slot + 2].push(args.frames as f64 / frames.time(&element, streams, args.frames)?.as_secs_f64());
        }
    }
    let rates: Vec<f64> = rates.into_iter().map(median).collect();
    let best_bare = rates[0].max(rates[1]);
    let line = |what: &str, rate: f64| println!("{what:<44} {rate:8.1} fps   {:5.3} of bare", rate / best_bare);
    line("bare libtorch loop, all cores a frame", rates[0]);
    line("bare libtorch loops, one core a frame each", rates[1]);
    for (slot, streams) in STREAMS.into_iter().enumerate() {
        line(&format!("torchdetect, {streams} stream{}", if streams == 1 { "" } else { "s" }), rates[slot + 2]);
    }
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
