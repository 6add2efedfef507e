//! What a frame is: pixel format, size, and what its numbers mean.

use std::fmt;
use std::str::FromStr;

use super::{Error, Result};

/// The longest side of a frame. Indices into a row then fit 32 bits with room to spare.
pub(super) const MAX_SIDE: usize = 1 << 16;

/// How the pixels lie in memory. The names are GStreamer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PixelFormat {
    Rgb,
    Bgr,
    Rgba,
    Bgra,
    Rgbx,
    Bgrx,
    Gray8,
    I420,
    Nv12,
    Yuy2,
}

impl PixelFormat {
    pub const ALL: [PixelFormat; 10] = [
        PixelFormat::Rgb,
        PixelFormat::Bgr,
        PixelFormat::Rgba,
        PixelFormat::Bgra,
        PixelFormat::Rgbx,
        PixelFormat::Bgrx,
        PixelFormat::Gray8,
        PixelFormat::I420,
        PixelFormat::Nv12,
        PixelFormat::Yuy2,
    ];

    /// The name that caps use.
    pub fn name(self) -> &'static str {
        match self {
            PixelFormat::Rgb => "RGB",
            PixelFormat::Bgr => "BGR",
            PixelFormat::Rgba => "RGBA",
            PixelFormat::Bgra => "BGRA",
            PixelFormat::Rgbx => "RGBx",
            PixelFormat::Bgrx => "BGRx",
            PixelFormat::Gray8 => "GRAY8",
            PixelFormat::I420 => "I420",
            PixelFormat::Nv12 => "NV12",
            PixelFormat::Yuy2 => "YUY2",
        }
    }

    /// Number of planes, 1 to 3.
    pub fn planes(self) -> usize {
        match self {
            PixelFormat::I420 => 3,
            PixelFormat::Nv12 => 2,
            _ => 1,
        }
    }

    /// Whether the samples are luma and chroma.
    pub fn is_yuv(self) -> bool {
        matches!(self, PixelFormat::I420 | PixelFormat::Nv12 | PixelFormat::Yuy2)
    }

    /// Luma samples per chroma sample, across and down; (1, 1) where there is no chroma.
    pub fn chroma_step(self) -> (usize, usize) {
        match self {
            PixelFormat::I420 | PixelFormat::Nv12 => (2, 2),
            PixelFormat::Yuy2 => (2, 1),
            _ => (1, 1),
        }
    }

    /// How colour samples are laid out.
    pub(super) fn packing(self) -> Packing {
        match self {
            PixelFormat::Rgb => Packing::Packed { step: 3, blue_first: false },
            PixelFormat::Bgr => Packing::Packed { step: 3, blue_first: true },
            PixelFormat::Rgba | PixelFormat::Rgbx => Packing::Packed { step: 4, blue_first: false },
            PixelFormat::Bgra | PixelFormat::Bgrx => Packing::Packed { step: 4, blue_first: true },
            PixelFormat::Gray8 => Packing::Gray,
            PixelFormat::I420 => Packing::Planar,
            PixelFormat::Nv12 => Packing::SemiPlanar,
            PixelFormat::Yuy2 => Packing::Yuy2,
        }
    }
}

impl fmt::Display for PixelFormat {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for PixelFormat {
    type Err = Error;

    /// Takes the name that caps use, as `name` gives it.
    fn from_str(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|format| format.name() == name);
        found.ok_or_else(|| Error::UnknownFormat(name.to_string()))
    }
}

/// The layouts that the conversions tell apart; ten formats come down to five.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    Gray,
    /// `step` bytes a pixel, of which the first three are colour.
    Packed {
        step: usize,
        blue_first: bool,
    },
    /// Y, then U, then V.
    Planar,
    /// Y, then U and V in turns.
    SemiPlanar,
    /// Y U Y V in one plane.
    Yuy2,
}

