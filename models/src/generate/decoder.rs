//! Any decoder in TorchScript: what it takes, and what its numbers mean.
//!
//! What a card does not say is found out by trying. Sizes of latents are guessed from the shapes of the weights, first layers
//! first, and from those that are usual; the first that the network makes a picture of is taken. Whether black is 0 or -1
//! shows on pictures of random latents.

use std::sync::Arc;

use gst_torch_runtime::{Error, Finish, Model, Outputs, Result, Shape, Source};
use serde::Deserialize;
use tch::{CModule, Device, IValue, Kind, TchError, Tensor};

use super::path::Distribution;
use super::random::{Random, Stream};

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
struct Config {
    /// Sizes of a latent, without the batch.
    latent: Option<Vec<i64>>,
    /// Width and height of the picture, where the network gives it as a row of numbers.
    size: Option<[i64; 2]>,
    range: Option<Range>,
    #[serde(default)]
    distribution: Distribution,
}

/// A decoder, as far as it is known.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoder {
    /// Of one latent; the batch is 1.
    pub latent: Shape,
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

/// Sides of latents that have some.
const SIDES: [i64; 7] = [1, 2, 4, 7, 8, 16, 32];
/// Lengths of latents that are usual, for networks that do not show their weights.
const LENGTHS: [i64; 17] = [2, 8, 10, 16, 20, 32, 50, 62, 64, 96, 100, 110, 120, 128, 200, 256, 512];
/// Sizes of pictures that encoders and classifiers take.
const PICTURES: [[i64; 3]; 4] = [[1, 28, 28], [1, 32, 32], [3, 32, 32], [3, 64, 64]];
/// A picture is not smaller than this a side, of numbers in a row not smaller than the second.
const SIDE_MIN: i64 = 8;
const FLAT_SIDE_MIN: i64 = 16;
/// Of latents with sides, one is looked for that makes at least this.
const SIDE_USUAL: i64 = 24;
/// A latent or a picture beyond this is a mistake.
const COUNT_MAX: i64 = 1 << 26;
/// Random latents on which the range is seen.
const LATENTS: u64 = 8;

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
            mismatch(format!("its card's [config]: {} (expected latent, size, range, distribution)", e.message()))
        })?;
        let Source::File(path) = model.source() else {
            return Err(mismatch("it is no generator".into()));
        };
        let path = path.clone();
        let name = info.name.clone();
        let wanted = config.clone();
        let tried = gst_torch_runtime::run_on(gst_torch_runtime::Device::Cpu, move || {
            let _guard = tch::no_grad_guard();
            let mut module = CModule::load_on_device(&path, Device::Cpu)?;
            module.f_set_eval()?;
            Trial { module: &module, config: &wanted, count }.run()
        });
        let found = tried
            .map_err(|reason| Error::Panic { model: name.clone(), reason })?
            .map_err(|e| Error::torch(&name, e.to_string()))?
            .map_err(mismatch)?;

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
        Ok(Decoder { latent: found.latent, layout, output, numbers, distribution: config.distribution })
    }
}

struct Found {
    latent: Shape,
    range: Range,
}

/// A network that is being tried.
struct Trial<'a> {
    module: &'a CModule,
    config: &'a Config,
    /// See [`Hints`].
    count: Option<usize>,
}

