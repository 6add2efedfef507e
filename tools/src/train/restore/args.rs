//! What `gst-torch train restore` can be told.

use std::path::PathBuf;

use gst_torch_models::restore::Task;

use super::super::args::{Machine, Precision};
use super::super::footage::{self, Source};

#[derive(clap::Args, Debug, Clone)]
#[command(after_long_help = footage::HELP)]
pub struct Args {
    /// What the network is to mend: denoise, deblock, deblur, super-resolution or low-light
    #[arg(long)]
    pub task: Task,
    /// How many times larger super-resolution makes a picture, 2 or 4
    #[arg(long, default_value_t = 2)]
    pub scale: i64,
    /// Good pictures to learn from: videos and pictures, files or folders, with options (see below); may be repeated
    #[arg(long, required = true, value_name = "PATH[,OPTION...]")]
    pub data: Vec<Source>,
    /// What to score against, written likewise
    #[arg(long, value_name = "PATH[,OPTION...]")]
    pub val: Vec<Source>,
    /// Weights to begin with: a built-in model, a card or a safetensors file, of any task; what does not fit is left out
    #[arg(long, value_name = "MODEL")]
    pub from: Option<String>,
    /// Channels of the residual blocks; the built-in model's where not given
    #[arg(long)]
    pub channels: Option<i64>,
    /// Residual blocks; the built-in model's where not given
    #[arg(long)]
    pub blocks: Option<i64>,
    /// Folder for checkpoints, card and weights
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Name of the model, of its card and of its weights; that of the built-in model where not given
    #[arg(long)]
    pub name: Option<String>,
    #[arg(long, default_value_t = 20_000)]
    pub steps: u64,
    /// End after so many minutes of training, with the schedule fitted into them, whatever --steps says
    #[arg(long, value_name = "MINUTES")]
    pub time_limit: Option<f64>,
    #[arg(long, default_value_t = 8)]
    pub batch_size: usize,
    /// Side of the cut-outs of the good pictures, a multiple of 16
    #[arg(long, default_value_t = 128)]
    pub cut: usize,
    /// Most frames of a clip that follow each other, where the network remembers
    #[arg(long, default_value_t = 16)]
    pub length: usize,
    /// Where the former output is right already, how much a change of it counts beside an error: less flicker for a little PSNR
    #[arg(long, default_value_t = 0.0, value_name = "WEIGHT")]
    pub steady: f64,
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
