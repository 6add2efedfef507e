//! `torchinterpolate` makes frames that are missing, damaged or frozen from their neighbours, and more frames a second.
//!
//! With no property set it fills holes in time, replaces buffers that are marked as corrupted and frames that repeat the one
//! before to the last bit; all others pass untouched. A hole of more than `max-gap` is not filled: the last frame is held, and
//! an element message `torch-interpolate-gap` says so.
//!
//! What follows decides the rate: a capsfilter that wants another frame rate gets it, any other leaves it as it is.
//!
//! ```text
//! gst-launch-1.0 filesrc location=clip.mp4 ! decodebin ! torchinterpolate ! video/x-raw,framerate=60/1 \
//!   ! videoconvert ! autovideosink
//! ```
//!
//! It has a latency of one frame, since it waits for the next one; with `latency-mode=zero` it has none, and foretells from
//! past frames. I420, NV12 and GRAY8 are read as they come, other formats are converted for the frames that are made.

use gst::glib;
use gst::prelude::*;

mod buffers;
mod events;
mod imp;
mod rate;
mod session;
mod settings;
mod timeline;

glib::wrapper! {
    pub struct TorchInterpolate(ObjectSubclass<imp::TorchInterpolate>)
        @extends gst_base::BaseTransform, gst::Element, gst::Object;
}

pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(Some(plugin), "torchinterpolate", gst::Rank::NONE, TorchInterpolate::static_type())
}