impl Trial<'_> {
    fn run(&self) -> Result<std::result::Result<Found, String>, TchError> {
        let mut best: Option<(i64, Shape)> = None;
        let mut refusal: Option<String> = None;
        for item in self.candidates()? {
            let Some(latent) = shape_of(&item) else {
                refusal = refusal.or(Some(format!("its card's latent is {item:?}; expected 1 to 5 positive sizes")));
                continue;
            };
            let side = match self.decode(&Tensor::f_zeros(latent.dims(), (Kind::Float, Device::Cpu))?) {
                Ok((picture, layout)) => {
                    drop(picture);
                    layout.height.min(layout.width)
                }
                Err(reason) => {
                    // What a network gave says more than what it did not take.
                    let gave = reason.contains("gives");
                    refusal = if gave || refusal.is_none() {
                        refusal.filter(|r| r.contains("gives")).or(Some(reason))
                    } else {
                        refusal
                    };
                    continue;
                }
            };
            if best.is_none_or(|(largest, _)| side > largest) {
                best = Some((side, latent));
            }
            if side >= SIDE_USUAL || self.config.latent.is_some() {
                break;
            }
        }
        let Some((_, latent)) = best else {
            let reason = refusal.unwrap_or_else(|| "nothing could be tried".into());
            return Ok(Err(format!(
                "no decoder from latents to pictures: {reason} (a card may say latent = [...] in [config])"
            )));
        };
        Ok(self.range(latent)?.map(|range| Found { latent, range }))
    }

    /// Sizes of latents without the batch, likely ones first.
    fn candidates(&self) -> Result<Vec<Vec<i64>>, TchError> {
        if let Some(latent) = &self.config.latent {
            return Ok(vec![latent.clone()]);
        }
        let mut list: Vec<Vec<i64>> = Vec::new();
        let mut add = |item: Vec<i64>| {
            if !list.contains(&item) {
                list.push(item);
            }
        };
        let with_sides = |channels: i64| SIDES.map(|side| vec![channels, side, side]);
        let weights = self.module.named_parameters()?;
        // Of latents with sides, those that have as many numbers as were said go first.
        let count = self.count.and_then(|count| i64::try_from(count).ok()).unwrap_or(0);
        for (_, weight) in &weights {
            if let [a, b, _, _] = weight.size()[..] {
                let places = |channels: i64| if count % channels == 0 { count / channels } else { 0 };
                let sided =
                    |channels| sides(places(channels)).map(move |[height, width]| vec![channels, height, width]);
                [a, b].into_iter().flat_map(sided).for_each(&mut add);
            }
        }
        for (_, weight) in &weights {
            match weight.size()[..] {
                // Of linear layers the inputs; of convolutions too, and transposed ones have them first.
                [_, inputs] => [vec![inputs], vec![inputs, 1, 1]].into_iter().for_each(&mut add),
                [a, b, _, _] => [a, b].into_iter().flat_map(with_sides).for_each(&mut add),
                _ => {}
            }
        }
        for length in LENGTHS {
            [vec![length], vec![length, 1, 1]].into_iter().for_each(&mut add);
        }
        // What takes one of these is no decoder; but then that can be said.
        PICTURES.map(|size| size.to_vec()).into_iter().for_each(&mut add);
        Ok(list)
    }

    /// The first output that is a picture.
    fn decode(&self, latent: &Tensor) -> Result<(Tensor, Layout), String> {
        let shape = shape_of(&latent.size()[1..]).ok_or("no shape")?;
        let value = self.module.forward_is(&[IValue::Tensor(latent.shallow_clone())]).map_err(|e| {
            let text = e.to_string();
            let line = text.lines().rev().find(|line| line.contains("Error")).unwrap_or_default();
            format!("it does not take {:?}: {}", latent.size(), line.trim())
        })?;
        let mut tensors = Vec::new();
        flatten(value, &mut tensors);
        let mut refusal = None;
        for tensor in tensors {
            match layout(&tensor.size(), &shape, self.config) {
                Ok(layout) => return Ok((tensor, layout)),
                Err(reason) => drop(refusal.get_or_insert(reason)),
            }
        }
        Err(refusal.unwrap_or_else(|| format!("for {:?} it gives no tensor", latent.size())))
    }

    /// Whether black is 0 or -1 and white 1 or 255.
    fn range(&self, latent: Shape) -> Result<std::result::Result<Range, String>, TchError> {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for number in 0..LATENTS {
            let mut numbers = vec![0.0; latent.count() as usize];
            Random::new(0, Stream::Frame(number)).normal(&mut numbers);
            self.config.distribution.shape(&mut numbers);
            let input = Tensor::f_from_slice(&numbers)?.f_view(latent.dims())?;
            let picture = match self.decode(&input) {
                Ok((picture, _)) => picture.f_to_kind(Kind::Double)?,
                Err(reason) => return Ok(Err(reason)),
            };
            low = low.min(f64::try_from(picture.f_min()?)?);
            high = high.max(f64::try_from(picture.f_max()?)?);
        }
        if !(low.is_finite() && high.is_finite()) {
            return Ok(Err("its pictures of random latents have numbers that are not finite".into()));
        }
        Ok(Ok(range_of(low, high)))
    }
}

