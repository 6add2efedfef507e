//! `make demo-generate`: what torchsrc makes, to look at: a sheet of samples and a walk through latent space of the GAN, and the
//! road that goes on by itself. The keyframed animation beside them is of the example `keyframes`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::Parser;
use gst::prelude::*;

#[derive(Parser)]
struct Args {
    /// Folder for generate-samples.png, generate-walk.mp4 and generate-scene.mp4
    #[arg(long, default_value = "demo")]
    out: PathBuf,
    /// model-file of torchsrc for samples and walk
    #[arg(long, default_value = "cells-gan")]
    model: String,
    /// model-file of torchsrc for what goes on by itself
    #[arg(long, default_value = "scene")]
    scene: String,
    #[arg(long, default_value_t = 7)]
    seed: u64,
}

/// Samples across and down, and the side of each in pixels.
const COLUMNS: u32 = 10;
const ROWS: u32 = 6;
const SIDE: u32 = 96;

fn main() -> ExitCode {
    match demo(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo-generate: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn demo(args: &Args) -> Result<()> {
    gst::init()?;
    gsttorch::plugin_register_static()?;
    std::fs::create_dir_all(&args.out).with_context(|| format!("cannot make the folder {}", args.out.display()))?;
    samples(args, &args.out.join("generate-samples.png"))?;
    let walk = "mode=walk walk-speed=0.7 num-buffers=300";
    film(args, &args.model, walk, (512, 512), 30, &args.out.join("generate-walk.mp4"))?;
    film(args, &args.scene, "mode=sequence num-buffers=375", (640, 360), 25, &args.out.join("generate-scene.mp4"))
}

/// Independent frames, side by side.
fn samples(args: &Args, path: &Path) -> Result<()> {
    let line = format!(
        "torchsrc name=source mode=noise seed={} num-buffers={} ! video/x-raw,format=RGB,width={SIDE},height={SIDE} \
         ! appsink name=look sync=false",
        args.seed,
        COLUMNS * ROWS
    );
    let pipeline = launch(&line, &args.model)?;
    let look = pipeline.by_name("look").context("no appsink")?.downcast::<gst_app::AppSink>();
    let look = look.map_err(|_| anyhow!("no appsink"))?;
    pipeline.set_state(gst::State::Playing)?;
    let mut sheet = image::RgbImage::new(COLUMNS * SIDE, ROWS * SIDE);
    let mut count = 0;
    while let Ok(sample) = look.pull_sample() {
        let map = sample.buffer().context("a sample without a buffer")?.map_readable()?;
        let picture = image::RgbImage::from_raw(SIDE, SIDE, map.to_vec()).context("a frame of another size")?;
        let (left, top) = (count % COLUMNS * SIDE, count / COLUMNS * SIDE);
        image::imageops::replace(&mut sheet, &picture, left.into(), top.into());
        count += 1;
    }
    end(&pipeline)?;
    ensure!(count == COLUMNS * ROWS, "{count} samples came, not {}", COLUMNS * ROWS);
    sheet.save(path).with_context(|| path.display().to_string())?;
    println!("written    {}", path.display());
    Ok(())
}

fn film(args: &Args, model: &str, how: &str, (width, height): (u32, u32), rate: u32, path: &Path) -> Result<()> {
    let line = format!(
        "torchsrc name=source seed={} {how} ! video/x-raw,width={width},height={height},framerate={rate}/1 ! videoconvert \
         ! x264enc quantizer=20 pass=quant ! mp4mux ! filesink name=file",
        args.seed
    );
    let pipeline = launch(&line, model)?;
    let file = pipeline.by_name("file").context("no filesink")?;
    file.set_property("location", path.to_str().context("--out is not text")?);
    pipeline.set_state(gst::State::Playing)?;
    end(&pipeline)?;
    println!("written    {}", path.display());
    Ok(())
}

fn launch(line: &str, model: &str) -> Result<gst::Pipeline> {
    let pipeline = gst::parse::launch(line)?.downcast::<gst::Pipeline>().map_err(|_| anyhow!("no pipeline"))?;
    pipeline.by_name("source").context("no source")?.set_property("model-file", model);
    Ok(pipeline)
}

/// Waits until all is written.
fn end(pipeline: &gst::Pipeline) -> Result<()> {
    let bus = pipeline.bus().context("a pipeline has a bus")?;
    let wanted = [gst::MessageType::Eos, gst::MessageType::Error];
    let message = bus.timed_pop_filtered(gst::ClockTime::from_seconds(300), &wanted);
    pipeline.set_state(gst::State::Null)?;
    match message.as_ref().map(|message| message.view()) {
        Some(gst::MessageView::Eos(_)) => Ok(()),
        Some(gst::MessageView::Error(error)) => bail!("{} ({})", error.error(), error.debug().unwrap_or_default()),
        _ => bail!("the pipeline did not end"),
    }
}
