//! A tensor's memory as rows of numbers: the one place where this module touches raw tensor memory.

use half::{bf16, f16};
use tch::{Device, Kind, TchError, Tensor};

use super::{Error, Result};

/// How the numbers of a picture lie in a tensor's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layout {
    /// Channel after channel (NCHW, what libtorch calls contiguous).
    Contiguous,
    /// Pixel after pixel (NHWC in memory, behind the same NCHW shape).
    ChannelsLast,
}

/// The same `(N, C, H, W)` with pixel after pixel in memory, in which convolutions take it and give it on a CPU.
///
/// # Errors
/// When it has other than four dimensions, or libtorch fails.
pub fn channels_last(x: &Tensor) -> std::result::Result<Tensor, TchError> {
    x.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_permute([0, 3, 1, 2])
}

/// The numbers of a contiguous tensor on the CPU, in the order of its dimensions.
///
/// # Errors
/// When it is another, or of another kind than `T`.
pub fn numbers_mut<T: Element>(tensor: &mut Tensor) -> Result<&mut [T]> {
    check::<T>(tensor)?;
    // SAFETY: dense, of this type and in this process's memory, all checked above; the borrow is exclusive. Other tensors
    // may share the memory, as everywhere in tch: whoever has one of those in another thread must not write there.
    Ok(unsafe { std::slice::from_raw_parts_mut(tensor.data_ptr().cast::<T>(), tensor.numel()) })
}

/// The same, to be read.
///
/// # Errors
/// As those of [`numbers_mut`].
pub fn numbers<T: Element>(tensor: &Tensor) -> Result<&[T]> {
    check::<T>(tensor)?;
    // SAFETY: as in `numbers_mut`.
    Ok(unsafe { std::slice::from_raw_parts(tensor.data_ptr().cast::<T>(), tensor.numel()) })
}

fn check<T: Element>(tensor: &Tensor) -> Result<()> {
    let fits =
        tensor.defined() && tensor.device() == Device::Cpu && tensor.f_kind()? == T::KIND && tensor.is_contiguous();
    if fits {
        return Ok(());
    }
    let expected = format!("a contiguous tensor of {:?} on the CPU", T::KIND);
    Err(Error::Tensor { expected, got: format!("{tensor:?}").chars().take(80).collect() })
}

mod sealed {
    /// No other type is laid out as a tensor's numbers are.
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for half::bf16 {}
    impl Sealed for half::f16 {}
    impl Sealed for u8 {}
}

/// A number that a tensor can hold.
pub trait Element: sealed::Sealed + Copy + Default + PartialEq {
    const KIND: Kind;
    /// The nearest, of numbers that are not NaN.
    fn from_f32(v: f32) -> Self;
    fn to_f32(self) -> f32;

    /// The same numbers, where they are of this kind.
    #[inline(always)]
    fn as_bf16(_numbers: &mut [Self]) -> Option<&mut [bf16]> {
        None
    }
}

impl Element for f32 {
    const KIND: Kind = Kind::Float;
    #[inline(always)]
    fn from_f32(v: f32) -> Self {
        v
    }
    #[inline(always)]
    fn to_f32(self) -> f32 {
        self
    }
}

impl Element for bf16 {
    const KIND: Kind = Kind::BFloat16;
    /// Rounds to nearest; the middle, which hardly ever comes, away from 0, which takes half as many instructions as to
    /// even. There are no NaNs here.
    #[inline(always)]
    fn from_f32(v: f32) -> Self {
        bf16::from_bits(((v.to_bits() + 0x8000) >> 16) as u16)
    }
    #[inline(always)]
    fn to_f32(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }
    #[inline(always)]
    fn as_bf16(numbers: &mut [bf16]) -> Option<&mut [bf16]> {
        Some(numbers)
    }
}

impl Element for f16 {
    const KIND: Kind = Kind::Half;
    /// Rounds to nearest even, without branches for the same reason. Subnormal results are rounded by the addition of a
    /// number so large that what is too small falls off its end; what is too large becomes infinite.
    #[inline(always)]
    fn from_f32(v: f32) -> Self {
        const SUBNORMAL: u32 = 126 << 23;
        let sign = v.to_bits() & 0x8000_0000;
        let bits = v.to_bits() ^ sign;
        let small = (f32::from_bits(bits) + f32::from_bits(SUBNORMAL)).to_bits().wrapping_sub(SUBNORMAL);
        let normal = bits.wrapping_sub(112 << 23).wrapping_add(0xfff + ((bits >> 13) & 1)) >> 13;
        let magnitude = if bits < 113 << 23 { small } else { normal };
        let magnitude = if bits >= 143 << 23 { 0x7c00 } else { magnitude };
        f16::from_bits((magnitude | (sign >> 16)) as u16)
    }
    #[inline(always)]
    fn to_f32(self) -> f32 {
        let bits = u32::from(self.to_bits());
        // Shifted into place the exponent is 112 short, which a multiplication makes up, for subnormals too.
        let magnitude = f32::from_bits((bits & 0x7fff) << 13) * f32::from_bits((127 + 112) << 23);
        f32::from_bits(magnitude.to_bits() | ((bits & 0x8000) << 16))
    }
}

