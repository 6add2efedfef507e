//! What `gst-torch train interpolate` can be told.

use std::path::PathBuf;

use super::super::args::{Machine, Precision};
use super::super::footage::{self, Source};

#[derive(clap::Args, Debug, Clone)]
#[command(after_long_help = footage::HELP)]
pub struct Args {
    /// What to learn from: videos, files or folders, with options (see below); may be repeated
    #[arg(long, required = true, value_name = "PATH[,OPTION...]")]
    pub data: Vec<Source>,
    /// What to score against, written likewise
    #[arg(long, value_name = "PATH[,OPTION...]")]
    pub val: Vec<Source>,
    /// Weights to begin with: a safetensors file of the same --channels and --blocks
    #[arg(long, value_name = "FILE")]
    pub from: Option<PathBuf>,
    /// Folder for checkpoints, card and weights
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Name of the model, of its card and of its weights
    #[arg(long, default_value = "interpolate")]
    pub name: String,
    /// Channels of the network
    #[arg(long, default_value_t = 48)]
    pub channels: i64,
    /// Residual blocks of the network
    #[arg(long, default_value_t = 4)]
    pub blocks: i64,
    #[arg(long, default_value_t = 6_000)]
    pub steps: u64,
    /// End after so many minutes of training, with the whole schedule fitted into them, whatever --steps says
    #[arg(long, value_name = "MINUTES")]
    pub time_limit: Option<f64>,
    #[arg(long, default_value_t = 8)]
    pub batch_size: usize,
    /// Side of the cut-outs, a multiple of 16
    #[arg(long, default_value_t = 224)]
    pub cut: usize,
    /// How many of the pictures to be made lie after both others, not between them: 0 to 1
    #[arg(long, default_value_t = 0.2)]
    pub beyond: f64,
    /// What the network computes in; weights and their changes stay fp32
    #[arg(long, value_enum, default_value_t = Precision::Bf16)]
    pub precision: Precision,
    /// Learning rate at its highest
    #[arg(long, default_value_t = 1e-3)]
    pub rate: f64,
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Save and score every so many steps (and at the end)
    #[arg(long, default_value_t = 500)]
    pub every: u64,
    #[command(flatten)]
    pub machine: Machine,
    /// Go on from the checkpoint in --out
    #[arg(long)]
    pub resume: bool,
}
