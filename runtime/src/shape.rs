//! Sizes of a network's input.

use std::fmt;

/// The most dimensions that an input has.
const RANK_MAX: usize = 6;

/// Sizes of a network's input, the batch first: `[N, C, H, W]` for pictures, `[N, Z]` for a latent vector.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Unused ones are 0.
    dims: [i64; RANK_MAX],
    rank: u8,
}

impl Shape {
    /// `None` for no dimension, for more than six, and for sizes below 1.
    pub fn new(dims: &[i64]) -> Option<Shape> {
        if dims.is_empty() || dims.len() > RANK_MAX || dims.iter().any(|&size| size < 1) {
            return None;
        }
        let mut shape = Shape { dims: [0; RANK_MAX], rank: dims.len() as u8 };
        shape.dims[..dims.len()].copy_from_slice(dims);
        Some(shape)
    }

    pub fn dims(&self) -> &[i64] {
        &self.dims[..usize::from(self.rank)]
    }

    /// The same for a batch of `count`.
    pub fn with_batch(mut self, count: i64) -> Shape {
        self.dims[0] = count;
        self
    }

    /// The sizes of one item, without the batch.
    pub fn item(&self) -> &[i64] {
        &self.dims()[1..]
    }

    /// Numbers in all.
    pub fn count(&self) -> i64 {
        self.dims().iter().product()
    }
}

/// A picture, `[N, C, H, W]`.
impl From<[i64; 4]> for Shape {
    fn from([n, c, h, w]: [i64; 4]) -> Self {
        Shape { dims: [n, c, h, w, 0, 0], rank: 4 }
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.dims())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_has_one_to_six_sizes_of_at_least_one() {
        assert_eq!(Shape::new(&[2, 64]).map(|s| (s.item().to_vec(), s.count())), Some((vec![64], 128)));
        assert_eq!(Shape::new(&[1, 3, 4, 5]), Some(Shape::from([1, 3, 4, 5])));
        assert_eq!(Shape::from([1, 3, 4, 5]).with_batch(7).dims(), [7, 3, 4, 5]);
        for wrong in [&[][..], &[1, 0], &[-1, 3], &[1; 7]] {
            assert_eq!(Shape::new(wrong), None, "{wrong:?}");
        }
    }
}
