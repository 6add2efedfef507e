//! The generator source's properties.

use gst::glib;
use gst::prelude::*;
use gst_torch_models::generate::decoder::{Hints, Range};
use gst_torch_models::generate::generator::{Generator, Options};
use gst_torch_models::generate::latents::{self, COMPONENTS};
use gst_torch_models::generate::path;
use gst_torch_runtime::{Error, Result};

use crate::pace::LatePolicy;
use crate::settings::{ANY_MODEL, ModelSettings, ValueRange};

/// The model that runs when none is named.
pub const DEFAULT_MODEL: &str = "scene";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[enum_type(name = "GstTorchSrcMode")]
pub enum Mode {
    #[default]
    #[enum_value(name = "What the model is best at: walk, sequence or reconstruct", nick = "auto")]
    Auto,
    #[enum_value(name = "Through latent space, from random picture to random picture", nick = "walk")]
    Walk,
    #[enum_value(name = "Frames that have nothing to do with each other", nick = "noise")]
    Noise,
    #[enum_value(name = "The same picture all the time", nick = "fixed")]
    Fixed,
    #[enum_value(name = "The model goes on from what it made", nick = "sequence")]
    Sequence,
    #[enum_value(name = "start-picture as the model sees it; with end-picture, there and back", nick = "reconstruct")]
    Reconstruct,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[enum_type(name = "GstTorchSrcWalk")]
pub enum Walk {
    #[default]
    #[enum_value(name = "Smooth at every picture", nick = "spline")]
    Spline,
    #[enum_value(name = "Along great circles, with a corner at every picture", nick = "slerp")]
    Slerp,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    pub model: ModelSettings,
    pub live: bool,
    pub mode: Mode,
    pub walk: Walk,
    /// All that changes from frame to frame; its mode and walk stand above.
    pub latents: latents::Settings,
    pub start_picture: Option<String>,
    pub end_picture: Option<String>,
    pub value_range: ValueRange,
    pub watermark: bool,
    pub late_policy: LatePolicy,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            model: ModelSettings::default(),
            live: false,
            mode: Mode::default(),
            walk: Walk::default(),
            latents: latents::Settings::default(),
            start_picture: None,
            end_picture: None,
            value_range: ValueRange::default(),
            watermark: true,
            late_policy: LatePolicy::default(),
        }
    }
}

/// What latents are within as properties; an array may go beyond.
const COMPONENT_MAX: f64 = 100.0;
/// What an array's are within: random ones are around 1, and far beyond this networks compute with infinities.
const NUMBER_MAX: f64 = 1e6;

