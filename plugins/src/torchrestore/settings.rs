//! The restorer's own properties.

use gst::glib;
use gst::prelude::*;
use gst_torch_models::restore;
use gst_torch_models::restore::custom::{Kind, Wishes};
use gst_torch_models::restore::restorer::Options;
use gst_torch_runtime::planes::Colour;
use gst_torch_runtime::{Error, Result};

use crate::settings::ValueRange;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[enum_type(name = "GstTorchRestoreTask")]
pub enum Task {
    #[default]
    #[enum_value(name = "Noise of sensors and analogue lines", nick = "denoise")]
    Denoise,
    #[enum_value(name = "What lossy compression left: blocks, ringing", nick = "deblock")]
    Deblock,
    #[enum_value(name = "Motion and focus blur", nick = "deblur")]
    Deblur,
    #[enum_value(name = "More pixels, scale times wider and higher", nick = "super-resolution")]
    SuperResolution,
    #[enum_value(name = "Too little light", nick = "low-light")]
    LowLight,
    #[enum_value(name = "What the network in model-file does", nick = "custom")]
    Custom,
}

impl Task {
    /// The built-in model.
    pub fn model(self, scale: u32) -> Result<String> {
        let task = match self {
            Task::Denoise => restore::Task::Denoise,
            Task::Deblock => restore::Task::Deblock,
            Task::Deblur => restore::Task::Deblur,
            Task::SuperResolution if matches!(scale, 2 | 4) => restore::Task::SuperResolution,
            Task::SuperResolution => {
                return Err(Error::BadWord { what: "scale", value: scale.to_string(), expected: "2 or 4".into() });
            }
            Task::LowLight => restore::Task::LowLight,
            Task::Custom => {
                let expected = "model-file to name a TorchScript file or its card as well".into();
                return Err(Error::BadWord { what: "task by itself", value: "custom".into(), expected });
            }
        };
        Ok(task.model(i64::from(scale)).into())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[enum_type(name = "GstTorchRestoreColour")]
pub enum InputColour {
    #[default]
    #[enum_value(name = "As the card says, else what the network runs on", nick = "auto")]
    Auto,
    #[enum_value(name = "Red, green, blue", nick = "rgb")]
    Rgb,
    #[enum_value(name = "Blue, green, red", nick = "bgr")]
    Bgr,
    #[enum_value(name = "Luma alone; colour stays as it is", nick = "gray")]
    Gray,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[enum_type(name = "GstTorchRestoreOutput")]
pub enum OutputKind {
    #[default]
    #[enum_value(name = "As the card says, else what it looks like", nick = "auto")]
    Auto,
    #[enum_value(name = "The restored picture", nick = "image")]
    Image,
    #[enum_value(name = "What is added to the picture", nick = "residual")]
    Residual,
    #[enum_value(name = "The noise, which is taken away from the picture", nick = "noise")]
    Noise,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    pub task: Task,
    pub scale: u32,
    /// 0 to 1.
    pub strength: f32,
    /// Standard deviation in levels of 8 bits; 0 is estimated.
    pub noise_level: f64,
    pub tile_size: u32,
    pub tile_overlap: u32,
    pub input_colour: InputColour,
    pub value_range: ValueRange,
    pub output_kind: OutputKind,
    pub output_tensor: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            task: Task::default(),
            scale: 2,
            strength: 1.0,
            noise_level: 0.0,
            tile_size: 0,
            tile_overlap: 0,
            input_colour: InputColour::default(),
            value_range: ValueRange::default(),
            output_kind: OutputKind::default(),
            output_tensor: None,
        }
    }
}

impl Settings {
    pub fn properties() -> Vec<glib::ParamSpec> {
        let defaults = Settings::default();
        vec![
            glib::ParamSpecEnum::builder_with_default("task", defaults.task)
                .nick("Task")
                .blurb("What is made good, by the built-in model; model-file goes before it")
                .mutable_playing()
                .build(),
            glib::ParamSpecUInt::builder("scale")
                .nick("Scale")
                .blurb("With task=super-resolution, how many times wider and higher frames become: 2 or 4")
                .minimum(2)
                .maximum(4)
                .default_value(defaults.scale)
                .mutable_playing()
                .build(),
            glib::ParamSpecFloat::builder("strength")
                .nick("Strength")
                .blurb("From 0, the frame as it came, to 1, the frame as restored")
                .minimum(0.0)
                .maximum(1.0)
                .default_value(defaults.strength)
                .controllable()
                .mutable_playing()
                .build(),
            glib::ParamSpecDouble::builder("noise-level")
                .nick("Noise level")
                .blurb("Standard deviation of the noise to take away, in levels of 8 bits (0 = estimated)")
                .minimum(0.0)
                .maximum(100.0)
                .default_value(defaults.noise_level)
                .controllable()
                .mutable_playing()
                .build(),
            glib::ParamSpecUInt::builder("tile-size")
                .nick("Tile size")
                .blurb("Longest side of a tile, in pixels of the frame (0 = as large as memory allows). With tile-overlap=0, networks that see farther take larger ones")
                .maximum(1 << 16)
                .default_value(defaults.tile_size)
                .mutable_ready()
                .build(),
            glib::ParamSpecUInt::builder("tile-overlap")
                .nick("Tile overlap")
                .blurb("Pixels that neighbouring tiles share (0 = as many as the network needs for tiles not to show)")
                .maximum(1 << 12)
                .default_value(defaults.tile_overlap)
                .mutable_ready()
                .build(),
            glib::ParamSpecEnum::builder_with_default("input-colour", defaults.input_colour)
                .nick("Input colour")
                .blurb("The channels that the network in model-file takes")
                .mutable_ready()
                .build(),
            glib::ParamSpecEnum::builder_with_default("value-range", defaults.value_range)
                .nick("Value range")
                .blurb("What black and white are to the network in model-file")
                .mutable_ready()
                .build(),
            glib::ParamSpecEnum::builder_with_default("output-kind", defaults.output_kind)
                .nick("Output kind")
                .blurb("What the network in model-file gives")
                .mutable_ready()
                .build(),
            glib::ParamSpecString::builder("output-tensor")
                .nick("Output tensor")
                .blurb("Name or number (from 0) of the output of the network in model-file (unset = the first that is a picture)")
                .mutable_ready()
                .build(),
        ]
    }

