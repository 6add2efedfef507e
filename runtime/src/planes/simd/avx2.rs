//! AVX2 and FMA.

use std::arch::x86_64::*;

use super::{Portable, Simd, Work};
use crate::planes::memory::Element;
use crate::planes::sampling::ColumnTable;

pub struct Avx2;

// SAFETY of every call below: where this type is at work, the processor has these instructions; see `Simd`.
impl Simd for Avx2 {
    const FUSED: bool = true;

    fn run<W: Work>(work: W) {
        #[target_feature(enable = "avx2,fma")]
        #[inline(never)]
        fn run<W: Work>(work: W) {
            work.run::<Avx2>();
        }
        // SAFETY: as above.
        unsafe { run(work) }
    }

    #[inline(always)]
    fn look_up(row: &[i16], table: &ColumnTable, out: &mut [i16]) {
        // SAFETY: as above.
        unsafe { gather(row, table, out) }
    }

    #[inline(always)]
    fn between([above, below]: [&[i16]; 2], weight: i16, out: &mut [i16]) {
        // SAFETY: as above.
        let done = unsafe { between(above, below, weight, out) };
        Portable::between([&above[done..], &below[done..]], weight, &mut out[done..]);
    }

    #[inline(always)]
    fn interleave<T: Element>([first, second, third]: [&[T]; 3], out: &mut [T]) {
        let shuffles = match size_of::<T>() {
            1 => Some(&SHUFFLE_BYTES),
            2 => Some(&SHUFFLE_WORDS),
            _ => None,
        };
        // SAFETY: as above.
        let done = shuffles.map_or(0, |shuffles| unsafe { shuffle(shuffles, [first, second, third], out) });
        Portable::interleave([&first[done..], &second[done..], &third[done..]], &mut out[3 * done..]);
    }

    #[inline(always)]
    fn prefetch(bytes: &[u8]) {
        for line in bytes.chunks(64) {
            // SAFETY: a hint about an address that is there.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
        }
    }
}

/// Gathers pairs as 32-bit words.
#[target_feature(enable = "avx2")]
fn gather(row: &[i16], table: &ColumnTable, out: &mut [i16]) {
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

/// Sixteen words at a time; says how many it did.
#[target_feature(enable = "avx2")]
fn between(above: &[i16], below: &[i16], weight: i16, out: &mut [i16]) -> usize {
    let weight = _mm256_set1_epi16(weight);
    let mut done = 0;
    for ((out, above), below) in out.chunks_exact_mut(16).zip(above.chunks_exact(16)).zip(below.chunks_exact(16)) {
        // SAFETY: the slices are sixteen long.
        unsafe {
            let above = _mm256_loadu_si256(above.as_ptr().cast());
            let way = _mm256_sub_epi16(_mm256_loadu_si256(below.as_ptr().cast()), above);
            let words = _mm256_add_epi16(above, _mm256_mulhrs_epi16(way, weight));
            _mm256_storeu_si256(out.as_mut_ptr().cast(), words);
        }
        done += 16;
    }
    done
}

/// For each third of the interleaved result and each channel, which byte of the channel comes where.
type Shuffles = [[[u8; 16]; 3]; 3];
static SHUFFLE_BYTES: Shuffles = shuffles(1);
static SHUFFLE_WORDS: Shuffles = shuffles(2);

const fn shuffles(size: usize) -> Shuffles {
    // A byte from 128 on takes nothing.
    let mut all = [[[0x80; 16]; 3]; 3];
    let mut at = 0;
    while at < 48 {
        let element = at / size;
        all[at / 16][element % 3][at % 16] = (element / 3 * size + at % size) as u8;
        at += 1;
    }
    all
}

/// Interleaves sixteen bytes of each channel at a time, which compilers do not find; says how many pixels it did.
#[target_feature(enable = "avx2")]
fn shuffle<T: Element>(shuffles: &Shuffles, [first, second, third]: [&[T]; 3], out: &mut [T]) -> usize {
    let n = 16 / size_of::<T>();
    let channels = first.chunks_exact(n).zip(second.chunks_exact(n)).zip(third.chunks_exact(n));
    let mut done = 0;
    for (out, ((first, second), third)) in out.chunks_exact_mut(3 * n).zip(channels) {
        // SAFETY: each slice of a channel is sixteen bytes long, as are shuffles, and `out` three times that.
        unsafe {
            let first = _mm_loadu_si128(first.as_ptr().cast());
            let second = _mm_loadu_si128(second.as_ptr().cast());
            let third = _mm_loadu_si128(third.as_ptr().cast());
            for (i, [of_first, of_second, of_third]) in shuffles.iter().enumerate() {
                let a = _mm_shuffle_epi8(first, _mm_loadu_si128(of_first.as_ptr().cast()));
                let b = _mm_shuffle_epi8(second, _mm_loadu_si128(of_second.as_ptr().cast()));
                let c = _mm_shuffle_epi8(third, _mm_loadu_si128(of_third.as_ptr().cast()));
                let all = _mm_or_si128(_mm_or_si128(a, b), c);
                _mm_storeu_si128(out.as_mut_ptr().cast::<__m128i>().add(i), all);
            }
        }
        done += n;
    }
    done
}
