//! `torchrestore` over real pipelines.

use std::path::Path;
use std::sync::Arc;

use gst::prelude::*;
use gst_torch_models::builtin;
use gst_torch_models::restore::frames::Buffer;
use gst_torch_runtime::Model;
use gst_torch_runtime::planes::{FrameInfo, PixelFormat};
use gst_video::prelude::*;

use crate::common;

mod custom;
mod exact;
mod live;
mod recurrence;
mod reference;
mod scale;
mod tiles;

const FORMATS: [&str; 10] = ["I420", "NV12", "YUY2", "RGB", "BGR", "RGBA", "BGRA", "RGBx", "BGRx", "GRAY8"];

/// A harness says that it is live; most of these tests are about files, where frames wait for the model.
fn harness(settings: &str) -> gst_check::Harness {
    common::init();
    let element = gst::parse::launch(&format!("torchrestore precision=fp32 late-policy=block {settings}")).unwrap();
    gst_check::Harness::with_element(&element, Some("sink"), Some("src"))
}

fn with_model(model: &Path, settings: &str) -> gst_check::Harness {
    harness(&format!("model-file={} {settings}", model.display()))
}

/// A built-in model, or one in a file.
fn load(name: &str) -> Arc<Model> {
    load_in(name, "fp32")
}

fn load_in(name: &str, precision: &str) -> Arc<Model> {
    common::init();
    builtin::open(name).unwrap().load("cpu".parse().unwrap(), precision.parse().unwrap()).unwrap()
}

/// Shapes and noise.
fn picture(format: PixelFormat, width: usize, height: usize) -> Buffer {
    picture_of(format, width, height, 5)
}

fn picture_of(format: PixelFormat, width: usize, height: usize, seed: u64) -> Buffer {
    let mut buffer = Buffer::new(FrameInfo::new(format, width, height));
    let mut state = seed;
    let mut planes = buffer.planes_mut().unwrap();
    for plane in 0..format.planes() {
        let (data, stride) = planes.plane_mut(plane);
        for (index, v) in data.iter_mut().enumerate() {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let shape = (index % stride / 20 + index / stride / 20) % 2;
            *v = (60 + 90 * shape + ((state >> 40) % 60) as usize) as u8;
        }
    }
    buffer
}

fn caps(format: &str, width: i32, height: i32) -> gst::Caps {
    common::init();
    gst::Caps::builder("video/x-raw")
        .field("format", format)
        .field("width", width)
        .field("height", height)
        .field("framerate", gst::Fraction::new(25, 1))
        .build()
}

/// A frame of smooth shapes, other ones for each number, with what a frame can carry beside its pixels.
fn frame(caps: &gst::Caps, number: u64) -> gst::Buffer {
    let info = gst_video::VideoInfo::from_caps(caps).unwrap();
    let mut buffer = gst::Buffer::with_size(info.size()).unwrap();
    {
        let buffer = buffer.get_mut().unwrap();
        buffer.map_writable().unwrap().fill(0); // padding, too
        let time = |ms: u64| gst::ClockTime::from_mseconds(ms);
        buffer.set_pts(time(40 * number + 7));
        buffer.set_dts(time(40 * number));
        buffer.set_duration(time(40));
        buffer.set_offset(number);
        buffer.set_offset_end(number + 1);
        if number % 5 == 3 {
            buffer.set_flags(gst::BufferFlags::MARKER | gst::BufferFlags::CORRUPTED);
        }
        gst::ReferenceTimestampMeta::add(buffer, &gst::Caps::new_empty_simple("timestamp/x-ntp"), time(number), None);
    }
    let mut frame = gst_video::VideoFrame::from_buffer_writable(buffer, &info).unwrap();
    for plane in 0..info.n_planes() {
        let stride = frame.plane_stride()[plane as usize] as usize;
        for (y, row) in frame.plane_data_mut(plane).unwrap().chunks_mut(stride).enumerate() {
            for (x, v) in row.iter_mut().enumerate() {
                let (x, y) = ((x / 4) as f64, y as f64 + number as f64);
                *v = (120.0 + 60.0 * (x * 0.11 + f64::from(plane)).sin() * (y * 0.09).cos()) as u8;
            }
        }
    }
    frame.into_buffer()
}

/// All that travels with a frame but its pixels.
type Label = (Option<u64>, Option<u64>, Option<u64>, u64, u64, gst::BufferFlags, Option<u64>);

fn label(buffer: &gst::BufferRef) -> Label {
    let ns = |time: Option<gst::ClockTime>| time.map(gst::ClockTime::nseconds);
    let flags = buffer.flags() - gst::BufferFlags::TAG_MEMORY;
    let meta = buffer.meta::<gst::ReferenceTimestampMeta>().map(|meta| meta.timestamp().nseconds());
    let (pts, dts, duration) = (ns(buffer.pts()), ns(buffer.dts()), ns(buffer.duration()));
    (pts, dts, duration, buffer.offset(), buffer.offset_end(), flags, meta)
}

fn bytes(buffer: &gst::BufferRef) -> Vec<u8> {
    buffer.map_readable().unwrap().to_vec()
}

fn largest_difference(a: &[u8], b: &[u8]) -> u8 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0)
}

fn launch(line: &str) -> gst::Pipeline {
    common::init();
    gst::parse::launch(line).unwrap_or_else(|e| panic!("{e}: {line}")).downcast::<gst::Pipeline>().unwrap()
}

fn stats(element: &gst::Element) -> gst::Structure {
    element.property("stats")
}

/// What an element says when it is started with `settings`.
fn refusal(settings: &str) -> String {
    let pipeline = launch(&format!(
        "videotestsrc num-buffers=2 ! video/x-raw,width=64,height=64 ! torchrestore {settings} ! fakesink"
    ));
    let started = pipeline.set_state(gst::State::Playing);
    let wanted = [gst::MessageType::Error, gst::MessageType::Eos];
    let wait = gst::ClockTime::from_seconds(if started.is_ok() { 60 } else { 1 });
    let message = pipeline.bus().unwrap().timed_pop_filtered(wait, &wanted);
    pipeline.set_state(gst::State::Null).unwrap();
    match message.as_ref().map(|m| m.view()) {
        Some(gst::MessageView::Error(error)) => format!("{} {}", error.error(), error.debug().unwrap_or_default()),
        other => panic!("no error for {settings}: {other:?}"),
    }
}
