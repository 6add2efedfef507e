//! The card of a trained codec.

use std::path::Path;

use anyhow::{Context, Result};
use gst_torch_models::codec::network::Config;
use toml::{Table, Value};

use super::super::card::{command, hand_written, sha256, strings};
use super::args::Args;

/// Writes the card of `weights` beside them.
pub fn write(args: &Args, config: Config, weights: &Path) -> Result<()> {
    let path = weights.with_extension("toml");
    let mut card = hand_written(&path)?;
    let file = weights.file_name().unwrap_or_default().to_string_lossy().into_owned();
    card.insert("task".into(), "codec".into());
    card.insert("network".into(), "codec".into());
    card.insert("weights".into(), file.into());
    card.insert("sha256".into(), sha256(weights)?.into());
    card.insert("config".into(), Value::try_from(config)?);
    let mut training = Table::new();
    training.insert("command".into(), command().into());
    training.insert("seed".into(), (args.seed as i64).into());
    training.insert("data".into(), strings(&args.data));
    training.insert("validation".into(), strings(&args.val));
    card.insert("training".into(), training.into());
    std::fs::write(&path, toml::to_string(&card)?).with_context(|| path.display().to_string())?;
    println!("wrote {} and {}", path.display(), weights.display());
    Ok(())
}
