//! `gst-torch bench`: speed as a ratio, measured side by side in one run.

mod detect;
mod memory;
mod pipeline;

use clap::Subcommand;

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// torchdetect against a bare libtorch loop, and 1 to 8 streams that share a model.
    Detect(detect::Args),
    /// Resident memory over many frames.
    Memory(memory::Args),
}

pub fn run(args: Args) -> anyhow::Result<()> {
    gst::init()?;
    gsttorch::plugin_register_static()?;
    match args.task {
        Task::Detect(args) => detect::run(args),
        Task::Memory(args) => memory::run(args),
    }
}
