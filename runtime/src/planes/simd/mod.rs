//! Code for the instructions that a processor has: all of a conversion compiled for each set, and what compilers do not
//! find by themselves written out.

use super::finish::Finish;
use super::memory::Element;
use super::sampling::ColumnTable;
use half::bf16;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;

#[cfg(target_arch = "x86_64")]
use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
use avx512::Avx512;
use portable::Portable;

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
            let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            if avx2
                && is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
            {
                return &[Isa::Portable, Isa::Avx2, Isa::Avx512];
            }
            if avx2 {
                return &[Isa::Portable, Isa::Avx2];
            }
        }
        &[Isa::Portable]
    }

    /// Does the work with these instructions.
    pub fn run<W: Work>(self, work: W) {
        match self {
            Isa::Portable => Portable::run(work),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => Avx2::run(work),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => Avx512::run(work),
        }
    }
}

/// Something to be compiled for each set of instructions. All in it that matters is `#[inline(always)]`, so it takes on
/// the instructions of the function it lands in.
pub(super) trait Work {
    fn run<S: Simd>(self);
}

/// One set of instructions. But for `Portable`, the types that implement it are named only by an [`Isa`], which comes from
/// `Isa::available`, and by code that such an `Isa` runs: where they are at work, the processor has been asked.
pub(super) trait Simd {
    /// Whether a product and a sum are one instruction; where they are not, asking for one would be a call.
    const FUSED: bool;

    /// Calls a copy of the work that is compiled for these instructions, and stands by itself.
    fn run<W: Work>(work: W);

    /// `out[i] = row[left[i]] * weight + row[left[i] + 1] * weight`, in 1/128 of a level, rounded down. `out` is at least as
    /// long as the table, and `row` goes on for a window after its last sample.
    fn look_up(row: &[i16], table: &ColumnTable, out: &mut [i16]);

    /// Between two rows, `weight` in 1/32768 of the way, rounded to nearest. All are of one length.
    fn between(rows: [&[i16]; 2], weight: i16, out: &mut [i16]);

    /// Makes pixels of three channels, each at least as long as there are pixels.
    fn interleave<T: Element>(channels: [&[T]; 3], out: &mut [T]);

    /// Does the whole of [`Finish::row`] for the first pixels of a row, and says for how many.
    #[inline(always)]
    fn pixels(_finish: &Finish, _rows: [&[i16]; 3], _out: &mut [bf16]) -> usize {
        0
    }

    /// Has bytes brought nearer that are read soon: rows of several planes in turns are more than processors foresee.
    #[inline(always)]
    fn prefetch(_bytes: &[u8]) {}
}
