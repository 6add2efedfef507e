//! The card of a user's autoencoder: `docs/model-cards.md`, section Autoencoders.

use std::path::Path;

use gst_torch_runtime::card::Input;
use gst_torch_runtime::planes::{Colour, Fit};
use gst_torch_runtime::{Error, Result};
use serde::Deserialize;

use super::shape::Steps;

/// What `network` says in such a card.
pub const NETWORK: &str = "autoencoder";
/// Levels between the smallest and the largest latent of a key frame, where a card says nothing.
const LEVELS: u32 = 256;

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Card {
    pub task: Option<String>,
    pub description: Option<String>,
    pub licence: Option<String>,
    pub network: String,
    /// TorchScript files, relative to the card.
    pub encoder: String,
    pub decoder: String,
    /// Pin the bytes of both, in hexadecimal.
    pub encoder_sha256: Option<String>,
    pub decoder_sha256: Option<String>,
    #[serde(default)]
    pub input: Input,
    /// Of what the decoder gives, where other than `input` says.
    #[serde(default)]
    pub picture: Picture,
    #[serde(default)]
    pub latent: Latent,
    /// For people.
    pub training: Option<toml::Table>,
    pub about: Option<toml::Table>,
}

/// A level of 0 to 255 is `(number * std + mean) * scale`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Picture {
    pub scale: Option<f32>,
    pub mean: Option<[f32; 3]>,
    pub std: Option<[f32; 3]>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Latent {
    /// Between two quantised latents, at the default quality.
    pub step: Option<f32>,
    /// Instead of a step: so many levels from `min` to `max`, or to what is measured on each key frame.
    pub levels: Option<u32>,
    pub min: Option<f32>,
    pub max: Option<f32>,
    /// Width and height are padded to a multiple of so many pixels.
    pub multiple: Option<u32>,
}

impl Card {
    /// `None` for cards of other networks, which are somebody else's to read.
    pub fn parse(text: &str, path: &Path) -> Result<Option<Card>> {
        let bad = |what: String| Error::bad_file(path, what);
        let Ok(table) = text.parse::<toml::Table>() else { return Ok(None) };
        if table.get("network").and_then(toml::Value::as_str) != Some(NETWORK) {
            return Ok(None);
        }
        let card: Card = toml::from_str(text).map_err(|e| {
            let line = e.span().map_or(1, |span| text[..span.start.min(text.len())].lines().count().max(1));
            bad(format!("line {line}: {}", e.message()))
        })?;
        card.check().map_err(bad)?;
        Ok(Some(card))
    }

    fn check(&self) -> Result<(), String> {
        if self.task.as_deref() != Some("codec") {
            return Err(format!("its task is {:?}; expected \"codec\"", self.task.as_deref().unwrap_or_default()));
        }
        let above = |what: &str, value: Option<f32>| match value {
            Some(v) if !(v.is_finite() && v > 0.0) => Err(format!("{what} is {v}; expected a number above 0")),
            _ => Ok(()),
        };
        above("input.scale", self.input.scale)?;
        above("picture.scale", self.picture.scale)?;
        above("latent.step", self.latent.step)?;
        for std in self.input.std.iter().chain(&self.picture.std).flatten() {
            above("std", Some(*std))?;
        }
        let Latent { step, levels, min, max, multiple } = self.latent;
        if step.is_some() && levels.is_some() {
            return Err("latent.step and latent.levels exclude each other".into());
        }
        if levels.is_some_and(|l| !(2..=32768).contains(&l)) {
            return Err(format!("latent.levels is {}; expected 2 to 32768", levels.unwrap_or_default()));
        }
        match (min, max) {
            (None, None) => {}
            (Some(min), Some(max)) if min.is_finite() && max.is_finite() && min < max => {}
            _ => return Err("latent.min and latent.max belong together, the smaller first".into()),
        }
        if multiple.is_some_and(|m| !(1..=1024).contains(&m)) {
            return Err(format!("latent.multiple is {}; expected 1 to 1024", multiple.unwrap_or_default()));
        }
        if self.input.size.is_some_and(|size| size.iter().any(|side| !(1..=8192).contains(side))) {
            return Err("input.size is to be 1x1 to 8192x8192".into());
        }
        if self.input.fit == Some(Fit::Crop) {
            return Err(
                "input.fit is \"crop\", which would lose a part of the picture; expected stretch or letterbox".into()
            );
        }
        Ok(())
    }

    pub fn channels(&self) -> i64 {
        if self.input.colour == Some(Colour::Gray) { 1 } else { 3 }
    }

