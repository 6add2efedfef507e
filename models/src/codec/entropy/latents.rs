//! Arrays of whole numbers: quantised latents of an autoencoder, indices into a codebook, anything with a range.
//!
//! Nothing is supposed about the values. One model is of each value as such, without context; others look at the values
//! to the left and above, at the same place in the channel before and in the array before, and at the channel. Mixed, they
//! cost about what the best does.

use super::coder::Damage;
use super::mixing::{Site, Visitor};
use super::near::sign;
use super::prior::Prior;
use super::range::{Bits, Decoder, Encoder};

pub const CHANNELS_MAX: usize = 4096;
/// Values are at most this far apart.
pub const RANGE_MAX: i64 = 65535;
/// Classes of magnitudes: two an octave.
const CLASSES: usize = 40;
/// Halved for pairs.
const HALF: usize = CLASSES / 2;
/// Numbers of bits, and what three values agree on.
const LENGTHS: usize = 17;
const AGREED: usize = 27;

/// The adaptive state of a stream of arrays of one shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Latents {
    channels: usize,
    height: usize,
    width: usize,
    min: i32,
    max: i32,
    /// Values are coded by their distance from this.
    centre: i32,
    /// Whether statistics are the same everywhere.
    steady: bool,
    models: Models,
    /// The array before, by distance.
    before: Vec<i32>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Models {
    zero: Site<6>,
    sign: Site<5>,
    length: Site<6>,
    bits: Site<4>,
}

/// What is known about a value.
struct Near {
    channel: usize,
    /// Left, above, array before.
    like: [i32; 3],
    /// The same place in the channel before.
    other: i32,
    around: usize,
    pair: usize,
    cross: usize,
}

fn class(value: u32) -> usize {
    if value < 4 {
        return value as usize;
    }
    let log = value.ilog2();
    (4 + 2 * (log - 2) + (value >> (log - 1) & 1)).min(CLASSES as u32 - 1) as usize
}

fn length(value: i32) -> usize {
    value.unsigned_abs().max(1).ilog2() as usize
}

impl Models {
    fn new(channels: usize, reach: u32, steady: bool) -> Self {
        let pair = HALF * HALF;
        // Each magnitude has a path of its own, negative ones beside positive ones.
        let paths = 2 * (reach as usize + 1).next_power_of_two();
        let models = Models {
            zero: Site::new([1, CLASSES, channels, pair, pair, AGREED], 1),
            sign: Site::new([1, 9, 9, channels, AGREED], 1),
            length: Site::new([2, CLASSES, channels, pair, pair, AGREED].map(|size| size * LENGTHS), LENGTHS),
            bits: Site::new([paths, AGREED, LENGTHS * LENGTHS * CLASSES, LENGTHS * LENGTHS], LENGTHS),
        };
        if !steady {
            return models;
        }
        let Models { zero, sign, length, bits } = models;
        Models { zero: zero.steady(), sign: sign.steady(), length: length.steady(), bits: bits.steady() }
    }

    fn visit(&mut self, visitor: &mut dyn Visitor) {
        self.zero.visit(visitor);
        self.sign.visit(visitor);
        self.length.visit(visitor);
        self.bits.visit(visitor);
    }

