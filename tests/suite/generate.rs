//! `torchsrc` over real pipelines.

use std::path::Path;

use gst::prelude::*;

use crate::common;

mod called;
mod exact;
mod hostile;
mod live;
mod misfits;
mod ours;
mod properties;
mod reference;
mod sequences;
mod watermark;

fn launch(line: &str) -> gst::Pipeline {
    common::init();
    gst::parse::launch(line).unwrap_or_else(|e| panic!("{e}: {line}")).downcast::<gst::Pipeline>().unwrap()
}

/// A source that plays into an application.
struct Source {
    pipeline: gst::Pipeline,
    element: gst::Element,
    sink: gst_app::AppSink,
}

impl Source {
    /// `after` stands between source and sink: caps, say.
    fn play(settings: &str, after: &str) -> Source {
        let source = Self::paused(settings, after);
        source.pipeline.set_state(gst::State::Playing).unwrap();
        source
    }

    fn paused(settings: &str, after: &str) -> Source {
        let line = format!("torchsrc name=source {settings} ! {after} ! appsink name=sink sync=false max-buffers=1");
        let pipeline = launch(&line);
        let element = pipeline.by_name("source").unwrap();
        let sink = pipeline.by_name("sink").unwrap().downcast::<gst_app::AppSink>().unwrap();
        let source = Source { pipeline, element, sink };
        if source.pipeline.set_state(gst::State::Paused).is_err() {
            panic!("{settings}: {}", source.error());
        }
        source
    }

    fn pull(&self) -> gst::Sample {
        self.sink
            .try_pull_sample(gst::ClockTime::from_seconds(60))
            .unwrap_or_else(|| panic!("no frame: {}", self.error()))
    }

    /// Frames without what pads their rows.
    fn frames(&self, count: usize) -> Vec<Vec<u8>> {
        (0..count).map(|_| pixels(&self.pull())).collect()
    }

    fn error(&self) -> String {
        let message = self.pipeline.bus().unwrap().pop_filtered(&[gst::MessageType::Error]);
        match message.as_ref().map(|m| m.view()) {
            Some(gst::MessageView::Error(error)) => format!("{} {}", error.error(), error.debug().unwrap_or_default()),
            _ => "nothing was said".into(),
        }
    }

    fn seek(&self, milliseconds: u64) {
        let flags = gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE;
        self.pipeline.seek_simple(flags, gst::ClockTime::from_mseconds(milliseconds)).unwrap();
    }

    fn stats(&self) -> gst::Structure {
        self.element.property("stats")
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

/// The planes of a frame, rows without what pads them.
fn pixels(sample: &gst::Sample) -> Vec<u8> {
    use gst_video::prelude::*;

    let info = gst_video::VideoInfo::from_caps(sample.caps().unwrap()).unwrap();
    let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(sample.buffer().unwrap(), &info).unwrap();
    let mut all = Vec::new();
    for plane in 0..frame.n_planes() {
        let stride = frame.plane_stride()[plane as usize] as usize;
        let format = info.format_info();
        let (component, bytes) = match info.format() {
            gst_video::VideoFormat::Nv12 if plane == 1 => (1, 2),
            _ => (plane, info.comp_pstride(plane as u8) as usize),
        };
        let width = format.scale_width(component as u8, info.width()) as usize * bytes;
        let height = format.scale_height(component as u8, info.height()) as usize;
        let data = frame.plane_data(plane).unwrap();
        all.extend(data.chunks(stride).take(height).flat_map(|row| row[..width].to_vec()));
    }
    all
}

fn frames(settings: &str, after: &str, count: usize) -> Vec<Vec<u8>> {
    Source::play(settings, after).frames(count)
}

fn largest_difference(a: &[u8], b: &[u8]) -> u8 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0)
}

/// What an element says that cannot start with `settings`, or fails at its first frame.
fn refusal(settings: &str) -> String {
    let pipeline = launch(&format!("torchsrc num-buffers=2 {settings} ! fakesink"));
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

fn model(path: &Path) -> String {
    format!("model-file={}", path.display())
}
