//! `gst-torch eval`: quality figures from files that a user can name.

mod detect;
mod track;

use clap::Subcommand;

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// AP50 of a detector on labelled pictures and videos.
    Detect(detect::Args),
    /// MOTA and IDF1 of the tracker on detections with ground truth.
    Track(track::Args),
}

pub fn run(args: Args) -> anyhow::Result<()> {
    match args.task {
        Task::Detect(args) => detect::run(args),
        Task::Track(args) => track::run(args),
    }
}
