//! Whether videos carry the watermark of `torchsrc`, as a whole and in which parts.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use gst_torch_models::generate::watermark::{Detector, Finding};

use crate::media::{self, Yuv};

#[derive(clap::Args)]
pub struct Args {
    /// Videos or pictures that GStreamer decodes.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Seconds of the parts that are looked at one by one.
    #[arg(long, default_value_t = 2.0)]
    window: f64,
    /// Print every part, not only those with a watermark.
    #[arg(long)]
    all: bool,
}

/// What files that do not say have.
const RATE: f64 = 30.0;

pub fn run(args: Args) -> anyhow::Result<()> {
    anyhow::ensure!(args.window > 0.0, "--window is {}; expected a number above 0", args.window);
    for path in &args.files {
        let parts = look(path, args.window)?;
        let mut whole = Detector::default();
        parts.iter().for_each(|part| whole.join(&part.detector));
        let finding = whole.finding();
        let marked = parts.iter().filter(|part| part.finding.is_marked()).count();
        let verdict = match (finding.is_marked(), marked) {
            (false, 0) => "no watermark".to_owned(),
            (_, marked) if marked == parts.len() => "generated".to_owned(),
            (true, 0) => "generated (seen only in all parts together)".to_owned(),
            (_, marked) => format!("generated in {marked} of {} parts", parts.len()),
        };
        println!("{}: {verdict}; {}", path.display(), describe(&finding));
        let mixed = marked > 0 && marked < parts.len();
        for part in parts.iter().filter(|part| args.all || mixed && part.finding.is_marked()) {
            println!("  {:8.2} s to {:8.2} s: {}", part.start, part.end, describe(&part.finding));
        }
    }
    Ok(())
}

fn describe(finding: &Finding) -> String {
    let Finding { frames, score, best, shift: (x, y) } = *finding;
    let place = if (x, y) == (0, 0) { String::new() } else { format!(" at {x},{y}") };
    let [least, least_best] = [Finding::SCORE, Finding::BEST];
    format!("score {score:.1} (from {least} on), best {best:.1}{place} (from {least_best} on), {frames} frames")
}

/// Frames that follow each other.
pub struct Part {
    /// In seconds.
    pub start: f64,
    pub end: f64,
    pub finding: Finding,
    detector: Detector,
}

/// All of a file in parts of so many seconds; the last may be shorter, but not by more than half.
pub fn look(path: &Path, seconds: f64) -> anyhow::Result<Vec<Part>> {
    let rate = media::frame_rate(path)?.map_or(RATE, |rate| f64::from(rate.numer()) / f64::from(rate.denom()));
    let length = ((rate * seconds).round() as u64).max(1);
    let mut parts: Vec<(u64, Detector)> = Vec::new();
    let mut number = 0;
    media::each_yuv(path, None, |Yuv { width, height, planes }| {
        if number % length == 0 {
            parts.push((number, Detector::default()));
        }
        if let Some((_, detector)) = parts.last_mut() {
            detector.add(&planes[0], width, width, height);
        }
        number += 1;
        Ok(ControlFlow::Continue(()))
    })?;
    if parts.len() > 1 && 2 * (number % length) < length && number % length > 0 {
        let short = parts.pop();
        if let (Some((_, short)), Some((_, last))) = (short, parts.last_mut()) {
            last.join(&short);
        }
    }
    let part = |(first, detector): (u64, Detector)| {
        let finding = detector.finding();
        let (start, end) = (first as f64 / rate, (first + finding.frames) as f64 / rate);
        Part { start, end, finding, detector }
    };
    Ok(parts.into_iter().map(part).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use gst_torch_models::generate::watermark;

    const SIZE: (usize, usize) = (320, 180);

    /// A picture with shades, marked or not, as a file.
    fn picture(path: &Path, marked: bool) {
        let (width, height) = SIZE;
        let shade = |i: usize| 0.5 + 0.3 * ((i % width) as f32 * 0.05).sin() * ((i / width) as f32 * 0.07).cos();
        let mut levels: Vec<f32> = (0..width * height).map(shade).collect();
        if marked {
            watermark::mark(&mut levels, width, height);
        }
        let bytes = levels.iter().map(|v| (v * 255.0).round().clamp(0.0, 255.0) as u8).collect();
        image::GrayImage::from_raw(width as u32, height as u32, bytes).unwrap().save(path).unwrap();
    }

    #[test]
    fn files_are_looked_at_in_parts() {
        let folder = tempfile::tempdir().unwrap();
        gst::init().unwrap();
        for marked in [true, false] {
            let path = folder.path().join("picture.png");
            picture(&path, marked);
            let parts = look(&path, 2.0).unwrap();
            assert_eq!((parts.len(), parts[0].finding.frames), (1, 1));
            assert_eq!(parts[0].finding.is_marked(), marked, "{:?}", parts[0].finding);
        }
        let error = look(&folder.path().join("none.mp4"), 2.0).err().unwrap();
        assert!(format!("{error:#}").contains("none.mp4"));
    }

    #[test]
    fn a_short_rest_belongs_to_the_part_before() {
        let folder = tempfile::tempdir().unwrap();
        gst::init().unwrap();
        let path = folder.path().join("clip.avi");
        let line = format!(
            "videotestsrc num-buffers=25 ! video/x-raw,width=64,height=48,framerate=10/1 ! jpegenc ! avimux \
             ! filesink location={}",
            path.display()
        );
        let pipeline = gst::parse::launch(&line).unwrap();
        use gst::prelude::*;
        pipeline.set_state(gst::State::Playing).unwrap();
        let wanted = [gst::MessageType::Eos, gst::MessageType::Error];
        pipeline.bus().unwrap().timed_pop_filtered(gst::ClockTime::from_seconds(20), &wanted).unwrap();
        pipeline.set_state(gst::State::Null).unwrap();
        let parts = look(&path, 1.0).unwrap();
        let frames: Vec<u64> = parts.iter().map(|part| part.finding.frames).collect();
        assert_eq!(frames, [10, 10, 5]);
        assert_eq!((parts[1].start, parts[1].end), (1.0, 2.0));
        let frames: Vec<u64> = look(&path, 0.7).unwrap().iter().map(|part| part.finding.frames).collect();
        assert_eq!(frames, [7, 7, 7, 4]);
        assert_eq!(look(&path, 1.1).unwrap().len(), 2, "3 of 11 belong to those before");
    }
}
