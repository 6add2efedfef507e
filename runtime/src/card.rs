//! Model cards: one TOML file beside a model that says what it is and what it needs. Format: docs/model-cards.md.

use std::path::Path;

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::planes::{Colour, Fit};

/// A card as written. Every field may be absent: what it does not say is looked for elsewhere.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Card {
    pub task: Option<String>,
    pub description: Option<String>,
    pub licence: Option<String>,
    /// The built-in network that `weights` belong to.
    pub network: Option<String>,
    /// File name of the safetensors or TorchScript file, relative to the card.
    pub weights: Option<String>,
    /// Pins the bytes of `weights`, in hexadecimal.
    pub sha256: Option<String>,
    pub labels: Option<Vec<String>>,
    /// What is run of a TorchScript file, as an expression of `model` and its input `x`; `model.forward(x)` where absent.
    pub call: Option<String>,
    #[serde(default)]
    pub input: Input,
    #[serde(default)]
    pub output: Output,
    #[serde(default)]
    pub engine: Engine,
    /// What the network is built from; read by the network.
    pub config: Option<toml::Table>,
    /// How it was trained; for people.
    pub training: Option<toml::Table>,
    /// What it is good for and what not; for people.
    pub about: Option<toml::Table>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Input {
    /// Width and height in pixels.
    pub size: Option<[usize; 2]>,
    /// `rgb`, `bgr` or `gray`.
    #[serde(default, deserialize_with = "colour")]
    pub colour: Option<Colour>,
    /// `letterbox`, `stretch` or `crop`.
    #[serde(default, deserialize_with = "fit")]
    pub fit: Option<Fit>,
    /// Grey level of the letterbox bars, 0 to 255.
    pub pad: Option<u8>,
    /// Pixel values 0 to 255 are divided by this, then `mean` is taken away and `std` divides.
    pub scale: Option<f32>,
    pub mean: Option<[f32; 3]>,
    pub std: Option<[f32; 3]>,
    /// Width and height have to be multiples of so many pixels.
    pub multiple: Option<usize>,
}

fn colour<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Option<Colour>, D::Error> {
    word(d, &[("rgb", Colour::Rgb), ("bgr", Colour::Bgr), ("gray", Colour::Gray)])
}

fn fit<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Option<Fit>, D::Error> {
    word(d, &[("letterbox", Fit::Letterbox), ("stretch", Fit::Stretch), ("crop", Fit::Crop)])
}

