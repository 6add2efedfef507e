//! What a key frame says of its array of latents. It is read from the stream, so everything is checked before memory is taken.

use crate::codec::entropy::latents::{CHANNELS_MAX, Latents};

/// Numbers are within these.
pub const RANGE: [i32; 2] = [-32768, 32767];
/// Dimensions of an array, the batch's among them.
const RANK_MAX: usize = 6;
/// Latents of a picture, at most: so many a sample of its canvas, and some for small ones.
const DENSITY: u64 = 64;
const SPARE: u64 = 1 << 16;

/// How latents become whole numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Steps {
    /// Number zero.
    pub offset: f32,
    pub step: f32,
}

/// What a key frame says before its latents.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    /// Of the encoder's output, the batch of one included.
    pub size: Vec<i64>,
    /// Whether latents are whole numbers already, such as indices: the decoder wants them as such.
    pub whole: bool,
    pub steps: Steps,
}

impl Shape {
    /// Flags and rank, dimensions (32 bits each), offset and step.
    pub fn write(&self) -> Vec<u8> {
        let mut bytes = vec![u8::from(self.whole) << 7 | self.size.len() as u8];
        bytes.extend(self.size.iter().flat_map(|&side| (side as u32).to_be_bytes()));
        if !self.whole {
            bytes.extend(self.steps.offset.to_be_bytes());
            bytes.extend(self.steps.step.to_be_bytes());
        }
        bytes
    }

    /// Checks everything that memory depends on; `area` is that of the canvas. Returns what follows, too.
    pub fn read(bytes: &[u8], area: u64) -> Result<(Shape, &[u8]), String> {
        let (&first, mut rest) = bytes.split_first().ok_or("it ends too early")?;
        let (whole, rank) = (first & 0x80 != 0, usize::from(first & 0x7f));
        if !(1..=RANK_MAX).contains(&rank) {
            return Err(format!("{rank} dimensions; expected 1 to {RANK_MAX}"));
        }
        let mut word = || -> Result<[u8; 4], String> {
            let (word, after) = rest.split_first_chunk().ok_or("it ends too early")?;
            rest = after;
            Ok(*word)
        };
        let size = (0..rank).map(|_| Ok(u32::from_be_bytes(word()?))).collect::<Result<Vec<u32>, String>>()?;
        let count = size.iter().try_fold(1u64, |count, &side| count.checked_mul(side.into()));
        if !count.is_some_and(|count| (1..=area * DENSITY + SPARE).contains(&count)) {
            return Err(format!("an array of {size:?}"));
        }
        let mut steps = Steps { offset: 0.0, step: 1.0 };
        if !whole {
            steps = Steps { offset: f32::from_be_bytes(word()?), step: f32::from_be_bytes(word()?) };
        }
        if !(steps.offset.is_finite() && steps.step.is_finite() && steps.step > 0.0) {
            return Err(format!("{steps:?}"));
        }
        Ok((Shape { size: size.into_iter().map(i64::from).collect(), whole, steps }, rest))
    }

    /// A coder of such arrays. Their last two dimensions are rows and columns, those before are channels; an array of one
    /// dimension is all channels.
    pub fn coder(&self) -> Result<Latents, String> {
        let sides: Vec<usize> = self.size.iter().map(|&side| side as usize).skip_while(|&side| side == 1).collect();
        let (channels, height, width) = match sides[..] {
            [] => (1, 1, 1),
            [count] if count <= CHANNELS_MAX => (count, 1, 1),
            [count] => (1, 1, count),
            // [C, 1, 1] is left of [1, C, 1, 1]; [h, w] of a single channel, or of indices.
            [height, width] => (1, height, width),
            [.., height, width] => {
                let channels: usize = sides[..sides.len() - 2].iter().product();
                if channels <= CHANNELS_MAX { (channels, height, width) } else { (1, channels * height, width) }
            }
        };
        Latents::new(channels, height, width, RANGE[0], RANGE[1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_read_as_written_and_checked() {
        let steps = Steps { offset: -0.5, step: 0.125 };
        for shape in [
            Shape { size: vec![1, 8, 3, 5], whole: false, steps },
            Shape { size: vec![1, 70000], whole: false, steps },
            Shape { size: vec![1, 3, 5], whole: true, steps: Steps { offset: 0.0, step: 1.0 } },
        ] {
            let bytes = shape.write();
            let longer = [&bytes[..], b"rest"].concat();
            assert_eq!(Shape::read(&longer, 4096), Ok((shape.clone(), &b"rest"[..])));
            for length in 0..bytes.len() {
                assert!(Shape::read(&bytes[..length], 4096).is_err());
            }
            assert!(shape.coder().is_ok());
        }
        let large = Shape { size: vec![1, 1 << 20, 1 << 20], whole: true, steps };
        assert!(Shape::read(&large.write(), 4096).unwrap_err().contains("array"));
        let empty = Shape { size: vec![1, 0, 3], whole: true, steps };
        assert!(Shape::read(&empty.write(), 4096).is_err());
        let bad = Shape { size: vec![1, 2], whole: false, steps: Steps { offset: 0.0, step: f32::NAN } };
        assert!(Shape::read(&bad.write(), 4096).is_err());
    }
}
