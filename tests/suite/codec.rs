//! `torchenc`, `torchparse` and `torchdec` over real pipelines.

use std::path::{Path, PathBuf};

use gst::prelude::*;
use gst_video::{VideoFormat, VideoInfo};

use crate::common;

mod control;
mod exact;
mod file;
mod foreign;
mod hostile;
mod light;
mod rtp;
mod still;

/// A buffer that left a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// In nanoseconds.
    pub pts: Option<u64>,
    pub key: bool,
    pub corrupted: bool,
    pub bytes: Vec<u8>,
}

pub fn launch(line: &str) -> gst::Pipeline {
    common::init();
    gst::parse::launch(line).unwrap_or_else(|e| panic!("{e}: {line}")).downcast::<gst::Pipeline>().unwrap()
}

/// Runs a line to its end and collects what comes to `appsink name=out sync=false`; an error of the pipeline as text.
pub fn try_collect(pipeline: &gst::Pipeline) -> Result<Vec<Piece>, String> {
    let sink = pipeline.by_name("out").unwrap().downcast::<gst_app::AppSink>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let mut pieces = Vec::new();
    let bus = pipeline.bus().unwrap();
    let failure = loop {
        if let Some(sample) = sink.try_pull_sample(gst::ClockTime::from_mseconds(50)) {
            pieces.push(piece(sample.buffer().unwrap()));
        } else if let Some(message) = bus.pop_filtered(&[gst::MessageType::Error]) {
            let gst::MessageView::Error(error) = message.view() else { unreachable!() };
            break Some(format!("{} {}", error.error(), error.debug().unwrap_or_default()));
        } else if sink.is_eos() {
            break None;
        }
    };
    pipeline.set_state(gst::State::Null).unwrap();
    match failure {
        None => Ok(pieces),
        Some(text) => Err(text),
    }
}

fn piece(buffer: &gst::BufferRef) -> Piece {
    Piece {
        pts: buffer.pts().map(gst::ClockTime::nseconds),
        key: !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT),
        corrupted: buffer.flags().contains(gst::BufferFlags::CORRUPTED),
        bytes: buffer.map_readable().unwrap().to_vec(),
    }
}

pub fn collect(line: &str) -> Vec<Piece> {
    try_collect(&launch(line)).unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// Pushes buffers into `appsrc name=in`, each with its caps, and ends the stream.
pub fn feed(pipeline: &gst::Pipeline, buffers: Vec<(gst::Caps, gst::Buffer)>) {
    let source = pipeline.by_name("in").unwrap().downcast::<gst_app::AppSrc>().unwrap();
    source.set_format(gst::Format::Time);
    source.set_max_bytes(0);
    for (caps, buffer) in buffers {
        source.push_sample(&gst::Sample::builder().caps(&caps).buffer(&buffer).build()).unwrap();
    }
    source.end_of_stream().unwrap();
}

/// A picture of slow waves that move with `n`; all samples of a plane follow each other without gaps.
pub fn picture(info: &VideoInfo, n: usize, pts: u64) -> (gst::Caps, gst::Buffer) {
    let mut buffer = gst::Buffer::with_size(info.size()).unwrap();
    {
        let buffer = buffer.get_mut().unwrap();
        buffer.set_pts(gst::ClockTime::from_nseconds(pts));
        let mut frame = gst_video::VideoFrameRef::from_buffer_ref_writable(buffer, info).unwrap();
        use gst_video::prelude::*;
        for plane in 0..frame.n_planes() {
            let stride = frame.plane_stride()[plane as usize] as usize;
            for (at, sample) in frame.plane_data_mut(plane).unwrap().iter_mut().enumerate() {
                let (x, y) = ((at % stride) as f64, (at / stride) as f64);
                *sample = (128.0 + 80.0 * ((x + n as f64) / 9.0).sin() * (y / 7.0 + f64::from(plane)).cos()) as u8;
            }
        }
    }
    (info.to_caps().unwrap(), buffer)
}

pub fn info(format: VideoFormat, width: u32, height: u32, fps: i32) -> VideoInfo {
    common::init();
    VideoInfo::builder(format, width, height).fps(gst::Fraction::new(fps, 1)).build().unwrap()
}

/// So many test pictures of 64x48 at 30 a second, as access units.
pub fn encoded(frames: usize, properties: &str) -> Vec<Piece> {
    collect(&format!(
        "videotestsrc pattern=ball num-buffers={frames} ! video/x-raw,format=I420,width=64,height=48,framerate=30/1 \
         ! torchenc {properties} ! appsink name=out sync=false"
    ))
}

pub fn write(folder: &Path, pieces: &[Piece]) -> PathBuf {
    let path = folder.join("stream.tvc");
    std::fs::write(&path, pieces.iter().flat_map(|piece| piece.bytes.clone()).collect::<Vec<_>>()).unwrap();
    path
}

pub fn decoded(file: &Path) -> Vec<Piece> {
    collect(&format!("filesrc location={} ! torchparse ! torchdec ! appsink name=out sync=false", file.display()))
}

pub fn times(pieces: &[Piece]) -> Vec<u64> {
    pieces.iter().map(|piece| piece.pts.expect("every buffer has its time")).collect()
}

/// Numbers that look random and are always the same.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.0 >> 33) as usize) % limit
    }
}

