//! The properties that every element with a model has, declared once.

use gst::glib;
use gst::prelude::*;
use gst_torch_runtime::{DeviceSpec, ModelFile, PrecisionSpec, Result};

/// What a user says of the numbers of a network of theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[enum_type(name = "GstTorchValueRange")]
pub enum ValueRange {
    #[default]
    #[enum_value(name = "As the card says, else what the element takes it for", nick = "auto")]
    Auto,
    #[enum_value(name = "0 to 1", nick = "unit")]
    Unit,
    #[enum_value(name = "-1 to 1", nick = "signed")]
    Signed,
    #[enum_value(name = "0 to 255", nick = "levels")]
    Levels,
}

/// Which model, where it runs and how precisely.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ModelSettings {
    /// `None` is the built-in model of the element's task.
    pub model_file: Option<String>,
    pub label_file: Option<String>,
    /// As they were set. Words that mean nothing are kept, too: an element that took another device instead would hide it.
    device: Option<String>,
    precision: Option<String>,
}

/// What `model-file` takes of most elements.
pub const ANY_MODEL: &str =
    "Built-in model name, model card (.toml) or TorchScript file (.pt); unset is the built-in model";

impl ModelSettings {
    /// `model_file` says what its property takes.
    pub fn properties(model_file: &str) -> Vec<glib::ParamSpec> {
        vec![
            glib::ParamSpecString::builder("model-file").nick("Model file").blurb(model_file).mutable_playing().build(),
            glib::ParamSpecString::builder("label-file")
                .nick("Label file")
                .blurb("Text file with one label a line, instead of the labels that the model brings")
                .mutable_ready()
                .build(),
            glib::ParamSpecString::builder("device")
                .nick("Device")
                .blurb("Where the model runs: auto, cpu, cuda, cuda:N or mps")
                .default_value(Some("auto"))
                .mutable_ready()
                .build(),
            glib::ParamSpecString::builder("precision")
                .nick("Precision")
                .blurb("auto (the fastest within the model's error bound), fp32, fp16 or bf16")
                .default_value(Some("auto"))
                .mutable_ready()
                .build(),
        ]
    }

    /// Whether `name` was one of these properties; an error where its value makes no sense.
    pub fn set(&mut self, name: &str, value: &glib::Value) -> Result<bool> {
        let text = || value.get::<Option<String>>().ok().flatten().filter(|text| !text.is_empty());
        match name {
            "model-file" => self.model_file = text(),
            "label-file" => self.label_file = text(),
            "device" => {
                self.device = text();
                self.device()?;
            }
            "precision" => {
                self.precision = text();
                self.precision()?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    pub fn get(&self, name: &str) -> Option<glib::Value> {
        Some(match name {
            "model-file" => self.model_file.to_value(),
            "label-file" => self.label_file.to_value(),
            "device" => word(self.device(), &self.device),
            "precision" => word(self.precision(), &self.precision),
            _ => return None,
        })
    }

    /// An error where it was set to a word that means nothing.
    pub fn device(&self) -> Result<DeviceSpec> {
        self.device.as_deref().map_or(Ok(DeviceSpec::default()), str::parse)
    }

    /// The same.
    pub fn precision(&self) -> Result<PrecisionSpec> {
        self.precision.as_deref().map_or(Ok(PrecisionSpec::default()), str::parse)
    }

    /// Finds and examines the model; reads files, so to be called under no lock.
    pub fn open(&self, name: &str, task: &str) -> Result<ModelFile> {
        let file = gst_torch_models::builtin::open(name)?.expect_task(task)?;
        match &self.label_file {
            Some(path) => Ok(file.with_labels(read_labels(path)?)),
            None => Ok(file),
        }
    }
}

/// What a property says: the usual spelling of what it means, or what it was set to.
fn word(meant: Result<impl ToString>, set: &Option<String>) -> glib::Value {
    meant.map_or_else(|_| set.to_value(), |meant| meant.to_string().to_value())
}

fn read_labels(path: &str) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(path).map_err(|e| gst_torch_runtime::Error::BadWord {
        what: "label-file",
        value: path.to_owned(),
        expected: format!("a text file with one label a line ({e})"),
    })?;
    Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect())
}
