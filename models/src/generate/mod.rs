//! Generators, without GStreamer: networks that make pictures of a kind out of numbers, and go on from pictures.
//!
//! # What a card says
//!
//! `task = "generate"`, `network` one of the words below, and in `[config]` the sizes that the network is built from
//! ([`Config`]). `labels` names the classes, where there are some.
//!
//! # What a network takes and gives
//!
//! The runtime's engine runs each network as a pure function of one tensor to one tensor. Pictures are `(N, C, H, W)` with `C`
//! of 3 (RGB) or 1 and numbers of 0 to 1.
//!
//! | `network` | takes | gives |
//! |---|---|---|
//! | `gan` | latents `(N, latent + classes, 1, 1)` | pictures |
//! | `vae` | latents `(N, latent, 1, 1)` | pictures |
//! | | pictures | latents (the mean) |
//! | `vqvae` | code vectors `(N, width, h, w)` | pictures |
//! | | pictures | vectors, not yet those of codes |
//! | `sequence` | embedded codes `(N, (frames + 1) * embedding, h, w)` | a logit for each code, `(N, codes, h, w)` |
//!
//! Where a network goes both ways, the shape of what it is given says which: `model.engine(C, H, W)` encodes and
//! `model.engine(latent, 1, 1)` decodes, with the weights in memory once.
//!
//! **Latents** are drawn from the standard normal distribution; truncation scales them towards 0, their mean (Brock et al.
//! 2019). **Classes** are a second form of latent: after the `latent` numbers follow `classes` weights that add up to 1, one
//! of them 1 for a class as it was learnt, several for what lies between classes.
//!
//! **Codes** are whole numbers and never pass through a network: [`vqvae::Codebook`] turns them into the vectors that the
//! decoder takes, and an encoder's vectors into codes; [`sequence::Player`] does the same for the sequence model, and draws
//! the next codes from its logits.

pub mod augment;
mod autoencoder;
pub mod decoder;
pub mod discriminator;
pub mod gan;
pub mod generator;
pub mod latents;
mod layers;
pub mod modes;
pub mod path;
pub mod provenance;
pub mod random;
mod sequel;
pub mod sequence;
pub mod snapshots;
#[cfg(test)]
mod tests;
mod trial;
pub mod vae;
pub mod vqvae;
pub mod watermark;

use std::path::Path;

use gst_torch_runtime::ModelInfo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tch::{Device, TchError, Tensor, nn};

use crate::builtin::MODELS;

/// The task of all these models in a card.
pub const TASK: &str = "generate";

/// Names of the networks.
pub const NETWORKS: [&str; 4] = ["gan", "vae", "vqvae", "sequence"];

/// What a network is built from: the `[config]` table of a card.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Config {
    Gan(gan::Config),
    Vae(vae::Config),
    Vqvae(vqvae::Config),
    Sequence(sequence::Config),
}

impl Config {
    /// Reads the `[config]` of a card whose `network` is this; `None` where that is no generator.
    pub fn read(network: &str, config: &toml::Table) -> Option<Result<Self, String>> {
        Some(match network {
            "gan" => read(config).and_then(gan::Config::checked).map(Config::Gan),
            "vae" => read(config).and_then(vae::Config::checked).map(Config::Vae),
            "vqvae" => read(config).and_then(vqvae::Config::checked).map(Config::Vqvae),
            "sequence" => read(config).and_then(sequence::Config::checked).map(Config::Sequence),
            _ => return None,
        })
    }

    /// Of a model that was opened; `None` where it is no generator of ours.
    pub fn of(info: &ModelInfo) -> Option<Result<Self, String>> {
        Self::read(info.network.as_deref()?, &info.config)
    }

