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
//!
//! In a live pipeline no picture waits for more than that one frame: of several bad frames in a row only the last is made from
//! both its neighbours, those before it are foretold from past frames, or, where the picture only repeats itself, left as they
//! are; so are all of a stream without a frame rate, whose one frame is of no known length. Frames that do not come are another
//! matter: unless a GAP event says so, a hole shows only when the frame after it comes, and what fills it leaves then, later
//! than the latency that was reported by as long as the hole is. A sink with `sync=true` drops what comes too late of it, and
//! shows on time what a `latency` of the pipeline, or of a jitter buffer that sends such events, has room for.

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
