use std::sync::{Arc, LazyLock, Mutex};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_torch_models::detect::decode::Params;
use gst_torch_runtime::planes::FrameInfo;
use gst_torch_runtime::{Model, Result};

use super::session::Detector;
use crate::filter::{Session, TorchFilter, TorchFilterImpl};
use crate::sync::lock;

#[derive(Default)]
pub struct TorchDetect {
    /// Shared with the sessions, so that a change shows on the next frame.
    params: Arc<Mutex<Params>>,
}

#[glib::object_subclass]
impl ObjectSubclass for TorchDetect {
    const NAME: &'static str = "GstTorchDetect";
    type Type = super::TorchDetect;
    type ParentType = TorchFilter;
}

impl ObjectImpl for TorchDetect {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let defaults = Params::default();
            vec![
                glib::ParamSpecFloat::builder("class-confidence-threshold")
                    .nick("Class confidence threshold")
                    .blurb("Only boxes with a confidence above this are reported")
                    .minimum(0.0)
                    .maximum(1.0)
                    .default_value(defaults.confidence)
                    .mutable_playing()
                    .build(),
                glib::ParamSpecFloat::builder("iou-threshold")
                    .nick("IoU threshold")
                    .blurb("Of two boxes of a class that overlap by more than this, the less confident goes")
                    .minimum(0.0)
                    .maximum(1.0)
                    .default_value(defaults.iou)
                    .mutable_playing()
                    .build(),
                glib::ParamSpecUInt::builder("max-detections")
                    .nick("Maximum detections")
                    .blurb("The most confident boxes of a frame that are reported at most")
                    .minimum(1)
                    .maximum(10_000)
                    .default_value(defaults.max_detections as u32)
                    .mutable_playing()
                    .build(),
            ]
        });
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        let mut params = lock(&self.params);
        // The types were checked against the specs above.
        match pspec.name() {
            "class-confidence-threshold" => params.confidence = value.get().unwrap_or(params.confidence),
            "iou-threshold" => params.iou = value.get().unwrap_or(params.iou),
            _ => params.max_detections = value.get::<u32>().map_or(params.max_detections, |n| n as usize),
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        let params = lock(&self.params);
        match pspec.name() {
            "class-confidence-threshold" => params.confidence.to_value(),
            "iou-threshold" => params.iou.to_value(),
            _ => (params.max_detections as u32).to_value(),
        }
    }
}

impl GstObjectImpl for TorchDetect {}

impl ElementImpl for TorchDetect {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "PyTorch object detector",
                "Analyzer/Video",
                "Finds objects and puts their boxes, classes and confidences on the buffers",
                env!("CARGO_PKG_AUTHORS"),
            )
        });
        Some(&METADATA)
    }
}

impl TorchFilterImpl for TorchDetect {
    const TASK: &'static str = "detect";

    fn default_model(&self) -> Result<String> {
        Ok("person".into())
    }

    fn session(&self, model: &Arc<Model>, frame: &FrameInfo) -> Result<Arc<dyn Session>> {
        Ok(Arc::new(Detector::new(model, frame, Arc::clone(&self.params))?))
    }
}
