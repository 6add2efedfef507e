//! `gst-torch bench codec`: encoding and decoding through the elements, side by side with x264's, and with the codec's networks in
//! a bare loop.

use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};
use gst_torch_models::codec::model::Model;
use tch::{Kind, Tensor};

use super::pipeline::Frames;
use super::{Clock, Sample};
use crate::options;

#[derive(clap::Args)]
pub struct Args {
    /// The clip whose frames are used.
    clip: PathBuf,
    #[arg(long, default_value_t = 640, value_parser = options::side)]
    width: usize,
    #[arg(long, default_value_t = 360, value_parser = options::side)]
    height: usize,
    /// Frames of a measurement.
    #[arg(long, default_value_t = 150, value_parser = options::count)]
    frames: usize,
    /// The best of so many rounds counts.
    #[arg(long, default_value_t = 3, value_parser = options::count)]
    rounds: usize,
    /// quality of torchenc.
    #[arg(long, default_value_t = 50.0, value_parser = options::quality)]
    quality: f64,
    #[arg(long, default_value = "codec-s")]
    model: String,
}

pub fn run(args: Args) -> Result<()> {
    let frames = Frames::read(&args.clip, (args.width, args.height), args.frames)?;
    let encoder =
        format!("torchenc model-file={} quality={} key-int-max=250 late-policy=block", args.model, args.quality);
    let peer = "x264enc tune=zerolatency speed-preset=medium pass=quant quantizer=30 threads=2";
    let (ours, theirs) = (frames.through(&encoder, args.frames)?, frames.through(peer, args.frames)?);
    let model = Model::open(&args.model, "cpu".parse()?, "auto".parse()?)?;
    println!("{}x{}, {} frames, {}, {}\n", args.width, args.height, args.frames, model.name, model.precision);
    let blocks = (args.width.div_ceil(16) as i64, args.height.div_ceil(16) as i64);
    type Measure<'a> = Box<dyn Fn() -> Result<Sample> + 'a>;
    let count = args.frames;
    let rows: Vec<(&str, Measure)> = vec![
        ("encoding networks, bare libtorch", Box::new(|| bare(&model, blocks, count, true))),
        ("torchenc", Box::new(|| frames.time(&encoder, 1, count))),
        ("x264enc medium zerolatency", Box::new(|| frames.time(peer, 1, count))),
        ("decoding network, bare libtorch", Box::new(|| bare(&model, blocks, count, false))),
        ("torchdec", Box::new(|| ours.time("torchdec", 1, count))),
        // With threads of frames it would hold some back.
        ("avdec_h264", Box::new(|| theirs.time("avdec_h264 max-threads=1", 1, count))),
    ];
    let mut best: Vec<Option<Sample>> = vec![None; rows.len()];
    for _ in 0..args.rounds {
        for ((name, measure), best) in rows.iter().zip(&mut best) {
            let sample = measure().with_context(|| name.to_string())?;
            if best.is_none_or(|b| sample.seconds < b.seconds) {
                *best = Some(sample);
            }
        }
    }
    println!("{:36}{:>10}{:>10}{:>12}", "", "frames/s", "core ms", "of bare");
    for (index, ((name, _), sample)) in rows.iter().zip(&best).enumerate() {
        let sample = sample.context("there was a round")?;
        let bare = best[index / 3 * 3].context("there was a round")?;
        let rate = count as f64 / sample.seconds;
        println!(
            "{name:36}{rate:>10.1}{:>10.2}{:>12.2}",
            sample.cpu / count as f64 * 1e3,
            bare.seconds / sample.seconds
        );
    }
    Ok(())
}

/// The networks of an inter picture, on nothing, with all cores and nothing around them.
fn bare(model: &Model, (columns, rows): (i64, i64), count: usize, encoding: bool) -> Result<Sample> {
    let (network, kind, device) = (model.network(), model.kind(), model.device);
    let once = move |times: usize| -> Result<(), tch::TchError> {
        let _guard = tch::no_grad_guard();
        let stage = &network.inter;
        let zeros = |size: &[i64], kind| Tensor::f_zeros(size, (kind, device.torch()));
        // Places of a block down and across, and what is said of each.
        let map = |places: i64, numbers: i64| {
            zeros(&[1, rows * places, columns * places, numbers + 1], kind)?.f_permute([0, 3, 1, 2])
        };
        let (residual, samples, decoded) = (zeros(&[rows * columns * 4, 96], Kind::Float)?, map(2, 192)?, map(2, 288)?);
        let squares = map(8, 12)?;
        for _ in 0..times {
            if encoding {
                let _ = (stage.transform(&residual)?, stage.moves(&samples)?);
            }
            let _ = stage.correction(&decoded)?;
            let _ = stage.filter().map(|filter| filter.correction(&squares)).transpose()?;
        }
        Ok(())
    };
    let timed = gst_torch_runtime::run_on(device, move || -> Result<Sample> {
        once(3)?;
        let clock = Clock::start()?;
        once(count)?;
        clock.stop()
    });
    timed.map_err(|reason| anyhow!(reason))?
}
