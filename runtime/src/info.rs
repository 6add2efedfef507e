//! What is known about a model, and where each fact came from.
//!
//! Facts are looked for in this order: what the user set, the card, GStreamer's `.modelinfo`, what the exporter
//! embedded in the file, the shape of the tensors, and last a default.

use std::fmt;

use crate::planes::{Colour, Fit, InputSpec};

/// Where a fact came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    Property,
    Card,
    ModelInfo,
    Embedded,
    Tensors,
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Origin::Property => "property",
            Origin::Card => "card",
            Origin::ModelInfo => ".modelinfo",
            Origin::Embedded => "embedded in the file",
            Origin::Tensors => "seen in its tensors",
            Origin::Default => "default",
        })
    }
}

/// A value with its origin.
#[derive(Debug, Clone, PartialEq)]
pub struct Fact<T> {
    pub value: T,
    pub origin: Origin,
}

impl<T> Fact<T> {
    pub fn new(value: T, origin: Origin) -> Self {
        Fact { value, origin }
    }

    /// The first source that knows.
    fn first<const N: usize>(sources: [(Option<T>, Origin); N], default: T) -> Self {
        for (value, origin) in sources {
            if let Some(value) = value {
                return Fact::new(value, origin);
            }
        }
        Fact::new(default, Origin::Default)
    }
}

/// What one source says; merged in the order of the sources.
#[derive(Debug, Clone, Default)]
pub(crate) struct Claims {
    pub task: Option<String>,
    pub description: Option<String>,
    pub licence: Option<String>,
    pub call: Option<String>,
    pub labels: Option<Vec<String>>,
    pub size: Option<[usize; 2]>,
    pub colour: Option<Colour>,
    pub fit: Option<Fit>,
    pub pad: Option<u8>,
    pub scale: Option<f32>,
    pub mean: Option<[f32; 3]>,
    pub std: Option<[f32; 3]>,
    pub multiple: Option<usize>,
    pub layout: Option<String>,
    pub output: crate::card::Output,
    pub max_error: Option<f64>,
    pub end_to_end: Option<bool>,
    pub stride: Option<usize>,
}

/// With `precision=auto`, results of a model whose card says nothing change by no more than this (relative root mean
/// square against fp32): enough for another summation order, not for 8 bits of mantissa.
pub const DEFAULT_MAX_ERROR: f64 = 1e-3;

/// Everything the runtime knows about a model file.
#[derive(Debug, Clone)]
pub struct ModelInfo {
    /// What the user called it: a built-in name or a path.
    pub name: String,
    /// `TorchScript` or the built-in network's name.
    pub kind: String,
    /// The network of ours that the weights are of, where it is one.
    pub network: Option<String>,
    pub sha256: String,
    pub bytes: u64,
    pub task: Fact<Option<String>>,
    pub description: Fact<Option<String>>,
    pub licence: Fact<Option<String>>,
    /// What is run of a TorchScript file in place of its forward.
    pub call: Fact<Option<String>>,
    pub labels: Fact<Vec<String>>,
    /// Width and height; `None` where nothing fixes it.
    pub size: Fact<Option<[usize; 2]>>,
    pub colour: Fact<Colour>,
    pub fit: Fact<Fit>,
    pub pad: Fact<u8>,
    pub scale: Fact<f32>,
    pub mean: Fact<[f32; 3]>,
    pub std: Fact<[f32; 3]>,
    /// Width and height have to be multiples of this; `None` where nobody says.
    pub multiple: Fact<Option<usize>>,
    pub layout: Fact<Option<String>>,
    /// What the card says about output pictures.
    pub output: crate::card::Output,
    pub max_error: Fact<f64>,
    /// Whether the exporter says that suppression is inside the network.
    pub end_to_end: Option<bool>,
    pub stride: Option<usize>,
    /// The card's `[config]`.
    pub config: toml::Table,
}

impl ModelInfo {
    pub(crate) fn merge(
        name: String,
        network: Option<String>,
        sha256: String,
        bytes: u64,
        config: toml::Table,
        mut claims: [(Claims, Origin); 3],
    ) -> Self {
        macro_rules! first {
            ($field:ident, $default:expr) => {{
                let [a, b, c] = &mut claims;
                Fact::first([(a.0.$field.take(), a.1), (b.0.$field.take(), b.1), (c.0.$field.take(), c.1)], $default)
            }};
        }
        macro_rules! maybe {
            ($field:ident) => {{
                let [a, b, c] = &mut claims;
                Fact::first(
                    [
                        (a.0.$field.take().map(Some), a.1),
                        (b.0.$field.take().map(Some), b.1),
                        (c.0.$field.take().map(Some), c.1),
                    ],
                    None,
                )
            }};
        }
        ModelInfo {
            name,
            kind: network.as_ref().map_or_else(|| "TorchScript".into(), |network| format!("network '{network}'")),
            network,
            sha256,
            bytes,
            config,
            task: maybe!(task),
            description: maybe!(description),
            licence: maybe!(licence),
            call: maybe!(call),
            labels: first!(labels, Vec::new()),
            size: maybe!(size),
            colour: first!(colour, Colour::Rgb),
            fit: first!(fit, Fit::Letterbox),
            pad: first!(pad, 114),
            scale: first!(scale, 255.0),
            mean: first!(mean, [0.0; 3]),
            std: first!(std, [1.0; 3]),
            multiple: maybe!(multiple),
            layout: maybe!(layout),
            output: std::mem::take(&mut claims[0].0.output),
            max_error: first!(max_error, DEFAULT_MAX_ERROR),
            end_to_end: maybe!(end_to_end).value,
            stride: maybe!(stride).value,
        }
    }

    /// How a frame becomes this model's input; `size` is used where the model fixes none.
    pub fn input_spec(&self, size: [usize; 2]) -> InputSpec {
        let [width, height] = self.size.value.unwrap_or(size);
        InputSpec {
            width,
            height,
            colour: self.colour.value,
            fit: self.fit.value,
            pad: self.pad.value,
            scale: self.scale.value,
            mean: self.mean.value,
            std: self.std.value,
        }
    }

    /// The label of a class, or its number where there are no labels.
    pub fn label(&self, class: usize) -> String {
        self.labels.value.get(class).cloned().unwrap_or_else(|| class.to_string())
    }
}
