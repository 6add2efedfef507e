//! What `gst-torch train codec` can be told.

use std::path::PathBuf;

use super::super::args::{Machine, Precision};
use super::super::footage::{self, Source};

#[derive(clap::Args, Debug, Clone)]
#[command(after_long_help = footage::HELP)]
pub struct Args {
    /// What to learn from: videos and pictures, files or folders, with options (see below); may be repeated
    #[arg(long, required_unless_present = "adapt", value_name = "PATH[,OPTION...]")]
    pub data: Vec<Source>,
    /// What to score against, written likewise
    #[arg(long, value_name = "PATH[,OPTION...]")]
    pub val: Vec<Source>,
    /// Fine-tune the built-in model to one camera or show: the same as --data CLIP with settings that fit into minutes
    #[arg(long, value_name = "CLIP", conflicts_with = "data")]
    pub adapt: Option<Source>,
    /// Kind of latents; --stage, --part, --size and --length are for residual ones
    #[arg(long, value_enum, default_value_t = Coding::Residual)]
    pub coding: Coding,
    /// What learns, one after the other: the networks of intra and of inter pictures, the prior of the entropy coder
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Stage::Intra, Stage::Inter, Stage::Prior])]
    pub stage: Vec<Stage>,
    /// What of the networks learns
    #[arg(long, value_enum, default_value_t = Part::All)]
    pub part: Part,
    /// Weights to begin with: a built-in model, a card, or a safetensors file, of this --size or a smaller one
    #[arg(long, value_name = "MODEL")]
    pub from: Option<String>,
    /// Size of the networks
    #[arg(long, value_enum, default_value_t = Size::Small)]
    pub size: Size,
    /// Folder for checkpoints, card and weights
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Name of the model, of its card and of its weights
    #[arg(long, default_value = "codec")]
    pub name: String,
    /// Steps of each network's run
    #[arg(long, default_value_t = 20_000)]
    pub steps: u64,
    /// End after so many minutes of training, shared by the stages, with the schedules fitted into them, whatever --steps says
    #[arg(long, value_name = "MINUTES")]
    pub time_limit: Option<f64>,
    #[arg(long, default_value_t = 8)]
    pub batch_size: usize,
    /// Side of the cut-outs, a multiple of 16
    #[arg(long, default_value_t = 192)]
    pub cut: usize,
    /// Frames that follow a key frame
    #[arg(long, default_value_t = 15)]
    pub length: usize,
    /// What the networks compute in; weights and their changes stay fp32
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
    /// Shots that the prior is learnt from
    #[arg(long, default_value_t = 400)]
    pub shots: u64,
    /// Before the prior is learnt, make the steps of chroma smaller by so many octaves in intra and in inter pictures
    #[arg(long, num_args = 2, value_name = "OCTAVES")]
    pub finer_chroma: Vec<f64>,
    #[command(flatten)]
    pub machine: Machine,
    /// Go on from the checkpoint in --out
    #[arg(long)]
    pub resume: bool,
}

#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// Scalar latents of what prediction leaves
    Residual,
    /// Vector-quantised pictures (finite scalar quantisation)
    Vector,
}

#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Intra,
    Inter,
    Prior,
}

#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Everything, for few bits and small errors; levels are the latents rounded
    All,
    /// The filter, for small errors of what torchenc's encoder makes of everything else
    Filter,
}

#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// Of codec-s: key frames are filtered
    Small,
    /// Of codec-m: all pictures are filtered
    Medium,
}
