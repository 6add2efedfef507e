//! All that a training run is, in one safetensors file and a few numbers beside it, so that it can go on exactly where it
//! stopped.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use tch::Tensor;

/// The numbers of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Progress {
    pub epoch: u64,
    pub step: u64,
    pub optimiser_steps: i32,
    /// Of training, over all resumptions.
    pub seconds: f64,
    /// What the averaged weights scored after the last epoch that was scored.
    pub score: Option<f64>,
    /// What the run was started with; resuming with something else is refused.
    pub setting: String,
}

fn paths(folder: &Path) -> (PathBuf, PathBuf) {
    (folder.join("checkpoint.safetensors"), folder.join("checkpoint.json"))
}

/// Writes both files. Each replaces its predecessor in one step, the numbers last: a run that is killed here resumes from
/// whole files.
pub fn save(folder: &Path, progress: &Progress, tensors: &[(String, Tensor)]) -> Result<()> {
    let (weights, numbers) = paths(folder);
    let temporary = folder.join("checkpoint.new.safetensors");
    Tensor::write_safetensors(tensors, &temporary)?;
    std::fs::rename(&temporary, &weights).with_context(|| weights.display().to_string())?;
    let temporary = folder.join("checkpoint.json.new");
    std::fs::write(&temporary, serde_json::to_vec_pretty(progress)?)?;
    std::fs::rename(&temporary, &numbers).with_context(|| numbers.display().to_string())
}

/// The numbers that [`save`] wrote. `None` where there is no checkpoint.
pub fn progress(folder: &Path) -> Result<Option<Progress>> {
    let (_, numbers) = paths(folder);
    if !numbers.exists() {
        return Ok(None);
    }
    let progress = serde_json::from_slice(&std::fs::read(&numbers)?).with_context(|| numbers.display().to_string())?;
    Ok(Some(progress))
}

/// Reads what [`save`] wrote into `tensors`, which must be the same ones.
fn load(folder: &Path, tensors: &[(String, Tensor)]) -> Result<()> {
    let (weights, _) = paths(folder);
    let saved = Tensor::read_safetensors(&weights).with_context(|| weights.display().to_string())?;
    let saved: std::collections::HashMap<_, _> = saved.into_iter().collect();
    let _guard = tch::no_grad_guard();
    for (name, tensor) in tensors {
        let from = saved.get(name).with_context(|| format!("{} has no tensor {name}", weights.display()))?;
        ensure!(from.size() == tensor.size(), "{}: {name} has size {:?}", weights.display(), from.size());
        tensor.shallow_clone().f_copy_(from)?;
    }
    Ok(())
}

/// Reads what [`save`] wrote into `tensors`: an error where there is no checkpoint, or one of a run with another setting. That
/// is said first, as such a run may have other tensors.
pub fn resume(folder: &Path, tensors: &[(String, Tensor)], setting: &str) -> Result<Progress> {
    let saved = progress(folder)?.with_context(|| format!("{} has no checkpoint to resume", folder.display()))?;
    let was = &saved.setting;
    ensure!(was == setting, "the checkpoint is of another run\n  was: {was}\n  is:  {setting}");
    load(folder, tensors)?;
    println!("resuming after step {}, {:.1} minutes", saved.step, saved.seconds / 60.0);
    Ok(saved)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let tensors = |value: f32| vec![("a.b".to_string(), Tensor::from_slice(&[value, 2.0]))];
        let nothing = resume(folder, &tensors(0.0), "x").unwrap_err().to_string();
        assert!(nothing.contains("no checkpoint to resume"), "{nothing}");
        let progress =
            Progress { epoch: 3, step: 99, optimiser_steps: 98, seconds: 1.5, score: Some(0.5), setting: "x".into() };
        save(folder, &progress, &tensors(7.0)).unwrap();
        let read = tensors(0.0);
        assert_eq!(resume(folder, &read, "x").unwrap(), progress);
        assert_eq!(Vec::<f32>::try_from(&read[0].1).unwrap(), [7.0, 2.0]);
        let other = vec![("c".to_string(), Tensor::from(1.0f32))];
        assert!(resume(folder, &other, "x").unwrap_err().to_string().contains("no tensor c"));
        // A run of another setting may well have other tensors: that it is another is what counts.
        let refused = resume(folder, &other, "y").unwrap_err().to_string();
        assert!(refused.contains("of another run") && refused.contains("was: x") && refused.contains("is:  y"));
    }
}
