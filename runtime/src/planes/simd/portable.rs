//! Plain Rust, for processors that nothing is written for.

use super::{Simd, Work};
use crate::planes::memory::Element;
use crate::planes::sampling::ColumnTable;

pub struct Portable;

impl Simd for Portable {
    const FUSED: bool = false;

    #[inline(never)]
    fn run<W: Work>(work: W) {
        work.run::<Self>();
    }

    #[inline(always)]
    fn look_up(row: &[i16], table: &ColumnTable, out: &mut [i16]) {
        for ((out, &left), &weights) in out.iter_mut().zip(&table.left).zip(&table.weights) {
            let left = left as usize;
            let sum =
                i32::from(row[left]) * (weights & 0xffff) as i32 + i32::from(row[left + 1]) * (weights >> 16) as i32;
            *out = (sum >> 4) as i16;
        }
    }

    #[inline(always)]
    fn between([above, below]: [&[i16]; 2], weight: i16, out: &mut [i16]) {
        for ((out, above), below) in out.iter_mut().zip(above).zip(below) {
            *out = *above + ((i32::from(*below - *above) * i32::from(weight) + 0x4000) >> 15) as i16;
        }
    }

    #[inline(always)]
    fn interleave<T: Element>([first, second, third]: [&[T]; 3], out: &mut [T]) {
        for (((out, first), second), third) in out.chunks_exact_mut(3).zip(first).zip(second).zip(third) {
            out.copy_from_slice(&[*first, *second, *third]);
        }
    }
}
