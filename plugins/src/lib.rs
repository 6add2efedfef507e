//! GStreamer elements that run PyTorch networks on video: detection,
//! tracking, overlay, what was found as text, a video codec, restoration, and generators.

use gst::glib;

mod codec;
mod filter;
pub mod meta;
mod pace;
pub mod provenance;
mod report;
mod settings;
mod sticky;
mod sync;
mod torchdec;
mod torchdetect;
mod torchenc;
mod torchinterpolate;
mod torchmeta;
mod torchoverlay;
mod torchparse;
mod torchrestore;
mod torchsrc;
mod torchtrack;
mod typefind;
mod video;

/// The model that `torchsrc` runs when none is named.
pub use torchsrc::DEFAULT_MODEL as DEFAULT_GENERATOR;

fn plugin_init(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    torchdetect::register(plugin)?;
    torchtrack::register(plugin)?;
    torchoverlay::register(plugin)?;
    torchmeta::register(plugin)?;
    torchenc::register(plugin)?;
    torchdec::register(plugin)?;
    torchparse::register(plugin)?;
    torchrestore::register(plugin)?;
    torchinterpolate::register(plugin)?;
    torchsrc::register(plugin)?;
    typefind::register(plugin)?;
    Ok(())
}

gst::plugin_define!(
    torch,
    env!("CARGO_PKG_DESCRIPTION"),
    plugin_init,
    env!("CARGO_PKG_VERSION"),
    "MPL",
    env!("CARGO_PKG_NAME"),
    env!("CARGO_PKG_NAME"),
    env!("CARGO_PKG_REPOSITORY")
);
