//! `gst-torch train`: models from labelled pictures and videos.

mod adamw;
mod args;
mod batches;
mod card;
mod checkpoint;
mod codec;
pub mod dataset;
mod detect;
pub mod footage;
pub mod generate;
mod interpolate;
mod learner;
mod restore;
pub mod score;

use clap::Subcommand;

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// The built-in detector, from boxes.
    Detect(detect::Args),
    /// The autoencoder codec, from videos and pictures.
    Codec(codec::Args),
    /// A generator, from videos and pictures of what it is to make.
    Generate(generate::Args),
    /// The network that fuses two pictures into one between them, from videos.
    Interpolate(interpolate::Args),
    /// A restorer: of noise, compression, blur, size or light.
    Restore(restore::Args),
}

pub fn run(args: Args) -> anyhow::Result<()> {
    match args.task {
        Task::Detect(args) => detect::run(args),
        Task::Codec(args) => codec::run(args),
        Task::Generate(args) => generate::run(args),
        Task::Interpolate(args) => interpolate::run(args),
        Task::Restore(args) => restore::run(args),
    }
}

/// libtorch's random generator belongs to the whole process: tests that draw from it take turns.
#[cfg(test)]
pub(crate) static GENERATOR: std::sync::Mutex<()> = std::sync::Mutex::new(());