impl Settings {
    pub fn properties() -> Vec<glib::ParamSpec> {
        let defaults = Settings::default();
        let mut list = ModelSettings::properties(ANY_MODEL);
        list.retain(|property| property.name() != "label-file");
        list.extend([
            glib::ParamSpecBoolean::builder("is-live")
                .nick("Is live")
                .blurb("Whether frames come at their times by the clock, or as fast as they are taken; a sequence that is too slow for it then goes slower, picture by picture")
                .default_value(defaults.live)
                .mutable_ready()
                .build(),
            glib::ParamSpecEnum::builder_with_default("mode", defaults.mode)
                .nick("Mode")
                .blurb("How frames follow each other")
                .mutable_playing()
                .build(),
            glib::ParamSpecEnum::builder_with_default("walk", defaults.walk)
                .nick("Walk")
                .blurb("The way from one random picture to the next")
                .mutable_playing()
                .build(),
            glib::ParamSpecDouble::builder("walk-speed")
                .nick("Walk speed")
                .blurb("Random pictures a second that a walk passes")
                .minimum(0.0)
                .maximum(100.0)
                .default_value(defaults.latents.walk_speed)
                .mutable_playing()
                .build(),
            glib::ParamSpecUInt::builder("loop")
                .nick("Loop")
                .blurb("Random pictures until a walk is back at its first one (0 = it never is)")
                .default_value(defaults.latents.period)
                .mutable_playing()
                .build(),
            glib::ParamSpecDouble::builder("truncation")
                .nick("Truncation")
                .blurb("How far random latents go from their mean: below 1 pictures are more typical and less varied; of a sequence, the temperature")
                .minimum(0.0)
                .maximum(4.0)
                .default_value(defaults.latents.truncation)
                .controllable()
                .mutable_playing()
                .build(),
            glib::ParamSpecDouble::builder("class")
                .nick("Class")
                .blurb("What is shown, by number from 0, of models with classes; 1.5 is half 1 and half 2 (below 0 = by chance)")
                .minimum(-1.0)
                .maximum(100_000.0)
                .default_value(defaults.latents.class)
                .controllable()
                .mutable_playing()
                .build(),
            glib::ParamSpecUInt64::builder("seed")
                .nick("Seed")
                .blurb("The same seed gives the same video")
                .default_value(defaults.latents.seed)
                .controllable()
                .mutable_playing()
                .build(),
            gst::ParamSpecArray::builder("latent")
                .nick("Latent")
                .blurb("The first numbers of the latent, or all of them; what is missing comes from the mode")
                .element_spec(&glib::ParamSpecDouble::builder("number").minimum(f64::MIN).maximum(f64::MAX).build())
                .mutable_playing()
                .build(),
        ]);
        list.extend((0..COMPONENTS).map(|index| {
            glib::ParamSpecDouble::builder(&format!("latent-{index}"))
                .nick(&format!("Latent {index}"))
                .blurb(&format!("Number {index} of the latent, once it is set; goes before latent and mode"))
                .minimum(-COMPONENT_MAX)
                .maximum(COMPONENT_MAX)
                .controllable()
                .mutable_playing()
                .build()
        }));
        list.extend([
            glib::ParamSpecString::builder("start-picture")
                .nick("Start picture")
                .blurb("A picture (PNG, JPEG) to begin with, for models that can encode it")
                .mutable_playing()
                .build(),
            glib::ParamSpecString::builder("end-picture")
                .nick("End picture")
                .blurb("A picture to go to from start-picture, which it needs, and back")
                .mutable_playing()
                .build(),
            glib::ParamSpecEnum::builder_with_default("value-range", defaults.value_range)
                .nick("Value range")
                .blurb("What black and white are to the network in model-file")
                .mutable_ready()
                .build(),
            glib::ParamSpecBoolean::builder("watermark")
                .nick("Watermark")
                .blurb("Whether frames carry an invisible mark that `gst-torch inspect video` finds")
                .default_value(defaults.watermark)
                .mutable_playing()
                .build(),
            glib::ParamSpecEnum::builder_with_default("late-policy", defaults.late_policy)
                .nick("Late policy")
                .blurb("What happens when the model is slower than the frame rate; where frames are left out, a sequence still shows each picture")
                .mutable_playing()
                .build(),
            glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
                .nick("Statistics")
                .blurb("Frames, skipped frames, p50 and p99 of the time from request to frame in ms, device, precision, engine, memory")
                .read_only()
                .build(),
        ]);
        list
    }

    /// The types were checked against the specs above.
    pub fn set(&mut self, name: &str, value: &glib::Value) -> Result<()> {
        let text = || value.get::<Option<String>>().ok().flatten().filter(|text| !text.is_empty());
        let latents = &mut self.latents;
        match name {
            "is-live" => self.live = value.get().unwrap_or_default(),
            "mode" => self.mode = value.get().unwrap_or_default(),
            "walk" => self.walk = value.get().unwrap_or_default(),
            "walk-speed" => latents.walk_speed = value.get().unwrap_or_default(),
            "loop" => latents.period = value.get().unwrap_or_default(),
            "truncation" => latents.truncation = value.get().unwrap_or_default(),
            "class" => latents.class = value.get().unwrap_or_default(),
            "seed" => latents.seed = value.get().unwrap_or_default(),
            "latent" => latents.latent = numbers(value)?,
            "start-picture" => self.start_picture = text(),
            "end-picture" => self.end_picture = text(),
            "value-range" => self.value_range = value.get().unwrap_or_default(),
            "watermark" => self.watermark = value.get().unwrap_or_default(),
            "late-policy" => self.late_policy = value.get().unwrap_or_default(),
            _ => match component(name) {
                Some(index) => latents.components[index] = value.get::<f64>().ok().map(|number| number as f32),
                None => return self.model.set(name, value).map(|_| ()),
            },
        }
        Ok(())
    }

    pub fn get(&self, name: &str) -> Option<glib::Value> {
        let latents = &self.latents;
        Some(match name {
            "is-live" => self.live.to_value(),
            "mode" => self.mode.to_value(),
            "walk" => self.walk.to_value(),
            "walk-speed" => latents.walk_speed.to_value(),
            "loop" => latents.period.to_value(),
            "truncation" => latents.truncation.to_value(),
            "class" => latents.class.to_value(),
            "seed" => latents.seed.to_value(),
            "latent" => gst::Array::new(latents.latent.iter().map(|&number| f64::from(number))).to_value(),
            "start-picture" => self.start_picture.to_value(),
            "end-picture" => self.end_picture.to_value(),
            "value-range" => self.value_range.to_value(),
            "watermark" => self.watermark.to_value(),
            "late-policy" => self.late_policy.to_value(),
            _ => match component(name) {
                Some(index) => f64::from(latents.components[index].unwrap_or_default()).to_value(),
                None => return self.model.get(name),
            },
        })
    }

