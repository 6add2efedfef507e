//! `torchsrc` renders video from a generative network.
//!
//! With no property set it goes along the road of the built-in sequence model. `model-file` names another model: a GAN, a VAE,
//! a VQ-VAE or a sequence model of `gst-torch train generate`, or any decoder in TorchScript. Size and frame rate are what
//! the caps ask for; what is not asked for is the network's own size, and 30 frames a second.
//!
//! ```text
//! gst-launch-1.0 torchsrc num-buffers=300 ! videoconvert ! autovideosink
//! ```
//!
//! Every frame is a function of the properties and of which frame it is: the same seed gives the same video, and a seek shows
//! what playing would have. `latent`, `latent-0` to `latent-15`, `truncation`, `class` and `seed` may be changed while
//! playing, and follow controllers, so that a keyframed animation is a control source and nothing else.
//!
//! A sequence model gets to a picture only by drawing all before it. So what it has no time for (`is-live`, `late-policy`) is
//! left out of the time, not of the sequence: a machine that makes 15 pictures a second shows each of them, at 15 a second, and
//! the sequence goes slower. Live it begins with the first frame that it makes; a change of frame rate does not interrupt it;
//! a seek draws all pictures up to the one that is sought, and posts progress messages while that takes its time.
//!
//! ```text
//! gst-launch-1.0 torchsrc model-file=cells-gan seed=7 walk-speed=1 loop=4 num-buffers=120 \
//!   ! video/x-raw,width=256,height=256 \
//!   ! videoconvert ! x264enc ! mp4mux ! filesink location=out.mp4
//! ```
//!
//! Frames say what made them in a `GstTorchGeneratedMeta`, and carry an invisible watermark that `gst-torch inspect video`
//! finds again; `watermark=false` leaves it away.

use gst::glib;
use gst::prelude::*;

mod fill;
mod fit;
mod imp;
mod load;
mod settings;
mod timeline;
mod way;

pub use settings::DEFAULT_MODEL;

glib::wrapper! {
    pub struct TorchSrc(ObjectSubclass<imp::TorchSrc>) @extends gst_base::PushSrc, gst_base::BaseSrc, gst::Element, gst::Object;
}

pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(Some(plugin), "torchsrc", gst::Rank::NONE, TorchSrc::static_type())
}
