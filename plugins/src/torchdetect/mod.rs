//! `torchdetect` finds objects in frames and puts them on the buffers, in pixels of the frame as it came.
//!
//! With no property set it finds people with the built-in model; `model-file` names another built-in model (`cells`), a
//! model card, or a TorchScript file of any of the usual detector families (YOLOv5 to YOLO11, YOLOX, DETR and RT-DETR,
//! SSD, torchvision). Pixels, timestamps and flags stay as they are.
//!
//! ```text
//! gst-launch-1.0 filesrc location=clip.mp4 ! decodebin ! torchdetect ! torchoverlay ! videoconvert ! autovideosink
//! ```

use gst::glib;
use gst::prelude::*;

mod imp;
mod session;

glib::wrapper! {
    pub struct TorchDetect(ObjectSubclass<imp::TorchDetect>) @extends crate::filter::TorchFilter, gst::Element, gst::Object;
}

pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(Some(plugin), "torchdetect", gst::Rank::NONE, TorchDetect::static_type())
}