    /// The types were checked against the specs above.
    pub fn set(&mut self, name: &str, value: &glib::Value) {
        match name {
            "task" => self.task = value.get().unwrap_or_default(),
            "scale" => self.scale = value.get().unwrap_or(2),
            "strength" => self.strength = value.get().unwrap_or(1.0),
            "noise-level" => self.noise_level = value.get().unwrap_or_default(),
            "tile-size" => self.tile_size = value.get().unwrap_or_default(),
            "tile-overlap" => self.tile_overlap = value.get().unwrap_or_default(),
            "input-colour" => self.input_colour = value.get().unwrap_or_default(),
            "value-range" => self.value_range = value.get().unwrap_or_default(),
            "output-kind" => self.output_kind = value.get().unwrap_or_default(),
            _ => self.output_tensor = value.get::<Option<String>>().ok().flatten().filter(|text| !text.is_empty()),
        }
    }

    pub fn get(&self, name: &str) -> glib::Value {
        match name {
            "task" => self.task.to_value(),
            "scale" => self.scale.to_value(),
            "strength" => self.strength.to_value(),
            "noise-level" => self.noise_level.to_value(),
            "tile-size" => self.tile_size.to_value(),
            "tile-overlap" => self.tile_overlap.to_value(),
            "input-colour" => self.input_colour.to_value(),
            "value-range" => self.value_range.to_value(),
            "output-kind" => self.output_kind.to_value(),
            _ => self.output_tensor.to_value(),
        }
    }

    /// The built-in model that is asked for.
    pub fn model(&self) -> Result<String> {
        self.task.model(self.scale)
    }

    /// # Errors
    /// When tiles overlap so far that each pixel would be computed many times over, which takes minutes a frame.
    pub fn check_tiles(&self) -> Result<()> {
        if self.tile_size == 0 || self.tile_overlap.saturating_mul(2) < self.tile_size {
            return Ok(());
        }
        let expected =
            format!("less than half of tile-size, which is {} (0 = as many as the network needs)", self.tile_size);
        Err(Error::BadWord { what: "tile-overlap", value: self.tile_overlap.to_string(), expected })
    }

    pub fn options(&self) -> Options {
        Options {
            tile_size: self.tile_size as usize,
            tile_overlap: self.tile_overlap as usize,
            wishes: Wishes {
                colour: match self.input_colour {
                    InputColour::Auto => None,
                    InputColour::Rgb => Some(Colour::Rgb),
                    InputColour::Bgr => Some(Colour::Bgr),
                    InputColour::Gray => Some(Colour::Gray),
                },
                range: match self.value_range {
                    ValueRange::Auto => None,
                    ValueRange::Unit => Some((0.0, 1.0)),
                    ValueRange::Signed => Some((-1.0, 1.0)),
                    ValueRange::Levels => Some((0.0, 255.0)),
                },
                kind: match self.output_kind {
                    OutputKind::Auto => None,
                    OutputKind::Image => Some(Kind::Image),
                    OutputKind::Residual => Some(Kind::Residual),
                    OutputKind::Noise => Some(Kind::Noise),
                },
                tensor: self.output_tensor.clone(),
            },
        }
    }
}
