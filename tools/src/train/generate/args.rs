//! What `gst-torch train generate` can be told.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use gst_torch_models::generate::sequence;

use super::super::args::{Machine, Precision, parse_size};
use super::super::footage::{self, Source};

#[derive(clap::Args, Debug, Clone)]
#[command(after_long_help = footage::HELP)]
pub struct Args {
    /// gan, vae and vqvae learn pictures; sequence learns how the pictures of a vqvae follow each other
    #[arg(long, value_enum)]
    pub network: Network,
    /// What to learn from: videos and pictures, files or folders, with options (see below); may be repeated
    #[arg(long, required = true, value_name = "PATH[,OPTION...]")]
    pub data: Vec<Source>,
    /// What to score against, written likewise
    #[arg(long, value_name = "PATH[,OPTION...]")]
    pub val: Vec<Source>,
    /// Folder for checkpoints, sample sheets, card and weights
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Name of the model, of its card and of its weights [default: the network's]
    #[arg(long)]
    pub name: Option<String>,
    /// Width and height of the pictures [default: 64x64 of a gan, 128x72 of others]
    #[arg(long, value_name = "WxH", value_parser = parse_size)]
    pub size: Option<(usize, usize)>,
    /// Learn grey pictures
    #[arg(long)]
    pub grey: bool,
    /// The classes of a gan, in the order of its latents; each --data then says which it is, with class=LABEL
    #[arg(long, value_delimiter = ',', value_name = "LABEL,...")]
    pub labels: Vec<String>,
    /// Numbers that a picture is made of (gan, vae)
    #[arg(long)]
    pub latent: Option<i64>,
    /// Channels of the finest layer, or of all of a sequence model's
    #[arg(long)]
    pub channels: Option<i64>,
    /// Codes that a vqvae tells apart
    #[arg(long)]
    pub codes: Option<i64>,
    /// Pixels each way that a code of a vqvae stands for: 4, 8 or 16
    #[arg(long)]
    pub cell: Option<i64>,
    /// The vqvae whose pictures a sequence model goes on with: a built-in name or a card
    #[arg(long, value_name = "MODEL", required_if_eq("network", "sequence"))]
    pub pictures: Option<String>,
    /// What a sequence model is made of: transformer, or lstm, the light one
    #[arg(long, value_enum, default_value_t = Kind::Transformer)]
    pub kind: Kind,
    /// Pictures that a sequence model looks back on
    #[arg(long)]
    pub frames: Option<i64>,
    /// Show pictures turned over, too: mirrored, or any way round
    #[arg(long, value_enum, default_value_t = Flip::None)]
    pub flip: Flip,
    /// How often a gan's pictures are changed before they are judged, 0 to 1: less learns faster, more needs fewer pictures
    #[arg(long, default_value_t = 0.7, value_name = "PROBABILITY")]
    pub augment: f64,
    /// The detector through whose eyes made pictures are judged (gan, vae, vqvae), beside the pixels: a built-in name, a card, or
    /// none
    #[arg(long, default_value = "person", value_name = "MODEL")]
    pub features: String,
    /// Weight of the gradient penalty of a gan's discriminator, R1
    #[arg(long, default_value_t = 0.05, value_name = "WEIGHT")]
    pub r1: f64,
    /// Weight of the divergence of a vae's latents: more makes random pictures better, and reconstructions worse
    #[arg(long, default_value_t = 1.0, value_name = "WEIGHT")]
    pub beta: f64,
    #[arg(long, default_value_t = 20_000)]
    pub steps: u64,
    /// End after so many minutes of training, with the schedule fitted into them, whatever --steps says
    #[arg(long, value_name = "MINUTES")]
    pub time_limit: Option<f64>,
    #[arg(long, default_value_t = 16)]
    pub batch_size: usize,
    /// What the network computes in; weights and their changes stay fp32
    #[arg(long, value_enum, default_value_t = Precision::Bf16)]
    pub precision: Precision,
    /// Learning rate at its highest [default: 2e-4 of a gan, 1e-3 of others]
    #[arg(long)]
    pub rate: Option<f64>,
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Save, score and draw a sample sheet every so many steps (after five minutes at the latest, and at the end)
    #[arg(long, default_value_t = 500)]
    pub every: u64,
    #[command(flatten)]
    pub machine: Machine,
    /// Go on from the checkpoint in --out
    #[arg(long)]
    pub resume: bool,
}

#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    Gan,
    Vae,
    Vqvae,
    Sequence,
}

impl Network {
    fn name(self) -> &'static str {
        match self {
            Network::Gan => "gan",
            Network::Vae => "vae",
            Network::Vqvae => "vqvae",
            Network::Sequence => "sequence",
        }
    }
}

#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Transformer,
    Lstm,
}

impl From<Kind> for sequence::Kind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Transformer => sequence::Kind::Transformer,
            Kind::Lstm => sequence::Kind::Lstm,
        }
    }
}

/// How pictures may be turned over.
#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flip {
    None,
    Mirror,
    /// Mirrored, upside down, and by 90 degrees where pictures are square.
    Any,
}

impl Args {
    /// Refuses what the network does not have, which would be ignored.
    pub fn check(&self) -> Result<()> {
        use Network::{Gan, Sequence, Vae, Vqvae};
        for (option, said, networks) in [
            ("labels", !self.labels.is_empty(), &[Gan][..]),
            ("latent", self.latent.is_some(), &[Gan, Vae]),
            ("codes", self.codes.is_some(), &[Vqvae]),
            ("cell", self.cell.is_some(), &[Vqvae]),
            ("pictures", self.pictures.is_some(), &[Sequence]),
            ("frames", self.frames.is_some(), &[Sequence]),
        ] {
            let names: Vec<_> = networks.iter().map(|network| network.name()).collect();
            ensure!(!said || networks.contains(&self.network), "--{option} is for --network {}", names.join(" and "));
        }
        Ok(())
    }

    pub fn name(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.network.name().into())
    }

    /// Width and height of the pictures.
    pub fn size(&self) -> [i64; 2] {
        let (width, height) = self.size.unwrap_or(match self.network {
            Network::Gan => (64, 64),
            _ => (128, 72),
        });
        [width as i64, height as i64]
    }

    pub fn colours(&self) -> i64 {
        if self.grey { 1 } else { 3 }
    }
}
