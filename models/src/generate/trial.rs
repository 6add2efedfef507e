//! What a decoder in TorchScript takes and gives, found out by trying.
//!
//! Sizes of latents are guessed from the shapes of the weights, first layers first, and from those that are usual; the first
//! that the network makes a picture of is taken. Whether black is 0 or -1 shows on pictures of random latents.

use gst_torch_runtime::{Shape, first_line};
use tch::{CModule, Device, IValue, Kind, TchError, Tensor};

use super::decoder::{Config, Layout, Range};
use super::random::{Random, Stream};

/// Sides of latents that have some.
const SIDES: [i64; 7] = [1, 2, 4, 7, 8, 16, 32];
/// Lengths of latents that are usual, for networks that do not show their weights.
const LENGTHS: [i64; 17] = [2, 8, 10, 16, 20, 32, 50, 62, 64, 96, 100, 110, 120, 128, 200, 256, 512];
/// Sizes of pictures that encoders and classifiers take.
const PICTURES: [[i64; 3]; 6] = [[1, 28, 28], [28, 28, 1], [1, 32, 32], [3, 32, 32], [3, 64, 64], [3, 224, 224]];
/// A picture is not smaller than this a side, of numbers in a row not smaller than the second.
const SIDE_MIN: i64 = 8;
const FLAT_SIDE_MIN: i64 = 16;
/// Of latents with sides, one is looked for that makes at least this.
const SIDE_USUAL: i64 = 24;
/// A latent or a picture beyond this is a mistake.
const COUNT_MAX: i64 = 1 << 26;
/// Random latents on which the range is seen.
const LATENTS: u64 = 8;

/// What was found.
pub(super) struct Found {
    pub latent: Shape,
    pub range: Range,
}

/// A network that is being tried.
pub(super) struct Trial<'a> {
    pub module: &'a CModule,
    pub config: &'a Config,
    /// See [`super::decoder::Hints`].
    pub count: Option<usize>,
}

impl Trial<'_> {
    /// Errors of the inner kind say what was tried, what came of it, and what was expected.
    pub fn run(&self) -> Result<std::result::Result<Found, String>, TchError> {
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
                "no decoder from latents to pictures: {reason} (a card may say latent = [...] in [config], and of another method than forward \
                 call = \"model.decode(x)\")"
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
        let value = self
            .module
            .forward_is(&[IValue::Tensor(latent.shallow_clone())])
            .map_err(|e| format!("it does not take {:?}: {}", latent.size(), first_line(&e.to_string())))?;
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
pub(super) fn layout(size: &[i64], latent: &Shape, config: &Config) -> std::result::Result<Layout, String> {
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
