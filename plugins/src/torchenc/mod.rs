//! `torchenc` compresses video with the autoencoder codec, into access units for `torchdec`, a `.tvc` file or RTP.
//!
//! With no property set it codes at constant quality with the built-in model; `bitrate` holds a mean rate instead. I420, NV12,
//! Y42B, Y444 and GRAY8 are coded as they come, other formats need `videoconvert` before it. There is no reordering and
//! no look-ahead: each frame leaves before the next one comes. `quality`, `bitrate`, `key-int-max`, `roi-quality` and
//! `model-file` can be changed while playing, a new model from the next frame on, which is then a key frame.
//!
//! With `roi-quality` it spends more bits inside the boxes that a detector put on the buffers.
//!
//! ```text
//! gst-launch-1.0 filesrc location=clip.mp4 ! decodebin ! torchenc quality=50 ! filesink location=out.tvc
//! ```
//!
//! A live source that is faster than the encoder would fill every queue. By default (`late-policy`) frames for which there is
//! no time are then left out, each with a QoS message; files wait.

use gst::glib;
use gst::prelude::*;

mod clock;
mod imp;

mod region;
mod settings;

glib::wrapper! {
    pub struct TorchEnc(ObjectSubclass<imp::TorchEnc>)
        @extends gst_video::VideoEncoder, gst::Element, gst::Object, @implements gst::Preset;
}

pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(Some(plugin), "torchenc", gst::Rank::NONE, TorchEnc::static_type())
}
