//! Second vectors, into the older picture: a block's prediction is then the mean of two.

use super::{SECOND_BITS, Search};
use crate::codec::motion::compensate::predict;
use crate::codec::motion::integer::Target;
use crate::codec::motion::interpolate::Area;
use crate::codec::motion::measure::sad;
use crate::codec::motion::settings::vector_bits;
use crate::codec::symbols::{Block, Vector, predict_second};

impl Search<'_> {
    /// A block with a second vector in the older picture, if there is one that promises something, and the bits of both.
    pub(super) fn both(&self, block: &Block, bits: u32) -> Option<(Block, u32)> {
        let (older, weights) = self.older?;
        let expected = predict_second(self.blocks, self.columns, self.index, block.vectors[0]);
        let mut room = [0; 256];
        predict([self.reference; 2], block, 0, self.place, &mut room, 16);
        let area = self.area(0);
        let alone = sad::<16>(area, Area { data: &room, stride: 16 });
        // Twice the block less its prediction is what would make the mean of both the block.
        for (row, y) in room.as_chunks_mut::<16>().0.iter_mut().zip(0..) {
            row.iter_mut()
                .zip(area.row(y, 16))
                .for_each(|(p, s)| *p = (2 * i16::from(*s) - i16::from(*p)).clamp(0, 255) as u8);
        }
        let luma = Area { data: &room, stride: 16 };
        let target = Target::<16> { luma, reference: older, weights, place: self.place, expected };
        let mut found = target.best_of(self.seconds(expected, block.vectors[0]));
        target.walk(&mut found);
        // Fractions of a sample, which take the most time, will not make good what is so much worse by whole ones.
        if found.cost >= 3 * alone {
            return None;
        }
        let vector = target.refine_better(found.vector(), expected).vector;
        Some((Block { second: Some(vector), ..*block }, bits + SECOND_BITS + vector_bits(vector, expected)))
    }

    /// Likely second vectors: those of neighbours, and the way that things have gone, once more.
    fn seconds(&self, expected: Vector, first: Vector) -> impl Iterator<Item = Vector> {
        let (blocks, columns, index) = (self.blocks, self.columns, self.index);
        let column = index % columns;
        let of = |condition: bool, back: usize| {
            if condition && index >= back { blocks[index - back].second } else { None }
        };
        let before = self.previous.and_then(|blocks| {
            let block = blocks.get(index)?;
            let (then, now) = (block.vectors[0], first);
            Some([block.second, Some(Vector { x: then.x.saturating_add(now.x), y: then.y.saturating_add(now.y) })])
        });
        let here = [Some(expected), of(column > 0, 1), of(true, columns), of(column + 1 < columns, columns - 1)];
        here.into_iter().chain(before.into_iter().flatten()).flatten().chain([first])
    }
}
