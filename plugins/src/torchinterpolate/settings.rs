//! The properties of `torchinterpolate`.

use gst::glib;
use gst::prelude::*;
use gst_torch_runtime::Result;

use crate::filter::LatePolicy;
use crate::settings::ModelSettings;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[enum_type(name = "GstTorchLatencyMode")]
pub enum LatencyMode {
    #[default]
    #[enum_value(name = "Pictures are made from the frames before and after: one frame of latency", nick = "one-frame")]
    OneFrame,
    #[enum_value(name = "Pictures are made from past frames only: no latency, more artefacts", nick = "zero")]
    Zero,
}

#[glib::flags(name = "GstTorchRepair")]
pub enum Repair {
    #[flags_value(name = "Frames that did not come: gaps in time and GAP events", nick = "missing")]
    MISSING = 0b001,
    #[flags_value(name = "Frames that are marked as corrupted", nick = "corrupted")]
    CORRUPTED = 0b010,
    #[flags_value(name = "Frames that repeat the one before to the last bit", nick = "frozen")]
    FROZEN = 0b100,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    pub model: ModelSettings,
    pub latency_mode: LatencyMode,
    /// In ns.
    pub max_gap: u64,
    pub repair: Repair,
    pub late_policy: LatePolicy,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            model: ModelSettings::default(),
            latency_mode: LatencyMode::default(),
            max_gap: 250_000_000,
            repair: Repair::all(),
            late_policy: LatePolicy::default(),
        }
    }
}

impl Settings {
    pub fn properties() -> Vec<glib::ParamSpec> {
        let defaults = Settings::default();
        let mut list =
            ModelSettings::properties("Built-in model name or model card (.toml); unset is the built-in model");
        list.retain(|property| property.name() != "label-file");
        list.extend([
            glib::ParamSpecEnum::builder_with_default("latency-mode", defaults.latency_mode)
                .nick("Latency mode")
                .blurb("Whether the frame after a picture that is to be made is waited for")
                .mutable_ready()
                .build(),
            glib::ParamSpecUInt64::builder("max-gap")
                .nick("Maximum gap")
                .blurb(
                    "The longest time between two good frames, in ns, in which missing and bad ones are made anew; \
                     in a longer one the last frame is held, and a message says so (0 = none)",
                )
                .default_value(defaults.max_gap)
                .mutable_playing()
                .build(),
            glib::ParamSpecFlags::builder::<Repair>("repair")
                .nick("Repair")
                .blurb("Which frames are made anew")
                .default_value(defaults.repair)
                .mutable_playing()
                .build(),
            glib::ParamSpecEnum::builder_with_default("late-policy", defaults.late_policy)
                .nick("Late policy")
                .blurb(
                    "What happens to pictures that there is no time to make: they are waited for, left out, or (passthrough) \
                     the nearest frame stands in",
                )
                .mutable_playing()
                .build(),
            glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
                .nick("Statistics")
                .blurb(
                    "Frames that left, of them made and held, skipped ones, p50 and p99 of the time to make one in ms, device, \
                     precision, engine, memory",
                )
                .read_only()
                .build(),
        ]);
        list
    }

    pub fn set(&mut self, name: &str, value: &glib::Value) -> Result<()> {
        match name {
            "latency-mode" => self.latency_mode = value.get().unwrap_or_default(),
            "max-gap" => self.max_gap = value.get().unwrap_or_default(),
            "repair" => self.repair = value.get().unwrap_or_else(|_| Repair::all()),
            "late-policy" => self.late_policy = value.get().unwrap_or_default(),
            _ => return self.model.set(name, value).map(|_| ()),
        }
        Ok(())
    }

    pub fn get(&self, name: &str) -> Option<glib::Value> {
        Some(match name {
            "latency-mode" => self.latency_mode.to_value(),
            "max-gap" => self.max_gap.to_value(),
            "repair" => self.repair.to_value(),
            "late-policy" => self.late_policy.to_value(),
            _ => return self.model.get(name),
        })
    }
}
