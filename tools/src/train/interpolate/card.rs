//! The card of a trained network.

use std::path::Path;

use anyhow::{Context, Result};
use gst_torch_models::interpolate::network::Config;
use toml::{Table, Value};

use super::super::card::{command, hand_written, sha256, strings};
use super::super::checkpoint::Progress;
use super::Score;
use super::args::Args;

/// What bf16 changes in the gates, which blend in fp32, and a little more.
const MAX_ERROR: f64 = 0.01;

/// Writes the card of `weights` beside them.
pub fn write(args: &Args, config: Config, weights: &Path, progress: &Progress, scores: &[Score]) -> Result<()> {
    let path = weights.with_extension("toml");
    let mut card = hand_written(&path)?;
    let file = weights.file_name().unwrap_or_default().to_string_lossy().into_owned();
    card.insert("task".into(), "interpolate".into());
    card.insert("network".into(), "interpolate".into());
    card.insert("weights".into(), file.into());
    card.insert("sha256".into(), sha256(weights)?.into());
    card.insert("config".into(), Value::try_from(config)?);
    card.insert("engine".into(), Table::from_iter([("max-error".to_string(), Value::from(MAX_ERROR))]).into());
    let rounded = |value: f64, digits: f64| Value::from((value * digits).round() / digits);
    let mut training = Table::from_iter([
        ("command".to_string(), Value::from(command())),
        ("seed".to_string(), (args.seed as i64).into()),
        ("steps".to_string(), (progress.step as i64).into()),
        ("minutes".to_string(), rounded(progress.seconds / 60.0, 10.0)),
        ("data".to_string(), strings(&args.data)),
        ("validation".to_string(), strings(&args.val)),
    ]);
    let result = |score: &Score| {
        let words = [("psnr", score.made), ("moved-psnr", score.moved), ("blend-psnr", score.blend)];
        Table::from_iter(words.map(|(word, psnr)| (word.to_string(), rounded(psnr, 100.0))))
    };
    let results: Table = scores.iter().map(|score| (score.word.to_string(), result(score).into())).collect();
    training.insert("results".into(), results.into());
    card.insert("training".into(), training.into());
    std::fs::write(&path, toml::to_string(&card)?).with_context(|| path.display().to_string())?;
    println!("wrote {} and {}", path.display(), weights.display());
    Ok(())
}
