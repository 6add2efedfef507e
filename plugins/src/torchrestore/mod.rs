//! `torchrestore` makes noisy, compressed, soft, small or dark video good.
//!
//! With no property set it takes away noise, as much as it finds; `task` names what else there is, and several of these elements
//! make a chain. `model-file` runs any image-to-image network in TorchScript instead. Every frame leaves with its timestamps,
//! flags and metadata, and none waits for one to come. Frames that are too large for the memory there is are restored in
//! tiles.
//!
//! ```text
//! gst-launch-1.0 filesrc location=clip.mp4 ! decodebin ! torchrestore ! videoconvert ! autovideosink
//! ```
//!
//! `task=super-resolution scale=2` changes the size, and boxes on the buffers with it. `strength` (0 to 1) may be changed while
//! playing, and follows a controller. With `inference-region=roi-list` only what a detector found is restored:
//!
//! ```text
//! gst-launch-1.0 filesrc location=clip.mp4 ! decodebin ! torchdetect \
//!   ! torchrestore inference-region=roi-list ! videoconvert ! autovideosink
//! ```

use gst::glib;
use gst::prelude::*;

mod imp;
mod session;
mod settings;

glib::wrapper! {
    pub struct TorchRestore(ObjectSubclass<imp::TorchRestore>) @extends crate::filter::TorchFilter, gst::Element, gst::Object;
}

pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(Some(plugin), "torchrestore", gst::Rank::NONE, TorchRestore::static_type())
}