fn word<'de, D: serde::Deserializer<'de>, T: Copy>(d: D, words: &[(&str, T)]) -> Result<Option<T>, D::Error> {
    let given = String::deserialize(d)?;
    words.iter().find(|(word, _)| *word == given).map(|(_, value)| Some(*value)).ok_or_else(|| {
        let known = words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
        serde::de::Error::custom(format!("'{given}' is none of {known}"))
    })
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Output {
    /// How the task's code reads the output tensors.
    pub layout: Option<String>,
    /// Of a network that gives pictures: `image`, `residual` (added to its input) or `noise` (taken away from it).
    pub kind: Option<String>,
    /// Name or number (from 0) of the output tensor, where there are several.
    pub tensor: Option<String>,
    /// A level of 0 to 255 is `(number * std + mean) * scale`; where not said, as of the input.
    pub scale: Option<f32>,
    pub mean: Option<[f32; 3]>,
    pub std: Option<[f32; 3]>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Engine {
    /// With `precision=auto`, the largest error of the output that a faster precision may bring, relative root mean
    /// square against fp32.
    pub max_error: Option<f64>,
}

impl Card {
    /// `path` only names the card in errors.
    pub fn parse(text: &str, path: &Path) -> Result<Card> {
        let card: Card = toml::from_str(text).map_err(|e| {
            // The first line says where, the last says what.
            let text = e.to_string();
            let what = text.lines().last().unwrap_or("").trim().to_owned();
            let place = text.lines().next().unwrap_or("").trim().to_owned();
            Error::bad_file(path, if place == what { what } else { format!("{place}: {what}") })
        })?;
        card.check(path)?;
        Ok(card)
    }

    pub fn read(path: &Path) -> Result<Card> {
        let text =
            std::fs::read_to_string(path).map_err(|e| Error::NotFound { path: path.into(), reason: e.to_string() })?;
        Self::parse(&text, path)
    }

    fn check(&self, path: &Path) -> Result<()> {
        let bad = |what: String| Err(Error::bad_file(path, what));
        if let (Some(call), Some(network)) = (&self.call, &self.network) {
            return bad(format!(
                "call is {call:?} of the network {network:?}; only TorchScript is called in another way"
            ));
        }
        if let Some(call) = &self.call
            && (call.trim().is_empty() || call.contains(['\n', '\r']) || call.contains("model("))
        {
            let expected = "an expression on one line, of methods by their names: model.forward(x), model.decode(x)";
            return bad(format!("call is {call:?}; expected {expected}"));
        }
        if let Some([w, h]) = self.input.size
            && (w == 0 || h == 0 || w > 16384 || h > 16384)
        {
            return bad(format!("input.size is {w}x{h}; expected 1x1 to 16384x16384"));
        }
        for (name, scale, std) in
            [("input", self.input.scale, self.input.std), ("output", self.output.scale, self.output.std)]
        {
            if let Some(scale) = scale
                && !(scale.is_finite() && scale > 0.0)
            {
                return bad(format!("{name}.scale is {scale}; expected a positive number"));
            }
            if let Some(std) = std
                && !std.iter().all(|s| s.is_finite() && *s > 0.0)
            {
                return bad(format!("{name}.std is {std:?}; expected three positive numbers"));
            }
        }
        if let Some(multiple) = self.input.multiple
            && !(1..=1024).contains(&multiple)
        {
            return bad(format!("input.multiple is {multiple}; expected 1 to 1024"));
        }
        if let Some(sum) = &self.sha256
            && !(sum.len() == 64 && sum.bytes().all(|b| b.is_ascii_hexdigit()))
        {
            return bad(format!("sha256 is '{sum}'; expected 64 hexadecimal digits"));
        }
        if let Some(error) = self.engine.max_error
            && !(error.is_finite() && error >= 0.0)
        {
            return bad(format!("engine.max-error is {error}; expected a number of 0 or more"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_says_what_it_says_and_nothing_else() {
        let text =
            "task = 'detect'\nlabels = ['person']\n[input]\nsize = [640, 384]\nfit = 'letterbox'\ncolour = 'bgr'";
        let card = Card::parse(text, Path::new("x.toml")).unwrap();
        assert_eq!(card.input.size, Some([640, 384]));
        assert_eq!(card.input.colour, Some(Colour::Bgr));
        assert_eq!(card.labels.as_deref(), Some(&["person".to_owned()][..]));
        assert!(card.sha256.is_none() && card.output.layout.is_none());
    }

    #[test]
    fn a_bad_card_is_named_with_the_place_and_what_was_expected() {
        for (text, expected) in [
            ("task = ", "line 1"),
            ("tsak = 'detect'", "unknown field `tsak`"),
            ("[input]\nsize = [0, 3]", "1x1"),
            ("[input]\nstd = [1, 0, 1]", "positive"),
            ("[input]\nfit = 'squeeze'", "squeeze"),
            ("[input]\nmultiple = 0", "1 to 1024"),
            ("[output]\nscale = 0", "output.scale"),
            ("sha256 = 'abc'", "64 hexadecimal"),
            ("[engine]\nmax-error = -1", "0 or more"),
        ] {
            let error = Card::parse(text, Path::new("x.toml")).unwrap_err().to_string();
            assert!(error.contains("x.toml") && error.contains(expected), "{text}: {error}");
        }
    }
}
