//! The last step of a row: samples multiplied out to channels, and channels written as the tensor or frame holds them.

use super::memory::{Element, RowOut};
use super::simd::Simd;

/// `out = m * in + b` per pixel, held between `low` and `high`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Finish {
    pub m: [[f32; 3]; 3],
    pub b: [f32; 3],
    pub low: [f32; 3],
    pub high: [f32; 3],
}

/// A number that a sample comes as.
pub(super) trait Sample: Copy {
    fn value(self) -> f32;

    /// The same rows, where they are of words.
    #[inline(always)]
    fn words(_rows: [&[Self]; 3]) -> Option<[&[i16]; 3]> {
        None
    }
}

impl Sample for i16 {
    #[inline(always)]
    fn value(self) -> f32 {
        f32::from(self)
    }

    #[inline(always)]
    fn words(rows: [&[i16]; 3]) -> Option<[&[i16]; 3]> {
        Some(rows)
    }
}

impl Sample for f32 {
    #[inline(always)]
    fn value(self) -> f32 {
        self
    }
}

/// Pixels whose channels are made one beside the other before they are interleaved.
const BLOCK: usize = 64;

/// Three channels of a block. What is written here is read again at once, which is slow where it crosses cache lines.
#[repr(align(64))]
struct Block<T>([[T; BLOCK]; 3]);

impl Finish {
    /// Turns rows of `N` components into pixels of `C` channels, 1 or 3.
    #[inline(always)]
    pub fn row<S: Simd, V: Sample, T: Element, const N: usize, const C: usize>(&self, rows: [&[V]; 3], out: RowOut<T>) {
        match out {
            RowOut::Interleaved(out) => {
                let mut done = 0;
                if N == 3
                    && let (Some(rows), Some(out)) = (V::words(rows), T::as_bf16(out))
                {
                    done = S::pixels(self, rows, out);
                }
                let [a, b, c] = rows;
                let (a, b, c, out) = (&a[done..], &b[done..], &c[done..], &mut out[3 * done..]);
                let mut block = Block([[T::default(); BLOCK]; 3]);
                let blocks = a.as_chunks().0.iter().zip(b.as_chunks().0).zip(c.as_chunks().0);
                let mut outs = out.chunks_exact_mut(3 * BLOCK);
                let mut done = 0;
                for (out, ((a, b), c)) in outs.by_ref().zip(blocks) {
                    self.block::<S, V, T, N>([a, b, c], &mut block);
                    S::interleave([&block.0[0], &block.0[1], &block.0[2]], out);
                    done += BLOCK;
                }
                let out = outs.into_remainder();
                let n = out.len() / 3;
                if n > 0 {
                    let [first, second, third] = &mut block.0;
                    let (first, second, third) = (&mut first[..n], &mut second[..n], &mut third[..n]);
                    self.planar::<S, V, T, N>(
                        [&a[done..][..n], &b[done..][..n], &c[done..][..n]],
                        [&mut *first, &mut *second, &mut *third],
                    );
                    S::interleave([first, second, third], out);
                }
            }
            RowOut::Planar([first, ..]) if C == 1 => {
                for (out, v) in first.iter_mut().zip(components::<V, N>(rows)) {
                    *out = T::from_f32(self.channel::<S, N>(0, v));
                }
            }
            RowOut::Planar(channels) => self.planar::<S, V, T, N>(rows, channels),
        }
    }

    /// As `planar`, where compilers know how many there are.
    #[inline(always)]
    fn block<S: Simd, V: Sample, T: Element, const N: usize>(
        &self,
        [a, b, c]: [&[V; BLOCK]; 3],
        Block([first, second, third]): &mut Block<T>,
    ) {
        for i in 0..BLOCK {
            let v = [a[i].value(), b[i].value(), c[i].value()];
            first[i] = T::from_f32(self.channel::<S, N>(0, v));
            second[i] = T::from_f32(self.channel::<S, N>(1, v));
            third[i] = T::from_f32(self.channel::<S, N>(2, v));
        }
    }

    #[inline(always)]
    fn planar<S: Simd, V: Sample, T: Element, const N: usize>(
        &self,
        rows: [&[V]; 3],
        [first, second, third]: [&mut [T]; 3],
    ) {
        let outs = first.iter_mut().zip(second).zip(third);
        for (((first, second), third), v) in outs.zip(components::<V, N>(rows)) {
            *first = T::from_f32(self.channel::<S, N>(0, v));
            *second = T::from_f32(self.channel::<S, N>(1, v));
            *third = T::from_f32(self.channel::<S, N>(2, v));
        }
    }

    #[inline(always)]
    fn channel<S: Simd, const N: usize>(&self, c: usize, v: [f32; 3]) -> f32 {
        let add =
            |sum: f32, k: usize| if S::FUSED { self.m[c][k].mul_add(v[k], sum) } else { sum + self.m[c][k] * v[k] };
        let sum = (0..N).fold(self.b[c], add);
        // Written so that it is one instruction each: `f32::max` also has to look for NaN, which does not come here.
        let sum = if sum > self.low[c] { sum } else { self.low[c] };
        if sum < self.high[c] { sum } else { self.high[c] }
    }
}

/// The components of each pixel. One that does not exist reads the first again, which costs nothing as nobody looks.
#[inline(always)]
fn components<V: Sample, const N: usize>(rows: [&[V]; 3]) -> impl Iterator<Item = [f32; 3]> {
    let row = |k: usize| rows[if k < N { k } else { 0 }];
    row(0).iter().zip(row(1)).zip(row(2)).map(|((a, b), c)| [a.value(), b.value(), c.value()])
}
