//! The card of a trained network.

use std::path::Path;

use anyhow::Result;
use gst_torch_models::interpolate::network::Config;
use toml::{Table, Value};

use super::super::card::{Training, in_parts, learnt};
use super::super::checkpoint::Progress;
use super::Score;
use super::args::Args;

/// What bf16 changes in the gates, which blend in fp32, and a little more.
const MAX_ERROR: f64 = 0.01;

/// Writes the card of `weights` beside them.
pub fn write(args: &Args, config: Config, weights: &Path, progress: &Progress, scores: &[Score]) -> Result<()> {
    let training = Training { seed: args.seed, progress, data: &args.data, val: &args.val };
    let config = Value::try_from(config)?;
    let result = |score: &Score| {
        let words = [("psnr", score.made), ("moved-psnr", score.moved), ("blend-psnr", score.blend)];
        Table::from_iter(words.map(|(word, psnr)| (word.to_string(), in_parts(psnr, 100.0))))
    };
    let results: Table = scores.iter().map(|score| (score.word.to_string(), result(score).into())).collect();
    learnt("interpolate", "interpolate", config, MAX_ERROR, weights, &training, results)
}