/// Luma coefficients by the standard that names them (ITU-R BT.601-7, BT.709-6, BT.2020-2 non-constant luminance).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Matrix {
    Bt601,
    Bt709,
    Bt2020,
}

/// Whether 8-bit samples use 0 to 255, or 16 to 235 (chroma 16 to 240).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Range {
    Full,
    Limited,
}

/// All that the conversions need to know about a frame, other than its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FrameInfo {
    pub format: PixelFormat,
    /// In pixels.
    pub width: usize,
    /// In pixels.
    pub height: usize,
    /// Of no account for RGB and grey formats.
    pub matrix: Matrix,
    pub range: Range,
}

impl FrameInfo {
    /// A frame with the colorimetry that GStreamer assumes when caps say none: full range for RGB and grey; limited
    /// range for YUV, with BT.601 up to 576 lines, BT.709 below 2160 and BT.2020 from there.
    pub fn new(format: PixelFormat, width: usize, height: usize) -> Self {
        let matrix = match height {
            0..=576 => Matrix::Bt601,
            577..2160 => Matrix::Bt709,
            _ => Matrix::Bt2020,
        };
        let range = if format.is_yuv() { Range::Limited } else { Range::Full };
        FrameInfo { format, width, height, matrix, range }
    }

    /// Rows of a plane; 0 for a plane that the format does not have.
    pub fn rows(&self, plane: usize) -> usize {
        match (self.format, plane) {
            (_, 0) => self.height,
            (PixelFormat::I420, 1 | 2) | (PixelFormat::Nv12, 1) => self.height.div_ceil(2),
            _ => 0,
        }
    }

    /// Bytes of a row of a plane without padding; 0 for a plane that the format does not have.
    pub fn row_bytes(&self, plane: usize) -> usize {
        let pairs = self.width.div_ceil(2);
        match (self.format, plane) {
            (PixelFormat::Rgb | PixelFormat::Bgr, 0) => self.width * 3,
            (PixelFormat::Rgba | PixelFormat::Bgra | PixelFormat::Rgbx | PixelFormat::Bgrx, 0) => self.width * 4,
            (PixelFormat::Gray8 | PixelFormat::I420 | PixelFormat::Nv12, 0) => self.width,
            (PixelFormat::Yuy2, 0) => pairs * 4,
            (PixelFormat::I420, 1 | 2) => pairs,
            (PixelFormat::Nv12, 1) => pairs * 2,
            _ => 0,
        }
    }

    /// Channels of the tensor that [`to_tensor`](super::to_tensor) makes: 1 for grey, else 3.
    pub fn channels(&self) -> usize {
        if self.format == PixelFormat::Gray8 { 1 } else { 3 }
    }

    pub(super) fn check(&self) -> Result<()> {
        let valid = 1..=MAX_SIDE;
        if valid.contains(&self.width) && valid.contains(&self.height) { Ok(()) } else { Err(Error::FrameSize(*self)) }
    }
}

impl fmt::Display for FrameInfo {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} {}x{}", self.format, self.width, self.height)?;
        if self.format.is_yuv() {
            write!(f, " {:?}", self.matrix)?;
        }
        write!(f, " {:?}", self.range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parse_back() {
        for format in PixelFormat::ALL {
            assert_eq!(format.name().parse(), Ok(format));
        }
        let message = "P010_10LE".parse::<PixelFormat>().unwrap_err().to_string();
        assert!(message.contains("P010_10LE") && message.contains("NV12"), "{message}");
    }

    #[test]
    fn odd_sizes_round_chroma_up() {
        let info = FrameInfo::new(PixelFormat::I420, 17, 31);
        assert_eq!((info.rows(1), info.row_bytes(1), info.row_bytes(3)), (16, 9, 0));
        assert_eq!(FrameInfo::new(PixelFormat::Nv12, 17, 31).row_bytes(1), 18);
        assert_eq!(FrameInfo::new(PixelFormat::Yuy2, 17, 31).row_bytes(0), 36);
    }
}
