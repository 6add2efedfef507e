//! AVX-512 F, BW, DQ and VL.

use std::arch::x86_64::*;

use half::bf16;

use super::{Avx2, Simd, Work};
use crate::planes::finish::Finish;
use crate::planes::memory::Element;
use crate::planes::sampling::{ColumnTable, GROUP, WINDOW, Windows};

pub struct Avx512;

// SAFETY of every call below: where this type is at work, the processor has these instructions; see `Simd`.
impl Simd for Avx512 {
    const FUSED: bool = true;

    fn run<W: Work>(work: W) {
        #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
        #[inline(never)]
        fn run<W: Work>(work: W) {
            work.run::<Avx512>();
        }
        // SAFETY: as above.
        unsafe { run(work) }
    }

    #[inline(always)]
    fn look_up(row: &[i16], table: &ColumnTable, out: &mut [i16]) {
        match &table.windows {
            // SAFETY: as above.
            Some(windows) => unsafe { permute(row, table, windows, out) },
            None => Avx2::look_up(row, table, out),
        }
    }

    #[inline(always)]
    fn between([above, below]: [&[i16]; 2], weight: i16, out: &mut [i16]) {
        // SAFETY: as above.
        let done = unsafe { between(above, below, weight, out) };
        Avx2::between([&above[done..], &below[done..]], weight, &mut out[done..]);
    }

    #[inline(always)]
    fn interleave<T: Element>([first, second, third]: [&[T]; 3], out: &mut [T]) {
        // SAFETY: as above.
        let done = if size_of::<T>() == 4 { unsafe { merge([first, second, third], out) } } else { 0 };
        Avx2::interleave([&first[done..], &second[done..], &third[done..]], &mut out[3 * done..]);
    }

    #[inline(always)]
    fn pixels(finish: &Finish, rows: [&[i16]; 3], out: &mut [bf16]) -> usize {
        // SAFETY: as above.
        unsafe { pixels(finish, rows, out) }
    }

    #[inline(always)]
    fn prefetch(bytes: &[u8]) {
        Avx2::prefetch(bytes);
    }
}

