//! Pipelines that are fed ready frames as fast as they take them, so that nothing but the element is measured.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail, ensure};
use gst::prelude::*;
use gst_torch_runtime::planes::{FrameInfo, InputSpec, Layout, PixelFormat, Planes, Preprocessor};

use super::{Clock, Sample};
use crate::clip::Clip;
use crate::stream::{Playing, pipeline};

/// Frames that pass before the clock starts: until all memory that is used again and again has been touched once, which
/// in a virtual machine can take as long as a frame.
const WARM: usize = 12;

/// Frames of a real clip, decoded once; shown in turns.
pub struct Frames {
    caps: gst::Caps,
    buffers: Vec<gst::Buffer>,
}

impl Frames {
    /// Those of a clip that is in memory.
    pub fn of(clip: &Clip) -> Frames {
        Frames { caps: clip.caps.clone(), buffers: clip.buffers.clone() }
    }

    /// The first `count` frames of `clip`, scaled to `size`, I420.
    pub fn read(clip: &Path, size: (usize, usize), count: usize) -> anyhow::Result<Frames> {
        let clip = Clip::read(clip, Some(size), 0, count)?;
        Ok(Frames::of(&clip))
    }

    /// A pipeline for each of `streams` copies of `element`, fed `count` frames in all; what it took from the first
    /// frame to the last EOS. Models are loaded and warm by then.
    pub fn time(&self, element: &str, streams: usize, count: usize) -> anyhow::Result<Sample> {
        ensure!(count >= streams, "{streams} streams share {count} frames; expected at least one each");
        let runs = (0..streams).map(|_| Run::start(self, element)).collect::<anyhow::Result<Vec<_>>>()?;
        for run in &runs {
            run.push(self, 0..WARM)?;
            run.wait_for(WARM as u64)?;
        }
        let each = count / streams;
        let clock = Clock::start()?;
        std::thread::scope(|scope| -> anyhow::Result<()> {
            let threads: Vec<_> = runs
                .iter()
                .map(|run| {
                    scope.spawn(move || {
                        run.push(self, WARM..each + WARM)?;
                        run.source.end_of_stream().map_err(|e| anyhow!("{e}"))?;
                        run.playing.end()
                    })
                })
                .collect();
            threads.into_iter().try_for_each(|t| t.join().map_err(|_| anyhow!("a stream panicked"))?)
        })?;
        clock.stop()
    }

    /// What `element` makes of the first `count` of them.
    pub fn through(&self, element: &str, count: usize) -> anyhow::Result<Frames> {
        let line = format!("appsrc name=source format=time ! {element} ! appsink name=sink sync=false");
        let pipeline = pipeline(&line)?;
        let source = pipeline.by_name("source").and_downcast::<gst_app::AppSrc>().context("the source is there")?;
        let sink = pipeline.by_name("sink").and_downcast::<gst_app::AppSink>().context("the sink is there")?;
        source.set_caps(Some(&self.caps));
        let playing = Playing::start(&pipeline)?;
        let said = |otherwise: String| playing.error().unwrap_or_else(|| anyhow!(otherwise));
        for buffer in self.buffers.iter().take(count) {
            source.push_buffer(buffer.clone()).map_err(|e| said(format!("{element} takes no frame: {e}")))?;
        }
        source.end_of_stream().map_err(|e| said(e.to_string()))?;
        let (mut buffers, mut caps) = (Vec::new(), None);
        while let Ok(sample) = sink.pull_sample() {
            caps = sample.caps_owned();
            buffers.extend(sample.buffer_owned());
        }
        Ok(Frames { caps: caps.ok_or_else(|| said(format!("{element} gave nothing")))?, buffers })
    }

    /// The median time that one frame takes to become a tensor, in this thread.
    pub fn conversion(&self, spec: &InputSpec, kind: tch::Kind) -> anyhow::Result<Duration> {
        let info = gst_video::VideoInfo::from_caps(&self.caps)?;
        let frame = FrameInfo::new(PixelFormat::I420, info.width() as usize, info.height() as usize);
        let preprocessor = Preprocessor::new(&frame, spec)?;
        let mut times = Vec::new();
        for buffer in self.buffers.iter().cycle().take(200) {
            let map = buffer.map_readable()?;
            let plane = |p: usize| (&map[info.offset()[p]..], info.stride()[p] as usize);
            let planes = Planes::new(frame, &[plane(0), plane(1), plane(2)])?;
            let start = Instant::now();
            drop(preprocessor.run_on(&planes, tch::Device::Cpu, kind, Layout::ChannelsLast)?);
            times.push(start.elapsed());
        }
        times.sort_unstable();
        Ok(times[times.len() / 2])
    }

