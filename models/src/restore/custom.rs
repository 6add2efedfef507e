//! Users' own networks: what a TorchScript file takes and gives, from what its card and the user say, and for the rest from
//! trying it.
//!
//! A network takes one picture `(1, 1 or 3, H, W)` and gives one or more tensors, of which one is a picture of the same
//! channels and of the same or a whole multiple of the size: the restored picture itself, what is to be added to the one that
//! came, or the noise that is to be taken away from it (DnCNN: Zhang et al. 2017). Which of these is seen by showing it a
//! picture with noise: a restored one resembles the picture, noise resembles the noise.

use std::fmt;
use std::str::FromStr;

use gst_torch_runtime::planes::{Colour, InputSpec};
use gst_torch_runtime::{Error, Model, ModelInfo, Origin, Result, Trial};
use tch::Tensor;

use super::maps::Maps;

/// What an output is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The restored picture.
    Image,
    /// What is added to the picture that came.
    Residual,
    /// What is taken away from the picture that came.
    Noise,
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "image" => Ok(Kind::Image),
            "residual" => Ok(Kind::Residual),
            "noise" => Ok(Kind::Noise),
            _ => Err(format!("'{word}' is no kind of output; expected image, residual or noise")),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Kind::Image => "image",
            Kind::Residual => "residual",
            Kind::Noise => "noise",
        })
    }
}

/// What the user says about a network; it goes before what the card says.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Wishes {
    pub colour: Option<Colour>,
    /// What black and white are to the network, at both ends.
    pub range: Option<(f32, f32)>,
    pub kind: Option<Kind>,
    /// Name or number of the output.
    pub tensor: Option<String>,
}

/// A level of 0 to 255 is `(number * std + mean) * scale`, a channel each.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Numbers {
    pub scale: f32,
    pub mean: [f32; 3],
    pub std: [f32; 3],
}

impl Numbers {
    fn of_range((black, white): (f32, f32)) -> Self {
        let (width, scale) = (white - black, 255.0);
        Numbers { scale, mean: [-black / width; 3], std: [1.0 / width; 3] }
    }

    /// What makes a level of 0 to 1 of a number: a factor, and what is added after it.
    fn to_level(self, channel: usize) -> (f32, f32) {
        let unit = self.scale / 255.0;
        (self.std[channel] * unit, self.mean[channel] * unit)
    }

    /// The number of a level of 0 to 1.
    fn number(self, level: f32) -> f32 {
        (level * 255.0 / self.scale - self.mean[0]) / self.std[0]
    }
}

/// How a network is fed, and what it gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Custom {
    pub colour: Colour,
    pub input: Numbers,
    pub output: Numbers,
    pub kind: Kind,
    /// The number of the output.
    pub tensor: usize,
    /// How many times wider and higher it is than the input.
    pub scale: usize,
    /// Sides have to be multiples of this.
    pub multiple: usize,
    /// The one size that it takes.
    pub size: Option<[usize; 2]>,
}

/// The side of the pictures that a network is tried on. Most networks take multiples of this whatever they do inside.
const SIDE: usize = 64;
/// The largest enlargement that is looked for.
const MAX_SCALE: usize = 8;

