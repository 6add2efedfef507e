//! What the JSON lines and the detector's statistics say about a run.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

/// Boxes and tracks of a file that torchmeta wrote (docs/json-lines.md).
#[derive(Default)]
pub struct Summary {
    boxes: BTreeMap<String, usize>,
    tracks: BTreeSet<u64>,
}

impl Summary {
    pub fn read(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        let mut summary = Self::default();
        for (number, line) in BufReader::new(file).lines().enumerate() {
            let frame: Value =
                serde_json::from_str(&line?).with_context(|| format!("{}, line {}", path.display(), number + 1))?;
            for object in frame["objects"].as_array().into_iter().flatten() {
                *summary.boxes.entry(object["label"].as_str().unwrap_or("without a label").into()).or_default() += 1;
                summary.tracks.extend(object["track"].as_u64());
            }
        }
        Ok(summary)
    }

    /// The text that the demo ends with. `elapsed` is from the first frame to the last.
    pub fn report(&self, frames: u64, elapsed: Duration, stats: &gst::Structure) -> String {
        let boxes: Vec<_> = self.boxes.iter().map(|(label, count)| format!("{label} {count}")).collect();
        let boxes = if boxes.is_empty() { "none".into() } else { boxes.join(", ") };
        let seconds = elapsed.as_secs_f64();
        let rate = if seconds > 0.0 { frames.saturating_sub(1) as f64 / seconds } else { 0.0 };
        let text = |field| field_text(stats, field);
        format!(
            "frames     {frames} in {seconds:.1} s, {rate:.1} a second, decoding, drawing and encoding included\n\
             latency    {p50} ms a frame in the detector (median), {p99} ms (99 %); skipped {skipped}\n\
             runs on    {device}, {precision}, {engine}\n\
             boxes      {boxes}\n\
             tracks     {tracks}",
            p50 = text("p50"),
            p99 = text("p99"),
            skipped = text("skipped"),
            device = text("device"),
            precision = text("precision"),
            engine = text("engine"),
            tracks = self.tracks.len(),
        )
    }
}

fn field_text(stats: &gst::Structure, field: &str) -> String {
    match stats.value(field) {
        Ok(value) => value.get::<f64>().map(|number| format!("{number:.1}")).unwrap_or_else(|_| {
            value.get::<String>().ok().or_else(|| value.transform::<String>().ok()?.get().ok()).unwrap_or("?".into())
        }),
        Err(_) => "?".into(),
    }
}
