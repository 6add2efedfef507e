//! `gst-torch eval restore`: how much of what was lost comes back, by `torchrestore` and by FFmpeg's classical filters, on
//! clips that are made bad here.

pub mod conditions;
pub mod ffmpeg;
mod flicker;

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use gst_torch_models::metrics::psnr::psnr;
use gst_torch_models::metrics::ssim::ssim;
use gst_torch_models::restore::Task;

use conditions::{Condition, Peer};

use crate::clip::Clip;
use crate::media::Yuv;
use crate::{options, stream};

#[derive(clap::Args)]
#[command(after_long_help = HELP)]
pub struct Args {
    /// Good videos that GStreamer decodes
    #[arg(required = true, value_name = "CLIP")]
    clips: Vec<PathBuf>,
    /// What is to be mended: denoise, deblock, deblur, super-resolution or low-light
    #[arg(long)]
    task: Task,
    /// How many times larger super-resolution makes a picture, 2 or 4
    #[arg(long, default_value_t = 2, value_parser = options::scale)]
    scale: usize,
    /// model-file of torchrestore [default: the built-in one of the task]
    #[arg(long)]
    model: Option<String>,
    /// Standard deviations of the noise, in levels of 8 bits
    #[arg(long, value_delimiter = ',', default_value = "10,25,50", value_parser = options::sigma)]
    sigma: Vec<f64>,
    /// Scale the good clips to this size
    #[arg(long, value_name = "WIDTHxHEIGHT", default_value = "640x360", value_parser = size)]
    size: (usize, usize),
    /// Of each clip, so many frames at most
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    frames: u32,
    /// From this frame on, counted from 0
    #[arg(long, default_value_t = 0, value_name = "FRAME")]
    start: u32,
    /// Leave FFmpeg's filters out
    #[arg(long)]
    alone: bool,
}

const HELP: &str = "\
PSNR in dB and SSIM (Gaussian window of 11 x 11) are of luma, means over the frames. Of each of FFmpeg's filters the setting
counts that gives the best PSNR on the first frames of the clip. Flicker is the variance over time of luma where the good
clip stands still, divided by that of the good clip, and how much of the picture that is, from frame 25 on: a filter that
remembers settles until then. Colour is the PSNR of both planes of chroma, their mean. torchrestore estimates the noise
level, and runs as an element.";

/// Frames after which flicker is measured.
const SETTLED: usize = 24;

/// Frames that the settings of a filter are tried on.
const TRIED: usize = 4;

/// What one contender makes of one clip.
struct Score {
    psnr: f64,
    ssim: f64,
    /// PSNR of chroma.
    colour: f64,
    /// Against the good clip's, and the share of it that stands still; where anything does.
    flicker: Option<(f64, f64)>,
    /// Mean of luma, less that of the good clip.
    brightness: f64,
    detail: String,
}

pub fn run(args: Args) -> Result<()> {
    if args.task == Task::SuperResolution {
        // What the small frames are made of has to be even, too.
        let (width, height) = args.size;
        let unit = 2 * args.scale;
        let fits = width.is_multiple_of(unit) && height.is_multiple_of(unit);
        ensure!(fits, "--size is {width}x{height}; with --scale {}, expected multiples of {unit}", args.scale);
    }
    gst::init()?;
    gsttorch::plugin_register_static()?;
    let peers = if args.alone || !ffmpeg::is_there() { Vec::new() } else { conditions::peers(args.task, args.size) };
    if peers.is_empty() && !args.alone {
        println!("FFmpeg's filters are left out: there is no program ffmpeg\n");
    }
    let read = |path: &PathBuf| Clip::read(path, Some(args.size), args.start as usize, args.frames as usize);
    let clips = args.clips.iter().map(read).collect::<Result<Vec<_>>>()?;
    for condition in conditions::conditions(args.task, args.scale, &args.sigma) {
        let mut rows: Vec<(String, Vec<Score>)> = Vec::new();
        let mut put = |name: &str, score: Score| match rows.iter_mut().find(|(row, _)| row == name) {
            Some((_, scores)) => scores.push(score),
            None => rows.push((name.into(), vec![score])),
        };
        for clip in &clips {
            contenders(&args, clip, &condition, &peers, &mut put).with_context(|| clip.name.clone())?;
        }
        print(&args, &condition, &clips, &rows);
    }
    Ok(())
}

fn contenders(
    args: &Args,
    clip: &Clip,
    condition: &Condition,
    peers: &[Peer],
    put: &mut impl FnMut(&str, Score),
) -> Result<()> {
    let bad = condition.apply(clip)?;
    if args.task != Task::SuperResolution {
        put("as it came", score(clip, &bad, String::new())?);
    }
    if args.task == Task::LowLight {
        put(
            "equalised histogram",
            score(clip, &bad.iter().map(conditions::equalised).collect::<Vec<_>>(), String::new())?,
        );
    }
    for peer in peers {
        let best = best_setting(clip, &bad, peer)?;
        let (frames, speed) = ffmpeg::filter(&bad, best)?;
        put(peer.name, score(clip, &frames, format!("{best}, {speed:.1} frames/s"))?);
    }
    let mut element = format!("torchrestore name=restorer task={} scale={}", args.task, args.scale);
    if let Some(model) = &args.model {
        element += &format!(" model-file=\"{}\"", model.replace('\\', "\\\\").replace('"', "\\\""));
    }
    let bad = Clip::new(clip.name.clone(), clip.rate, bad)?;
    let (frames, speed) = stream::through(&bad, &element)?;
    // A single frame has no speed.
    let detail = speed.map_or(String::new(), |speed| format!("{speed:.1} frames/s"));
    put("torchrestore", score(clip, &frames, detail)?);
    Ok(())
}