impl Custom {
    /// Tries the network, a few passes of 64 x 64.
    ///
    /// # Errors
    /// When it runs on no such picture, or gives none; the message says what it did give.
    pub fn recognise(model: &Model, wishes: &Wishes) -> Result<Custom> {
        let info = model.info();
        let mismatch = |reason: String| Error::Mismatch { model: info.name.clone(), reason };
        let said = info.output.kind.as_deref().map(Kind::from_str).transpose().map_err(&mismatch)?;
        let input = match wishes.range {
            Some(range) => Numbers::of_range(range),
            None => Numbers { scale: info.scale.value, mean: info.mean.value, std: info.std.value },
        };
        let output = match wishes.range {
            Some(_) => input,
            None => Numbers {
                scale: info.output.scale.unwrap_or(input.scale),
                mean: info.output.mean.unwrap_or(input.mean),
                std: info.output.std.unwrap_or(input.std),
            },
        };

        let [width, height] = info.size.value.unwrap_or([SIDE, SIDE]);
        let mut refusal = None;
        for &colour in colours(info, wishes) {
            let channels = if colour == Colour::Gray { 1 } else { 3 };
            let sample = Sample::new(channels, width, height);
            let tried = sample.picture(&input).and_then(|picture| model.try_on(picture)).and_then(|trial| {
                let named = wishes.tensor.as_ref().or(info.output.tensor.as_ref());
                choose(&trial, named.map(String::as_str), channels, (width, height)).map_err(&mismatch)
            });
            match tried {
                Ok((tensor, scale, maps)) => {
                    let kind = wishes.kind.or(said).unwrap_or_else(|| sample.kind(&maps, scale));
                    let found =
                        Custom { colour, input, output, kind, tensor, scale, multiple: 1, size: info.size.value };
                    let multiple = found.find_multiple(model, channels)?;
                    return Ok(Custom { multiple, ..found });
                }
                Err(error) => drop(refusal.get_or_insert(error)),
            }
        }
        let reason = refusal.map_or_else(String::new, |error| match error {
            Error::Mismatch { reason, .. } | Error::Torch { reason, .. } => reason,
            other => other.to_string(),
        });
        Err(mismatch(format!(
            "it does not restore pictures of {width}x{height}: {reason} (a card may say input.colour, input.size, \
             output.tensor)"
        )))
    }

    pub fn channels(&self) -> usize {
        if self.colour == Colour::Gray { 1 } else { 3 }
    }

    /// How a frame of this size becomes the input.
    pub fn spec(&self, width: usize, height: usize) -> InputSpec {
        let Numbers { scale, mean, std } = self.input;
        InputSpec { width, height, colour: self.colour, scale, mean, std, ..InputSpec::default() }
    }

    /// The restored picture in levels of 0 to 1, RGB or grey, from what the network made of `input`, both of one size; the
    /// input counts only where the output is a difference.
    pub fn levels(&self, input: Option<&Maps>, mut output: Maps) -> Maps {
        let size = output.width * output.height;
        let numbers = if self.kind == Kind::Image { self.output } else { self.input };
        let sign = if self.kind == Kind::Noise { -1.0 } else { 1.0 };
        for (channel, plane) in output.data.chunks_exact_mut(size).enumerate() {
            let (gain, shift) = numbers.to_level(channel);
            match input.and_then(|input| input.data.get(channel * size..)) {
                None => plane.iter_mut().for_each(|v| *v = *v * gain + shift),
                Some(input) => plane.iter_mut().zip(input).for_each(|(v, x)| *v = (x + sign * *v) * gain + shift),
            }
        }
        if self.colour == Colour::Bgr {
            let (blue, rest) = output.data.split_at_mut(size);
            blue.swap_with_slice(&mut rest[size..]);
        }
        output
    }

    /// The smallest that works: a network that halves its maps gives another size than it should, or fails, where it cannot.
    fn find_multiple(&self, model: &Model, channels: usize) -> Result<usize> {
        if let Some(multiple) = model.info().multiple.value {
            return Ok(multiple);
        }
        if self.size.is_some() {
            return Ok(1);
        }
        for multiple in [1, 2, 4, 8, 16, 32] {
            let side = SIDE + multiple;
            let picture = Sample::new(channels, side, side).picture(&self.input)?;
            let size = model.try_on(picture).ok().and_then(|trial| Some(trial.outputs.get(self.tensor)?.1.size()));
            let wanted = [channels, side * self.scale, side * self.scale].map(|v| v as i64);
            if size.is_some_and(|size| size.len() == 4 && size[1..] == wanted) {
                return Ok(multiple);
            }
        }
        Ok(SIDE)
    }
}

/// The colours to try, as far as nobody says.
fn colours(info: &ModelInfo, wishes: &Wishes) -> &'static [Colour] {
    let said = wishes.colour.or((info.colour.origin != Origin::Default).then_some(info.colour.value));
    match said {
        Some(Colour::Rgb) => &[Colour::Rgb],
        Some(Colour::Bgr) => &[Colour::Bgr],
        Some(Colour::Gray) => &[Colour::Gray],
        None => &[Colour::Rgb, Colour::Gray],
    }
}

