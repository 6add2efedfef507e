//! The card of a trained network.

use anyhow::{Context, Result};
use gst_torch_models::interpolate::network::Config;
use toml::{Table, Value};

use super::super::card::{command, hand_written, sha256, strings};
use super::super::checkpoint::Progress;
use super::args::Args;

/// Writes the card beside the weights.
pub fn write(args: &Args, config: Config, progress: &Progress) -> Result<()> {
    let weights = args.out.join(format!("{}.safetensors", args.name));
    let path = weights.with_extension("toml");
    let mut card = hand_written(&path)?;
    let file = weights.file_name().unwrap_or_default().to_string_lossy().into_owned();
    card.insert("task".into(), "interpolate".into());
    card.insert("network".into(), "interpolate".into());
    card.insert("weights".into(), file.into());
    card.insert("sha256".into(), sha256(&weights)?.into());
    // What bf16 changes in the gates, which blend in fp32.
    card.insert("engine".into(), Table::from_iter([("max-error".to_string(), Value::from(0.02))]).into());
    card.insert("config".into(), Value::try_from(config)?);
    let mut training = Table::new();
    training.insert("command".into(), command().into());
    training.insert("seed".into(), (args.seed as i64).into());
    training.insert("steps".into(), (progress.step as i64).into());
    training.insert("minutes".into(), ((progress.seconds / 6.0).round() / 10.0).into());
    training.insert("data".into(), strings(&args.data));
    training.insert("validation".into(), strings(&args.val));
    if let Some(score) = progress.score {
        let psnr = Table::from_iter([("psnr".to_string(), Value::from((score * 100.0).round() / 100.0))]);
        training.insert("results".into(), psnr.into());
    }
    card.insert("training".into(), training.into());
    std::fs::write(&path, toml::to_string(&card)?).with_context(|| path.display().to_string())?;
    println!("wrote {} and {}", path.display(), weights.display());
    Ok(())
}