    /// As a card's `network`.
    pub fn network(&self) -> &'static str {
        match self {
            Config::Gan(_) => "gan",
            Config::Vae(_) => "vae",
            Config::Vqvae(_) => "vqvae",
            Config::Sequence(_) => "sequence",
        }
    }

    /// What the engine is given to make something: channels, height and width.
    pub fn input(&self) -> [i64; 3] {
        match self {
            Config::Gan(config) => [config.latent + config.classes, 1, 1],
            Config::Vae(config) => [config.latent, 1, 1],
            Config::Vqvae(config) => [config.width, config.grid()[1], config.grid()[0]],
            Config::Sequence(config) => config.input(),
        }
    }

    /// Of what the engine is given, the last so many channels are the weights of classes.
    pub fn classes(&self) -> usize {
        match self {
            Config::Gan(config) => config.classes as usize,
            _ => 0,
        }
    }

    /// The pictures that come out: channels, height and width. A sequence model makes none itself.
    pub fn picture(&self) -> Option<[i64; 3]> {
        let (colours, [width, height]) = match self {
            Config::Gan(config) => (config.colours, config.size),
            Config::Vae(config) => (config.colours, config.size),
            Config::Vqvae(config) => (config.colours, config.size),
            Config::Sequence(_) => return None,
        };
        Some([colours, height, width])
    }

    /// Whether pictures can be turned into what makes them.
    pub fn encodes(&self) -> bool {
        matches!(self, Config::Vae(_) | Config::Vqvae(_))
    }

    /// The network with fresh weights under `path`.
    ///
    /// # Errors
    /// When libtorch cannot make the tensors.
    pub fn build(&self, path: &nn::Path) -> Result<Net, TchError> {
        Ok(match self {
            Config::Gan(config) => Net::Gan(gan::Generator::new(path, config)?),
            Config::Vae(config) => Net::Vae(vae::Vae::new(path, config)?),
            Config::Vqvae(config) => Net::Vqvae(vqvae::Vqvae::new(path, config)?),
            Config::Sequence(config) => Net::Sequence(sequence::Sequence::new(path, config)?),
        })
    }
}

fn read<T: DeserializeOwned>(config: &toml::Table) -> Result<T, String> {
    T::deserialize(config.clone()).map_err(|e| format!("[config]: {}", e.message()))
}

/// One of the networks, as the engine runs it.
pub enum Net {
    Gan(gan::Generator),
    Vae(vae::Vae),
    Vqvae(vqvae::Vqvae),
    Sequence(sequence::Sequence),
}

impl Net {
    /// Either way, by the shape of `x`; see the module.
    ///
    /// # Errors
    /// When `x` has none of the shapes that the network takes.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        match self {
            Net::Gan(net) => net.forward(x, false),
            Net::Vae(net) => net.forward(x),
            Net::Vqvae(net) => net.forward(x),
            Net::Sequence(net) => net.forward(x),
        }
    }
}

/// The model that the card `card` calls `other`: a built-in name as it is, a file from the folder of that card.
pub fn beside(card: &str, other: &str) -> String {
    if MODELS.iter().any(|model| model.name == other) {
        return other.into();
    }
    Path::new(card).parent().unwrap_or(Path::new("")).join(other).display().to_string()
}

/// Writes a model with fresh weights: the card, and weights of the same name beside it. For tests and for beginnings.
///
/// # Errors
/// When `config` makes no network, or the files cannot be written.
pub fn write_untrained(config: &Config, card: &Path) -> Result<(), String> {
    let store = nn::VarStore::new(Device::Cpu);
    config.build(&store.root()).map_err(|e| e.to_string())?;
    let weights = card.with_extension("safetensors");
    store.save(&weights).map_err(|e| format!("{}: {e}", weights.display()))?;
    let mut table = toml::Table::new();
    table.insert("task".into(), TASK.into());
    table.insert("network".into(), config.network().into());
    table.insert("weights".into(), weights.file_name().unwrap_or_default().to_string_lossy().into_owned().into());
    table.insert("config".into(), toml::Value::try_from(config).map_err(|e| e.to_string())?);
    let text = toml::to_string(&table).map_err(|e| e.to_string())?;
    std::fs::write(card, text).map_err(|e| format!("{}: {e}", card.display()))
}

/// The coarsest grid that doubles into `size` (width, height), and how often: sides of at least 3, or those of `size` itself
/// where they are odd.
fn coarsest([width, height]: [i64; 2]) -> ([i64; 2], u32) {
    let (mut grid, mut doublings) = ([width, height], 0);
    while grid.iter().all(|side| side % 2 == 0 && side / 2 >= 3) {
        grid = grid.map(|side| side / 2);
        doublings += 1;
    }
    (grid, doublings)
}

/// What pictures may be: `size` of 16 to 512 a side, `colours` of 1 or 3.
fn check_picture(size: [i64; 2], colours: i64) -> Result<(), String> {
    if !size.iter().all(|side| (16..=512).contains(side)) {
        return Err(format!("[config] size is {}x{}; expected 16x16 to 512x512", size[0], size[1]));
    }
    if ![1, 3].contains(&colours) {
        return Err(format!("[config] colours is {colours}; expected 1 or 3"));
    }
    Ok(())
}

/// An error where `value`, the `name` of a `[config]`, is not within `bounds`.
fn check(name: &str, value: i64, bounds: std::ops::RangeInclusive<i64>) -> Result<(), String> {
    if bounds.contains(&value) {
        return Ok(());
    }
    Err(format!("[config] {name} is {value}; expected {} to {}", bounds.start(), bounds.end()))
}

fn three() -> i64 {
    3
}