/// Heights and widths with so many places, the squarest first; none is more than twice as long as the other.
fn sides(places: i64) -> impl Iterator<Item = [i64; 2]> {
    let root = (places.max(0) as f64).sqrt() as i64;
    let fits = move |height: &i64| places > 0 && places % height == 0 && places / height <= 2 * height;
    (1..=root).rev().filter(fits).map(move |height| [height, places / height])
}

/// What numbers from `low` to `high` mean. Networks that end in a hyperbolic tangent stay within -1 and 1 and come near to -1;
/// those that end in no function at all leave 0 to 1 on random latents, and still mean that.
fn range_of(low: f64, high: f64) -> Range {
    const ROUNDING: f64 = 1e-3;
    if low >= -1.0 - ROUNDING && high <= 1.0 + ROUNDING && low < -0.3 {
        Range::Signed
    } else if low > -16.0 && high > 16.0 {
        Range::Levels
    } else {
        Range::Unit
    }
}

fn shape_of(item: &[i64]) -> Option<Shape> {
    let sizes: Vec<i64> = std::iter::once(1).chain(item.iter().copied()).collect();
    let count = sizes.iter().try_fold(1i64, |product, &size| product.checked_mul(size.max(1)))?;
    Shape::new(&sizes).filter(|shape| shape.dims().len() > 1 && count <= COUNT_MAX)
}

/// How an output of this size is a picture of that latent.
///
/// # Errors
/// Says what the network gave and what was expected.
fn layout(size: &[i64], latent: &Shape, config: &Config) -> std::result::Result<Layout, String> {
    let count: i64 = size.iter().product();
    let planar = |channels, height, width| Layout { channels, height, width, interleaved: false };
    let found = match *size {
        [1, channels @ (1 | 3), height, width] => Some(planar(channels, height, width)),
        [1, height, width, channels @ (1 | 3)] => Some(Layout { interleaved: true, ..planar(channels, height, width) }),
        [1, height, width] if height > 1 => Some(planar(1, height, width)),
        [1, numbers] | [1, 1, numbers] => flat(numbers, config.size),
        _ => None,
    };
    let gives = || format!("for a latent of {:?} it gives {size:?}", latent.dims());
    let expected = "expected a picture, [1, 1 or 3, height, width] or as many numbers in a row";
    let layout = found.ok_or_else(|| format!("{}; {expected}", gives()))?;
    let small = layout.height.min(layout.width) < SIDE_MIN;
    // Encoders and classifiers make less of what they are given, and what makes as much is no decoder, either.
    let shrinks = match *latent.item() {
        [_, height, width] => layout.height <= height || layout.width <= width,
        _ => count <= latent.count(),
    };
    if small || shrinks || count > COUNT_MAX {
        return Err(format!("{}: an encoder, not a decoder? {expected}, larger than the latent", gives()));
    }
    Ok(layout)
}

/// A picture of so many numbers: of the size that is said, or square.
fn flat(numbers: i64, size: Option<[i64; 2]>) -> Option<Layout> {
    let channels = [1, 3];
    if let Some([width, height]) = size {
        let channels = channels.into_iter().find(|channels| channels * width * height == numbers)?;
        return Some(Layout { channels, height, width, interleaved: false });
    }
    channels.into_iter().find_map(|channels| {
        let side = ((numbers / channels) as f64).sqrt() as i64;
        let fits = side >= FLAT_SIDE_MIN && channels * side * side == numbers;
        fits.then_some(Layout { channels, height: side, width: side, interleaved: false })
    })
}