/// Takes sixteen pairs out of a window of 64 samples by one permutation; gathers are several times slower.
#[target_feature(enable = "avx512f,avx512bw")]
fn permute(row: &[i16], table: &ColumnTable, windows: &Windows, out: &mut [i16]) {
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

/// 32 words at a time; says how many it did.
#[target_feature(enable = "avx512f,avx512bw")]
fn between(above: &[i16], below: &[i16], weight: i16, out: &mut [i16]) -> usize {
    let weight = _mm512_set1_epi16(weight);
    let mut done = 0;
    for ((out, above), below) in out.chunks_exact_mut(32).zip(above.chunks_exact(32)).zip(below.chunks_exact(32)) {
        // SAFETY: the slices are 32 long.
        unsafe {
            let above = _mm512_loadu_si512(above.as_ptr().cast());
            let way = _mm512_sub_epi16(_mm512_loadu_si512(below.as_ptr().cast()), above);
            let words = _mm512_add_epi16(above, _mm512_mulhrs_epi16(way, weight));
            _mm512_storeu_si512(out.as_mut_ptr().cast(), words);
        }
        done += 32;
    }
    done
}

/// For each third of the interleaved result, which lane of the first two channels comes where, and then which of these
/// and of the third channel.
const fn merges<const LANES: usize>() -> [[[u32; LANES]; 2]; 3] {
    let mut all = [[[0; LANES]; 2]; 3];
    let mut at = 0;
    while at < 3 * LANES {
        let (lane, pixel) = (at % LANES, at / 3);
        let [two, three] = &mut all[at / LANES];
        two[lane] = (pixel + if at % 3 == 1 { LANES } else { 0 }) as u32;
        three[lane] = if at % 3 == 2 { LANES + pixel } else { lane } as u32;
        at += 1;
    }
    all
}

static MERGES: [[[u32; 16]; 2]; 3] = merges();
static MERGES_OF_WORDS: [[[u16; 32]; 2]; 3] = {
    let wide = merges::<32>();
    let mut all = [[[0; 32]; 2]; 3];
    let mut at = 0;
    while at < 3 * 2 * 32 {
        all[at / 64][at / 32 % 2][at % 32] = wide[at / 64][at / 32 % 2][at % 32] as u16;
        at += 1;
    }
    all
};

/// Interleaves numbers of 32 bits, sixteen pixels at a time; says how many it did.
#[target_feature(enable = "avx512f")]
fn merge<T: Element>([first, second, third]: [&[T]; 3], out: &mut [T]) -> usize {
    let channels = first.chunks_exact(16).zip(second.chunks_exact(16)).zip(third.chunks_exact(16));
    let mut done = 0;
    for (out, ((first, second), third)) in out.chunks_exact_mut(48).zip(channels) {
        // SAFETY: each slice of a channel is 16 double words long, as are lanes, and `out` three times that.
        unsafe {
            let first = _mm512_loadu_si512(first.as_ptr().cast());
            let second = _mm512_loadu_si512(second.as_ptr().cast());
            let third = _mm512_loadu_si512(third.as_ptr().cast());
            for (i, [two, three]) in MERGES.iter().enumerate() {
                let both = _mm512_permutex2var_epi32(first, _mm512_loadu_si512(two.as_ptr().cast()), second);
                let all = _mm512_permutex2var_epi32(both, _mm512_loadu_si512(three.as_ptr().cast()), third);
                _mm512_storeu_si512(out.as_mut_ptr().cast::<__m512i>().add(i), all);
            }
        }
        done += 16;
    }
    done
}

/// Where the upper halves of 32-bit numbers lie in two registers of them.
static UPPER_HALVES: [u16; 32] = {
    let mut all = [0; 32];
    let mut i = 0;
    while i < 32 {
        all[i] = 2 * i as u16 + 1;
        i += 1;
    }
    all
};

/// All of `Finish::row`, 32 pixels at a time, without ever leaving the registers; says how many it did.
#[target_feature(enable = "avx2,fma,avx512f,avx512bw")]
fn pixels(finish: &Finish, [first, second, third]: [&[i16]; 3], out: &mut [bf16]) -> usize {
    let rows = first.chunks_exact(32).zip(second.chunks_exact(32)).zip(third.chunks_exact(32));
    // SAFETY: these are 32 words.
    let upper = unsafe { _mm512_loadu_si512(UPPER_HALVES.as_ptr().cast()) };
    let mut done = 0;
    for (out, ((first, second), third)) in out.chunks_exact_mut(96).zip(rows) {
        // SAFETY: the slices of the rows are 32 words long.
        let (first, second, third) = unsafe {
            (
                halves(_mm512_loadu_si512(first.as_ptr().cast())),
                halves(_mm512_loadu_si512(second.as_ptr().cast())),
                halves(_mm512_loadu_si512(third.as_ptr().cast())),
            )
        };
        let low = [first.0, second.0, third.0];
        let high = [first.1, second.1, third.1];
        let first = _mm512_permutex2var_epi16(channel(finish, 0, low), upper, channel(finish, 0, high));
        let second = _mm512_permutex2var_epi16(channel(finish, 1, low), upper, channel(finish, 1, high));
        let third = _mm512_permutex2var_epi16(channel(finish, 2, low), upper, channel(finish, 2, high));
        for (i, [two, three]) in MERGES_OF_WORDS.iter().enumerate() {
            // SAFETY: lanes are 32 words, and `out` is three times that.
            unsafe {
                let both = _mm512_permutex2var_epi16(first, _mm512_loadu_si512(two.as_ptr().cast()), second);
                let all = _mm512_permutex2var_epi16(both, _mm512_loadu_si512(three.as_ptr().cast()), third);
                _mm512_storeu_si512(out.as_mut_ptr().cast::<__m512i>().add(i), all);
            }
        }
        done += 32;
    }
    done
}

/// 32 words as floats.
#[target_feature(enable = "avx512f")]
#[inline]
fn halves(words: __m512i) -> (__m512, __m512) {
    let low = _mm512_cvtepi16_epi32(_mm512_castsi512_si256(words));
    let high = _mm512_cvtepi16_epi32(_mm512_extracti64x4_epi64::<1>(words));
    (_mm512_cvtepi32_ps(low), _mm512_cvtepi32_ps(high))
}

/// One channel of sixteen pixels, its upper half rounded to the nearest bf16; the steps of `Finish::channel`.
#[target_feature(enable = "avx512f")]
#[inline]
fn channel(finish: &Finish, c: usize, [first, second, third]: [__m512; 3]) -> __m512i {
    let [a, b, d] = finish.m[c];
    let sum = _mm512_fmadd_ps(_mm512_set1_ps(a), first, _mm512_set1_ps(finish.b[c]));
    let sum = _mm512_fmadd_ps(_mm512_set1_ps(b), second, sum);
    let sum = _mm512_fmadd_ps(_mm512_set1_ps(d), third, sum);
    let sum = _mm512_max_ps(sum, _mm512_set1_ps(finish.low[c]));
    let sum = _mm512_min_ps(sum, _mm512_set1_ps(finish.high[c]));
    _mm512_add_epi32(_mm512_castps_si512(sum), _mm512_set1_epi32(0x8000))
}
