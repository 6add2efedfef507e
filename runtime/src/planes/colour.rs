//! Colour conversions as one matrix each: between what a frame's bytes hold and full-range RGB levels, 0 to 255.

use super::format::Packing;
use super::{FrameInfo, Matrix, Range};

/// `out = m * in + b`, over three components.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Affine {
    pub m: [[f64; 3]; 3],
    pub b: [f64; 3],
}

impl Affine {
    /// `self` after `first`.
    pub fn after(&self, first: &Affine) -> Affine {
        let m = std::array::from_fn(|i| std::array::from_fn(|j| (0..3).map(|k| self.m[i][k] * first.m[k][j]).sum()));
        let b = std::array::from_fn(|i| (0..3).map(|k| self.m[i][k] * first.b[k]).sum::<f64>() + self.b[i]);
        Affine { m, b }
    }

    /// Each component by itself: `scale * in + shift`.
    pub fn diagonal(scale: [f64; 3], shift: [f64; 3]) -> Affine {
        Affine { m: std::array::from_fn(|i| std::array::from_fn(|j| if i == j { scale[i] } else { 0.0 })), b: shift }
    }

    /// Red and blue exchanged.
    pub fn swap_red_blue() -> Affine {
        Affine { m: [[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]], b: [0.0; 3] }
    }

    fn inverse(&self) -> Affine {
        let m = &self.m;
        let minor = |r: usize, c: usize| {
            let (r1, r2, c1, c2) = ((r + 1) % 3, (r + 2) % 3, (c + 1) % 3, (c + 2) % 3);
            m[r1][c1] * m[r2][c2] - m[r1][c2] * m[r2][c1]
        };
        let det: f64 = (0..3).map(|c| m[0][c] * minor(0, c)).sum();
        let inverse = Affine { m: std::array::from_fn(|r| std::array::from_fn(|c| minor(c, r) / det)), b: [0.0; 3] };
        let shift = inverse.after(&Affine { b: self.b, ..Affine::diagonal([1.0; 3], [0.0; 3]) }).b;
        Affine { b: shift.map(|v| -v), ..inverse }
    }
}

/// Red's, green's and blue's part in luma.
pub(super) fn luma_weights(matrix: Matrix) -> [f64; 3] {
    let (red, blue) = match matrix {
        Matrix::Bt601 => (0.299, 0.114),
        Matrix::Bt709 => (0.2126, 0.0722),
        Matrix::Bt2020 => (0.2627, 0.0593),
    };
    [red, 1.0 - red - blue, blue]
}

/// From a frame's bytes, in the order they have in memory (Y, U, V; or R, G, B; or B, G, R), to RGB levels. A grey
/// frame has its one component in all three places.
pub(super) fn to_rgb(info: &FrameInfo) -> Affine {
    // Limited range: 219 steps from 16 for luma, grey and RGB, 224 steps around 128 for chroma.
    let (zero, gain, chroma_gain) = match info.range {
        Range::Full => (0.0, 1.0, 1.0),
        Range::Limited => (16.0, 255.0 / 219.0, 255.0 / 224.0),
    };
    let expand = Affine::diagonal([gain; 3], [-zero * gain; 3]);
    match info.format.packing() {
        Packing::Gray | Packing::Packed { blue_first: false, .. } => expand,
        Packing::Packed { blue_first: true, .. } => expand.after(&Affine::swap_red_blue()),
        Packing::Planar | Packing::SemiPlanar | Packing::Yuy2 => {
            let [red, green, blue] = luma_weights(info.matrix);
            let (from_v, from_u) = (2.0 * (1.0 - red), 2.0 * (1.0 - blue));
            let matrix = Affine {
                m: [[1.0, 0.0, from_v], [1.0, -from_u * blue / green, -from_v * red / green], [1.0, from_u, 0.0]],
                b: [0.0; 3],
            };
            let centre = -128.0 * chroma_gain;
            matrix.after(&Affine::diagonal([gain, chroma_gain, chroma_gain], [-zero * gain, centre, centre]))
        }
    }
}

/// From RGB levels to a frame's bytes: the way back from [`to_rgb`]. A grey frame's byte is BT.601's luma, as OpenCV's.
pub(super) fn from_rgb(info: &FrameInfo) -> Affine {
    let back = to_rgb(info).inverse();
    if info.format.packing() == Packing::Gray { back.after(&gray(Matrix::Bt601)) } else { back }
}

/// From RGB to the luma that the matrix defines, in all three places.
pub(super) fn gray(matrix: Matrix) -> Affine {
    Affine { m: [luma_weights(matrix); 3], b: [0.0; 3] }
}

#[cfg(test)]
mod tests {
    use super::super::PixelFormat;
    use super::*;

    fn apply(a: &Affine, v: [f64; 3]) -> [f64; 3] {
        std::array::from_fn(|i| (0..3).map(|j| a.m[i][j] * v[j]).sum::<f64>() + a.b[i])
    }

    #[test]
    fn opencv_constants_come_out_for_bt601_limited() {
        let info = FrameInfo { matrix: Matrix::Bt601, ..FrameInfo::new(PixelFormat::I420, 2, 2) };
        let m = to_rgb(&info).m;
        for (got, expected) in
            [(m[0][0], 1.164), (m[0][2], 1.596), (m[1][1], -0.392), (m[1][2], -0.813), (m[2][1], 2.017)]
        {
            assert!((got - expected).abs() < 6e-4, "{got} for {expected}");
        }
    }

    #[test]
    fn black_and_white_are_black_and_white() {
        for matrix in [Matrix::Bt601, Matrix::Bt709, Matrix::Bt2020] {
            for (range, black, white) in [(Range::Limited, 16.0, 235.0), (Range::Full, 0.0, 255.0)] {
                let info = FrameInfo { matrix, range, ..FrameInfo::new(PixelFormat::Nv12, 2, 2) };
                for (luma, level) in [(black, 0.0), (white, 255.0)] {
                    let rgb = apply(&to_rgb(&info), [luma, 128.0, 128.0]);
                    assert!(rgb.iter().all(|v| (v - level).abs() < 1e-9), "{info}: {rgb:?}");
                }
            }
        }
    }

    #[test]
    fn the_way_back_inverts() {
        for format in PixelFormat::ALL.into_iter().filter(|f| *f != PixelFormat::Gray8) {
            for range in [Range::Full, Range::Limited] {
                let info = FrameInfo { range, ..FrameInfo::new(format, 2, 2) };
                let back = apply(&from_rgb(&info), apply(&to_rgb(&info), [90.0, 120.0, 200.0]));
                for (a, b) in [90.0, 120.0, 200.0].iter().zip(back) {
                    assert!((a - b).abs() < 1e-9, "{info}: {back:?}");
                }
            }
        }
    }
}