    /// Whether these need another generator than those.
    pub fn another_generator(&self, before: &Settings) -> bool {
        let of = |settings: &Settings| {
            (settings.model.model_file.clone(), settings.start_picture.clone(), settings.end_picture.clone())
        };
        of(self) != of(before)
    }

    /// Opens the generator; reads files and runs networks, so to be called under no lock.
    pub fn open(&self) -> Result<Generator> {
        if let (None, Some(end)) = (&self.start_picture, &self.end_picture) {
            let reason = "it is the end-picture, and no start-picture to go to it from was set".to_owned();
            return Err(Error::BadPicture { path: end.into(), reason });
        }
        let options = Options {
            device: self.model.device()?,
            precision: self.model.precision()?,
            hints: Hints {
                range: match self.value_range {
                    ValueRange::Auto => None,
                    ValueRange::Unit => Some(Range::Unit),
                    ValueRange::Signed => Some(Range::Signed),
                    ValueRange::Levels => Some(Range::Levels),
                },
                count: Some(self.latents.latent.len()).filter(|count| *count > 0),
            },
            pictures: [&self.start_picture, &self.end_picture].into_iter().flatten().map(Into::into).collect(),
        };
        Generator::open(self.model.model_file.as_deref().unwrap_or(DEFAULT_MODEL), &options)
    }

    /// What a frame of this generator is made by.
    pub fn for_frame(&self, generator: &Generator) -> latents::Settings {
        let mode = match self.mode {
            Mode::Auto => generator.modes().natural(),
            Mode::Walk => latents::Mode::Walk,
            Mode::Noise => latents::Mode::Noise,
            Mode::Fixed => latents::Mode::Fixed,
            Mode::Sequence => latents::Mode::Sequence,
            Mode::Reconstruct => latents::Mode::Reconstruct,
        };
        let walk = match self.walk {
            Walk::Spline => path::Walk::Spline,
            Walk::Slerp => path::Walk::Slerp,
        };
        latents::Settings { mode, walk, ..self.latents.clone() }
    }
}

/// The index of a property `latent-N`.
fn component(name: &str) -> Option<usize> {
    name.strip_prefix("latent-")?.parse().ok().filter(|&index| index < COMPONENTS)
}

/// The numbers of an array, whatever type each has.
fn numbers(value: &glib::Value) -> Result<Vec<f32>> {
    let Ok(array) = value.get::<gst::ArrayRef>() else { return Ok(Vec::new()) };
    let number = |value: &glib::SendValue| {
        let number = value.transform::<f64>().ok().and_then(|v| v.get::<f64>().ok());
        number.filter(|number| number.abs() <= NUMBER_MAX).map(|number| number as f32).ok_or_else(|| {
            let value = value.serialize().map_or_else(|_| format!("{value:?}"), Into::into);
            Error::BadWord { what: "number of a latent", value, expected: format!("-{NUMBER_MAX} to {NUMBER_MAX}") }
        })
    };
    array.iter().map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_are_none_are_refused_and_leave_those_before() {
        gst::init().unwrap();
        let mut settings = Settings::default();
        settings.set("latent", &gst::Array::new([0.5, -3e5]).to_value()).unwrap();
        for bad in [1e308, -2e6, f64::NAN, f64::INFINITY] {
            let error = settings.set("latent", &gst::Array::new([0.0, bad]).to_value()).unwrap_err().to_string();
            assert!(error.contains("number of a latent") && error.contains("-1000000 to 1000000"), "{error}");
        }
        let error = settings.set("latent", &gst::Array::new(["x"]).to_value()).unwrap_err().to_string();
        assert!(error.contains("'x'"), "{error}");
        assert_eq!(settings.latents.latent, [0.5, -3e5]);
    }

    #[test]
    fn an_end_needs_a_start() {
        let settings = Settings { end_picture: Some("end.png".into()), ..Settings::default() };
        let error = settings.open().err().unwrap().to_string();
        assert!(error.contains("'end.png'") && error.contains("no start-picture"), "{error}");
    }
}