impl Element for u8 {
    const KIND: Kind = Kind::Uint8;
    /// The nearest of 0 to 255, to which `v` has to be held: from 2^23 on a float's last bit counts ones, so adding that
    /// rounds and leaves the integer in the low bits. A cast would have to saturate, which does not vectorise.
    #[inline(always)]
    fn from_f32(v: f32) -> Self {
        (v + 8_388_608.0).to_bits() as u8
    }
    #[inline(always)]
    fn to_f32(self) -> f32 {
        f32::from(self)
    }
}

/// Channels, height, width of a picture `[C, H, W]` or `[1, C, H, W]`, with the strides of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Picture {
    pub shape: [usize; 3],
    strides: [usize; 3],
}

impl Picture {
    /// Checks that a tensor is a picture in the CPU's memory, in either layout, with rows that do not overlap.
    pub fn of(tensor: &Tensor, channels: &[usize]) -> Result<Self> {
        if !tensor.defined() {
            return Err(Error::Tensor { expected: "a picture".to_string(), got: "nothing".to_string() });
        }
        let (size, stride) = (tensor.size(), tensor.stride());
        let wrong = |got: String| {
            let expected = format!("[1, C, H, W] or [C, H, W] on the CPU, of {channels:?} channels, dense rows");
            Err(Error::Tensor { expected, got })
        };
        if tensor.device() != Device::Cpu {
            return wrong(format!("{size:?} on {:?}", tensor.device()));
        }
        let skip = match size.as_slice() {
            [_, _, _] => 0,
            [1, _, _, _] => 1,
            _ => return wrong(format!("{size:?}")),
        };
        let last = |v: &[i64]| -> [usize; 3] { std::array::from_fn(|i| v[skip + i].max(0) as usize) };
        let picture = Picture { shape: last(&size), strides: last(&stride) };
        let ([c, h, w], [sc, sh, sw]) = (picture.shape, picture.strides);
        let dense = match picture.layout() {
            Layout::ChannelsLast => (w < 2 || sw == c) && (h < 2 || sh >= w * c),
            Layout::Contiguous => (w < 2 || sw == 1) && (h < 2 || sh >= w) && (c < 2 || sc >= (h.max(1) - 1) * sh + w),
        };
        if !channels.contains(&c) || h == 0 || w == 0 || !dense {
            return wrong(format!("{size:?} with strides {stride:?}"));
        }
        Ok(picture)
    }

    fn layout(&self) -> Layout {
        let ([c, _, w], [sc, _, sw]) = (self.shape, self.strides);
        if c > 1 && sc == 1 && (sw == c || w < 2) { Layout::ChannelsLast } else { Layout::Contiguous }
    }

    /// Numbers from the first to the last one of the picture.
    fn extent(&self) -> usize {
        self.shape.iter().zip(self.strides).map(|(n, stride)| (n - 1) * stride).sum::<usize>() + 1
    }
}

/// A picture's numbers, to write.
pub(super) struct Pixels<'a, T> {
    data: &'a mut [T],
    picture: Picture,
}

/// One row of a picture, to write.
pub(super) enum RowOut<'a, T> {
    Interleaved(&'a mut [T]),
    /// One slice a channel; those beyond the picture's channels are empty.
    Planar([&'a mut [T]; 3]),
}

impl<'a, T: Element> Pixels<'a, T> {
    /// The memory of `tensor`, for as long as it is borrowed. Its kind is `T`'s.
    pub fn of(tensor: &'a mut Tensor, picture: Picture) -> Self {
        debug_assert_eq!(tensor.f_kind().ok(), Some(T::KIND));
        // SAFETY: shape and strides are the tensor's own, so its storage holds that many numbers of this kind. Nobody
        // else writes to it while it is borrowed: views of one batch that are filled at the same time do not overlap.
        let data = unsafe { std::slice::from_raw_parts_mut(tensor.data_ptr().cast::<T>(), picture.extent()) };
        Pixels { data, picture }
    }

    pub fn channels(&self) -> usize {
        self.picture.shape[0]
    }

    /// Pixels `x..x + n` of row `y`.
    #[inline(always)]
    pub fn row(&mut self, y: usize, x: usize, n: usize) -> RowOut<'_, T> {
        let ([c, _, _], [sc, sh, _]) = (self.picture.shape, self.picture.strides);
        match self.picture.layout() {
            Layout::ChannelsLast => RowOut::Interleaved(&mut self.data[y * sh + x * c..][..n * c]),
            Layout::Contiguous if c == 1 => {
                RowOut::Planar([&mut self.data[y * sh + x..][..n], Default::default(), Default::default()])
            }
            Layout::Contiguous => {
                let (first, rest) = self.data.split_at_mut(sc);
                let (second, third) = rest.split_at_mut(sc);
                RowOut::Planar([first, second, third].map(|channel| &mut channel[y * sh + x..][..n]))
            }
        }
    }

    /// Fills pixels `x..x + n` of row `y` with one colour.
    #[inline(always)]
    pub fn fill(&mut self, y: usize, x: usize, n: usize, colour: [T; 3]) {
        let c = self.channels();
        match self.row(y, x, n) {
            RowOut::Interleaved(row) if colour[..c].iter().all(|v| *v == colour[0]) => row.fill(colour[0]),
            RowOut::Interleaved(row) => row.chunks_exact_mut(c).for_each(|pixel| pixel.copy_from_slice(&colour[..c])),
            RowOut::Planar(rows) => rows.into_iter().zip(colour).for_each(|(row, v)| row.fill(v)),
        }
    }
}

/// A picture's numbers, to read.
pub(super) struct PixelsIn<'a, T> {
    data: &'a [T],
    picture: Picture,
}