    /// Codes the distance of a value from the centre. `signs` is whether there are values on both sides.
    fn code<B: Bits>(&mut self, bits: &mut B, value: i32, near: &Near, signs: bool) -> i32 {
        // What each of three values would have next, if it is the same value so far; 2 if not.
        let agree = |next: &dyn Fn(i32) -> usize| near.like.iter().fold(0, |all, &like| all * 3 + next(like));
        let channel = near.channel;
        let agreed = agree(&|like| usize::from(like != 0));
        let contexts = [0, near.around, channel, near.pair, near.cross, agreed];
        if !self.zero.code(bits, contexts, 0, value != 0) {
            return 0;
        }
        let mut negative = false;
        if signs {
            let agreed = agree(&|like| if like == 0 { 2 } else { usize::from(like < 0) });
            let [left, above, before] = near.like.map(sign);
            let contexts = [0, left * 3 + above, before * 3 + sign(near.other), channel, agreed];
            negative = self.sign.code(bits, contexts, 0, value < 0);
        }
        let same = |like: i32| like != 0 && (like < 0) == negative;
        let own = length(value);
        let mut known = 0;
        while known < LENGTHS - 1 {
            let next = |like| if same(like) && length(like) >= known { usize::from(length(like) > known) } else { 2 };
            let contexts = [
                known * 2 + usize::from(negative),
                known * CLASSES + near.around,
                known + channel * LENGTHS,
                known * HALF * HALF + near.pair,
                known * HALF * HALF + near.cross,
                known * AGREED + agree(&next),
            ];
            if !self.length.code(bits, contexts, known, own > known) {
                break;
            }
            known += 1;
        }
        let size = value.unsigned_abs();
        let mut number = 1u32;
        for bit in (0..known).rev() {
            let next = |like: i32| {
                let reaches = same(like) && length(like) == known && like.unsigned_abs() >> (bit + 1) == number;
                if reaches { (like.unsigned_abs() >> bit & 1) as usize } else { 2 }
            };
            // Ahead of the last bit numbers of `known` bits are below two to its power.
            let path = ((1 << known) + number as usize) * 2 + usize::from(negative);
            let depth = known * LENGTHS + bit;
            let paths = self.bits.size(0);
            let contexts = [path.min(paths - 1), agree(&next), depth * CLASSES + near.around, depth];
            number = number * 2 + u32::from(self.bits.code(bits, contexts, known, size >> bit & 1 == 1));
        }
        if negative { -(number as i32) } else { number as i32 }
    }
}

impl Latents {
    /// For arrays `[channels, height, width]` of values from `min` to `max`. Errors say what was expected.
    pub fn new(channels: usize, height: usize, width: usize, min: i32, max: i32) -> Result<Self, String> {
        if !(1..=CHANNELS_MAX).contains(&channels) {
            return Err(format!("{channels} channels, where 1 to {CHANNELS_MAX} are expected"));
        }
        let range = i64::from(max) - i64::from(min);
        if !(0..=RANGE_MAX).contains(&range) {
            return Err(format!(
                "values from {min} to {max}, where the last is to be 0 to {RANGE_MAX} above the first"
            ));
        }
        let count = height.checked_mul(width).and_then(|area| area.checked_mul(channels));
        let Some(count) = count.filter(|&count| count <= isize::MAX as usize / 8) else {
            return Err(format!("an array of {channels} x {height} x {width}, which is beyond memory"));
        };
        let centre = if min <= 0 && max > 0 { 0 } else { min };
        let reach = (i64::from(max) - i64::from(centre)).max(i64::from(centre) - i64::from(min)) as u32;
        let models = Models::new(channels, reach, true);
        Ok(Latents { channels, height, width, min, max, centre, steady: true, models, before: vec![0; count] })
    }

    /// For values whose statistics change from place to place, as those of pictures do: follows them faster.
    pub fn lively(mut self) -> Self {
        self.steady = false;
        self.reset();
        self
    }

    /// Forgets all that was coded.
    pub fn reset(&mut self) {
        let reach = (i64::from(self.max) - i64::from(self.centre)).max(i64::from(self.centre) - i64::from(self.min));
        self.models = Models::new(self.channels, reach as u32, self.steady);
        self.before.fill(0);
    }

    /// What was learnt until now, for others to begin with.
    pub fn prior(&self) -> Prior {
        Prior::taken(|visitor| self.models.clone().visit(visitor))
    }

    /// A prior from a file, for arrays of as many channels and as large a range.
    pub fn read_prior(&self, bytes: &[u8]) -> Result<Prior, String> {
        Prior::read(bytes, &self.prior())
    }

