//! Any network that makes pictures of latents: what it takes, and what its numbers mean. What neither a user nor a card says,
//! [`super::trial`] finds out.

use std::sync::Arc;

use gst_torch_runtime::{Error, Finish, Model, Outputs, Result, Shape, Source};
use serde::Deserialize;
use tch::{CModule, Device, Kind, TchError, Tensor};

use super::path::Distribution;
use super::trial::{Trial, layout};

/// What black and white are to a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Range {
    /// 0 to 1.
    Unit,
    /// -1 to 1.
    Signed,
    /// 0 to 255.
    Levels,
}

impl Range {
    /// Factor and summand that make 0 to 1 of a number.
    fn numbers(self) -> Numbers {
        let (gain, shift) = match self {
            Range::Unit => (1.0, 0.0),
            Range::Signed => (0.5, 0.5),
            Range::Levels => (1.0 / 255.0, 0.0),
        };
        Numbers { gain: [gain; 3], shift: [shift; 3] }
    }
}

/// A level of 0 to 1 is `number * gain + shift`, a channel each.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Numbers {
    pub gain: [f64; 3],
    pub shift: [f64; 3],
}

/// How the numbers of a picture lie in an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// 1 or 3.
    pub channels: i64,
    pub height: i64,
    pub width: i64,
    /// Pixel by pixel, `(N, H, W, C)`, instead of `(N, C, H, W)` or a row of as many numbers.
    pub interleaved: bool,
}

/// The `[config]` of the card of a decoder; everything may be absent.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Config {
    /// Sizes of a latent, without the batch.
    pub latent: Option<Vec<i64>>,
    /// The last so many numbers of a latent are the weights of classes.
    #[serde(default)]
    pub classes: usize,
    /// Width and height of the picture, where the network gives it as a row of numbers.
    pub size: Option<[i64; 2]>,
    pub range: Option<Range>,
    #[serde(default)]
    pub distribution: Distribution,
}

/// A decoder, as far as it is known.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoder {
    /// Of one latent, with the weights of its classes; the batch is 1.
    pub latent: Shape,
    /// How many of a latent's numbers, the last ones, are weights of classes.
    pub classes: usize,
    pub layout: Layout,
    /// The number of the output that is the picture.
    pub output: usize,
    pub numbers: Numbers,
    pub distribution: Distribution,
}

/// What a user knows of a decoder; it goes before what is found out.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Hints {
    pub range: Option<Range>,
    /// How many numbers a latent has, perhaps: as many as were said.
    pub count: Option<usize>,
}

impl Decoder {
    /// Makes a picture `(1, C, height, width)` of 0 to 1 out of what the network gave, on the device where that is; larger and
    /// smaller pictures are interpolated.
    pub fn finish(&self, width: usize, height: usize) -> Finish {
        let Decoder { output, layout, numbers, .. } = *self;
        let size = [height as i64, width as i64];
        Arc::new(move |outputs: Outputs| {
            let missing = || TchError::Torch(format!("there is no output {output}"));
            let (_, picture) = outputs.into_iter().nth(output).ok_or_else(missing)?;
            let Layout { channels, height, width, interleaved } = layout;
            let picture = match interleaved {
                false => picture.f_reshape([1, channels, height, width])?,
                true => picture.f_reshape([1, height, width, channels])?.f_permute([0, 3, 1, 2])?,
            };
            let mut picture = picture.f_to_kind(Kind::Float)?;
            if numbers != Range::Unit.numbers() {
                let along = |values: [f64; 3]| {
                    let values = Tensor::f_from_slice(&values.map(|v| v as f32)[..channels as usize])?;
                    values.f_view([1, -1, 1, 1])?.f_to_device(picture.device())
                };
                picture = picture.f_mul(&along(numbers.gain)?)?.f_add(&along(numbers.shift)?)?;
            }
            picture = picture.f_clamp(0.0, 1.0)?;
            if size == [height, width] {
                picture.f_contiguous()
            } else if size[0] < height || size[1] < width {
                picture.f_internal_upsample_bilinear2d_aa(size, false, None, None)
            } else {
                picture.f_upsample_bilinear2d(size, false, None, None)
            }
            .map(|picture| vec![(String::new(), picture)])
        })
    }

