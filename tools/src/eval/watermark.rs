//! `gst-torch eval watermark`: how often the watermark is missed in generated clips, and found in real ones.

use std::path::{Path, PathBuf};

use anyhow::Context;
use gst::prelude::*;
use gst_torch_models::generate::watermark::{Detector, Finding};

use crate::inspect::video;
use crate::media;
use crate::stream::{Playing, pipeline};

#[derive(clap::Args)]
pub struct Args {
    /// Real videos, which are looked at in parts.
    real: Vec<PathBuf>,
    /// Models of torchsrc to make clips with, in turns [default: the built-in one]
    #[arg(long)]
    model: Vec<String>,
    /// Generated clips, and real parts at most.
    #[arg(long, default_value_t = 200)]
    clips: usize,
    /// Seconds of each.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Width and height of generated clips, in turns [default: 640x360; `natural` is the network's own]
    #[arg(long)]
    size: Vec<String>,
    /// What generated clips pass before they are looked at.
    #[arg(long, default_value = "x264enc pass=quant quantizer=23 ! h264parse ! decodebin")]
    through: String,
    /// Print every clip.
    #[arg(long)]
    all: bool,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    gst::init()?;
    gsttorch::plugin_register_static()?;
    let sizes = if args.size.is_empty() { vec!["640x360".to_owned()] } else { args.size.clone() };
    let mut generated = Vec::new();
    for clip in 0..args.clips {
        let size = &sizes[clip % sizes.len()];
        let model = (!args.model.is_empty()).then(|| args.model[clip / sizes.len() % args.model.len()].as_str());
        let finding = make(&args, model, size, clip as u64)?;
        if args.all {
            println!("generated {clip:3} {size:>9} {} {finding:?}", model.unwrap_or_default());
        }
        generated.push((size.clone(), finding));
    }
    for size in &sizes {
        let of_size: Vec<_> = generated.iter().filter(|(of, _)| of == size).map(|(_, finding)| *finding).collect();
        print(&format!("generated {size}"), &of_size);
    }
    if sizes.len() > 1 {
        print("generated, all", &generated.iter().map(|(_, finding)| *finding).collect::<Vec<_>>());
    }

    let mut real = Vec::new();
    // In turns, so that no file stands for all.
    let mut files = args.real.iter().map(|path| parts(path, args.seconds)).collect::<anyhow::Result<Vec<_>>>()?;
    while real.len() < args.clips && files.iter().any(|parts| !parts.is_empty()) {
        for (parts, path) in files.iter_mut().zip(&args.real).filter(|(parts, _)| !parts.is_empty()) {
            let finding = parts.remove(0);
            if args.all {
                println!("real {} {finding:?}", path.display());
            }
            real.push(finding);
        }
    }
    real.truncate(args.clips);
    print("real", &real);
    Ok(())
}

fn parts(path: &Path, seconds: f64) -> anyhow::Result<Vec<Finding>> {
    Ok(video::look(path, seconds)?.into_iter().map(|part| part.finding).collect())
}

fn print(name: &str, findings: &[Finding]) {
    if findings.is_empty() {
        return;
    }
    let mut scores: Vec<f64> = findings.iter().map(|finding| finding.score).collect();
    scores.sort_by(f64::total_cmp);
    let best = findings.iter().map(|finding| finding.best).fold(f64::MIN, f64::max);
    println!(
        "{name:<24} {:4} clips   {:4} with a watermark   score {:5.1} to {:5.1}, median {:5.1}; best at any shift {best:5.1}",
        findings.len(),
        findings.iter().filter(|finding| finding.is_marked()).count(),
        scores[0],
        scores[scores.len() - 1],
        scores[scores.len() / 2],
    );
}

/// One clip: another seed, and the way it walks and is cut varies with it.
fn make(args: &Args, model: Option<&str>, size: &str, seed: u64) -> anyhow::Result<Finding> {
    const RATE: f64 = 30.0;
    let caps = match size.split_once('x') {
        Some((width, height)) => format!("video/x-raw,framerate=30/1,width={width},height={height}"),
        None => "video/x-raw,framerate=30/1".into(),
    };
    let model = model.map_or(String::new(), |model| format!("model-file=\"{model}\""));
    let (frames, speed) = ((RATE * args.seconds).round(), [0.25, 0.5, 1.0, 2.0][seed as usize / 2 % 4]);
    let line = format!(
        "torchsrc {model} seed={seed} walk-speed={speed} num-buffers={frames} ! {caps} ! videoconvert ! {} \
         ! videoconvert ! video/x-raw,format=I420 ! appsink name=sink sync=false",
        args.through
    );
    let pipeline = pipeline(&line)?;
    let sink = pipeline.by_name("sink").and_downcast::<gst_app::AppSink>().context("the sink is there")?;
    let playing = Playing::start(&pipeline).with_context(|| line.clone())?;
    let mut detector = Detector::default();
    while let Ok(sample) = sink.pull_sample() {
        let frame = media::yuv_of(&sample)?;
        detector.add(&frame.planes[0], frame.width, frame.width, frame.height);
    }
    match playing.error() {
        Some(error) => Err(error.context(line)),
        None => Ok(detector.finding()),
    }
}
