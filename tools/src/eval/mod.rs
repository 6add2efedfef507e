//! `gst-torch eval`: quality figures from files that a user can name.

pub mod codec;
mod detect;
mod generate;
mod interpolate;
pub mod restore;
mod track;
mod watermark;

use clap::Subcommand;

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Rate-distortion curves of our codec beside MJPEG, x264 and x265.
    Codec(codec::Args),
    /// AP50 of a detector on labelled pictures and videos.
    Detect(detect::Args),
    /// What a generator makes beside real pictures: distance, diversity, replays, reconstruction.
    Generate(generate::Args),
    /// PSNR and SSIM of frames made between others, beside FFmpeg's minterpolate.
    Interpolate(interpolate::Args),
    /// PSNR and SSIM of the restorer beside FFmpeg's filters.
    Restore(restore::Args),
    /// MOTA and IDF1 of the tracker on detections with ground truth.
    Track(track::Args),
    /// How often the watermark of torchsrc is missed, and found where there is none.
    Watermark(watermark::Args),
}

pub fn run(args: Args) -> anyhow::Result<()> {
    match args.task {
        Task::Codec(args) => codec::run(args),
        Task::Detect(args) => detect::run(args),
        Task::Generate(args) => generate::run(args),
        Task::Interpolate(args) => interpolate::run(args),
        Task::Restore(args) => restore::run(args),
        Task::Track(args) => track::run(args),
        Task::Watermark(args) => watermark::run(args),
    }
}
