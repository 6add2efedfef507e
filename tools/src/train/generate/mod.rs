//! `gst-torch train generate`: generators, from videos and pictures of what they are to make.

pub mod args;
pub mod autoencoder;
mod card;
pub mod gan;
pub mod pictures;
pub mod sequence;
pub mod sheet;
#[cfg(test)]
mod tests;

use anyhow::{Context, Result, anyhow, ensure};
use gst_torch_models::generate::{Config, vae, vqvae};
use gst_torch_models::metrics::features::Features;
use tch::Device;

use super::learner::{CLIP, Plan};
pub use args::Args;
use args::Network;
use pictures::Pictures;

/// Bytes of frames that are kept.
const MEMORY: usize = 12 << 30;

pub fn run(args: Args) -> Result<()> {
    ensure!(
        args.batch_size > 1 && args.steps > 0 && args.every > 0,
        "--batch-size must be above 1, --steps and --every above 0"
    );
    args.check()?;
    ensure!((0.0..=1.0).contains(&args.augment), "--augment is {}; expected 0 to 1", args.augment);
    std::fs::create_dir_all(&args.out).with_context(|| args.out.display().to_string())?;
    let device = args.machine.ready()?;
    tch::manual_seed(args.seed as i64);
    match args.network {
        Network::Gan => gan::run(&args, device),
        Network::Vae => autoencoder::run(&args, Config::Vae(vae_config(&args)?), device),
        Network::Vqvae => autoencoder::run(&args, Config::Vqvae(vqvae_config(&args)?), device),
        Network::Sequence => sequence::run(&args, device),
    }
}

fn vae_config(args: &Args) -> Result<vae::Config> {
    let mut config = vae::Config { colours: args.colours(), ..vae::Config::new(args.size()) };
    config.latent = args.latent.unwrap_or(config.latent);
    config.channels = args.channels.unwrap_or(config.channels);
    config.checked().map_err(|e| anyhow!(e))
}

fn vqvae_config(args: &Args) -> Result<vqvae::Config> {
    let mut config = vqvae::Config { colours: args.colours(), ..vqvae::Config::new(args.size()) };
    config.codes = args.codes.unwrap_or(config.codes);
    config.cell = args.cell.unwrap_or(config.cell);
    config.channels = args.channels.unwrap_or(config.channels);
    config.checked().map_err(|e| anyhow!(e))
}

/// What there is to learn from, and to score against.
fn read(args: &Args, size: [i64; 2], device: Device) -> Result<[Pictures; 2]> {
    let read = |sources: &[_]| {
        Ok::<_, anyhow::Error>(Pictures::read(sources, size, args.colours(), &args.labels, MEMORY)?.on(device))
    };
    let data = read(&args.data).context("--data")?;
    ensure!(!data.is_empty(), "--data has no pictures");
    Ok([data, read(&args.val).context("--val")?])
}

/// What made pictures are looked at through, beside their pixels.
fn sight(args: &Args, device: Device) -> Result<Option<Features>> {
    let open = |name: &str| Features::open(name, device).map_err(|e| anyhow!("--features: {e}"));
    (args.features != "none").then(|| open(&args.features)).transpose()
}

/// Minutes between two sample sheets at most, however long a step takes.
const SHEETS: f64 = 5.0;

/// `network` is what decides the result beside the data and these arguments, in words.
fn plan(args: &Args, network: &str, rate: f64, device: Device) -> Plan {
    Plan {
        device,
        steps: args.steps,
        time_limit: args.time_limit,
        rate,
        decay: 0.0,
        clip: CLIP,
        every: args.every,
        minutes: Some(SHEETS),
        setting: format!(
            "generate {network}, batch {}, precision {:?}, rate {rate}, flip {:?}, augment {}, r1 {}, beta {}, seed {}",
            args.batch_size, args.precision, args.flip, args.augment, args.r1, args.beta, args.seed
        ),
    }
}
