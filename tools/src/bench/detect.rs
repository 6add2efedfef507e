//! `gst-torch bench detect`: the whole element against a bare libtorch loop and other runtimes, and many streams through
//! one model.

use std::path::PathBuf;

use anyhow::{Context, ensure};
use gst_torch_models::builtin;
use gst_torch_runtime::{DeviceSpec, PrecisionSpec};

use super::peers::Peers;
use super::pipeline::Frames;
use super::{Clock, Sample};
use crate::options;

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
    #[arg(long, default_value_t = 400, value_parser = options::count)]
    frames: usize,
    /// Every measurement is made this many times, in turns; the best counts, as other work only ever takes away.
    #[arg(long, default_value_t = 5, value_parser = options::count)]
    rounds: usize,
    /// Width and height of the frames.
    #[arg(long, value_name = "WIDTHxHEIGHT", default_value = "1280x720", value_parser = options::even_size)]
    size: (usize, usize),
    /// Writes the TorchScript archive that is run (fp32), so that other runtimes can be measured on the same network.
    #[arg(long)]
    export: Option<PathBuf>,
    /// Measures onnxruntime and OpenVINO, too, in this Python (with torch, onnx and what of the two is there).
    #[arg(long, value_name = "PYTHON", num_args = 0..=1, default_missing_value = "python3")]
    peers: Option<PathBuf>,
}

/// Numbers of streams that share the model.
const STREAMS: [usize; 4] = [1, 2, 4, 8];

pub fn run(args: Args) -> anyhow::Result<()> {
    let most = STREAMS.into_iter().max().unwrap_or(1);
    ensure!(args.frames >= most, "--frames is {}; expected at least {most}, one for each stream", args.frames);
    let file = builtin::open(&args.model)?;
    let model = file.load(args.device, args.precision)?;
    let spec = file.info.input_spec([640, 640]);
    let engine = model.engine(spec.channels(), spec.height, spec.width)?;
    if let Some(path) = &args.export {
        std::fs::write(path, engine.export()?).with_context(|| path.display().to_string())?;
    }
    let frames = Frames::read(&args.clip, args.size, 64)?;
    let shape = [spec.channels(), spec.height, spec.width];
    let mut peers = args.peers.as_ref().map(|python| Peers::start(python, &engine, shape)).transpose()?;
    let element =
        format!("torchdetect model-file=\"{}\" device={} precision={}", args.model, args.device, args.precision);
    println!("{} ({}x{}) on {}: {}", args.model, spec.width, spec.height, model.device(), engine.describe());
    let ((width, height), clip) = (args.size, args.clip.display());
    println!("frames {width}x{height} of {clip}, {} a measurement, best of {}", args.frames, args.rounds);
    println!("frame to tensor, one core: {:.3} ms", frames.conversion(&spec, engine.input_kind())?.as_secs_f64() * 1e3);

    let mut contenders = vec![Contender::Bare { side_by_side: false }, Contender::Bare { side_by_side: true }];
    contenders.extend(STREAMS.map(Contender::Element));
    contenders.extend((0..peers.as_ref().map_or(0, |peers| peers.all.len())).map(Contender::Peer));
    let mut samples = vec![Vec::new(); contenders.len()];
    // In turns, so that whatever else the machine does falls on all alike.
    for _ in 0..args.rounds {
        for (contender, samples) in contenders.iter().zip(&mut samples) {
            let sample = match (*contender, &mut peers) {
                (Contender::Bare { side_by_side }, _) => {
                    let clock = Clock::start()?;
                    engine.time_bare(args.frames, side_by_side, None)?;
                    clock.stop()?
                }
                (Contender::Element(streams), _) => frames.time(&element, streams, args.frames)?,
                (Contender::Peer(index), Some(peers)) if peers.all[index].missing.is_none() => {
                    peers.time(index, args.frames)?
                }
                (Contender::Peer(_), _) => continue,
            };
            samples.push(sample);
        }
    }

    let rows: Vec<_> = samples.iter().map(|samples| Best::of(samples, args.frames)).collect();
    let of_bare = |value: fn(&Best) -> f64| rows[..2].iter().flatten().map(value);
    let rate_of_bare = of_bare(|best| best.rate).fold(0.0, f64::max);
    let core_ms_of_bare = of_bare(|best| best.core_ms).fold(f64::INFINITY, f64::min);
    println!("{:<62} {:>8} {:>8} {:>8} {:>8}", "", "frames/s", "of bare", "core ms", "of bare");
    for (contender, row) in contenders.iter().zip(&rows) {
        let peer = |index: usize| peers.as_ref().map(|peers| &peers.all[index]);
        let (name, missing) = match *contender {
            Contender::Bare { side_by_side: false } => ("bare libtorch loop, all cores a frame".to_owned(), None),
            Contender::Bare { side_by_side: true } => ("bare libtorch loops, one core a frame each".to_owned(), None),
            Contender::Element(1) => ("torchdetect, 1 stream".to_owned(), None),
            Contender::Element(streams) => (format!("torchdetect, {streams} streams"), None),
            Contender::Peer(index) => {
                peer(index).map(|peer| (peer.name.clone(), peer.missing.clone())).unwrap_or_default()
            }
        };
        match row {
            Some(Best { rate, core_ms }) => {
                let (by_clock, by_work) = (rate / rate_of_bare, core_ms_of_bare / core_ms);
                println!("{name:<62} {rate:8.1} {by_clock:8.3} {core_ms:8.2} {by_work:8.3}");
            }
            None => println!("{name:<62} {}", missing.unwrap_or_default()),
        }
    }
    Ok(())
}

/// What is measured.
#[derive(Clone, Copy)]
enum Contender {
    Bare {
        side_by_side: bool,
    },
    /// So many streams.
    Element(usize),
    /// By its place among them.
    Peer(usize),
}

/// The best of several measurements: frames a second, and milliseconds of a core a frame.
struct Best {
    rate: f64,
    core_ms: f64,
}

impl Best {
    fn of(samples: &[Sample], frames: usize) -> Option<Best> {
        let least = |value: fn(&Sample) -> f64| samples.iter().map(value).reduce(f64::min);
        let (seconds, cpu) = (least(|s| s.seconds)?, least(|s| s.cpu)?);
        Some(Best { rate: frames as f64 / seconds, core_ms: cpu * 1e3 / frames as f64 })
    }
}
