//! The cosine bases that the learned transforms begin with, in the order in which latents are coded.

use std::f64::consts::PI;

use super::symbols::{CELL, CHROMA};

/// Frequencies `(vertical, horizontal)` of a `size` x `size` cosine transform along the zigzag of JPEG (ITU-T T.81, figure
/// A.6), low to high.
pub fn zigzag(size: usize) -> Vec<(usize, usize)> {
    let mut order: Vec<_> = (0..size * size).map(|i| (i / size, i % size)).collect();
    order.sort_by_key(|&(v, h)| (v + h, if (v + h) % 2 == 0 { h } else { v }));
    order
}

/// Orthonormal analysis matrix, row by row: `CELL` latents of `CELL` samples, which are those of Y, U and V, each in raster
/// order. A sample is `sum over latents of latent * matrix[latent][sample]`.
pub fn cosines() -> Vec<[f32; CELL]> {
    let mut rows = vec![[0.0; CELL]; CELL];
    for (first, size) in [(0, 8), (CHROMA[0], 4), (CHROMA[1], 4)] {
        for (index, (v, h)) in zigzag(size).into_iter().enumerate() {
            for sample in 0..size * size {
                let wave = |frequency: usize, at: usize| {
                    let scale = if frequency == 0 { 1.0 } else { 2f64.sqrt() } / (size as f64).sqrt();
                    scale * ((2 * at + 1) as f64 * frequency as f64 * PI / (2 * size) as f64).cos()
                };
                rows[first + index][first + sample] = (wave(v, sample / size) * wave(h, sample % size)) as f32;
            }
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_zigzag_is_that_of_jpeg() {
        let order: Vec<_> = zigzag(8).into_iter().map(|(v, h)| v * 8 + h).collect();
        assert_eq!(order[..12], [0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25]);
        assert_eq!(order[60..], [47, 55, 62, 63].map(|i: usize| i)[..]);
    }

    #[test]
    fn rows_are_orthonormal() {
        let rows = cosines();
        for (i, a) in rows.iter().enumerate() {
            for (j, b) in rows.iter().enumerate() {
                let product: f32 = a.iter().zip(b).map(|(a, b)| a * b).sum();
                assert!((product - f32::from(u8::from(i == j))).abs() < 1e-5, "{i} {j}");
            }
        }
    }
}
