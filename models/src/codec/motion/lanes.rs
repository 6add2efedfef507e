//! Eight numbers of 16 bits at a time, which filters and transforms are written in. On x86-64 they are the SSE2 that every
//! such machine has; compilers make a several times slower mixture out of plain loops. Elsewhere they are plain arrays.
//! Both give the same to the bit.

#[cfg(not(target_arch = "x86_64"))]
pub use plain::{Lanes, Quads};
#[cfg(target_arch = "x86_64")]
pub use sse2::{Lanes, Quads};

#[cfg(target_arch = "x86_64")]
mod sse2 {
    use std::arch::x86_64::*;

    macro_rules! sse2 {
        ($what:expr) => {
            // SAFETY: these touch no memory, and want nothing but SSE2, which is part of x86-64.
            unsafe { $what }
        };
    }

    /// Eight of 16 bits.
    #[derive(Clone, Copy)]
    pub struct Lanes(__m128i);

    /// Four of 32 bits.
    #[derive(Clone, Copy)]
    pub struct Quads(__m128i);

    impl Lanes {
        #[inline(always)]
        pub fn splat(value: i16) -> Self {
            sse2!(Lanes(_mm_set1_epi16(value)))
        }

        /// Two alternately.
        #[inline(always)]
        pub fn alternate(even: i16, odd: i16) -> Self {
            sse2!(Lanes(_mm_set1_epi32(i32::from(odd) << 16 | i32::from(even as u16))))
        }

        /// From 8 samples.
        #[inline(always)]
        pub fn widen(samples: [u8; 8]) -> Self {
            sse2!({
                let samples = _mm_cvtsi64_si128(i64::from_le_bytes(samples));
                Lanes(_mm_unpacklo_epi8(samples, _mm_setzero_si128()))
            })
        }

        #[inline(always)]
        pub fn plus(self, other: Self) -> Self {
            sse2!(Lanes(_mm_add_epi16(self.0, other.0)))
        }

        #[inline(always)]
        pub fn minus(self, other: Self) -> Self {
            sse2!(Lanes(_mm_sub_epi16(self.0, other.0)))
        }

        #[inline(always)]
        pub fn times(self, other: Self) -> Self {
            sse2!(Lanes(_mm_mullo_epi16(self.0, other.0)))
        }

        #[inline(always)]
        pub fn halved<const TIMES: i32>(self) -> Self {
            sse2!(Lanes(_mm_srai_epi16::<TIMES>(self.0)))
        }

        #[inline(always)]
        pub fn abs(self) -> Self {
            sse2!(Lanes(_mm_max_epi16(self.0, _mm_sub_epi16(_mm_setzero_si128(), self.0))))
        }

        #[inline(always)]
        pub fn max(self, other: Self) -> Self {
            sse2!(Lanes(_mm_max_epi16(self.0, other.0)))
        }

        /// What exceeds another, zero where nothing does, of numbers without sign.
        #[inline(always)]
        pub fn beyond(self, other: Self) -> Self {
            sse2!(Lanes(_mm_subs_epu16(self.0, other.0)))
        }

        /// The first halves of two alternately, and the second halves.
        #[inline(always)]
        pub fn interleave(self, other: Self) -> (Self, Self) {
            sse2!((Lanes(_mm_unpacklo_epi16(self.0, other.0)), Lanes(_mm_unpackhi_epi16(self.0, other.0))))
        }

        /// Products, of each two neighbours added up.
        #[inline(always)]
        pub fn dot(self, other: Self) -> Quads {
            sse2!(Quads(_mm_madd_epi16(self.0, other.0)))
        }

        /// Clipped to 8 bits.
        #[inline(always)]
        pub fn clip(self) -> [u8; 8] {
            sse2!(_mm_cvtsi128_si64(_mm_packus_epi16(self.0, self.0)).to_le_bytes())
        }
    }

