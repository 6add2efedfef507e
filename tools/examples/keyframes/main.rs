//! A keyframed animation: an application that animates a generator as it would any other element, with control sources.
//!
//!     keyframes [MODEL] [--out keyframes.mp4]
//!
//! Four seconds: three numbers of the latent go from keyframe to keyframe along smooth curves, and the truncation opens and
//! closes. What is between keyframes is up to GStreamer.

use std::path::PathBuf;

use anyhow::{Context, anyhow, bail, ensure};
use clap::Parser;
use gst::prelude::*;
use gst_controller::prelude::*;

#[derive(Parser)]
struct Args {
    /// model-file of torchsrc: one with latents
    #[arg(default_value = "cells-gan")]
    model: String,
    #[arg(long, default_value = "keyframes.mp4")]
    out: PathBuf,
    /// Width and height
    #[arg(long, default_value = "512x512")]
    size: String,
}

/// Property, and its keyframes: seconds and value.
const CURVES: [(&str, &[(f64, f64)]); 4] = [
    ("latent-0", &[(0.0, -2.0), (1.0, 2.0), (2.0, 0.5), (3.0, -1.5), (4.0, -2.0)]),
    ("latent-1", &[(0.0, 0.0), (1.5, -2.0), (3.0, 2.0), (4.0, 0.0)]),
    ("latent-2", &[(0.0, 1.0), (2.0, -1.0), (4.0, 1.0)]),
    ("truncation", &[(0.0, 0.4), (2.0, 1.0), (4.0, 0.4)]),
];
const FRAMES: u32 = 120;

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    gst::init()?;
    gsttorch::plugin_register_static()?;
    let (width, height) = args.size.split_once('x').context("--size is to be WIDTHxHEIGHT")?;
    let line = format!(
        "torchsrc name=source mode=fixed num-buffers={FRAMES} ! video/x-raw,width={width},height={height},framerate=30/1 \
         ! videoconvert ! x264enc quantizer=18 pass=quant ! mp4mux ! filesink name=file"
    );
    let pipeline = gst::parse::launch(&line)?.downcast::<gst::Pipeline>().map_err(|_| anyhow!("no pipeline"))?;
    let by_name = |name: &str| pipeline.by_name(name).with_context(|| format!("no element {name}"));
    let source = by_name("source")?;
    source.set_property("model-file", &args.model);
    by_name("file")?.set_property("location", args.out.to_str().context("--out is not text")?);
    for (property, keyframes) in CURVES {
        animate(&source, property, keyframes)?;
    }

    pipeline.set_state(gst::State::Playing)?;
    end(&pipeline)?;
    println!("written    {}", args.out.display());
    Ok(())
}

/// Hangs a smooth curve through `keyframes` on a property.
fn animate(source: &gst::Element, property: &str, keyframes: &[(f64, f64)]) -> anyhow::Result<()> {
    let curve = gst_controller::InterpolationControlSource::new();
    curve.set_mode(gst_controller::InterpolationMode::CubicMonotonic);
    for &(seconds, value) in keyframes {
        ensure!(curve.set(gst::ClockTime::from_seconds_f64(seconds), value), "no keyframe at {seconds} s");
    }
    let binding = gst_controller::DirectControlBinding::new_absolute(source, property, &curve);
    Ok(source.add_control_binding(&binding)?)
}

/// Waits until the file is whole.
fn end(pipeline: &gst::Pipeline) -> anyhow::Result<()> {
    let bus = pipeline.bus().context("a pipeline has a bus")?;
    let wanted = [gst::MessageType::Eos, gst::MessageType::Error];
    let message = bus.timed_pop_filtered(gst::ClockTime::from_seconds(120), &wanted);
    pipeline.set_state(gst::State::Null)?;
    match message.as_ref().map(|message| message.view()) {
        Some(gst::MessageView::Eos(_)) => Ok(()),
        Some(gst::MessageView::Error(error)) => bail!("{} ({})", error.error(), error.debug().unwrap_or_default()),
        _ => bail!("the pipeline did not end"),
    }
}
