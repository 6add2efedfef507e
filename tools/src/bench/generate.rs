//! `gst-torch bench generate`: the whole element against a bare libtorch loop.

use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};
use gst::prelude::*;
use gst_torch_models::generate::generator::{Generator, Options};
use gst_torch_runtime::{DeviceSpec, PrecisionSpec};

use super::{Clock, Sample, print_beside_bare};
use crate::options;
use crate::stream::Playing;

#[derive(clap::Args)]
pub struct Args {
    /// model-file of torchsrc [default: the built-in one]
    #[arg(long)]
    model: Option<String>,
    #[arg(long, default_value = "auto")]
    device: DeviceSpec,
    #[arg(long, default_value = "auto")]
    precision: PrecisionSpec,
    /// Frames a measurement
    #[arg(long, default_value_t = 600, value_parser = options::count)]
    frames: usize,
    /// Every measurement is made this many times, in turns; the best counts, as other work only ever takes away
    #[arg(long, default_value_t = 5, value_parser = options::count)]
    rounds: usize,
    /// Width and height of the frames [default: the network's own]
    #[arg(long, value_name = "WIDTHxHEIGHT", value_parser = crate::eval::restore::size)]
    size: Option<(usize, usize)>,
    /// Format of the frames
    #[arg(long, default_value = "RGB")]
    format: String,
}

/// Frames that pass before the clock starts.
const WARM: usize = 24;
/// Whatever takes longer for a measurement is taken to hang.
const PATIENCE: Duration = Duration::from_secs(300);

pub fn run(args: Args) -> anyhow::Result<()> {
    let name = args.model.clone().unwrap_or_else(|| gsttorch::DEFAULT_GENERATOR.to_owned());
    let options = Options { device: args.device, precision: args.precision, ..Options::default() };
    let generator = Generator::open(&name, &options)?;
    let engine = generator.engine();
    let [width, height] = args.size.map_or(generator.size(), |(width, height)| [width, height]);
    let [own_width, own_height] = generator.size();
    println!("{name} on {}: {}, {own_width}x{own_height}", generator.model().device(), engine.describe());
    println!("{width}x{height} {}; {} frames, best of {}", args.format, args.frames, args.rounds);

    let source = |watermark: bool| {
        format!(
            "torchsrc model-file=\"{name}\" device={} precision={} watermark={watermark} \
             ! video/x-raw,format={},width={width},height={height} ! fakesink name=sink sync=false",
            args.device, args.precision, args.format
        )
    };
    let mut samples: [Vec<Sample>; 4] = Default::default();
    // In turns, so that whatever else the machine does falls on all alike.
    for _ in 0..args.rounds {
        for (side_by_side, samples) in [false, true].into_iter().zip(&mut samples) {
            let clock = Clock::start()?;
            engine.time_bare(args.frames, side_by_side)?;
            samples.push(clock.stop()?);
        }
        for (watermark, samples) in [true, false].into_iter().zip(&mut samples[2..]) {
            samples.push(time(&source(watermark), args.frames)?);
        }
    }
    let names = [
        "bare libtorch loop, all cores a frame",
        "bare libtorch loops, one core a frame each",
        "torchsrc",
        "torchsrc watermark=false",
    ];
    print_beside_bare(&names, &samples, args.frames);
    Ok(())
}

/// What a source takes for so many frames once it runs.
fn time(line: &str, frames: usize) -> anyhow::Result<Sample> {
    let pipeline = gst::parse::launch(line)?.downcast::<gst::Pipeline>().map_err(|_| anyhow!("no pipeline"))?;
    let pad = pipeline.by_name("sink").and_then(|sink| sink.static_pad("sink")).context("the sink is there")?;
    let (sender, receiver) = channel();
    let seen = std::sync::atomic::AtomicUsize::new(0);
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        let number = seen.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1;
        if number == WARM || number == WARM + frames {
            let _ = sender.send(());
        }
        gst::PadProbeReturn::Ok
    });
    let playing = Playing::start(&pipeline)?;
    let wait = || -> anyhow::Result<()> {
        let start = Instant::now();
        while receiver.recv_timeout(Duration::from_millis(200)).is_err() {
            if let Some(error) = playing.error() {
                return Err(error);
            }
            ensure!(start.elapsed() < PATIENCE, "no frames came for {} seconds", PATIENCE.as_secs());
        }
        Ok(())
    };
    wait()?;
    let clock = Clock::start()?;
    wait()?;
    clock.stop()
}
