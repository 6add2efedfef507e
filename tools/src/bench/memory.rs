//! `gst-torch bench memory`: resident memory over many frames through one pipeline.

use std::path::PathBuf;

use anyhow::{Context, bail};

use super::pipeline::{self, Frames};

#[derive(clap::Args)]
pub struct Args {
    /// The clip whose frames are used.
    #[arg(required_unless_present = "source")]
    clip: Option<PathBuf>,
    /// Instead of a clip: a source, with its properties.
    #[arg(long, conflicts_with_all = ["clip", "elements"])]
    source: Option<String>,
    /// In steps of 1000, after each of which it is counted.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1_000..))]
    frames: u64,
    /// What the frames pass.
    #[arg(long, default_value = "torchdetect ! torchtrack ! torchoverlay")]
    elements: String,
}

/// Frames until everything that is kept has been allocated.
const SETTLED: usize = 1_000;

pub fn run(args: Args) -> anyhow::Result<()> {
    let mut settled = None;
    let total = usize::try_from(args.frames)?;
    let report = |done| {
        if done == SETTLED || done % 4_000 == 0 || done == total {
            let now = resident().unwrap_or(0);
            let settled = *settled.get_or_insert(now);
            println!(
                "{done:>7} frames   {:8.1} MiB   {:+6.2} %",
                mib(now),
                100.0 * (now as f64 / settled as f64 - 1.0)
            );
        }
    };
    match (&args.clip, &args.source) {
        (_, Some(source)) => pipeline::watch_source(source, total, report),
        (Some(clip), None) => Frames::read(clip, (640, 360), 64)?.watch(&args.elements, total, report),
        (None, None) => bail!("a clip or --source was expected"),
    }
}

/// Resident set of this process, bytes.
fn resident() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse::<u64>()? * 1024)
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
