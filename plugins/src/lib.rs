//! GStreamer elements that run PyTorch networks on video: detection, tracking, overlay and what was found as text.

use gst::glib;

mod filter;
pub mod meta;
mod settings;
mod sync;
mod torchdetect;
mod torchmeta;
mod torchoverlay;
mod torchtrack;
mod video;

fn plugin_init(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    torchdetect::register(plugin)?;
    torchtrack::register(plugin)?;
    torchoverlay::register(plugin)?;
    torchmeta::register(plugin)?;
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
