//! `gst-torch eval codec`: rate-distortion curves of our codec beside MJPEG, x264 and x265, on any clip, each through
//! its GStreamer elements. Bits are those of the streams that the encoders write.

mod codecs;
mod measure;
mod picture;
mod plot;
mod report;
mod table;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use indicatif::{ProgressBar, ProgressStyle};

use crate::clip::Clip;
use crate::options;
use codecs::{Choice, Codec};
use picture::Sample;
use report::{ClipReport, Curve, Report};

#[derive(clap::Args)]
#[command(after_long_help = HELP)]
pub struct Args {
    /// Videos that GStreamer decodes
    #[arg(required = true, value_name = "CLIP")]
    clips: Vec<PathBuf>,
    /// Scale to this size, both sides even [default: as they are, without the last row and column of odd sizes]
    #[arg(long, value_name = "WIDTHxHEIGHT", value_parser = options::even_size)]
    size: Option<(usize, usize)>,
    /// Of each clip, so many frames at most
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..))]
    frames: u32,
    /// From this frame on, counted from 0
    #[arg(long, default_value_t = 0, value_name = "FRAME")]
    start: u32,
    /// Frames from a key frame to the next, for all codecs
    #[arg(long, default_value_t = 250, value_name = "FRAMES", value_parser = clap::value_parser!(u32).range(1..))]
    gop: u32,
    /// Compare codecs that code each frame for itself, ours with key-int-max=1
    #[arg(long)]
    intra: bool,
    /// model-file of torchenc; may be repeated [default: the built-in one]
    #[arg(long = "model", value_name = "MODEL")]
    models: Vec<String>,
    /// Values of torchenc's quality, one for each point of a curve
    #[arg(long, value_name = "0..100", value_delimiter = ',', default_value = "95,80,60,40,20,5", value_parser = options::quality)]
    quality: Vec<f64>,
    /// Compute BD-rates against this codec; may be repeated [default: mjpeg, x264-ultrafast and x264-medium, or with
    /// --intra mjpeg, x264-intra-ultrafast and x264-intra-medium]
    #[arg(long = "anchor", value_name = "CODEC")]
    anchors: Vec<String>,
    /// Write all points and BD-rates here
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Take what this earlier --json has of other codecs on the same frames at the same settings
    #[arg(long, value_name = "FILE")]
    peers: Option<PathBuf>,
    /// Draw the curves here, as a PNG
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Put our pictures beside those of a peer at about the same rate, as a PNG, of the first clip; the peer is the first
    /// --anchor that has frames of its own (not from --peers)
    #[arg(long, value_name = "FILE")]
    picture: Option<PathBuf>,
}

const HELP: &str = "\
PSNR is (6 Y + U + V) / 8 of each plane's mean over the frames, SSIM is of luma (Gaussian window of 11 x 11). BD-rate
is the mean difference in bits at equal quality, by piecewise cubic interpolation of the logarithm of the rate; it is
left out (-) where two curves share less than a quarter of the shorter one. x264-ultrafast, x264-medium and x265-medium
are tuned for zero latency. All encode at a constant quantiser. Speeds are those of one run, on a machine that may do
other things.";

pub fn run(args: Args) -> Result<()> {
    gst::init()?;
    gsttorch::plugin_register_static()?;
    let choice = Choice { gop: args.gop, intra: args.intra, models: &args.models, qualities: &args.quality };
    let codecs = installed(codecs::codecs(&choice)?);
    ensure!(!codecs.is_empty(), "no codec is left to compare");
    let anchors = anchors(&args, &codecs)?;
    let known = args.peers.as_deref().map(Report::read).transpose()?.unwrap_or_default();

    let points: usize = codecs.iter().map(|(codec, _)| codec.qualities.len()).sum();
    let bar = ProgressBar::new((points * args.clips.len()) as u64);
    bar.set_style(ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta}")?);
    let (mut report, mut reused) = (Report::default(), 0);
    let mut samples = args.picture.as_ref().map(|_| Vec::new());
    for path in &args.clips {
        let clip = Clip::read(path, args.size, args.start as usize, args.frames as usize)?;
        let measured = curves(&clip, &codecs, &known, &mut reused, samples.as_mut(), &bar)?;
        if let (Some(path), Some(samples)) = (&args.picture, samples.take()) {
            picture::write(&clip, &samples, &anchors, path)?;
        }
        bar.suspend(|| println!("{}", table::points(&measured)));
        report.clips.push(measured);
        report.compare(&anchors);
        // After each clip: what was measured is not lost with the next one.
        if let Some(path) = &args.json {
            report.write(path)?;
        }
    }
    bar.finish_and_clear();
    if let Some(path) = &args.peers {
        println!("{reused} of {} points are those of {}\n", bar.length().unwrap_or_default(), path.display());
    }
    for anchor in &anchors {
        println!("{}", table::bd_rates(&report, anchor));
    }
    if let Some(path) = &args.plot {
        plot::write(&report, path)?;
    }
    Ok(())
}

