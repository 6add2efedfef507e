//! The card of a trained generator.

use std::path::Path;

use anyhow::Result;
use gst_torch_models::generate::{Config, TASK};
use toml::{Table, Value};

use super::super::card::{Training, learnt, strings};
use super::super::checkpoint::Progress;
use super::args::Args;

/// What bf16 changes, and a little more.
const MAX_ERROR: f64 = 0.02;

/// Writes the card of `weights` beside them.
pub fn write(args: &Args, config: &Config, weights: &Path, progress: &Progress, results: Table) -> Result<()> {
    let training = Training { seed: args.seed, progress, data: &args.data, val: &args.val };
    learnt(TASK, config.network(), Value::try_from(config)?, MAX_ERROR, weights, &training, results)?;
    if args.labels.is_empty() {
        return Ok(());
    }
    let path = weights.with_extension("toml");
    let mut card: Table = toml::from_str(&std::fs::read_to_string(&path)?)?;
    card.insert("labels".into(), strings(&args.labels));
    Ok(std::fs::write(&path, toml::to_string(&card)?)?)
}
