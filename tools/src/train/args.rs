//! What `gst-torch train detect` can be told.

use std::path::PathBuf;

use anyhow::Result;
use gst_torch_runtime::DeviceSpec;
use tch::Kind;

use super::dataset::{self, Source};

#[derive(clap::Args, Debug, Clone)]
#[command(after_long_help = dataset::HELP)]
pub struct Args {
    /// What to learn from: a video or a folder of pictures, with options (see below); may be repeated
    #[arg(long, required = true, value_name = "PATH[,OPTION...]")]
    pub data: Vec<Source>,
    /// What to score against, written likewise
    #[arg(long, value_name = "PATH[,OPTION...]")]
    pub val: Vec<Source>,
    /// The classes, in the order of the network's outputs
    #[arg(long, required = true, value_delimiter = ',', value_name = "LABEL,...")]
    pub labels: Vec<String>,
    /// Folder for checkpoints, card and weights
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Name of the model, of its card and of its weights
    #[arg(long, default_value = "detector")]
    pub name: String,
    #[arg(long, default_value_t = 100)]
    pub epochs: u64,
    /// Pictures of an epoch; as many as there are when not given
    #[arg(long, value_name = "PICTURES")]
    pub epoch_size: Option<u64>,
    /// End after so many minutes of training, with the whole schedule fitted into them, whatever --epochs says
    #[arg(long, value_name = "MINUTES")]
    pub time_limit: Option<f64>,
    #[arg(long, default_value_t = 16)]
    pub batch_size: usize,
    /// Width and height of the network's input
    #[arg(long, default_value = "640x384", value_parser = parse_size)]
    pub size: (usize, usize),
    /// Train on cut-outs of this size, at the scale of --size, which costs less for the same objects
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub cut: Option<(usize, usize)>,
    /// What the network computes in; weights and their changes stay fp32
    #[arg(long, value_enum, default_value_t = Precision::Fp32)]
    pub precision: Precision,
    /// Learning rate at its highest
    #[arg(long, default_value_t = 2e-3)]
    pub rate: f64,
    #[arg(long, default_value_t = 0.02)]
    pub weight_decay: f64,
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Augmentation, as TOML with the fields of the card's [training.recipe]
    #[arg(long, value_name = "FILE")]
    pub recipe: Option<PathBuf>,
    /// Score every so many epochs (and at the end)
    #[arg(long, default_value_t = 1)]
    pub val_every: u64,
    #[command(flatten)]
    pub machine: Machine,
    /// Go on from the checkpoint in --out
    #[arg(long)]
    pub resume: bool,
    /// Pause after so many epochs, to go on with --resume another day
    #[arg(long, value_name = "EPOCHS")]
    pub stop_after: Option<u64>,
}

/// What a run may use of the machine.
#[derive(clap::Args, Debug, Clone)]
pub struct Machine {
    /// Where the networks learn: auto (the first GPU, or else the CPU), cpu, cuda, cuda:N or mps
    #[arg(long, default_value_t)]
    pub device: DeviceSpec,
    /// Threads of libtorch; 0 is one per core
    #[arg(long, default_value_t = 0)]
    pub threads: i32,
}

impl Machine {
    /// Sets the threads, and says which device is meant.
    ///
    /// # Errors
    /// When there is no such device, with those that there are.
    pub fn ready(&self) -> Result<tch::Device> {
        if self.threads > 0 {
            tch::set_num_threads(self.threads);
        }
        let device = self.device.resolve()?;
        println!("device {device}");
        Ok(device.torch())
    }
}

#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq)]
pub enum Precision {
    Fp32,
    Bf16,
}

impl Precision {
    pub fn kind(self) -> Kind {
        match self {
            Precision::Fp32 => Kind::Float,
            Precision::Bf16 => Kind::BFloat16,
        }
    }
}

pub fn parse_size(text: &str) -> Result<(usize, usize), String> {
    let size = text.split_once('x').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
    let valid = |&(w, h): &(usize, usize)| (32..=4096).contains(&w) && (32..=4096).contains(&h);
    size.filter(valid).ok_or_else(|| "expected WIDTHxHEIGHT, each 32 to 4096".to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_is_not_there_is_an_error_that_says_which_are() {
        let ready = |device: &str| Machine { device: device.parse().unwrap(), threads: 0 }.ready();
        assert_eq!(ready("cpu").unwrap(), tch::Device::Cpu);
        let error = ready("cuda:99").unwrap_err().to_string();
        assert!(error.contains("cuda:99") && error.contains("cpu"), "{error}");
    }

    #[test]
    fn sizes_are_width_by_height() {
        assert_eq!(parse_size("640x384"), Ok((640, 384)));
        for bad in ["640", "640x", "0x384", "640x99999"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }
}