    /// Passes `count` frames through one pipeline and says after each thousand how many are through.
    pub fn watch(&self, elements: &str, count: usize, mut report: impl FnMut(usize)) -> anyhow::Result<()> {
        let run = Run::start(self, elements)?;
        for done in (1_000..=count).step_by(1_000) {
            run.push(self, done - 1_000..done)?;
            run.wait_for(done as u64)?;
            report(done);
        }
        Ok(())
    }
}

/// Takes `count` frames of a source and says after each thousand how many came.
pub fn watch_source(source: &str, count: usize, mut report: impl FnMut(usize)) -> anyhow::Result<()> {
    let line = format!("{source} ! fakesink name=sink sync=false");
    let pipeline = pipeline(&line)?;
    let sink = pipeline.by_name("sink").context("the sink is there")?;
    let _playing = Playing::start(&pipeline)?;
    for done in (1_000..=count).step_by(1_000) {
        loop {
            let stats: gst::Structure = sink.property("stats");
            if stats.get::<u64>("rendered").unwrap_or(0) >= done as u64 {
                break;
            }
            let bus = pipeline.bus().context("a pipeline has a bus")?;
            let wanted = [gst::MessageType::Error, gst::MessageType::Eos];
            if let Some(message) = bus.timed_pop_filtered(gst::ClockTime::from_mseconds(20), &wanted) {
                bail!("{source} ends after {done} frames: {message:?}");
            }
        }
        report(done);
    }
    Ok(())
}

/// One stream: appsrc, the element, and a sink that counts.
struct Run {
    playing: Playing,
    source: gst_app::AppSrc,
    sink: gst::Element,
}

impl Run {
    fn start(frames: &Frames, element: &str) -> anyhow::Result<Run> {
        let description = format!(
            "appsrc name=source format=time block=true max-buffers=4 max-bytes=0 max-time=0 ! {element} ! \
             fakesink name=sink sync=false"
        );
        let pipeline = pipeline(&description)?;
        let source = pipeline.by_name("source").and_downcast::<gst_app::AppSrc>().context("the source is there")?;
        let sink = pipeline.by_name("sink").context("the sink is there")?;
        source.set_caps(Some(&frames.caps));
        Ok(Run { playing: Playing::start(&pipeline)?, source, sink })
    }

    fn push(&self, frames: &Frames, range: std::ops::Range<usize>) -> anyhow::Result<()> {
        for index in range {
            let mut buffer = frames.buffers[index % frames.buffers.len()].copy();
            let writable = buffer.get_mut().context("a copy is writable")?;
            writable.set_pts(gst::ClockTime::from_mseconds(40 * index as u64));
            let otherwise = |e| anyhow!("the pipeline takes no more frames: {e}");
            self.source.push_buffer(buffer).map_err(|e| self.playing.error().unwrap_or_else(|| otherwise(e)))?;
        }
        Ok(())
    }

    fn wait_for(&self, count: u64) -> anyhow::Result<()> {
        let start = Instant::now();
        loop {
            let stats: gst::Structure = self.sink.property("stats");
            if stats.get::<u64>("rendered").unwrap_or(0) >= count {
                return Ok(());
            }
            if let Some(error) = self.playing.error_within(gst::ClockTime::from_mseconds(2)) {
                return Err(error);
            }
            if start.elapsed() > Duration::from_secs(120) {
                bail!("no frame came through in two minutes");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_video_is_an_error_and_not_waited_for() {
        gst::init().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.txt");
        std::fs::write(&path, "this is no video\n").unwrap();
        let error = Frames::read(&path, (64, 64), 5).err().expect("there is no picture");
        assert!(format!("{error:#}").contains("notes.txt"), "{error:#}");
    }
}