/// The samples of a buffer that are shown, without padding.
fn samples(info: &VideoInfo, bytes: &[u8]) -> Vec<u8> {
    let sample = |c: u8, x: usize, y: usize| {
        let (stride, step) = (info.comp_stride(c) as usize, info.comp_pstride(c) as usize);
        bytes[info.comp_offset(c) + y * stride + x * step]
    };
    let component = |c: u8| {
        let (width, height) = (info.comp_width(c) as usize, info.comp_height(c) as usize);
        (0..height).flat_map(move |y| (0..width).map(move |x| (x, y))).map(move |(x, y)| sample(c, x, y))
    };
    (0..info.n_components() as u8).flat_map(component).collect()
}

/// In dB, over all bytes.
fn psnr(a: &[u8], b: &[u8]) -> f64 {
    let squares: f64 = a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
    10.0 * (255.0 * 255.0 * a.len() as f64 / squares.max(1e-9)).log10()
}

#[test]
fn every_format_and_size_comes_back_as_it_went() {
    let kinds = [VideoFormat::I420, VideoFormat::Nv12, VideoFormat::Y42b, VideoFormat::Y444, VideoFormat::Gray8];
    for format in kinds {
        for (width, height) in [(1, 1), (3, 2), (33, 31), (64, 48)] {
            let before = info(format, width, height, 25);
            let line = "appsrc name=in ! torchenc quality=90 ! tee name=t ! queue ! torchparse ! torchdec \
                        ! capsfilter name=filter ! appsink name=out sync=false";
            let pipeline = launch(line);
            pipeline.by_name("filter").unwrap().set_property("caps", before.to_caps().unwrap());
            let pictures: Vec<_> = (0..3).map(|n| picture(&before, n, n as u64 * 40_000_000)).collect();
            feed(&pipeline, pictures.clone());
            let after = try_collect(&pipeline).unwrap_or_else(|e| panic!("{format:?} {width}x{height}: {e}"));
            assert_eq!(times(&after), [0, 40_000_000, 80_000_000], "{format:?} {width}x{height}");
            for ((_, source), shown) in pictures.iter().zip(&after) {
                let source = source.map_readable().unwrap();
                assert_eq!(source.len(), shown.bytes.len());
                let quality = psnr(&samples(&before, &source), &samples(&before, &shown.bytes));
                // A single sample has no average over which errors cancel.
                let enough = if width == 1 { 22.0 } else { 30.0 };
                assert!(quality > enough, "{format:?} {width}x{height}: {quality:.1} dB");
            }
        }
    }
}

#[test]
fn chroma_that_downstream_takes_only_in_the_other_layout_is_turned() {
    let kinds = [VideoFormat::I420, VideoFormat::Nv12];
    for (from, to) in kinds.into_iter().flat_map(|from| kinds.map(|to| (from, to))) {
        let (before, wanted) = (info(from, 33, 31, 25), info(to, 33, 31, 25));
        let line =
            "appsrc name=in ! torchenc quality=90 ! torchdec ! capsfilter name=filter ! appsink name=out sync=false";
        let pipeline = launch(line);
        pipeline.by_name("filter").unwrap().set_property("caps", wanted.to_caps().unwrap());
        let (caps, source) = picture(&before, 0, 0);
        feed(&pipeline, vec![(caps, source.clone())]);
        let after = try_collect(&pipeline).unwrap_or_else(|error| panic!("{from:?} to {to:?}: {error}"));
        let source = source.map_readable().unwrap();
        let quality = psnr(&samples(&before, &source), &samples(&wanted, &after[0].bytes));
        assert!(after.len() == 1 && quality > 30.0, "{from:?} to {to:?}: {quality:.1} dB");
    }
}

