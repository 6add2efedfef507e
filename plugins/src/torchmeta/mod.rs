//! `torchmeta` writes what was found as JSON lines, one a buffer, and passes the buffers on.
//!
//! The format is written down in `docs/metadata.md`. A line goes out whole and at once, so that who reads along misses
//! nothing and a pipeline that is killed leaves no half line behind.
//!
//! ```text
//! gst-launch-1.0 -q filesrc location=clip.mp4 ! decodebin ! torchdetect ! torchmeta ! fakesink
//! gst-launch-1.0 filesrc location=clip.mp4 ! decodebin ! torchdetect ! torchtrack ! torchmeta location=found.jsonl \
//!     ! torchoverlay ! videoconvert ! autovideosink
//! ```

mod imp;
mod line;

use gst::glib;
use gst::prelude::*;

glib::wrapper! {
    pub struct TorchMeta(ObjectSubclass<imp::TorchMeta>)
        @extends gst_base::BaseTransform, gst::Element, gst::Object;
}

pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(Some(plugin), "torchmeta", gst::Rank::NONE, TorchMeta::static_type())
}
