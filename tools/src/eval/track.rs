//! `gst-torch eval track`: MOTA and IDF1 of the tracker on recorded detections.

use std::path::{Path, PathBuf};

use anyhow::Context;
use gst_torch_models::metrics::mot;
use gst_torch_models::track::mot_format::{self, Frames};
use gst_torch_models::track::{Config, sequence};

/// Files are in the text format of the MOTChallenge: frame, id, left, top, width, height, confidence.
#[derive(clap::Args)]
pub struct Args {
    /// Boxes that a detector found; those of the MOTChallenge or of SORT, say.
    #[arg(long, value_name = "FILE")]
    detections: PathBuf,
    /// Boxes with the ids that they should have.
    #[arg(long, value_name = "FILE")]
    ground_truth: PathBuf,
    /// Overlap from which a track shows an object.
    #[arg(long, default_value_t = 0.5)]
    iou: f32,
    /// Write the tracks here, in the same format.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Let the tracker see the detections of every so many frames only, as with torchdetect inference-interval.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    inference_interval: u64,
    #[command(flatten)]
    tracker: TrackerArgs,
}

/// The properties of torchtrack.
#[derive(clap::Args)]
struct TrackerArgs {
    /// Confidence from which a detection is sure and may start a track.
    #[arg(long, default_value_t = Config::default().high_threshold)]
    class_confidence_threshold: f32,
    /// Confidence from which a detection may carry a track on.
    #[arg(long, default_value_t = Config::default().low_threshold)]
    low_confidence_threshold: f32,
    /// Overlap, times confidence, from which a detection may belong to a track.
    #[arg(long, default_value_t = Config::default().min_iou)]
    iou_threshold: f32,
    /// On how many frames in a row an object must be found to get an id.
    #[arg(long, default_value_t = Config::default().frames_to_confirm)]
    min_frame_count_for_new_track: u32,
    /// For how many frames an object that is not found keeps its id.
    #[arg(long, default_value_t = Config::default().frames_to_forget)]
    min_frame_count_for_lost_track: u32,
}

impl From<TrackerArgs> for Config {
    fn from(args: TrackerArgs) -> Self {
        Config {
            high_threshold: args.class_confidence_threshold,
            low_threshold: args.low_confidence_threshold,
            min_iou: args.iou_threshold,
            frames_to_confirm: args.min_frame_count_for_new_track,
            frames_to_forget: args.min_frame_count_for_lost_track,
        }
    }
}

pub fn run(args: Args) -> anyhow::Result<()> {
    let detections = read(&args.detections)?;
    let truth = read(&args.ground_truth)?;
    if !sequence::confidences_are_comparable(&detections) {
        eprintln!("{}: confidences are not within 0 to 1, all boxes count as sure", args.detections.display());
    }
    let tracks = sequence::track(&detections, args.tracker.into(), args.inference_interval);
    if let Some(path) = &args.output {
        std::fs::write(path, mot_format::format(&tracks)).with_context(|| path.display().to_string())?;
    }
    let summary = mot::score(&truth, &tracks, args.iou);
    if summary.objects == 0 {
        anyhow::bail!("{}: no box has a confidence of 1, so there is nothing to score", args.ground_truth.display());
    }
    println!("MOTA       {:7.2} %", 100.0 * summary.mota());
    println!("IDF1       {:7.2} %", 100.0 * summary.idf1());
    println!("precision  {:7.2} %", 100.0 * summary.precision());
    println!("recall     {:7.2} %", 100.0 * summary.recall());
    println!("switches   {:7}", summary.switches);
    println!("FP         {:7}", summary.false_positives);
    println!("FN         {:7}", summary.misses);
    println!("objects    {:7}  in {} frames", summary.objects, summary.frames);
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<Frames> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    mot_format::parse(&text).with_context(|| path.display().to_string())
}
