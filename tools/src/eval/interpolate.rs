//! `gst-torch eval interpolate`: every second frame of a clip is taken away and made again, by the element and by others.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use gst_torch_models::metrics::psnr::{psnr, weighted};
use gst_torch_models::metrics::ssim::ssim;

use super::restore::ffmpeg;
use crate::clip::Clip;
use crate::media::Yuv;
use crate::stream;

/// FFmpeg's interpolation at its best: bidirectional motion, adaptive overlapped blocks. It takes 25 frames a second.
const MINTERPOLATE: &str = "minterpolate=fps=50:mi_mode=mci:mc_mode=aobmc:me_mode=bidir";

#[derive(clap::Args)]
#[command(after_long_help = HELP)]
pub struct Args {
    /// Videos that GStreamer decodes
    #[arg(required = true, value_name = "CLIP")]
    clips: Vec<PathBuf>,
    /// Scale to this size
    #[arg(long, value_name = "WIDTHxHEIGHT", default_value = "640x360", value_parser = crate::options::even_size)]
    size: (usize, usize),
    /// Of each clip, so many frames at most
    #[arg(long, default_value_t = 81, value_parser = clap::value_parser!(u32).range(3..))]
    frames: u32,
    /// From this frame on, counted from 0
    #[arg(long, default_value_t = 0, value_name = "FRAME")]
    start: u32,
    /// model-file of torchinterpolate [default: the built-in one]
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// Leave FFmpeg out
    #[arg(long)]
    alone: bool,
}

const HELP: &str = "\
PSNR is of luma, and (6 Y + U + V) / 8 of all planes; SSIM is of luma; each is the mean over the frames that were made.
Frames a second are those of the whole stream that comes out, made and kept, from the first to the last; FFmpeg's count
its start, too. 'torchinterpolate zero' has latency-mode=zero: it sees past frames only.";

/// Means over the frames that were made.
#[derive(Debug, Clone, Copy, Default)]
struct Score {
    luma: f64,
    all: f64,
    ssim: f64,
    speed: Option<f64>,
}

pub fn run(args: Args) -> Result<()> {
    gst::init()?;
    gsttorch::plugin_register_static()?;
    let peer = !args.alone && ffmpeg::is_there();
    if !peer && !args.alone {
        println!("minterpolate is left out: there is no program ffmpeg\n");
    }
    let mut means: Vec<(&str, Vec<Score>)> = Vec::new();
    for path in &args.clips {
        let clip = Clip::read(path, Some(args.size), args.start as usize, args.frames as usize)?;
        ensure!(clip.frames.len() >= 3, "{} has fewer than three frames", path.display());
        let rows = contenders(&args, &clip, peer).with_context(|| clip.name.clone())?;
        println!("{}, {}x{}, {} frames made", clip.name, clip.width(), clip.height(), clip.frames.len() / 2);
        for (name, score) in rows {
            print(name, score);
            match means.iter_mut().find(|(row, _)| *row == name) {
                Some((_, scores)) => scores.push(score),
                None => means.push((name, vec![score])),
            }
        }
        println!();
    }
    if args.clips.len() > 1 {
        println!("mean of {} clips", args.clips.len());
        means.iter().for_each(|(name, scores)| print(name, mean(scores)));
    }
    Ok(())
}

