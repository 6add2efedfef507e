//! The inner loops: columns interpolated, rows blended, colours multiplied out.
//!
//! All but the column look-up is plain Rust, written so that it vectorises, and compiled three times by inlining it into
//! functions that differ in the instructions they may use. The look-up is where hardware differs most, and is written
//! out for each.

use super::memory::{Element, RowOut};
use super::sampling::{ColumnTable, Columns, GROUP, WINDOW};

/// What the processor offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Isa {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Isa {
    /// The best this machine has. The answer is cached by the standard library.
    pub fn detect() -> Self {
        Self::available().last().copied().unwrap_or(Isa::Portable)
    }

    /// All that this machine has, the best last.
    pub fn available() -> &'static [Isa] {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
            {
                return &[Isa::Portable, Isa::Avx2, Isa::Avx512];
            }
            if is_x86_feature_detected!("avx2") {
                return &[Isa::Portable, Isa::Avx2];
            }
        }
        &[Isa::Portable]
    }
}

/// Compiles the body once for each instruction set and runs the copy asked for. Everything in it that matters is
/// `#[inline(always)]`, so it takes on the instruction set of the copy it lands in; `$simd` names that copy's [`Simd`].
macro_rules! multiversion {
    ($isa:expr, $simd:ident, <$generic:ident: $bound:path> ($($arg:ident: $ty:ty = $value:expr),*) $body:expr) => {{
        use $crate::planes::kernels::{Isa, Portable};
        #[cfg(target_arch = "x86_64")]
        use $crate::planes::kernels::{Avx2, Avx512};
        fn portable<$generic: $bound>($($arg: $ty),*) {
            #[allow(unused)]
            type $simd = Portable;
            $body
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2")]
        fn avx2<$generic: $bound>($($arg: $ty),*) {
            #[allow(unused)]
            type $simd = Avx2;
            $body
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
        fn avx512<$generic: $bound>($($arg: $ty),*) {
            #[allow(unused)]
            type $simd = Avx512;
            $body
        }
        match $isa {
            Isa::Portable => portable::<$generic>($($value),*),
            // SAFETY: an `Isa` other than `Portable` comes from `Isa::available`, which has asked the processor.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => unsafe { avx2::<$generic>($($value),*) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => unsafe { avx512::<$generic>($($value),*) },
        }
    }};
}
pub(super) use multiversion;

/// Spreads every `S`th byte from `OFFSET` on into words, and repeats the last once, for the pair that begins with it.
#[inline(always)]
pub(super) fn spread<const S: usize, const OFFSET: usize>(source: &[u8], out: &mut [i16], n: usize) {
    for (out, sample) in out[..n].iter_mut().zip(source.chunks_exact(S)) {
        *out = i16::from(sample[OFFSET]);
    }
    out[n] = out[n - 1];
}

/// What the number in a blended row is to be multiplied with to be a level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blend {
    /// Rounded to whole levels, step by step as OpenCV does it.
    Levels,
    /// In 1/262144 of a level: what is only now made into colours is not rounded before.
    Fine,
}

impl Blend {
    pub fn unit(self) -> f64 {
        match self {
            Blend::Levels => 1.0,
            Blend::Fine => f64::from(2048 * 128),
        }
    }
}

/// Blends two interpolated rows.
#[inline(always)]
pub(super) fn blend(blend: Blend, [above, below]: [&[i16]; 2], weights: [i16; 2], out: &mut [f32]) {
    let rows = out.iter_mut().zip(above).zip(below);
    let [a, b] = weights.map(i32::from);
    match blend {
        Blend::Levels => {
            for ((out, above), below) in rows {
                let quarters = ((a * i32::from(*above)) >> 16) + ((b * i32::from(*below)) >> 16);
                *out = ((quarters + 2) >> 2) as f32;
            }
        }
        Blend::Fine => {
            for ((out, above), below) in rows {
                *out = (a * i32::from(*above) + b * i32::from(*below)) as f32;
            }
        }
    }
}

/// How columns are looked up.
pub(super) trait Simd {
    /// `out[i] = row[left[i]] * weight + row[left[i] + 1] * weight`, in 1/128 of a level, rounded down. `out` is as long
    /// as the table, and `row` goes on for a window after its last sample.
    fn look_up(row: &[i16], table: &ColumnTable, out: &mut [i16]);
}

/// Interpolates a row to the width of the output, in 1/128 of a level.
#[inline(always)]
pub(super) fn interpolate<S: Simd>(row: &[i16], columns: &Columns, out: &mut [i16]) {
    match columns {
        Columns::Same => {
            for (out, v) in out.iter_mut().zip(row) {
                *out = *v << 7;
            }
        }
        Columns::Halved => {
            for (out, pair) in out.iter_mut().zip(row.chunks_exact(2)) {
                *out = (pair[0] + pair[1]) << 6;
            }
        }
        Columns::Table(table) => S::look_up(row, table, out),
    }
}

pub(super) struct Portable;

impl Simd for Portable {
    #[inline(always)]
    fn look_up(row: &[i16], table: &ColumnTable, out: &mut [i16]) {
        for ((out, &left), &weights) in out.iter_mut().zip(&table.left).zip(&table.weights) {
            let left = left as usize;
            let sum =
                i32::from(row[left]) * (weights & 0xffff) as i32 + i32::from(row[left + 1]) * (weights >> 16) as i32;
            *out = (sum >> 4) as i16;
        }
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) struct Avx2;

#[cfg(target_arch = "x86_64")]
impl Simd for Avx2 {
    /// Gathers pairs as 32-bit words.
    #[inline(always)]
    fn look_up(row: &[i16], table: &ColumnTable, out: &mut [i16]) {
        #[target_feature(enable = "avx2")]
        fn gather(row: &[i16], table: &ColumnTable, out: &mut [i16]) {
            use std::arch::x86_64::*;
            let groups = table.left.chunks_exact(8).zip(table.weights.chunks_exact(8)).zip(out.chunks_exact_mut(8));
            for ((left, weights), out) in groups {
                // Positions ascend, so the last of eight is the furthest.
                assert!(left[0] >= 0 && (left[7] as usize) + 1 < row.len());
                // SAFETY: the slices are eight long, and every pair lies inside the row.
                unsafe {
                    let left = _mm256_loadu_si256(left.as_ptr().cast());
                    let pairs = _mm256_i32gather_epi32::<2>(row.as_ptr().cast(), left);
                    let sums = _mm256_madd_epi16(pairs, _mm256_loadu_si256(weights.as_ptr().cast()));
                    let words = _mm256_srli_epi32::<4>(sums);
                    let words = _mm_packs_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
                    _mm_storeu_si128(out.as_mut_ptr().cast(), words);
                }
            }
        }
        // SAFETY: this type is named only in code compiled for AVX2, which runs only where it was detected.
        unsafe { gather(row, table, out) }
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) struct Avx512;

#[cfg(target_arch = "x86_64")]
impl Simd for Avx512 {
    /// Takes sixteen pairs out of a window of 64 samples by one permutation; gathers are several times slower.
    #[inline(always)]
    fn look_up(row: &[i16], table: &ColumnTable, out: &mut [i16]) {
        #[target_feature(enable = "avx512f,avx512bw")]
        fn permute(row: &[i16], table: &ColumnTable, windows: &super::sampling::Windows, out: &mut [i16]) {
            use std::arch::x86_64::*;
            let groups = windows.start.iter().zip(&windows.lanes);
            let groups = groups.zip(table.weights.chunks_exact(GROUP)).zip(out.chunks_exact_mut(GROUP));
            for (((&start, lanes), weights), out) in groups {
                let window = &row[start as usize..][..WINDOW];
                // SAFETY: the window is 64 words long, lanes are 32 words, weights and outputs 16 double words.
                unsafe {
                    let low = _mm512_loadu_si512(window.as_ptr().cast());
                    let high = _mm512_loadu_si512(window.as_ptr().add(WINDOW / 2).cast());
                    let lanes = _mm512_loadu_si512(lanes.as_ptr().cast());
                    let pairs = _mm512_permutex2var_epi16(low, lanes, high);
                    let sums = _mm512_madd_epi16(pairs, _mm512_loadu_si512(weights.as_ptr().cast()));
                    let words = _mm512_cvtepi32_epi16(_mm512_srli_epi32::<4>(sums));
                    _mm256_storeu_si256(out.as_mut_ptr().cast(), words);
                }
            }
        }
        match &table.windows {
            // SAFETY: this type is named only in code compiled for AVX-512, which runs only where it was detected.
            Some(windows) => unsafe { permute(row, table, windows, out) },
            None => Avx2::look_up(row, table, out),
        }
    }
}

/// `out = m * in + b` per pixel, held between `low` and `high`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Finish {
    pub m: [[f32; 3]; 3],
    pub b: [f32; 3],
    pub low: [f32; 3],
    pub high: [f32; 3],
}

/// Pixels that are interleaved as floats before they become what the tensor holds.
const BLOCK: usize = 64;

impl Finish {
    /// Turns rows of `N` components into pixels of `C` channels, 1 or 3.
    #[inline(always)]
    pub fn row<T: Element, const N: usize, const C: usize>(&self, rows: [&[f32]; 3], out: RowOut<T>) {
        match out {
            RowOut::Interleaved(out) if size_of::<T>() == size_of::<f32>() => {
                self.interleave::<T, N, C>(rows, out);
            }
            RowOut::Interleaved(out) => {
                // Interleaving short numbers does not vectorise well; interleaving floats and shortening them does.
                let mut block = [0.0_f32; 3 * BLOCK];
                for (i, out) in out.chunks_mut(C * BLOCK).enumerate() {
                    let block = &mut block[..out.len()];
                    self.interleave::<f32, N, C>(rows.map(|row| &row[i * BLOCK..]), block);
                    out.iter_mut().zip(block).for_each(|(out, v)| *out = T::from_f32(*v));
                }
            }
            RowOut::Planar([first, ..]) if C == 1 => {
                for (out, v) in first.iter_mut().zip(components::<N>(rows)) {
                    *out = T::from_f32(self.channel::<N>(0, v));
                }
            }
            RowOut::Planar([first, second, third]) => {
                let outs = first.iter_mut().zip(second).zip(third);
                for (((first, second), third), v) in outs.zip(components::<N>(rows)) {
                    *first = T::from_f32(self.channel::<N>(0, v));
                    *second = T::from_f32(self.channel::<N>(1, v));
                    *third = T::from_f32(self.channel::<N>(2, v));
                }
            }
        }
    }

    #[inline(always)]
    fn interleave<T: Element, const N: usize, const C: usize>(&self, rows: [&[f32]; 3], out: &mut [T]) {
        for (out, v) in out.chunks_exact_mut(C).zip(components::<N>(rows)) {
            for (c, out) in out.iter_mut().enumerate() {
                *out = T::from_f32(self.channel::<N>(c, v));
            }
        }
    }

    #[inline(always)]
    fn channel<const N: usize>(&self, c: usize, v: [f32; 3]) -> f32 {
        let sum = (0..N).fold(self.b[c], |sum, k| sum + self.m[c][k] * v[k]);
        sum.max(self.low[c]).min(self.high[c])
    }
}

/// The components of each pixel. One that does not exist reads the first again, which costs nothing as nobody looks.
#[inline(always)]
fn components<const N: usize>(rows: [&[f32]; 3]) -> impl Iterator<Item = [f32; 3]> {
    let row = |k: usize| rows[if k < N { k } else { 0 }];
    row(0).iter().zip(row(1)).zip(row(2)).map(|((a, b), c)| [*a, *b, *c])
}