impl<'a, T: Element> PixelsIn<'a, T> {
    /// The memory of `tensor`, for as long as it is borrowed. Its kind is `T`'s.
    pub fn of(tensor: &'a Tensor, picture: Picture) -> Self {
        debug_assert_eq!(tensor.f_kind().ok(), Some(T::KIND));
        // SAFETY: as in `Pixels::of`; nobody writes to a tensor that is borrowed to read.
        let data = unsafe { std::slice::from_raw_parts(tensor.data_ptr().cast::<T>(), picture.extent()) };
        PixelsIn { data, picture }
    }

    /// Row `y` as three rows held between 0 and 1; a picture of one channel gives it three times.
    #[inline(always)]
    pub fn read(&self, y: usize, out: &mut [Vec<f32>; 3]) {
        let ([channels, _, w], [sc, sh, _]) = (self.picture.shape, self.picture.strides);
        match self.picture.layout() {
            Layout::Contiguous => {
                for (c, out) in out.iter_mut().enumerate() {
                    let row = &self.data[c % channels * sc + y * sh..][..w];
                    out.iter_mut().zip(row).for_each(|(out, v)| *out = unit(v.to_f32()));
                }
            }
            Layout::ChannelsLast => {
                // Three is the only number of channels that can lie so.
                let [first, second, third] = out;
                let row = self.data[y * sh..][..w * 3].chunks_exact(3);
                for (((a, b), c), v) in first.iter_mut().zip(second).zip(third).zip(row) {
                    (*a, *b, *c) = (unit(v[0].to_f32()), unit(v[1].to_f32()), unit(v[2].to_f32()));
                }
            }
        }
    }
}

/// `v` held between 0 and 1. A NaN, which a network may well produce, becomes 0, where `clamp` would keep it.
#[inline(always)]
fn unit(v: f32) -> f32 {
    let v = if v > 0.0 { v } else { 0.0 };
    if v < 1.0 { v } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conversions_round_as_half_does() {
        let mut v = 1e-8_f32;
        while v < 7e4 {
            for v in [v, -v, v * 1.000_061, v * 1.5] {
                let middle = v.to_bits() & 0xffff == 0x8000;
                assert!(middle || <bf16 as Element>::from_f32(v) == bf16::from_f32(v), "{v}");
                assert_eq!(<f16 as Element>::from_f32(v), f16::from_f32(v), "{v}");
                let half = f16::from_f32(v);
                assert!(half.is_infinite() || <f16 as Element>::to_f32(half) == half.to_f32(), "{v}");
            }
            v *= 1.000_37;
        }
        assert_eq!(<f16 as Element>::from_f32(0.0).to_bits(), 0);
        assert_eq!([0.0, 0.49, 0.51, 1.5, 254.6].map(<u8 as Element>::from_f32), [0, 0, 1, 2, 255]);
    }

    #[test]
    fn odd_tensors_are_refused() {
        let cpu = (Kind::Float, Device::Cpu);
        assert!(Picture::of(&Tensor::zeros([2, 3, 4, 5], cpu), &[1, 3]).is_err());
        assert!(Picture::of(&Tensor::zeros([4, 4, 5], cpu), &[1, 3]).is_err());
        assert!(Picture::of(&Tensor::zeros([3, 4, 10], cpu).slice(2, 0, 10, 2), &[3]).is_err());
        assert!(Picture::of(&Tensor::zeros([3, 1, 5], cpu).expand([3, 4, 5], false), &[3]).is_err());
        let transposed = Tensor::zeros([1, 3, 5, 4], cpu).transpose(2, 3);
        let message = Picture::of(&transposed, &[1, 3]).unwrap_err().to_string();
        assert!(message.contains("[1, 3, 4, 5]"), "{message}");
        assert!(Picture::of(&Tensor::zeros([4, 5, 3], cpu).permute([2, 0, 1]), &[3]).is_ok());
        assert!(Picture::of(&Tensor::zeros([2, 3, 4, 5], cpu).select(0, 1), &[3]).is_ok());
    }
}
