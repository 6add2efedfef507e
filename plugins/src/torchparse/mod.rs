//! `torchparse` cuts a stream of the autoencoder codec into access units and says when each is shown.
//!
//! It finds its way in chunks of any size and after damage, marks key frames, and makes `.tvc` files seekable: with a file
//! source before it, it reads the frames of the units ahead to know duration and key frames, and a seek begins at the key
//! frame at or before its target. `decodebin` and `playbin` put it where it is needed.
//!
//! ```text
//! gst-launch-1.0 filesrc location=clip.mp4 ! decodebin ! torchenc ! torchparse ! torchdec ! videoconvert ! autovideosink
//! ```

use gst::glib;
use gst::prelude::*;

mod framing;
mod imp;
mod placer;
mod table;

glib::wrapper! {
    pub struct TorchParse(ObjectSubclass<imp::TorchParse>) @extends gst_base::BaseParse, gst::Element, gst::Object;
}

pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(Some(plugin), "torchparse", gst::Rank::PRIMARY, TorchParse::static_type())
}