fn contenders(args: &Args, clip: &Clip, peer: bool) -> Result<Vec<(&'static str, Score)>> {
    let shown: Vec<Yuv> = clip.frames.iter().step_by(2).cloned().collect();
    let pairs = || shown.windows(2);
    let mut rows = vec![
        ("duplicate", score(clip, |k| pairs().nth(k).map(|pair| pair[0].clone()), None)?),
        ("blend", score(clip, |k| pairs().nth(k).map(|pair| blend(&pair[0], &pair[1])), None)?),
    ];
    if peer {
        let (frames, speed) = ffmpeg::rated(&shown, MINTERPOLATE)?;
        rows.push(("minterpolate", score(clip, |k| frames.get(2 * k + 1).cloned(), Some(speed))?));
    }
    let half = gst::Fraction::new(clip.rate.numer(), clip.rate.denom() * 2);
    let half = Clip::new(clip.name.clone(), half, shown.clone())?;
    for (name, mode) in [("torchinterpolate", "one-frame"), ("torchinterpolate zero", "zero")] {
        let mut element = format!("torchinterpolate late-policy=block repair=0 latency-mode={mode}");
        if let Some(model) = &args.model {
            element += &format!(" model-file=\"{}\"", model.replace('\\', "\\\\").replace('"', "\\\""));
        }
        element += &format!(" ! capsfilter caps=video/x-raw,framerate={}/{}", clip.rate.numer(), clip.rate.denom());
        let (frames, speed) = stream::through(&half, &element)?;
        rows.push((name, score(clip, |k| frames.get(2 * k + 1).cloned(), speed)?));
    }
    Ok(rows)
}

fn blend(a: &Yuv, b: &Yuv) -> Yuv {
    let plane = |index: usize| {
        let both = a.planes[index].iter().zip(&b.planes[index]);
        both.map(|(&a, &b)| (u16::from(a) + u16::from(b)).div_ceil(2) as u8).collect()
    };
    Yuv { width: a.width, height: a.height, planes: [plane(0), plane(1), plane(2)] }
}

/// Of the frames with odd numbers, as far as they have a neighbour on both sides and were made: `made` gives the `k`-th.
fn score(clip: &Clip, made: impl Fn(usize) -> Option<Yuv>, speed: Option<f64>) -> Result<Score> {
    let mut scores = Vec::new();
    let wanted = clip.frames[..clip.frames.len() - 1].iter().skip(1).step_by(2);
    for (truth, made) in wanted.zip((0..).map_while(made)) {
        let psnrs = std::array::from_fn(|plane| psnr(&truth.planes[plane], &made.planes[plane]));
        let ssim = ssim(&truth.planes[0], &made.planes[0], truth.width).unwrap_or(f64::NAN);
        scores.push(Score { luma: psnrs[0], all: weighted(psnrs), ssim, speed });
    }
    ensure!(!scores.is_empty(), "nothing was made");
    Ok(mean(&scores))
}

fn mean(scores: &[Score]) -> Score {
    let of = |value: &dyn Fn(&Score) -> f64| scores.iter().map(value).sum::<f64>() / scores.len() as f64;
    let speeds: Vec<f64> = scores.iter().filter_map(|score| score.speed).collect();
    let speed = (!speeds.is_empty()).then(|| speeds.iter().sum::<f64>() / speeds.len() as f64);
    Score { luma: of(&|s| s.luma), all: of(&|s| s.all), ssim: of(&|s| s.ssim), speed }
}

fn print(name: &str, score: Score) {
    let speed = score.speed.map_or("-".into(), |speed| format!("{speed:.1}"));
    let Score { luma, all, ssim, .. } = score;
    println!("  {name:22} Y {luma:6.2} dB   YUV {all:6.2} dB   SSIM {ssim:.4}   {speed:>6} frames/s");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(value: u8) -> Yuv {
        Yuv { width: 16, height: 16, planes: [vec![value; 256], vec![value; 64], vec![value; 64]] }
    }

    #[test]
    fn only_what_was_taken_away_is_scored() {
        gst::init().unwrap();
        let clip = Clip::of("clip", [10, 20, 30, 40, 50, 60].map(frame).into());
        let exact = score(&clip, |k| Some(frame([20, 40][k])), None).unwrap();
        assert_eq!((exact.luma, exact.all), (100.0, 100.0));
        let off = score(&clip, |k| Some(frame([21, 41][k])), Some(5.0)).unwrap();
        assert!((off.luma - 48.13).abs() < 0.01 && off.speed == Some(5.0));
        assert!(score(&clip, |_| None, None).is_err());
        assert_eq!(blend(&frame(10), &frame(31)), frame(21));
    }
}
