//! A picture, made ready to be matched and moved: once for each picture, however many are made from it.

use crate::codec::motion::interpolate::Area;
use crate::codec::motion::measure::sad;
use crate::codec::motion::{Padded, Reference};
use crate::codec::picture::{Picture, Plane};

/// Halvings of the resolution at most: motion of 8 samples there is motion of 64 in the picture.
const LEVELS: usize = 4;
/// The coarsest level keeps at least so many samples each way.
const SMALLEST: usize = 16;
/// Samples repeated around a level, and how far out of it a block may begin, besides its own size.
const PADDING: usize = 32;
const MARGIN: i32 = 8;
const BLOCK: usize = 16;

/// A picture of whole 16x16 blocks with its pyramid.
#[derive(Debug, Clone)]
pub struct Still {
    pub picture: Picture,
    pub(super) reference: Reference,
    /// Luma at full resolution, then each half of the one before.
    pub(super) levels: Vec<Padded>,
    /// How much there is to be seen: sum of absolute differences of luma to the means of blocks.
    pub(super) activity: u64,
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
        Still { reference: Reference::new(&picture), activity: activity(&picture.planes[0]), picture, levels }
    }

    /// Blocks of 16x16 across and down.
    pub fn blocks(&self) -> (usize, usize) {
        self.picture.blocks()
    }
}

fn activity(luma: &Plane) -> u64 {
    let mut sum = 0;
    for y in (0..luma.height).step_by(BLOCK) {
        for x in (0..luma.width).step_by(BLOCK) {
            let block = Area { data: &luma.data[y * luma.width + x..], stride: luma.width };
            let total = sad::<BLOCK>(block, Area { data: &[0; BLOCK], stride: 0 });
            let mean = [(total / (BLOCK * BLOCK) as u32) as u8; BLOCK];
            sum += u64::from(sad::<BLOCK>(block, Area { data: &mean, stride: 0 }));
        }
    }
    sum
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
