//! The properties that elements which show frames to a network share.

use std::time::Duration;

use gst::glib;
use gst::prelude::*;
use gst_torch_runtime::{Batching, MAX_BATCH, Result};

use super::live::Late;
use crate::meta::Object;
use crate::settings::{ANY_MODEL, ModelSettings};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[enum_type(name = "GstTorchLatePolicy")]
pub enum LatePolicy {
    #[default]
    #[enum_value(name = "passthrough when live, block otherwise", nick = "auto")]
    Auto,
    #[enum_value(name = "Frames wait for the model", nick = "block")]
    Block,
    #[enum_value(name = "Frames that the model has no time for are dropped", nick = "skip")]
    Skip,
    #[enum_value(name = "Frames that the model has no time for pass without inference", nick = "passthrough")]
    Passthrough,
}

impl LatePolicy {
    pub fn when(self, live: bool) -> Late {
        match self {
            LatePolicy::Auto if live => Late::Pass,
            LatePolicy::Auto | LatePolicy::Block => Late::Wait,
            LatePolicy::Skip => Late::Drop,
            LatePolicy::Passthrough => Late::Pass,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[enum_type(name = "GstTorchInferenceRegion")]
pub enum InferenceRegion {
    #[default]
    #[enum_value(name = "The whole frame", nick = "full-frame")]
    FullFrame,
    #[enum_value(name = "Each object that an element before found", nick = "roi-list")]
    RoiList,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub model: ModelSettings,
    pub inference_region: InferenceRegion,
    /// Labels; empty is all.
    pub object_class: String,
    pub batch_size: u32,
    pub batch_timeout: i32,
    pub inference_interval: u32,
    pub late_policy: LatePolicy,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            model: ModelSettings::default(),
            inference_region: InferenceRegion::default(),
            object_class: String::new(),
            batch_size: 0,
            batch_timeout: -1,
            inference_interval: 1,
            late_policy: LatePolicy::default(),
        }
    }
}

/// How long a live frame waits for others when a batch was asked for and no time was named.
const LIVE_BATCH_TIMEOUT: Duration = Duration::from_millis(5);

impl Settings {
    pub fn properties() -> Vec<glib::ParamSpec> {
        let defaults = Settings::default();
        let mut list = ModelSettings::properties(ANY_MODEL);
        list.extend([
            glib::ParamSpecUInt::builder("batch-size")
                .nick("Batch size")
                .blurb("Frames of all streams sharing the model that run together at most (0 = automatic)")
                .maximum(MAX_BATCH as u32)
                .default_value(defaults.batch_size)
                .mutable_playing()
                .build(),
            glib::ParamSpecInt::builder("batch-timeout")
                .nick("Batch timeout")
                .blurb("Longest wait for a batch to fill, in ms (-1 = automatic: 0 when not live)")
                .minimum(-1)
                .maximum(10_000)
                .default_value(defaults.batch_timeout)
                .mutable_playing()
                .build(),
            glib::ParamSpecEnum::builder_with_default("inference-region", defaults.inference_region)
                .nick("Inference region")
                .blurb("Whether the model sees whole frames or the objects that elements before found")
                .mutable_playing()
                .build(),
            glib::ParamSpecString::builder("object-class")
                .nick("Object class")
                .blurb("With inference-region=roi-list, the labels to look at, separated by commas (empty = all)")
                .mutable_playing()
                .build(),
            glib::ParamSpecUInt::builder("inference-interval")
                .nick("Inference interval")
                .blurb("Infer on every n-th frame; the others pass untouched (1 = every frame)")
                .minimum(1)
                .default_value(defaults.inference_interval)
                .mutable_playing()
                .build(),
            glib::ParamSpecEnum::builder_with_default("late-policy", defaults.late_policy)
                .nick("Late policy")
                .blurb("What happens to a frame that comes while the model is still busy with earlier ones")
                .mutable_playing()
                .build(),
            glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
                .nick("Statistics")
                .blurb("Frames, skipped frames, p50 and p99 of the latency in ms, device, precision, engine, memory")
                .read_only()
                .build(),
        ]);
        list
    }

    pub fn set(&mut self, name: &str, value: &glib::Value) -> Result<()> {
        match name {
            "inference-region" => self.inference_region = value.get().unwrap_or_default(),
            "object-class" => self.object_class = value.get::<Option<String>>().ok().flatten().unwrap_or_default(),
            "batch-size" => self.batch_size = value.get().unwrap_or_default(),
            "batch-timeout" => self.batch_timeout = value.get().unwrap_or(-1),
            "inference-interval" => self.inference_interval = value.get().unwrap_or(1),
            "late-policy" => self.late_policy = value.get().unwrap_or_default(),
            _ => return self.model.set(name, value).map(|_| ()),
        }
        Ok(())
    }

    pub fn get(&self, name: &str) -> Option<glib::Value> {
        Some(match name {
            "inference-region" => self.inference_region.to_value(),
            "object-class" => self.object_class.to_value(),
            "batch-size" => self.batch_size.to_value(),
            "batch-timeout" => self.batch_timeout.to_value(),
            "inference-interval" => self.inference_interval.to_value(),
            "late-policy" => self.late_policy.to_value(),
            _ => return self.model.get(name),
        })
    }

    /// The objects to look at, out of those that a frame brought; `None` is the whole frame.
    pub fn regions(&self, objects: impl FnOnce() -> Vec<Object>) -> Option<Vec<Object>> {
        if self.inference_region == InferenceRegion::FullFrame {
            return None;
        }
        let wanted =
            |label: &str| self.object_class.is_empty() || self.object_class.split(',').any(|c| c.trim() == label);
        Some(objects().into_iter().filter(|object| wanted(&object.label)).collect())
    }

    pub fn batching(&self, live: bool) -> Batching {
        let timeout = match u64::try_from(self.batch_timeout) {
            Ok(ms) => Duration::from_millis(ms),
            Err(_) if live && self.batch_size > 1 => LIVE_BATCH_TIMEOUT,
            Err(_) => Duration::ZERO,
        };
        Batching { size: self.batch_size as usize, timeout }
    }
}