fn flatten(value: IValue, into: &mut Vec<Tensor>) {
    match value {
        IValue::Tensor(tensor) => into.push(tensor),
        IValue::TensorList(tensors) => into.extend(tensors),
        IValue::Tuple(values) | IValue::GenericList(values) => values.into_iter().for_each(|v| flatten(v, into)),
        IValue::GenericDict(pairs) => pairs.into_iter().for_each(|(_, value)| flatten(value, into)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(size: &[i64], latent: &[i64]) -> Result<Layout, String> {
        layout(size, &shape_of(latent).unwrap(), &Config::default())
    }

    #[test]
    fn pictures_are_known_by_their_sizes() {
        let layout = |channels, height, width, interleaved| Ok(Layout { channels, height, width, interleaved });
        assert_eq!(seen(&[1, 784], &[64]), layout(1, 28, 28, false));
        assert_eq!(seen(&[1, 3072], &[128]), layout(3, 32, 32, false));
        assert_eq!(seen(&[1, 1, 28, 28], &[100, 1, 1]), layout(1, 28, 28, false));
        assert_eq!(seen(&[1, 3, 72, 128], &[4, 9, 16]), layout(3, 72, 128, false));
        assert_eq!(seen(&[1, 28, 28], &[20]), layout(1, 28, 28, false));
        assert_eq!(seen(&[1, 64, 64, 3], &[20]), layout(3, 64, 64, true));
        let said = Config { size: Some([40, 20]), ..Config::default() };
        let shape = shape_of(&[9]).unwrap();
        assert_eq!(super::layout(&[1, 2400], &shape, &said), layout(3, 20, 40, false));
        assert!(super::layout(&[1, 784], &shape, &said).is_err());
    }

    #[test]
    fn encoders_classifiers_and_whole_autoencoders_are_no_decoders() {
        for (size, latent) in [
            (&[1, 64][..], &[784][..]),
            (&[1, 10], &[1, 32, 32]),
            (&[1, 784], &[784]),
            (&[1, 3, 64, 64], &[3, 64, 64]),
            (&[1, 3, 8, 8], &[3, 64, 64]),
            (&[1, 512, 4, 4], &[3, 16, 16]),
            (&[7], &[3]),
            (&[1, 1, 4, 4], &[2]),
        ] {
            let error = seen(size, latent).unwrap_err();
            assert!(error.contains("it gives") && error.contains("expected a picture"), "{error}");
        }
    }

    #[test]
    fn ranges_are_seen() {
        for (low, high, range) in [
            (-1.0, 0.98, Range::Signed),
            (-0.9995, 1.0, Range::Signed),
            (0.0, 1.0, Range::Unit),
            (1e-9, 0.4, Range::Unit),
            (-0.2, 1.1, Range::Unit),
            (-3.0, 4.0, Range::Unit),
            (-4.0, 261.0, Range::Levels),
            (0.0, 255.0, Range::Levels),
        ] {
            assert_eq!(range_of(low, high), range, "{low} to {high}");
        }
    }

    #[test]
    fn sides_are_found_by_the_number_of_places() {
        assert_eq!(sides(144).collect::<Vec<_>>(), [[12, 12], [9, 16]]);
        assert_eq!(sides(1).collect::<Vec<_>>(), [[1, 1]]);
        assert_eq!([sides(0).count(), sides(-4).count(), sides(7).count()], [0, 0, 0]);
    }

    #[test]
    fn a_shape_has_a_bound() {
        assert_eq!(shape_of(&[4, 9, 16]).map(|s| s.dims().to_vec()), Some(vec![1, 4, 9, 16]));
        for wrong in [&[][..], &[0], &[-3], &[1 << 30, 1 << 30], &[1, 1, 1, 1, 1, 1]] {
            assert!(shape_of(wrong).is_none(), "{wrong:?}");
        }
    }
}
