//! The card of a trained codec.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use gst_torch_models::codec::network::Config;
use toml::{Table, Value};

use super::super::card::{command, hand_written, sha256, strings};
use super::super::footage::Source;
use super::args::Args;
use crate::{eval, media};

/// Frames of each validation clip that the finished model and x264 code.
const FRAMES: usize = 48;

/// Writes the card of `weights` beside them, then compares the model with x264 on the videos of `--val`.
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
    let save = |card: &Table| {
        let text = toml::to_string(card)?;
        std::fs::write(&path, text).with_context(|| path.display().to_string())
    };
    save(&card)?;
    let files: Vec<Vec<PathBuf>> = args.val.iter().map(Source::files).collect::<Result<_>>()?;
    let clips: Vec<PathBuf> = files.into_iter().flatten().filter(|file| !media::is_picture(file)).collect();
    if !clips.is_empty() {
        let mut table = Table::new();
        for (codec, percent) in eval::codec::against_x264(&path, &clips, FRAMES).context("validation")? {
            println!("BD-rate {percent:+.1} % against {codec}, mean of {} validation clips", clips.len());
            table.insert(codec, ((percent * 10.0).round() / 10.0).into());
        }
        if let Some(training) = card.get_mut("training").and_then(Value::as_table_mut) {
            training.insert("bd-rate".into(), table.into());
        }
        save(&card)?;
    }
    println!("wrote {} and {}", path.display(), weights.display());
    Ok(())
}