    /// Forgets all that was coded, and begins with a prior of arrays of as many channels and as large a range.
    pub fn begin(&mut self, prior: &Prior) {
        self.before.fill(0);
        prior.put(|visitor| self.models.visit(visitor));
    }

    /// As if nothing had been coded before, but with what was learnt: to train a prior on one clip after another.
    pub fn forget(&mut self) {
        self.before.fill(0);
    }

    /// Fails where the number of values or one of them is not as declared; the state is as before then.
    pub fn encode(&mut self, values: &[i32]) -> Result<Vec<u8>, String> {
        if values.len() != self.before.len() {
            return Err(format!("{} values, where {} are expected", values.len(), self.before.len()));
        }
        self.encode_first(values)
    }

    /// Codes the first channels alone; the others count as zero, or `min` where zero is out of range. Both ends must know
    /// how many there are.
    pub fn encode_first(&mut self, values: &[i32]) -> Result<Vec<u8>, String> {
        if values.len() > self.before.len() || !values.len().is_multiple_of(self.height * self.width) {
            return Err(format!("{} values, where whole channels are expected", values.len()));
        }
        if let Some(value) = values.iter().find(|value| !(self.min..=self.max).contains(value)) {
            return Err(format!("a value of {value}, where {} to {} are expected", self.min, self.max));
        }
        let mut encoder = Encoder::new();
        let mut distances: Vec<i32> = values.iter().map(|value| value - self.centre).collect();
        self.code(&mut encoder, &mut distances).map_err(|damage| damage.to_string())?;
        distances.resize(self.before.len(), 0);
        self.before = distances;
        Ok(encoder.finish())
    }

    /// After an error the state is of no use until it is reset.
    pub fn decode(&mut self, bytes: &[u8]) -> Result<Vec<i32>, Damage> {
        self.decode_first(bytes, self.channels)
    }

    /// What [`Latents::encode_first`] made of so many channels, and zeros (or `min`) in place of the others.
    pub fn decode_first(&mut self, bytes: &[u8], channels: usize) -> Result<Vec<i32>, Damage> {
        let mut decoder = Decoder::new(bytes);
        let mut distances = vec![0; channels.min(self.channels) * self.height * self.width];
        self.code(&mut decoder, &mut distances)?;
        distances.resize(self.before.len(), 0);
        let values = distances.iter().map(|distance| distance + self.centre).collect();
        self.before = distances;
        Ok(values)
    }

    fn code<B: Bits>(&mut self, bits: &mut B, values: &mut [i32]) -> Result<(), Damage> {
        let signs = self.min < self.centre && self.max > self.centre;
        let area = self.height * self.width;
        for index in 0..values.len() {
            let (y, x) = (index % area / self.width, index % self.width);
            let at = |there: bool, back: usize| if there { values[index - back] } else { 0 };
            let left = at(x > 0, 1);
            let above = at(y > 0, self.width);
            let corner = at(x > 0 && y > 0, self.width + 1);
            let right = at(y > 0 && x + 1 < self.width, self.width.wrapping_sub(1));
            let other = at(index >= area, area);
            let before = self.before[index];
            let [l, a, c, r, o, b] = [left, above, corner, right, other, before].map(i32::unsigned_abs);
            let around = class((2 * l + 2 * a + c + r).div_ceil(2));
            let near = Near {
                channel: index / area,
                like: [left, above, before],
                other,
                around,
                pair: class(2 * b) / 2 * HALF + around / 2,
                cross: class(2 * o) / 2 * HALF + around / 2,
            };
            let distance = self.models.code(bits, values[index], &near, signs);
            let value = i64::from(distance) + i64::from(self.centre);
            if bits.starved() || value < i64::from(self.min) || value > i64::from(self.max) {
                return Err(Damage);
            }
            values[index] = distance;
        }
        Ok(())
    }
}
