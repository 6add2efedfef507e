//! Planes of video frames and tensors, and the ways between them.
//!
//! | from | to | by |
//! |---|---|---|
//! | a frame, or a region of it | a network's input: fitted, colour-converted, normalised | [`Preprocessor`] |
//! | a frame | `[1, C, H, W]` of 0 to 1 at full resolution | [`to_tensor`], [`Preprocessor::full_size`] |
//! | `[1, C, H, W]` of 0 to 1 | a frame in any of the formats | [`write_tensor`] |
//! | a box in network pixels | a box in frame pixels, and back | [`Geometry`] |
//!
//! On the CPU each is one fused pass over the frame, on a single thread; on any other device the bytes are uploaded as
//! they are and torch operators do the rest there. The two agree within 2/255.
//!
//! Conventions, which are those of the libraries that models are trained with:
//! - Pixel centres lie at half coordinates, interpolation is bilinear without antialiasing (`cv2.INTER_LINEAR`,
//!   `F.interpolate(mode="bilinear", align_corners=False)`), edges are repeated.
//! - RGB and grey frames come to the very levels of `cv2.resize`, on the CPU: libraries prepare pictures with it, and a
//!   level more or less moves scores by thousandths.
//! - Chroma samples sit in the centre of the luma samples they belong to, as OpenCV and swscale assume by default.
//!   Y and chroma are interpolated each at its own resolution, and only what reaches the network is colour-converted.
//!   At full size chroma is repeated, not interpolated, so that the mean taken on the way back restores it exactly.
//! - Matrix and range come from the frame's description, also for RGB and grey frames of limited range.

mod colour;
mod device;
mod finish;
mod format;
mod geometry;
mod kernels;
mod memory;
mod pack;
mod preprocess;
mod sampler;
mod sampling;
mod simd;
mod view;

#[cfg(test)]
mod tests;

pub use format::{FrameInfo, Matrix, PixelFormat, Range};
pub use geometry::{Fit, Geometry, Rect};
pub use memory::{Element, Layout, channels_last, numbers, numbers_mut};
pub use preprocess::{Colour, InputSpec, Preprocessor, to_tensor, write_tensor};
pub use view::{Planes, PlanesMut};

/// What is wrong with a frame, a description of an input, or a tensor.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    #[error("{0} is not a frame size: each side must be 1 to {max}", max = format::MAX_SIDE)]
    FrameSize(FrameInfo),
    #[error("a frame of {info} has {expected} plane(s), got {got}")]
    PlaneCount { info: FrameInfo, expected: usize, got: usize },
    #[error("plane {plane} of {info}: a stride of at least {expected} bytes is needed, got {got}")]
    Stride { info: FrameInfo, plane: usize, expected: usize, got: usize },
    #[error("plane {plane} of {info}: {expected} bytes expected ({rows} rows, stride {stride}), got {got}")]
    Truncated { info: FrameInfo, plane: usize, rows: usize, stride: usize, expected: usize, got: usize },
    #[error("set up for frames of {expected}, got one of {got}")]
    Frame { expected: FrameInfo, got: FrameInfo },
    #[error("region {region} does not lie inside a frame of {info}")]
    Region { region: Rect, info: FrameInfo },
    #[error("network input: {0}")]
    Input(String),
    #[error("tensor: expected {expected}, got {got}")]
    Tensor { expected: String, got: String },
    #[error("{0:?} is not a pixel format: one of RGB, BGR, RGBA, BGRA, RGBx, BGRx, GRAY8, I420, NV12, YUY2")]
    UnknownFormat(String),
    #[error("libtorch: {0}")]
    Torch(String),
}

/// A result of this module.
pub type Result<T> = std::result::Result<T, Error>;

impl From<tch::TchError> for Error {
    /// Keeps the first line: the full text can be a megabyte of backtrace and tensor.
    fn from(error: tch::TchError) -> Self {
        let text = error.to_string();
        let first = text.lines().next().unwrap_or("unknown error");
        Error::Torch(first.chars().take(300).collect())
    }
}
