//! The encoder's properties.

use gst::glib;
use gst::prelude::*;
use gst_torch_runtime::Result;

use crate::pace::LatePolicy;
use crate::settings::ModelSettings;

#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    pub model: ModelSettings,
    /// 0 to 100.
    pub quality: f64,
    /// kbit/s; 0 is constant quality.
    pub bitrate: u32,
    pub key_int_max: u32,
    pub roi_quality: f64,
    pub late_policy: LatePolicy,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            model: ModelSettings::default(),
            quality: 60.0,
            bitrate: 0,
            key_int_max: 250,
            roi_quality: 0.0,
            late_policy: LatePolicy::default(),
        }
    }
}

impl Settings {
    pub fn properties() -> Vec<glib::ParamSpec> {
        let defaults = Settings::default();
        let mut list = ModelSettings::properties("Built-in model name or model card (.toml); unset is codec-s");
        list.retain(|property| property.name() != "label-file");
        list.extend([
            glib::ParamSpecDouble::builder("quality")
                .nick("Quality")
                .blurb("0 (smallest) to 100 (best); without effect where bitrate is set")
                .minimum(0.0)
                .maximum(100.0)
                .default_value(defaults.quality)
                .mutable_playing()
                .build(),
            glib::ParamSpecUInt::builder("bitrate")
                .nick("Bitrate")
                .blurb("Mean rate in kbit/s (0 = constant quality)")
                .maximum(2_000_000)
                .default_value(defaults.bitrate)
                .mutable_playing()
                .build(),
            glib::ParamSpecUInt::builder("key-int-max")
                .nick("Key frame interval")
                .blurb("A key frame comes at the latest so many frames after the one before (1 = all are, 0 = only on request)")
                .default_value(defaults.key_int_max)
                .mutable_playing()
                .build(),
            glib::ParamSpecDouble::builder("roi-quality")
                .nick("Region of interest quality")
                .blurb("Quality points more inside the boxes that came as metadata (below 0: less)")
                .minimum(-31.0)
                .maximum(31.0)
                .default_value(defaults.roi_quality)
                .mutable_playing()
                .build(),
            glib::ParamSpecEnum::builder_with_default("late-policy", defaults.late_policy)
                .nick("Late policy")
                .blurb("What happens to a frame that comes while the encoder is still behind with earlier ones")
                .mutable_playing()
                .build(),
            glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
                .nick("Statistics")
                .blurb("Frames, key frames, skipped frames, bytes, p50 and p99 of the encoding time in ms, device, precision, model")
                .read_only()
                .build(),
        ]);
        list
    }

    pub fn set(&mut self, name: &str, value: &glib::Value) -> Result<()> {
        match name {
            "quality" => self.quality = value.get().unwrap_or_default(),
            "bitrate" => self.bitrate = value.get().unwrap_or_default(),
            "key-int-max" => self.key_int_max = value.get().unwrap_or_default(),
            "roi-quality" => self.roi_quality = value.get().unwrap_or_default(),
            "late-policy" => self.late_policy = value.get().unwrap_or_default(),
            _ => return self.model.set(name, value).map(|_| ()),
        }
        Ok(())
    }

    pub fn get(&self, name: &str) -> Option<glib::Value> {
        Some(match name {
            "quality" => self.quality.to_value(),
            "bitrate" => self.bitrate.to_value(),
            "key-int-max" => self.key_int_max.to_value(),
            "roi-quality" => self.roi_quality.to_value(),
            "late-policy" => self.late_policy.to_value(),
            _ => return self.model.get(name),
        })
    }
}
