//! `torchtrack` gives objects ids that stay with them from frame to frame.
//!
//! It reads the boxes that a detector put on the buffers and writes the ids beside them. Where the detector skipped a
//! frame (`inference-interval`, a late frame) it adds the boxes predicted for it, with the confidence they were last
//! detected with; where the detector ran, it adds nothing and changes no box. Only objects without parent are tracked,
//! and only within their class. An object has its id from the third frame on in which it is detected
//! (`min-frame-count-for-new-track`), and keeps it while it is hidden for no longer than
//! `min-frame-count-for-lost-track` frames. An element never gives an id twice, neither after a seek nor after a restart.
//!
//! Doubtful boxes help to follow objects that are half hidden or blurred: they carry ids on, but start none. To use them
//! let the detector report them too, with a lower `class-confidence-threshold` than that of `torchtrack`.
//!
//! Frames pass in whatever memory they are; pixels, timestamps and other metadata stay as they are. A detector that
//! leaves `GstVideoRegionOfInterestMeta` alone cannot say that it ran and found nothing; behind it, frames without
//! objects count as skipped.
//!
//! ```text
//! gst-launch-1.0 filesrc location=clip.mp4 ! decodebin ! torchdetect inference-interval=3 ! torchtrack \
//!     ! torchoverlay ! videoconvert ! autovideosink
//! ```
//!
//! The method is ByteTrack's; `gst_torch_models::track` says more.

mod follower;
mod imp;

use gst::glib;
use gst::prelude::*;

glib::wrapper! {
    pub struct TorchTrack(ObjectSubclass<imp::TorchTrack>)
        @extends gst_base::BaseTransform, gst::Element, gst::Object;
}

pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(Some(plugin), "torchtrack", gst::Rank::NONE, TorchTrack::static_type())
}