/// The output that is the picture: its number, how much larger it is than the input, and its numbers.
fn choose(
    trial: &Trial,
    named: Option<&str>,
    channels: usize,
    (width, height): (usize, usize),
) -> Result<(usize, usize, Maps), String> {
    let scale_of = |tensor: &Tensor| match tensor.size()[..] {
        [1, c, h, w] if c == channels as i64 => {
            let scale = usize::try_from(w).ok()? / width;
            let fits = (1..=MAX_SCALE).contains(&scale) && (w, h) == ((width * scale) as i64, (height * scale) as i64);
            fits.then_some(scale)
        }
        _ => None,
    };
    let listed = || {
        let one = |(index, (name, tensor)): (usize, &(String, Tensor))| {
            let name = if name.is_empty() { index.to_string() } else { format!("{index} '{name}'") };
            format!("{name} {:?}", tensor.size())
        };
        trial.outputs.iter().enumerate().map(one).collect::<Vec<_>>().join(", ")
    };
    let expected = format!("[1, {channels}, {height}, {width}] or a multiple of that size up to {MAX_SCALE}");
    let (index, scale) = match named {
        Some(name) => {
            let number = name.parse::<usize>().ok().filter(|index| *index < trial.outputs.len());
            let index = trial.outputs.iter().position(|(n, _)| n == name).or(number);
            let index = index.ok_or_else(|| format!("it has no output '{name}'; it gives {}", listed()))?;
            let scale = scale_of(&trial.outputs[index].1).ok_or_else(|| {
                format!("its output '{name}' is no picture: expected {expected}; it gives {}", listed())
            })?;
            (index, scale)
        }
        None => (trial.outputs.iter().enumerate())
            .find_map(|(index, (_, tensor))| Some((index, scale_of(tensor)?)))
            .ok_or_else(|| format!("it gives {}; expected {expected}", listed()))?,
    };
    let maps = Maps::from_tensor(&trial.outputs[index].1).map_err(|e| e.to_string())?;
    Ok((index, scale, maps))
}

/// A smooth picture with noise of 0.1, in levels of 0 to 1.
struct Sample {
    smooth: Maps,
    noise: Maps,
}

