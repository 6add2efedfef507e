//! Frames through elements, such as an encoder, and its packets through a decoder, each as fast as the element takes them.

mod h264;
mod playing;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use gst::prelude::*;

use crate::clip::Clip;
use crate::media::{self, Yuv};
pub use playing::{Playing, pipeline};

/// Whatever takes longer for a frame, or to start, is taken to hang.
const PATIENCE: Duration = Duration::from_secs(300);

/// A stream as an encoder wrote it.
pub struct Coded {
    caps: gst::Caps,
    packets: Vec<gst::Buffer>,
    /// Frames a second; `None` of a single frame.
    pub speed: Option<f64>,
}

impl Coded {
    pub fn bytes(&self) -> u64 {
        self.packets.iter().map(|packet| packet.size() as u64).sum()
    }
}

/// Through the launch line of an encoder.
pub fn encode(clip: &Clip, encoder: &str) -> Result<Coded> {
    let (samples, speed) = pass(&clip.caps, &clip.buffers, encoder)?;
    let caps = samples.first().and_then(|sample| sample.caps_owned()).context("no packet came out")?;
    let mut packets: Vec<gst::Buffer> = samples.iter().filter_map(|sample| sample.buffer_owned()).collect();
    if caps.structure(0).is_some_and(|s| s.name() == "video/x-h264") {
        packets = packets.iter().map(h264::without_user_data).collect::<Result<_>>()?;
    }
    Ok(Coded { caps, packets, speed })
}

/// Through the launch line of a decoder; also how many frames a second it decoded.
pub fn decode(coded: &Coded, decoder: &str) -> Result<(Vec<Yuv>, Option<f64>)> {
    // Not converted: what a decoder gives is what is measured.
    let line = format!("{decoder} ! video/x-raw,format=I420");
    let (samples, speed) = pass(&coded.caps, &coded.packets, &line)?;
    Ok((samples.iter().map(media::yuv_of).collect::<Result<_>>()?, speed))
}

/// Coded by x264 with a quantiser and one of its presets, and decoded. Ultrafast does without H.264's own filter of blocks.
pub fn x264(clip: &Clip, quantiser: u32, preset: &str) -> Result<Vec<Yuv>> {
    let encoder = format!(
        "x264enc pass=quant quantizer={quantiser} speed-preset={preset} tune=zerolatency threads=1 aud=false ! \
         video/x-h264,stream-format=byte-stream,alignment=au"
    );
    Ok(decode(&encode(clip, &encoder)?, "avdec_h264")?.0)
}

/// Through the launch line of elements that give I420; also how many frames a second they did.
pub fn through(clip: &Clip, elements: &str) -> Result<(Vec<Yuv>, Option<f64>)> {
    let (samples, speed) = pass(&clip.caps, &clip.buffers, &format!("{elements} ! video/x-raw,format=I420"))?;
    Ok((samples.iter().map(media::yuv_of).collect::<Result<_>>()?, speed))
}

/// What comes out of `elements` when `buffers` go in, and how many a second did. Time counts from the first that comes
/// out to the last, which leaves out what it takes to load a model.
fn pass(caps: &gst::Caps, buffers: &[gst::Buffer], elements: &str) -> Result<(Vec<gst::Sample>, Option<f64>)> {
    let line = format!(
        "appsrc name=source format=time block=true max-buffers=4 max-bytes=0 max-time=0 ! {elements} ! \
         appsink name=sink sync=false"
    );
    let pipeline = pipeline(&line)?;
    let source: gst_app::AppSrc = pipeline.by_name("source").and_downcast().context("the source is there")?;
    let sink = pipeline.by_name("sink").and_downcast().context("the sink is there")?;
    source.set_caps(Some(caps));
    let run = Run { source, sink, playing: Playing::start(&pipeline)? };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // A pipeline that takes no more has stopped, and says why on its bus.
            let taken = buffers.iter().all(|buffer| run.source.push_buffer(buffer.clone()).is_ok());
            taken.then(|| run.source.end_of_stream())
        });
        let collected = run.collect();
        // Lets go of a push that waits for room.
        let _ = pipeline.set_state(gst::State::Null);
        collected
    })
}

struct Run {
    playing: Playing,
    source: gst_app::AppSrc,
    sink: gst_app::AppSink,
}

impl Run {
    fn collect(&self) -> Result<(Vec<gst::Sample>, Option<f64>)> {
        let mut samples = Vec::new();
        let mut active = Instant::now();
        let mut times: Option<(Instant, Instant)> = None;
        loop {
            if let Some(sample) = self.sink.try_pull_sample(gst::ClockTime::from_mseconds(200)) {
                active = Instant::now();
                times = Some((times.map_or(active, |(first, _)| first), active));
                samples.push(sample);
            } else if let Some(error) = self.playing.error() {
                return Err(error);
            } else if self.sink.is_eos() {
                break;
            }
            ensure!(active.elapsed() < PATIENCE, "nothing came out for {} seconds", PATIENCE.as_secs());
        }
        let seconds = times.map(|(first, last)| (last - first).as_secs_f64());
        let speed = seconds.filter(|seconds| *seconds > 0.0).map(|seconds| (samples.len() - 1) as f64 / seconds);
        Ok((samples, speed))
    }
}