    impl Quads {
        /// Absolute differences of 8 samples, summed up somehow.
        #[inline(always)]
        pub fn apart8(a: [u8; 8], b: [u8; 8]) -> Self {
            let load = |samples| i64::from_le_bytes(samples);
            Quads(sse2!(_mm_sad_epu8(_mm_cvtsi64_si128(load(a)), _mm_cvtsi64_si128(load(b)))))
        }

        /// The same of 16.
        #[inline(always)]
        pub fn apart16(a: [u8; 16], b: [u8; 16]) -> Self {
            // SAFETY: both are 16 bytes of plain data, of any value.
            let load = |samples: [u8; 16]| unsafe { std::mem::transmute::<[u8; 16], __m128i>(samples) };
            Quads(sse2!(_mm_sad_epu8(load(a), load(b))))
        }

        #[inline(always)]
        pub fn splat(value: i32) -> Self {
            sse2!(Quads(_mm_set1_epi32(value)))
        }

        #[inline(always)]
        pub fn plus(self, other: Self) -> Self {
            sse2!(Quads(_mm_add_epi32(self.0, other.0)))
        }

        #[inline(always)]
        pub fn halved<const TIMES: i32>(self) -> Self {
            sse2!(Quads(_mm_srai_epi32::<TIMES>(self.0)))
        }

        /// These, then others, which fit into 16 bits.
        #[inline(always)]
        pub fn narrow(self, other: Self) -> Lanes {
            sse2!(Lanes(_mm_packs_epi32(self.0, other.0)))
        }

        #[inline(always)]
        pub fn total(self) -> i32 {
            sse2!({
                let halves = _mm_add_epi32(self.0, _mm_unpackhi_epi64(self.0, self.0));
                _mm_cvtsi128_si32(_mm_add_epi32(halves, _mm_shuffle_epi32::<1>(halves)))
            })
        }
    }
}

#[cfg(any(test, not(target_arch = "x86_64")))]
mod plain {
    use std::array::from_fn;

    #[derive(Clone, Copy)]
    pub struct Lanes([i16; 8]);

    #[derive(Clone, Copy)]
    pub struct Quads([i32; 4]);

    impl Lanes {
        #[inline(always)]
        pub fn splat(value: i16) -> Self {
            Lanes([value; 8])
        }

        #[inline(always)]
        pub fn alternate(even: i16, odd: i16) -> Self {
            Lanes(from_fn(|i| if i % 2 == 0 { even } else { odd }))
        }

        #[inline(always)]
        pub fn widen(samples: [u8; 8]) -> Self {
            Lanes(samples.map(i16::from))
        }

        #[inline(always)]
        pub fn plus(self, other: Self) -> Self {
            Lanes(from_fn(|i| self.0[i].wrapping_add(other.0[i])))
        }

        #[inline(always)]
        pub fn minus(self, other: Self) -> Self {
            Lanes(from_fn(|i| self.0[i].wrapping_sub(other.0[i])))
        }

        #[inline(always)]
        pub fn times(self, other: Self) -> Self {
            Lanes(from_fn(|i| self.0[i].wrapping_mul(other.0[i])))
        }

        #[inline(always)]
        pub fn halved<const TIMES: i32>(self) -> Self {
            Lanes(self.0.map(|value| value >> TIMES))
        }

        #[inline(always)]
        pub fn abs(self) -> Self {
            Lanes(self.0.map(i16::wrapping_abs))
        }

        #[inline(always)]
        pub fn max(self, other: Self) -> Self {
            Lanes(from_fn(|i| self.0[i].max(other.0[i])))
        }

        #[inline(always)]
        pub fn beyond(self, other: Self) -> Self {
            Lanes(from_fn(|i| (self.0[i] as u16).saturating_sub(other.0[i] as u16) as i16))
        }

        #[inline(always)]
        pub fn interleave(self, other: Self) -> (Self, Self) {
            let half = |from: usize| Lanes(from_fn(|i| [self, other][i % 2].0[from + i / 2]));
            (half(0), half(4))
        }