impl Sample {
    fn new(channels: usize, width: usize, height: usize) -> Self {
        let (mut smooth, mut noise) = (Maps::zeros(channels, height, width), Maps::zeros(channels, height, width));
        // A fixed congruential sequence; the sum of four has nearly a normal distribution.
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut even = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
        };
        for channel in 0..channels {
            for y in 0..height {
                for x in 0..width {
                    let (u, v) = (x as f32 * 0.11, y as f32 * 0.08 + channel as f32);
                    smooth.row_mut(channel, y)[x] = 0.5 + 0.25 * u.sin() * v.cos();
                    noise.row_mut(channel, y)[x] = 0.173 * (even() + even() + even() + even());
                }
            }
        }
        Sample { smooth, noise }
    }

    fn picture(&self, numbers: &Numbers) -> Result<Tensor> {
        let sum = self.smooth.data.iter().zip(&self.noise.data).map(|(s, n)| numbers.number(s + n)).collect();
        let maps = Maps { data: sum, ..self.smooth.clone() };
        maps.to_tensor().map_err(|e| Error::torch("sample", e.to_string()))
    }

    /// What an output made from this is.
    fn kind(&self, output: &Maps, scale: usize) -> Kind {
        let count = self.smooth.data.len() as f64;
        let middle = self.smooth.data.iter().map(|v| f64::from(*v)).sum::<f64>() / count;
        let (mut sum, mut with, mut energy) = (0.0, [0.0; 2], [0.0; 2]);
        for channel in 0..self.smooth.channels {
            for y in 0..self.smooth.height {
                let (smooth, noise) = (self.smooth.row(channel, y), self.noise.row(channel, y));
                let output = output.row(channel, y * scale).iter().step_by(scale);
                for ((output, smooth), noise) in output.zip(smooth).zip(noise) {
                    let output = f64::from(*output);
                    sum += output;
                    for (i, part) in [f64::from(*smooth) - middle, f64::from(*noise)].into_iter().enumerate() {
                        with[i] += output * part;
                        energy[i] += part * part;
                    }
                }
            }
        }
        // How much of the picture's shapes, and of its noise, came through. A picture has its shapes, however dark, faint or
        // sharpened, or is grey all over; a difference has little of them.
        let [shapes, noise] = [0, 1].map(|i| with[i] / energy[i]);
        let resembles = shapes.abs() > 0.4 || shapes.abs() > 0.1 && shapes.abs() > 0.5 * noise.abs();
        if resembles || (sum / count).abs() > 0.25 {
            Kind::Image
        } else if noise > 0.0 {
            Kind::Noise
        } else {
            Kind::Residual
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(output: impl Fn(f32, f32) -> f32) -> Kind {
        let sample = Sample::new(3, 64, 48);
        let data = sample.smooth.data.iter().zip(&sample.noise.data).map(|(s, n)| output(*s, *n)).collect();
        sample.kind(&Maps { data, ..sample.smooth.clone() }, 1)
    }

    #[test]
    fn pictures_noise_and_differences_are_told_apart() {
        assert_eq!(kind(|smooth, noise| smooth + noise), Kind::Image);
        assert_eq!(kind(|smooth, _| smooth), Kind::Image);
        assert_eq!(kind(|smooth, _| smooth * 1.8 + 0.1), Kind::Image, "brightened");
        assert_eq!(kind(|smooth, _| 2.0 * smooth - 1.0), Kind::Image, "from -1 to 1");
        assert_eq!(kind(|smooth, noise| 0.2 * (smooth + noise)), Kind::Image, "darkened");
        assert_eq!(kind(|smooth, noise| smooth + 3.0 * noise), Kind::Image, "sharpened");
        assert_eq!(kind(|_, noise| 0.9 * noise), Kind::Noise);
        assert_eq!(kind(|smooth, noise| 0.8 * noise + 0.05 * smooth), Kind::Noise);
        assert_eq!(kind(|_, noise| -0.9 * noise), Kind::Residual);
    }

    #[test]
    fn the_sample_has_the_noise_it_says() {
        let noise = Sample::new(1, 64, 64).noise.data;
        let deviation = (noise.iter().map(|n| n * n).sum::<f32>() / noise.len() as f32).sqrt();
        assert!((deviation - 0.1).abs() < 0.01, "{deviation}");
    }

    #[test]
    fn a_range_is_what_black_and_white_become() {
        let numbers = Numbers::of_range((-1.0, 1.0));
        assert_eq!((numbers.number(0.0), numbers.number(1.0)), (-1.0, 1.0));
        let numbers = Numbers::of_range((0.0, 255.0));
        assert!((numbers.number(1.0) - 255.0).abs() < 1e-3);
    }

    #[test]
    fn outputs_are_found_by_name_number_or_shape() {
        let tensor = |size: &[i64]| Tensor::zeros(size, (tch::Kind::Float, tch::Device::Cpu));
        let outputs = vec![
            (String::new(), tensor(&[1, 24, 8, 8])),
            (String::new(), tensor(&[1, 3, 8, 8])),
            ("large".to_owned(), tensor(&[1, 3, 16, 16])),
        ];
        let trial = Trial { outputs, peak: 0 };
        let found = |name| choose(&trial, name, 3, (8, 8)).map(|(index, scale, _)| (index, scale));
        assert_eq!(found(None), Ok((1, 1)));
        assert_eq!(found(Some("large")), Ok((2, 2)));
        assert_eq!(found(Some("2")), Ok((2, 2)));
        assert!(found(Some("0")).unwrap_err().contains("is no picture: expected [1, 3, 8, 8]"));
        assert!(
            found(Some("other")).unwrap_err().contains("0 [1, 24, 8, 8], 1 [1, 3, 8, 8], 2 'large' [1, 3, 16, 16]")
        );
    }
}