/// BD-rates by PSNR of a model (a card) against x264 at presets ultrafast and medium, tuned for zero latency: the mean over
/// the first `frames` frames of each clip, in percent. Those encoders that are not installed are left out.
pub fn against_x264(model: &Path, clips: &[PathBuf], frames: usize) -> Result<Vec<(String, f64)>> {
    const ANCHORS: [&str; 2] = ["x264-ultrafast", "x264-medium"];
    gst::init()?;
    gsttorch::plugin_register_static()?;
    let models = [model.display().to_string()];
    let choice = Choice { gop: 250, intra: false, models: &models, qualities: &[65.0, 50.0, 35.0, 20.0] };
    let mut codecs = codecs::codecs(&choice)?;
    codecs.retain(|codec| codec.ours || ANCHORS.contains(&codec.name.as_str()));
    let codecs = installed(codecs);
    let bar = ProgressBar::new(clips.len() as u64 * codecs.iter().map(|(c, _)| c.qualities.len() as u64).sum::<u64>());
    bar.set_style(ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta}")?);
    let mut report = Report::default();
    for path in clips {
        let clip = Clip::read(path, None, 0, frames)?;
        report.clips.push(curves(&clip, &codecs, &Report::default(), &mut 0, None, &bar)?);
    }
    bar.finish_and_clear();
    report.compare(&ANCHORS.map(String::from));
    let mean = |anchor: &str| {
        let ours = report.bd_rates.iter().filter(|c| c.anchor == anchor && !ANCHORS.contains(&c.codec.as_str()));
        let percents: Vec<f64> = ours.filter_map(|c| c.by_psnr.map(|difference| difference.percent)).collect();
        (!percents.is_empty()).then(|| percents.iter().sum::<f64>() / percents.len() as f64)
    };
    Ok(ANCHORS.iter().filter_map(|anchor| Some((anchor.to_string(), mean(anchor)?))).collect())
}

/// Counts in `reused` the points that were known.
fn curves(
    clip: &Clip,
    codecs: &[(Codec, String)],
    known: &Report,
    reused: &mut u64,
    mut samples: Option<&mut Vec<Sample>>,
    bar: &ProgressBar,
) -> Result<ClipReport> {
    let mut curves = Vec::new();
    for (codec, decoder) in codecs {
        bar.set_message(format!("{}: {}", clip.name, codec.name));
        let mut points = Vec::new();
        for &quality in &codec.qualities {
            let point = match known.find(clip, codec, quality) {
                Some(point) => {
                    *reused += 1;
                    point.clone()
                }
                None => {
                    let measured = measure::measure(clip, &codec.encoder(quality), decoder, quality);
                    let (point, mut decoded) =
                        measured.with_context(|| format!("{} at quality {quality} on {}", codec.name, clip.name))?;
                    if let Some(samples) = &mut samples {
                        let frame = decoded.swap_remove(decoded.len() / 2);
                        samples.push(Sample {
                            codec: codec.name.clone(),
                            ours: codec.ours,
                            point: point.clone(),
                            frame,
                        });
                    }
                    point
                }
            };
            points.push(point);
            bar.inc(1);
        }
        curves.push(Curve { codec: codec.name.clone(), encoder: codec.encoder.clone(), points });
    }
    Ok(ClipReport {
        clip: clip.name.clone(),
        digest: clip.digest.clone(),
        width: clip.width(),
        height: clip.height(),
        frames: clip.frames.len(),
        frames_per_second: clip.frames_per_second(),
        curves,
    })
}

/// With the decoder of each; says what is compared and what is left out.
fn installed(codecs: Vec<Codec>) -> Vec<(Codec, String)> {
    let mut there = Vec::new();
    for codec in codecs {
        match codec.decoder().map(String::from) {
            Ok(decoder) => {
                println!("{:20} {}, {decoder}", codec.name, codec.encoder);
                there.push((codec, decoder));
            }
            Err(element) => println!("{:20} left out: there is no element {element}", codec.name),
        }
    }
    println!();
    there
}