        #[inline(always)]
        pub fn dot(self, other: Self) -> Quads {
            let product = |i: usize| i32::from(self.0[i]) * i32::from(other.0[i]);
            Quads(from_fn(|i| product(2 * i).wrapping_add(product(2 * i + 1))))
        }

        #[inline(always)]
        pub fn clip(self) -> [u8; 8] {
            self.0.map(|value| value.clamp(0, 255) as u8)
        }
    }

    impl Quads {
        /// Absolute differences of 8 samples, summed up somehow.
        #[inline(always)]
        pub fn apart8(a: [u8; 8], b: [u8; 8]) -> Self {
            let apart = |i: usize| i32::from(a[i].abs_diff(b[i]));
            Quads(from_fn(|i| apart(2 * i) + apart(2 * i + 1)))
        }

        /// The same of 16.
        #[inline(always)]
        pub fn apart16(a: [u8; 16], b: [u8; 16]) -> Self {
            let apart = |i: usize| i32::from(a[i].abs_diff(b[i]));
            Quads(from_fn(|i| apart(4 * i) + apart(4 * i + 1) + apart(4 * i + 2) + apart(4 * i + 3)))
        }

        #[inline(always)]
        pub fn splat(value: i32) -> Self {
            Quads([value; 4])
        }

        #[inline(always)]
        pub fn plus(self, other: Self) -> Self {
            Quads(from_fn(|i| self.0[i].wrapping_add(other.0[i])))
        }

        #[inline(always)]
        pub fn halved<const TIMES: i32>(self) -> Self {
            Quads(self.0.map(|value| value >> TIMES))
        }

        #[inline(always)]
        pub fn narrow(self, other: Self) -> Lanes {
            Lanes(from_fn(|i| if i < 4 { self.0[i] } else { other.0[i - 4] }.clamp(-32768, 32767) as i16))
        }

        #[inline(always)]
        pub fn total(self) -> i32 {
            self.0.into_iter().fold(0, i32::wrapping_add)
        }
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    /// Everything that lanes can do, as 8 bits and sums that depend on each lane.
    macro_rules! exercise {
        ($kind:ident, $a:expr, $b:expr, $factor:expr) => {{
            use super::$kind::{Lanes, Quads};
            // Numbers over all of 16 bits.
            let big = |samples: [u8; 8]| {
                let wide = Lanes::widen(samples);
                wide.times(Lanes::splat(257)).plus(Lanes::alternate(-9, 17))
            };
            let (a, b) = (big($a), big($b));
            let (low, high) = a.interleave(b);
            let weights = big([3, 1, 4, 1, 5, 9, 2, 6]);
            let apart =
                (Quads::apart8($a, $b).total(), Quads::apart16([$a, $b].concat().try_into().unwrap(), [3; 16]).total());
            let mut seen = vec![([0; 8], [0; 8], apart.0 + (apart.1 << 16))];
            for lanes in [
                a.plus(b),
                a.minus(b),
                a.times(b),
                a.halved::<6>(),
                a.abs(),
                a.max(b),
                a.beyond(b),
                low,
                high,
                a.dot(b).halved::<12>().narrow(b.dot(a).plus(Quads::splat($factor))),
            ] {
                seen.push((lanes.clip(), lanes.halved::<7>().clip(), lanes.dot(weights).total()));
            }
            seen
        }};
    }

    #[test]
    fn vector_instructions_do_what_plain_arrays_do() {
        let mut state = 1u64;
        let mut next = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state ^ state >> 29).to_le_bytes()
        };
        for round in 0..1000 {
            let (a, b, factor) = (next(), if round == 0 { [128; 8] } else { next() }, i32::from(next()[3]) << 23);
            assert_eq!(exercise!(sse2, a, b, factor), exercise!(plain, a, b, factor));
        }
    }
}
