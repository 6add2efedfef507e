//! Nine frames of a video on one picture, so that a run can be judged at a glance.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use gst::glib;
use gst::prelude::*;
use gst_video::prelude::*;
use image::RgbImage;

const COLUMNS: u64 = 3;
const ROWS: u64 = 3;
const CELL_WIDTH: u32 = 480;

/// Decodes `video`, of `frames` frames, and writes frames at even distances as a sheet of 3x3.
pub fn write(video: &Path, frames: u64, sheet: &Path) -> Result<()> {
    let uri = glib::filename_to_uri(std::path::absolute(video)?, None)?;
    let pipeline = gst::parse::launch(&format!(
        "uridecodebin uri=\"{uri}\" ! videoconvertscale \
         ! video/x-raw,format=RGB,width={CELL_WIDTH},pixel-aspect-ratio=1/1 ! appsink name=frames sync=false"
    ))?
    .downcast::<gst::Pipeline>()
    .map_err(|_| anyhow!("the description is a pipeline"))?;
    let sink = pipeline.by_name("frames").and_downcast::<gst_app::AppSink>().context("frames is an appsink")?;
    pipeline.set_state(gst::State::Playing)?;
    let cells = pick(&sink, frames);
    pipeline.set_state(gst::State::Null)?;

    let cells = cells?;
    let height = cells.first().context("the video has no frame that decodes")?.height();
    let mut picture = RgbImage::new(CELL_WIDTH * COLUMNS as u32, height * ROWS as u32);
    for (index, cell) in (0..).zip(&cells) {
        let (column, row) = (index % COLUMNS as i64, index / COLUMNS as i64);
        image::imageops::replace(&mut picture, cell, column * i64::from(CELL_WIDTH), row * i64::from(height));
    }
    picture.save(sheet).with_context(|| format!("cannot write {}", sheet.display()))
}

/// The frames in the middle of nine equal parts.
fn pick(sink: &gst_app::AppSink, frames: u64) -> Result<Vec<RgbImage>> {
    let parts = COLUMNS * ROWS;
    let mut wanted = (0..parts).map(|part| frames * (2 * part + 1) / (2 * parts)).peekable();
    let mut cells = Vec::new();
    let mut index = 0;
    while let Ok(sample) = sink.pull_sample() {
        while wanted.next_if_eq(&index).is_some() {
            cells.push(to_image(&sample)?);
        }
        index += 1;
    }
    Ok(cells)
}

fn to_image(sample: &gst::Sample) -> Result<RgbImage> {
    let info = gst_video::VideoInfo::from_caps(sample.caps().context("a sample has caps")?)?;
    let buffer = sample.buffer().context("a sample has a buffer")?;
    let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, &info)?;
    let (row, stride) = (info.width() as usize * 3, frame.plane_stride()[0] as usize);
    let pixels = frame.plane_data(0)?.chunks(stride).flat_map(|line| &line[..row]).copied().collect();
    RgbImage::from_raw(info.width(), info.height(), pixels).context("the frame has all its rows")
}
