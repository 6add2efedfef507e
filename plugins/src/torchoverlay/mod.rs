//! `torchoverlay` draws what was found: boxes, labels, track ids and confidences, in colours that stay with a track (or
//! with a class, where nothing is tracked).
//!
//! It draws into the frame as it is, in any of its formats, and shares or copies nothing where nothing was found. Sizes
//! follow the frame. Text needs no font installed.
//!
//! ```text
//! gst-launch-1.0 filesrc location=clip.mp4 ! decodebin ! torchdetect ! torchtrack ! torchoverlay \
//!     ! videoconvert ! autovideosink
//! ```

mod canvas;
mod colour;
mod imp;
mod scene;
mod style;
#[cfg(test)]
mod testing;
mod text;

use gst::glib;
use gst::prelude::*;

glib::wrapper! {
    pub struct TorchOverlay(ObjectSubclass<imp::TorchOverlay>)
        @extends gst_base::BaseTransform, gst::Element, gst::Object;
}

pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(Some(plugin), "torchoverlay", gst::Rank::NONE, TorchOverlay::static_type())
}
