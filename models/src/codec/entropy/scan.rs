//! Where each latent of a cell lies in the plane of frequencies.

/// Planes of magnitudes have rows of this many, so that the two frequencies beyond the last read as zero.
pub const STRIDE: usize = 10;
pub const PADDED: usize = STRIDE * STRIDE;
/// Classes of frequencies, from low to high.
pub const ZONES: usize = 10;

/// A square of latents within a cell, from low to high frequency.
#[derive(Debug)]
pub struct Scan {
    pub size: usize,
    /// Horizontal and vertical frequency.
    pub at: &'static [(u8, u8)],
    /// The four latents next to each in the plane of frequencies; itself where there is none.
    pub beside: &'static [[u8; 4]],
}

const LUMA_AT: [(u8, u8); 64] = zigzag(8);
const CHROMA_AT: [(u8, u8); 16] = zigzag(4);
pub static LUMA: Scan = Scan { size: 8, at: &LUMA_AT, beside: &beside(LUMA_AT) };
pub static CHROMA: Scan = Scan { size: 4, at: &CHROMA_AT, beside: &beside(CHROMA_AT) };
/// The latent of Y at the frequency of each of U and V.
pub static SAME: [u8; 16] = same();

const fn zigzag<const N: usize>(size: usize) -> [(u8, u8); N] {
    let mut at = [(0, 0); N];
    let mut index = 0;
    let mut sum = 0;
    while sum < 2 * size - 1 {
        let mut step = 0;
        while step <= sum {
            // Even diagonals go up and to the right, odd ones down and to the left.
            let (u, v) = if sum % 2 == 0 { (step, sum - step) } else { (sum - step, step) };
            if u < size && v < size {
                at[index] = (u as u8, v as u8);
                index += 1;
            }
            step += 1;
        }
        sum += 1;
    }
    at
}

/// The index in `at` of a frequency, `or` if it is not there.
const fn find(at: &[(u8, u8)], (u, v): (i32, i32), or: usize) -> u8 {
    let mut index = 0;
    while index < at.len() {
        if at[index].0 as i32 == u && at[index].1 as i32 == v {
            return index as u8;
        }
        index += 1;
    }
    or as u8
}

const fn beside<const N: usize>(at: [(u8, u8); N]) -> [[u8; 4]; N] {
    let mut table = [[0; 4]; N];
    let mut index = 0;
    while index < N {
        let (u, v) = (at[index].0 as i32, at[index].1 as i32);
        let [right, below] = [find(&at, (u + 1, v), index), find(&at, (u, v + 1), index)];
        table[index] = [right, below, find(&at, (u - 1, v), index), find(&at, (u, v - 1), index)];
        index += 1;
    }
    table
}

const fn same() -> [u8; 16] {
    let mut table = [0; 16];
    let mut index = 0;
    while index < 16 {
        table[index] = find(&LUMA_AT, (CHROMA_AT[index].0 as i32, CHROMA_AT[index].1 as i32), 0);
        index += 1;
    }
    table
}

pub fn zone(u: usize, v: usize) -> usize {
    match u + v {
        sum @ 0..=6 => sum,
        7..=8 => 7,
        9..=10 => 8,
        _ => 9,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scan_is_that_of_jpeg() {
        assert_eq!(LUMA.at[..6], [(0, 0), (1, 0), (0, 1), (0, 2), (1, 1), (2, 0)]);
        assert_eq!(LUMA.at[62..], [(6, 7), (7, 7)]);
        assert_eq!(CHROMA.at[13..], [(3, 2), (2, 3), (3, 3)]);
        assert_eq!(LUMA.beside[4], [7, 8, 2, 1]);
        assert_eq!((LUMA.beside[0], LUMA.beside[63]), ([1, 2, 0, 0], [63, 63, 62, 61]));
        assert_eq!(SAME[..6], [0, 1, 2, 3, 4, 5]);
    }
}
