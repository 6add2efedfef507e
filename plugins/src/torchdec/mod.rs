//! `torchdec` decodes what `torchenc` made, into the format that was encoded.
//!
//! The stream names its model; the built-in one of that name decodes it, or what `model-file` names. A stream made with
//! another model is refused, with the names of both. It has rank primary, so `playbin` and `decodebin` find it.
//!
//! ```text
//! gst-launch-1.0 filesrc location=clip.mp4 ! decodebin ! torchenc ! torchdec ! videoconvert ! autovideosink
//! ```
//!
//! An access unit that is damaged or missing is concealed: the last picture is shown again, flagged `CORRUPTED`, a
//! force-key-unit event goes upstream, and the stream goes on with the next key frame. A stream that begins without a key
//! frame is waited out. As each picture needs the one before, all are decoded; those that a sink has no time for are not
//! shown.

use gst::glib;
use gst::prelude::*;

mod imp;
mod unit;

glib::wrapper! {
    pub struct TorchDec(ObjectSubclass<imp::TorchDec>) @extends gst_video::VideoDecoder, gst::Element, gst::Object;
}

pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(Some(plugin), "torchdec", gst::Rank::PRIMARY, TorchDec::static_type())
}
