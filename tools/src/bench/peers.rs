//! Other runtimes on the same network, in a Python process that `peers.py` runs in.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use gst_torch_runtime::Engine;
use serde::Deserialize;

use super::Sample;

const SCRIPT: &str = include_str!("peers.py");

/// How long a runtime's threads go on looking for work after a run; they are let come to rest.
const REST: Duration = Duration::from_millis(100);

/// A way to run the network there.
#[derive(Deserialize)]
pub struct Peer {
    pub name: String,
    /// Why it cannot be measured.
    pub missing: Option<String>,
}

pub struct Peers {
    pub all: Vec<Peer>,
    process: Child,
    requests: Option<ChildStdin>,
    replies: BufReader<ChildStdout>,
    archive: PathBuf,
}

#[derive(Deserialize)]
struct Took {
    seconds: f64,
    cpu: f64,
}

impl Peers {
    /// Hands the network over and waits until it is loaded and warm in all that is there.
    ///
    /// # Errors
    /// When there is no such interpreter, or it ends without an answer; what it said is on standard error.
    pub fn start(python: &Path, engine: &Engine, [channels, height, width]: [usize; 3]) -> anyhow::Result<Peers> {
        let archive = std::env::temp_dir().join(format!("gst-torch-bench-{}.pt", std::process::id()));
        std::fs::write(&archive, engine.export()?).with_context(|| archive.display().to_string())?;
        let mut process = Command::new(python)
            .args(["-c", SCRIPT])
            .arg(&archive)
            .args([channels, height, width, engine.parallel()].map(|number| number.to_string()))
            .arg(engine.choice().plan.precision.to_string())
            // Python has a libtorch of its own.
            .env_remove("LD_LIBRARY_PATH")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{} does not start", python.display()))?;
        let requests = process.stdin.take();
        let replies = BufReader::new(process.stdout.take().context("the process has an output")?);
        let mut peers = Peers { all: Vec::new(), process, requests, replies, archive };
        peers.all = peers.reply()?;
        Ok(peers)
    }

    /// Has a network run for so many frames.
    pub fn time(&mut self, index: usize, frames: usize) -> anyhow::Result<Sample> {
        let requests = self.requests.as_mut().context("the process has an input")?;
        writeln!(requests, "{index} {frames}")?;
        let Took { seconds, cpu } = self.reply()?;
        std::thread::sleep(REST);
        Ok(Sample { seconds, cpu })
    }

    fn reply<T: for<'a> Deserialize<'a>>(&mut self) -> anyhow::Result<T> {
        let mut line = String::new();
        if self.replies.read_line(&mut line)? == 0 {
            bail!("Python ended without an answer; what it said stands above");
        }
        serde_json::from_str(&line).with_context(|| format!("{:?} is no answer", line.trim()))
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        // Without an input it ends by itself.
        self.requests = None;
        let _ = self.process.wait();
        let _ = std::fs::remove_file(&self.archive);
    }
}
