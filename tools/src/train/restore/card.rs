//! The card of a trained restorer.

use std::path::Path;

use anyhow::Result;
use gst_torch_models::restore::Config;
use toml::{Table, Value};

use super::super::card::{Training, in_parts, learnt};
use super::super::checkpoint::Progress;
use super::args::Args;
use super::score::Score;

/// What bf16 changes, and a little more.
const MAX_ERROR: f64 = 0.01;

/// Writes the card of `weights` beside them.
pub fn write(
    args: &Args,
    config: Config,
    weights: &Path,
    progress: &Progress,
    results: &[(String, Score)],
) -> Result<()> {
    let training = Training { seed: args.seed, progress, data: &args.data, val: &args.val };
    let config = Value::try_from(config)?;
    let result = |score: &Score| {
        let mut table = Table::new();
        table.extend(score.before.map(|psnr| ("input-psnr".to_string(), in_parts(psnr, 100.0))));
        table.insert("psnr".into(), in_parts(score.psnr, 100.0));
        table.insert("ssim".into(), in_parts(score.ssim, 1e4));
        table
    };
    let results: Table = results.iter().map(|(name, score)| (name.clone(), Value::from(result(score)))).collect();
    learnt("restore", "restore", config, MAX_ERROR, weights, &training, results)
}