    /// Factor and summand for each channel that make the encoder's numbers of levels of 0 to 255.
    pub fn normalisation(&self) -> [[f64; 3]; 2] {
        let scale = f64::from(self.input.scale.unwrap_or(255.0));
        let (mean, std) = (self.input.mean.unwrap_or([0.0; 3]), self.input.std.unwrap_or([1.0; 3]));
        let factor = std.map(|std| 1.0 / (scale * f64::from(std)));
        [factor, std::array::from_fn(|c| -f64::from(mean[c]) / f64::from(std[c]))]
    }

    /// Factor and summand that make levels of the decoder's numbers.
    pub fn restoration(&self) -> [[f64; 3]; 2] {
        let scale = f64::from(self.picture.scale.or(self.input.scale).unwrap_or(255.0));
        let mean = self.picture.mean.or(self.input.mean).unwrap_or([0.0; 3]);
        let std = self.picture.std.or(self.input.std).unwrap_or([1.0; 3]);
        [std.map(|std| f64::from(std) * scale), mean.map(|mean| f64::from(mean) * scale)]
    }

    /// From the card, or measured on the latents of a key frame.
    pub fn steps(&self, latents: &[f32]) -> Steps {
        let Latent { step, levels, min, max, .. } = self.latent;
        if let Some(step) = step {
            return Steps { offset: 0.0, step };
        }
        let levels = levels.unwrap_or(LEVELS) as f32;
        if let (Some(min), Some(max)) = (min, max) {
            return Steps { offset: min, step: (max - min) / (levels - 1.0) };
        }
        let finite = latents.iter().filter(|value| value.is_finite());
        let (min, max) = finite.fold((f32::MAX, f32::MIN), |(min, max), &v| (min.min(v), max.max(v)));
        let step = (max - min) / (levels - 1.0);
        Steps { offset: 0.0, step: if step.is_normal() && step > 0.0 { step } else { 1.0 } }
    }

    /// What latents are held within, if the card says it.
    pub fn range(&self) -> Option<(f32, f32)> {
        self.latent.min.zip(self.latent.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Option<Card>> {
        Card::parse(
            &format!("network = 'autoencoder'\nencoder = 'e.pt'\ndecoder = 'd.pt'\n{text}"),
            Path::new("x.toml"),
        )
    }

    #[test]
    fn other_cards_are_left_to_others() {
        assert!(Card::parse("task = 'codec'\nnetwork = 'codec'", Path::new("x.toml")).unwrap().is_none());
        assert!(Card::parse("task = ", Path::new("x.toml")).unwrap().is_none());
    }

    #[test]
    fn levels_and_numbers_are_each_others_inverse() {
        let text = "task = 'codec'\n[input]\nscale = 255.0\nmean = [0.5, 0.4, 0.3]\nstd = [0.5, 0.2, 0.1]";
        let card = parse(text).unwrap().unwrap();
        let ([a, b], [c, d]) = (card.normalisation(), card.restoration());
        for channel in 0..3 {
            let number = 200.0 * a[channel] + b[channel];
            assert!((number * c[channel] + d[channel] - 200.0).abs() < 1e-4);
        }
        let card = parse("task = 'codec'\n[picture]\nmean = [-1, -1, -1]\nstd = [2, 2, 2]").unwrap().unwrap();
        assert_eq!(card.normalisation()[1], [0.0; 3]);
        assert_eq!(card.restoration(), [[510.0; 3], [-255.0; 3]]);
    }

    #[test]
    fn steps_are_the_cards_or_measured() {
        let steps =
            |text: &str| parse(&format!("task = 'codec'\n[latent]\n{text}")).unwrap().unwrap().steps(&[-1.0, 0.0, 4.1]);
        assert_eq!(steps("step = 0.25"), Steps { offset: 0.0, step: 0.25 });
        assert_eq!(steps("levels = 5\nmin = -2\nmax = 2"), Steps { offset: -2.0, step: 1.0 });
        assert_eq!(steps(""), Steps { offset: 0.0, step: 5.1 / 255.0 });
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, expected) in [
            ("", "task"),
            ("task = 'codec'\n[latent]\nstep = 0", "latent.step"),
            ("task = 'codec'\n[latent]\nstep = 1\nlevels = 3", "exclude"),
            ("task = 'codec'\n[latent]\nmin = 3\nmax = 2", "smaller first"),
            ("task = 'codec'\n[latent]\nstride = 3", "stride"),
            ("task = 'codec'\n[input]\nfit = 'crop'", "crop"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains("x.toml") && error.contains(expected), "{text}: {error}");
        }
    }
}
