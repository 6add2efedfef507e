//! `gst-torch inspect MODEL`: what is known about a model file. `gst-torch inspect video FILE`: whether it was generated.

mod model;
pub mod video;

use anyhow::bail;
use gst_torch_runtime::{DeviceSpec, PrecisionSpec};

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    what: Option<What>,
    /// A built-in name, a card (.toml) or a TorchScript file (.pt).
    model: Option<String>,
    /// Where to run it once, to see its outputs.
    #[arg(long, default_value = "cpu")]
    device: DeviceSpec,
    #[arg(long, default_value = "fp32")]
    precision: PrecisionSpec,
}

#[derive(clap::Subcommand)]
enum What {
    /// Look for the watermark of torchsrc in videos or pictures.
    Video(video::Args),
}

pub fn run(args: Args) -> anyhow::Result<()> {
    match (args.what, args.model) {
        (Some(What::Video(args)), _) => video::run(args),
        (None, Some(name)) => model::run(&name, &model::Where { device: args.device, precision: args.precision }),
        (None, None) => bail!("a model, or `video` and files, was expected"),
    }
}
