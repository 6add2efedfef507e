//! `gst-torch`: trains, evaluates, measures and inspects what the GstTorch elements run.

mod bench;
mod clip;
mod doctor;
mod eval;
mod inspect;
mod media;
mod options;
mod stream;
mod train;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "gst-torch", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Train a model from labelled pictures and videos.
    Train(Box<train::Args>),
    /// Print quality figures of a model or of result files.
    Eval(eval::Args),
    /// Measure speed, side by side with a bare libtorch loop.
    Bench(bench::Args),
    /// Print what is known about a model file, and where each fact came from.
    Inspect(inspect::Args),
    /// Check GStreamer, the plugin, libtorch, devices and built-in models.
    Doctor(doctor::Args),
}

fn main() -> std::process::ExitCode {
    let result = match Cli::parse().command {
        Command::Train(args) => train::run(*args),
        Command::Eval(args) => eval::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Doctor(args) => doctor::run(args),
    };
    match result {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gst-torch: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}