/// Those asked for, which must be there, or those of the defaults that are.
fn anchors(args: &Args, codecs: &[(Codec, String)]) -> Result<Vec<String>> {
    let names: Vec<&str> = codecs.iter().map(|(codec, _)| codec.name.as_str()).collect();
    for anchor in &args.anchors {
        ensure!(names.contains(&anchor.as_str()), "no codec {anchor} to compare with; there are {}", names.join(", "));
    }
    if !args.anchors.is_empty() {
        return Ok(args.anchors.clone());
    }
    let defaults = codecs::default_anchors(args.intra).iter();
    Ok(defaults.filter(|anchor| names.contains(anchor)).map(|anchor| anchor.to_string()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use gst::prelude::*;
    use std::path::Path;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        args: Args,
    }

    fn eval(words: &[&str]) -> Result<()> {
        // torchenc loads a model, whose variables are drawn at random before they are filled.
        let _turn = crate::train::GENERATOR.lock();
        run(Command::try_parse_from([&["codec"], words].concat())?.args)
    }

    /// Ten frames of rings that run outwards.
    fn clip(path: &Path) {
        gst::init().unwrap();
        let line = format!(
            "videotestsrc num-buffers=10 pattern=zone-plate kx2=12 ky2=12 kt=3 ! \
             video/x-raw,format=I420,width=161,height=99,framerate=10/1 ! jpegenc quality=98 ! avimux ! \
             filesink location={}",
            path.display()
        );
        let pipeline = gst::parse::launch(&line).unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        let kinds = [gst::MessageType::Eos, gst::MessageType::Error];
        let message = pipeline.bus().unwrap().timed_pop_filtered(gst::ClockTime::from_seconds(10), &kinds);
        assert_eq!(message.unwrap().type_(), gst::MessageType::Eos);
        pipeline.set_state(gst::State::Null).unwrap();
    }

    /// The real peers in their known order; and the second time, their points are taken from the report of the first.
    #[test]
    fn peers_are_measured_once_and_rank_as_they_are_known_to() {
        gst::init().unwrap();
        for element in ["x264enc", "avdec_h264", "avenc_mjpeg", "jpegdec"] {
            if gst::ElementFactory::find(element).is_none() {
                eprintln!("skipped: there is no element {element}");
                return;
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
        clip(Path::new(&file("rings.avi")));
        let (first, second) = (file("1.json"), file("2.json"));
        eval(&[&file("rings.avi"), "--frames=8", "--start=1", "--json", &first, "--plot", &file("1.png")]).unwrap();
        let report = Report::read(Path::new(&first)).unwrap();
        let clip = &report.clips[0];
        assert_eq!((clip.clip.as_str(), clip.width, clip.height, clip.frames), ("rings", 160, 98, 8));
        assert_eq!(clip.frames_per_second, 10.0);
        let against = |anchor: &str, codec: &str| {
            let found = report.bd_rates.iter().find(|c| c.anchor == anchor && c.codec == codec);
            found.and_then(|comparison| comparison.by_psnr).map(|difference| difference.percent).unwrap()
        };
        assert!(against("mjpeg", "x264-intra-medium") < -10.0);
        assert!(against("mjpeg", "x264-medium") < -10.0);
        assert!(against("x264-medium", "x264-ultrafast") > 10.0);
        assert!(image::open(file("1.png")).is_ok());

        eval(&[&file("rings.avi"), "--frames=8", "--start=1", "--json", &second, "--peers", &first]).unwrap();
        let again = Report::read(Path::new(&second)).unwrap();
        let speeds = |report: &Report| -> Vec<_> {
            let peers = report.clips[0].curves.iter().filter(|curve| !curve.encoder.starts_with("torchenc"));
            peers.flat_map(|curve| &curve.points).map(|point| point.encode_speed).collect()
        };
        assert_eq!(speeds(&again), speeds(&report), "measured anew");
    }

    #[test]
    fn what_cannot_be_compared_is_said() {
        let error = eval(&["/nowhere/clip.mp4"]).unwrap_err();
        assert!(format!("{error:#}").contains("/nowhere/clip.mp4"), "{error:#}");
        let error = eval(&["/nowhere/clip.mp4", "--anchor=divx"]).unwrap_err();
        assert!(format!("{error:#}").contains("no codec divx to compare with; there are "), "{error:#}");
        for bad in [&["clip", "--size=641x360"][..], &["clip", "--size=640"], &["clip", "--frames=0"], &[]] {
            assert!(eval(bad).is_err(), "{bad:?}");
        }
    }
}