#[test]
fn times_survive_in_a_file_whatever_their_spacing() {
    let folder = tempfile::tempdir().unwrap();
    let ms = 1_000_000;
    let even: Vec<u64> = (0..20).map(|n| n * 1_001_000_000_000 / 30_000).map(|ns| ns / 1000).collect();
    let exact: Vec<u64> = (0..20).map(|n| n * 1_000_000_000 / 30).collect();
    let gaps = vec![0, 33 * ms, 70 * ms, 2_070 * ms, 2_071 * ms, 9_000 * ms, 9_033_333_333, 9_100 * ms + 1];
    for (number, expected) in [even, exact, gaps].into_iter().enumerate() {
        let info = info(VideoFormat::I420, 32, 32, 30);
        for keys in [1, 4, 250] {
            let path = folder.path().join("times.tvc");
            let line = format!(
                "appsrc name=in ! torchenc key-int-max={keys} ! filesink name=out2 location={}",
                path.display()
            );
            let pipeline = launch(&line);
            feed(&pipeline, expected.iter().map(|pts| picture(&info, *pts as usize / 33_000_000, *pts)).collect());
            common::play_to_end(&pipeline);
            assert_eq!(times(&decoded(&path)), expected, "row {number}, a key frame every {keys}");
        }
    }
}

#[test]
fn caps_may_change_in_mid_stream() {
    let (small, large) = (info(VideoFormat::I420, 64, 48, 25), info(VideoFormat::Y444, 96, 80, 50));
    let mut pictures: Vec<_> = (0..5).map(|n| picture(&small, n, n as u64 * 40_000_000)).collect();
    pictures.extend((0..5).map(|n| picture(&large, n, 200_000_000 + n as u64 * 20_000_000)));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("change.tvc");
    let pipeline = launch(&format!("appsrc name=in ! torchenc ! filesink location={}", path.display()));
    feed(&pipeline, pictures);
    common::play_to_end(&pipeline);
    let shown = decoded(&path);
    let sizes: Vec<_> = shown.iter().map(|piece| piece.bytes.len()).collect();
    assert_eq!(sizes, [[small.size(); 5], [large.size(); 5]].concat());
    let expected: Vec<u64> =
        (0..5).map(|n| n * 40).chain((0..5).map(|n| 200 + n * 20)).map(|ms| ms * 1_000_000).collect();
    assert_eq!(times(&shown), expected);
}

#[test]
fn states_change_up_and_down_in_either_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), &encoded(6, "key-int-max=3"));
    let line =
        format!("filesrc location={} ! torchparse ! torchdec ! torchenc ! torchparse ! torchdec", path.display());
    let pipeline = launch(&format!("{line} ! fakesink name=sink sync=false"));
    let rendered = |pipeline: &gst::Pipeline| {
        let stats: gst::Structure = pipeline.by_name("sink").unwrap().property("stats");
        stats.get::<u64>("rendered").unwrap()
    };
    for lowest in [gst::State::Null, gst::State::Ready, gst::State::Null] {
        common::play_to_eos(&pipeline);
        assert_eq!(rendered(&pipeline), 6);
        pipeline.set_state(lowest).unwrap();
    }
    // Each element by itself, those that bring data first. Nothing may reach the sink: while a sink waits in PAUSED,
    // stopping the source waits for the sink, whatever is between them.
    let pipeline = launch(&format!("{line} ! valve drop=true ! fakesink"));
    pipeline.set_locked_state(true);
    let elements: Vec<_> = pipeline.iterate_sorted().into_iter().map(Result::unwrap).collect();
    for target in [gst::State::Ready, gst::State::Paused, gst::State::Ready, gst::State::Null] {
        for element in elements.iter().rev() {
            element.set_state(target).unwrap();
        }
        for element in &elements {
            element.set_state(target).unwrap();
        }
    }
    pipeline.set_state(gst::State::Null).unwrap();
}

#[test]
fn memory_stays_flat() {
    let resident = || {
        let status = std::fs::read_to_string("/proc/self/statm").unwrap();
        status.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4096
    };
    let run = |frames: usize| {
        let line = format!(
            "videotestsrc num-buffers={frames} ! video/x-raw,format=I420,width=64,height=48,framerate=30/1 \
             ! torchenc key-int-max=20 ! torchparse ! torchdec ! fakesink sync=false"
        );
        common::play_to_end(&launch(&line));
        resident()
    };
    let (before, after) = (run(200), run(400));
    // Other tests run in this process at the same time.
    assert!(after < before + (200 << 20), "{before} bytes, then {after}");
}

#[test]
fn each_model_runs_in_the_same_elements() {
    for model in ["codec-s", "codec-m", "codec-vq"] {
        let line = format!(
            "videotestsrc num-buffers=5 pattern=ball ! video/x-raw,width=96,height=64 \
             ! torchenc model-file={model} key-int-max=3 ! torchparse ! torchdec ! appsink name=out sync=false"
        );
        let pieces = collect(&line);
        assert_eq!(pieces.len(), 5, "{model}");
        assert!(pieces.iter().all(|piece| !piece.corrupted), "{model}: a picture was concealed");
        let luma = &pieces[4].bytes[..96 * 64];
        assert!(
            luma.iter().any(|v| *v > 180) && luma.iter().any(|v| *v < 40),
            "{model}: the white ball on black is gone"
        );
    }
}
