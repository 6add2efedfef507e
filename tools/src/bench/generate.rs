//! `gst-torch bench generate`: the whole element against a bare libtorch loop, and against one that ends with the same frames.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use gst::prelude::*;
use gst_torch_models::generate::decoder::Decoder;
use gst_torch_models::generate::generator::{Generator, Options};
use gst_torch_runtime::{DeviceSpec, Finish, PrecisionSpec};
use tch::{Kind, TchError, Tensor};

use super::{Clock, Sample, print_beside_bare};
use crate::options;
use crate::stream::{Playing, pipeline};

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
    let bytes = frames(generator.decoder(), [width, height], &args.format);
    let mut samples: [Vec<Sample>; 5] = Default::default();
    // In turns, so that whatever else the machine does falls on all alike.
    for _ in 0..args.rounds {
        let loops = [(false, None), (true, None), (true, Some(&bytes))];
        for ((side_by_side, finish), samples) in loops.into_iter().zip(&mut samples) {
            let clock = Clock::start()?;
            engine.time_bare(args.frames, side_by_side, finish)?;
            samples.push(clock.stop()?);
        }
        for (watermark, samples) in [true, false].into_iter().zip(&mut samples[3..]) {
            samples.push(time(&source(watermark), args.frames)?);
        }
    }
    let names = [
        "bare libtorch loop, all cores a frame",
        "bare libtorch loops, one core a frame each",
        "the same, and frames of it by libtorch",
        "torchsrc",
        "torchsrc watermark=false",
    ];
    print_beside_bare(&names, &samples, args.frames);
    Ok(())
}

/// What makes frames of a network's output with nothing but libtorch's operators, as a program around the network would: scaled,
/// converted, in bytes. Formats with planes of half the width as I420, those with three or four channels as RGB.
fn frames(decoder: &Decoder, [width, height]: [usize; 2], format: &str) -> Finish {
    let scale = decoder.finish(width, height);
    let halves = matches!(format, "I420" | "YV12" | "NV12" | "NV21");
    let (grey, colours) = (format == "GRAY8", decoder.layout.channels);
    Arc::new(move |outputs| {
        let (_, picture) = scale(outputs)?.pop().ok_or_else(|| TchError::Torch("there is no picture".into()))?;
        let bytes = |planes: &Tensor| planes.f_mul_scalar(255.0)?.f_round()?.f_to_kind(Kind::Uint8)?.f_contiguous();
        let whole = |picture: Tensor| Ok(vec![(String::new(), picture)]);
        if !(halves || grey) {
            return whole(bytes(&picture.f_permute([0, 2, 3, 1])?)?);
        }
        let rgb = if colours == 1 { picture.f_expand([-1, 3, -1, -1], true)? } else { picture };
        let weights = Tensor::f_from_slice(&YUV.concat())?.f_view([3, 3, 1, 1])?.f_to_device(rgb.device())?;
        let shift =
            Tensor::f_from_slice(&[16.0f32 / 255.0, 128.0 / 255.0, 128.0 / 255.0])?.f_to_device(rgb.device())?;
        let yuv = rgb.f_conv2d(&weights, Some(&shift), [1, 1], [0, 0], [1, 1], 1)?;
        let luma = bytes(&yuv.f_narrow(1, 0, 1)?)?;
        if grey {
            return whole(luma);
        }
        let chroma = yuv.f_narrow(1, 1, 2)?.f_avg_pool2d([2, 2], [2, 2], [0, 0], true, true, None::<i64>)?;
        whole(Tensor::f_cat(&[luma.f_reshape([-1])?, bytes(&chroma)?.f_reshape([-1])?], 0)?)
    })
}

/// BT.601, limited range, of red, green and blue from 0 to 1.
const YUV: [[f32; 3]; 3] = [[0.2568, 0.5041, 0.0979], [-0.1482, -0.2910, 0.4392], [0.4392, -0.3678, -0.0714]];

/// What a source takes for so many frames once it runs.
fn time(line: &str, frames: usize) -> anyhow::Result<Sample> {
    let pipeline = pipeline(line)?;
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