/// By PSNR on the first frames.
fn best_setting<'a>(clip: &Clip, bad: &[Yuv], peer: &'a Peer) -> Result<&'a str> {
    let mut best: Option<(f64, &str)> = None;
    for filter in &peer.filters {
        if peer.filters.len() == 1 {
            return Ok(filter);
        }
        let (frames, _) = ffmpeg::filter(&bad[..TRIED.min(bad.len())], filter)?;
        let psnr = frames.iter().zip(&clip.frames).map(|(a, b)| psnr(&b.planes[0], &a.planes[0])).sum::<f64>();
        if best.is_none_or(|(most, _)| psnr > most) {
            best = Some((psnr, filter));
        }
    }
    Ok(best.context("a filter without settings")?.1)
}

fn score(clip: &Clip, frames: &[Yuv], detail: String) -> Result<Score> {
    ensure!(frames.len() == clip.frames.len(), "{} frames went in and {} came out", clip.frames.len(), frames.len());
    let mut score = Score { psnr: 0.0, ssim: 0.0, colour: 0.0, flicker: None, brightness: 0.0, detail };
    for (good, frame) in clip.frames.iter().zip(frames) {
        ensure!((good.width, good.height) == (frame.width, frame.height), "a frame came back in another size");
        let share = 1.0 / frames.len() as f64;
        score.colour += share * (1..3).map(|plane| psnr(&good.planes[plane], &frame.planes[plane]) / 2.0).sum::<f64>();
        score.brightness += share * (frame.brightness() - good.brightness());
        let (good, luma) = (&good.planes[0], &frame.planes[0]);
        score.psnr += share * psnr(good, luma);
        score.ssim += share * ssim(good, luma, frame.width).unwrap_or(f64::NAN);
    }
    let luma = |frames: &'_ [Yuv]| -> Vec<Vec<u8>> { frames.iter().map(|f| f.planes[0].clone()).collect() };
    let (good, frames) = (luma(&clip.frames), luma(frames));
    let good: Vec<&[u8]> = good.iter().map(|f| &f[..]).collect();
    let frames: Vec<&[u8]> = frames.iter().map(|f| &f[..]).collect();
    let width = clip.width();
    let settled = SETTLED.min(good.len());
    let (good, frames) = (&good[settled..], &frames[settled..]);
    let still = flicker::still(frames, good, width).zip(flicker::still(good, good, width));
    let still = still.filter(|(_, good)| good.variance > 0.0);
    score.flicker = still.map(|(own, good)| (own.variance / good.variance, good.share));
    Ok(score)
}

/// Characters of a clip's column.
const COLUMN: usize = 14;

fn print(args: &Args, condition: &Condition, clips: &[Clip], rows: &[(String, Vec<Score>)]) {
    let name = |clip: &Clip| clip.name.chars().take(COLUMN).collect::<String>();
    println!("{}: {}, {}x{}", args.task, condition.name, args.size.0, args.size.1);
    println!("{:20}{}{:>17}", "", clips.iter().map(|c| format!(" {:>16}", name(c))).collect::<String>(), "mean");
    let line = |label: &str, value: &dyn Fn(&Score) -> String, scores: &[Score], mean: String| {
        let cells: String = scores.iter().map(|s| format!(" {:>16}", value(s))).collect();
        println!("{label:20}{cells} {mean:>16}");
    };
    let mean = |scores: &[Score], of: fn(&Score) -> f64| scores.iter().map(of).sum::<f64>() / scores.len() as f64;
    for (name, scores) in rows {
        let both = |psnr: f64, ssim: f64| format!("{psnr:.2} {ssim:.4}");
        let all = both(mean(scores, |s| s.psnr), mean(scores, |s| s.ssim));
        line(name, &|s| both(s.psnr, s.ssim), scores, all);
    }
    for (name, scores) in rows {
        let colour = |s: &Score| format!("{:.2}", s.colour);
        line(&format!("  colour, {name}"), &colour, scores, format!("{:.2}", mean(scores, |s| s.colour)));
    }
    if let Some((_, scores)) = rows.last() {
        let of = |(times, share): (f64, f64)| format!("{times:.2} in {:.1} %", 100.0 * share);
        let flicker = |s: &Score| s.flicker.map_or("-".into(), of);
        let known: Vec<f64> = scores.iter().filter_map(|s| Some(s.flicker?.0)).collect();
        let all = if known.is_empty() {
            "-".into()
        } else {
            format!("{:.2}", known.iter().sum::<f64>() / known.len() as f64)
        };
        line("  its flicker", &flicker, scores, all);
    }
    if args.task == Task::LowLight {
        for (name, scores) in rows {
            let apart = |s: &Score| format!("{:+.1}", s.brightness);
            let all = format!("{:.1}", mean(scores, |s| s.brightness.abs()));
            line(&format!("  light, {name}"), &apart, scores, all);
        }
    }
    for (clip, index) in clips.iter().zip(0..) {
        let details = rows.iter().filter(|(_, scores)| !scores[index].detail.is_empty());
        let details: Vec<_> = details.map(|(name, scores)| format!("{name}: {}", scores[index].detail)).collect();
        if !details.is_empty() {
            println!("  {}: {}", clip.name, details.join("; "));
        }
    }
    println!();
}

/// Of frames, for command lines.
pub fn size(text: &str) -> Result<(usize, usize), String> {
    let size = text.split_once('x').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
    let valid = |&(w, h): &(usize, usize)| [w, h].iter().all(|side| (16..=8192).contains(side) && side % 4 == 0);
    size.filter(valid).ok_or_else(|| "expected WIDTHxHEIGHT, both multiples of 4 from 16 to 8192".to_string())
}