    /// Of any model that makes pictures: from the card of one of ours, else found out by trying.
    ///
    /// # Errors
    /// When the model makes no pictures; the message says what was found instead, and what was expected.
    pub fn of(model: &Model, hints: Hints) -> Result<Decoder> {
        let range = hints.range;
        let mismatch = |reason: String| Error::Mismatch { model: model.info().name.clone(), reason };
        let Some(config) = super::Config::of(model.info()) else {
            return Self::recognise(model, hints);
        };
        let config = config.map_err(mismatch)?;
        let Some([channels, height, width]) = config.picture() else {
            return Err(mismatch(format!("a network '{}' makes no pictures by itself", config.network())));
        };
        let [planes, down, across] = config.input();
        Ok(Decoder {
            latent: [1, planes, down, across].into(),
            classes: config.classes(),
            layout: Layout { channels, height, width, interleaved: false },
            output: 0,
            numbers: range.unwrap_or(Range::Unit).numbers(),
            distribution: Distribution::Normal,
        })
    }

    /// Tries the network.
    ///
    /// # Errors
    /// When it makes no picture; the message says what it was given, what it gave, and what was expected.
    fn recognise(model: &Model, Hints { range, count }: Hints) -> Result<Decoder> {
        let info = model.info();
        let mismatch = |reason: String| Error::Mismatch { model: info.name.clone(), reason };
        let config: Config = info.config.clone().try_into().map_err(|e: toml::de::Error| {
            mismatch(format!(
                "its card's [config]: {} (expected latent, classes, size, range, distribution)",
                e.message()
            ))
        })?;
        let source = model.source().clone();
        if let Source::Network(_) = source {
            return Err(mismatch("it is no generator".into()));
        }
        let name = info.name.clone();
        let wanted = config.clone();
        let tried = gst_torch_runtime::run_on(gst_torch_runtime::Device::Cpu, move || {
            let _guard = tch::no_grad_guard();
            let mut module = match &source {
                Source::Archive(archive) => CModule::load_data_on_device(&mut archive.as_slice(), Device::Cpu)?,
                Source::File(path) => CModule::load_on_device(path, Device::Cpu)?,
                Source::Network(_) => return Err(TchError::Torch("it is no module".into())),
            };
            module.f_set_eval()?;
            Trial { module: &module, config: &wanted, count }.run()
        });
        let found = tried
            .map_err(|reason| Error::Panic { model: name.clone(), reason })?
            .map_err(|e| Error::torch(&name, e.to_string()))?
            .map_err(mismatch)?;

        let count = found.latent.count() as usize;
        if config.classes >= count {
            let classes = config.classes;
            return Err(mismatch(format!(
                "its latents have {count} numbers; expected more than its {classes} classes"
            )));
        }

        // The engine may number outputs in another way, so it is asked where the picture is.
        let zeros = Tensor::f_zeros(found.latent.dims(), (Kind::Float, Device::Cpu));
        let outputs = model.try_on(zeros.map_err(|e| Error::torch(&name, e.to_string()))?)?.outputs;
        let is_picture = |tensor: &Tensor| layout(&tensor.size(), &found.latent, &config).is_ok();
        let output = match info.output.tensor.as_deref() {
            None => outputs.iter().position(|(_, tensor)| is_picture(tensor)),
            Some(named) => {
                let number = named.parse().ok().filter(|&index: &usize| index < outputs.len());
                outputs.iter().position(|(name, _)| name == named).or(number)
            }
        };
        let gives = || outputs.iter().map(|(_, t)| format!("{:?}", t.size())).collect::<Vec<_>>().join(", ");
        let picture = output.map(|index| (index, layout(&outputs[index].1.size(), &found.latent, &config)));
        let (output, layout) = match picture {
            Some((output, Ok(layout))) => (output, layout),
            Some((_, Err(reason))) => return Err(mismatch(reason)),
            None => return Err(mismatch(format!("it has no such output; it gives {}", gives()))),
        };
        let said = &info.output;
        let numbers = if range.is_none() && (said.scale.is_some() || said.mean.is_some() || said.std.is_some()) {
            // A level of 0 to 255 is (number * std + mean) * scale.
            let unit = f64::from(said.scale.unwrap_or(255.0)) / 255.0;
            let [std, mean] = [said.std.unwrap_or([1.0; 3]), said.mean.unwrap_or([0.0; 3])];
            Numbers { gain: std.map(|v| f64::from(v) * unit), shift: mean.map(|v| f64::from(v) * unit) }
        } else {
            range.or(config.range).unwrap_or(found.range).numbers()
        };
        let Config { classes, distribution, .. } = config;
        Ok(Decoder { latent: found.latent, classes, layout, output, numbers, distribution })
    }
}
