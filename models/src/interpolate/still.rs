//! A picture, made ready to be matched and moved: once for each picture, however many are made from it.

use crate::codec::motion::{Padded, Reference};
use crate::codec::picture::{Picture, Plane};

/// Halvings of the resolution at most: motion of 8 samples there is motion of 64 in the picture.
const LEVELS: usize = 4;
/// The coarsest level keeps at least so many samples each way.
const SMALLEST: usize = 16;
/// Samples repeated around a level, and how far out of it a block may begin, besides its own size.
const PADDING: usize = 32;
const MARGIN: i32 = 8;

/// A picture of whole 16x16 blocks with its pyramid.
#[derive(Debug, Clone)]
pub struct Still {
    pub picture: Picture,
    pub(super) reference: Reference,
    /// Luma at full resolution, then each half of the one before.
    pub(super) levels: Vec<Padded>,
}

impl Still {
    /// Of a picture of at least one block.
    pub fn new(picture: Picture) -> Self {
        let mut levels = vec![Padded::new(&picture.planes[0], PADDING, MARGIN)];
        let mut half = halved(&picture.planes[0]);
        while levels.len() < LEVELS && half.width.min(half.height) >= SMALLEST {
            levels.push(Padded::new(&half, PADDING, MARGIN));
            half = halved(&half);
        }
        Still { reference: Reference::new(&picture), picture, levels }
    }

    /// Blocks of 16x16 across and down.
    pub fn blocks(&self) -> (usize, usize) {
        self.picture.blocks()
    }
}

/// Means of 2x2 samples; a last odd row or column goes.
fn halved(plane: &Plane) -> Plane {
    let mut half = Plane::new(plane.width / 2, plane.height / 2, 0);
    for y in 0..half.height {
        let (above, below) = (plane.row(2 * y), plane.row(2 * y + 1));
        let pairs = above.chunks_exact(2).zip(below.chunks_exact(2));
        for (value, (a, b)) in half.row_mut(y).iter_mut().zip(pairs) {
            let sum = u16::from(a[0]) + u16::from(a[1]) + u16::from(b[0]) + u16::from(b[1]);
            *value = ((sum + 2) / 4) as u8;
        }
    }
    half
}
