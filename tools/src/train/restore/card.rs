//! The card of a trained restorer.

use std::path::Path;

use anyhow::{Context, Result};
use gst_torch_models::restore::Config;
use toml::{Table, Value};

use super::super::card::{command, hand_written, sha256, strings};
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
    let path = weights.with_extension("toml");
    let mut card = hand_written(&path)?;
    let file = weights.file_name().unwrap_or_default().to_string_lossy().into_owned();
    card.insert("task".into(), "restore".into());
    card.insert("network".into(), "restore".into());
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
        let mut table = Table::new();
        table.extend(score.before.map(|psnr| ("input-psnr".to_string(), rounded(psnr, 100.0))));
        table.insert("psnr".into(), rounded(score.psnr, 100.0));
        table.insert("ssim".into(), rounded(score.ssim, 1e4));
        table
    };
    let results: Table = results.iter().map(|(name, score)| (name.clone(), Value::from(result(score)))).collect();
    training.insert("results".into(), results.into());
    card.insert("training".into(), training.into());
    std::fs::write(&path, toml::to_string(&card)?).with_context(|| path.display().to_string())?;
    println!("wrote {} and {}", path.display(), weights.display());
    Ok(())
}
