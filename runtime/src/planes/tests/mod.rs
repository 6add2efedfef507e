//! The conversions against plain scalar formulas, in every format, at awkward sizes, and against each other.

use tch::{Device, Kind, Tensor};

mod errors;
mod input;
mod output;

use super::*;

/// A frame with a padded stride and numbers from a generator, kept where RGB can follow if `tame`.
struct Frame {
    info: FrameInfo,
    planes: Vec<(Vec<u8>, usize)>,
}

impl Frame {
    fn new(info: FrameInfo, padding: usize, tame: bool) -> Self {
        let mut state = 12345_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        let plane = |plane| {
            let stride = info.row_bytes(plane) + padding;
            let bytes = (0..stride * info.rows(plane)).map(|i| {
                let chroma = plane > 0 || info.format == PixelFormat::Yuy2 && (i % stride) % 2 == 1;
                match (tame, chroma) {
                    (false, _) => next(),
                    (true, true) => 108 + next() % 40,
                    (true, false) => 80 + next() % 90,
                }
            });
            (bytes.collect(), stride)
        };
        Frame { info, planes: (0..info.format.planes()).map(plane).collect() }
    }

    fn planes(&self) -> Planes<'_> {
        let planes: Vec<_> = self.planes.iter().map(|(data, stride)| (&data[..], *stride)).collect();
        Planes::new(self.info, &planes).unwrap()
    }

    fn planes_mut(&mut self) -> PlanesMut<'_> {
        PlanesMut::from_planes(self.info, self.planes.iter_mut().map(|(data, stride)| (&mut data[..], *stride)))
            .unwrap()
    }

    /// Sample `k` (Y, U, V; R, G, B) of the sample grid at (x, y), by each format's own definition.
    fn sample(&self, k: usize, x: usize, y: usize) -> f64 {
        let at = |plane: usize, byte: usize| f64::from(self.planes[plane].0[y * self.planes[plane].1 + byte]);
        match self.info.format {
            PixelFormat::Rgb => at(0, 3 * x + k),
            PixelFormat::Bgr => at(0, 3 * x + 2 - k),
            PixelFormat::Rgba | PixelFormat::Rgbx => at(0, 4 * x + k),
            PixelFormat::Bgra | PixelFormat::Bgrx => at(0, 4 * x + 2 - k),
            PixelFormat::Gray8 => at(0, x),
            PixelFormat::I420 => at(k, x),
            PixelFormat::Nv12 if k == 0 => at(0, x),
            PixelFormat::Nv12 => at(1, 2 * x + k - 1),
            PixelFormat::Yuy2 if k == 0 => at(0, 2 * x),
            PixelFormat::Yuy2 => at(0, 4 * x + 2 * k - 1),
        }
    }

    /// Sample `k` interpolated at a place in pixels, each grid at its own resolution.
    fn interpolated(&self, k: usize, x: f64, y: f64) -> f64 {
        let (across, down) = if k > 0 { self.info.format.chroma_step() } else { (1, 1) };
        let split = |at: f64, step: usize, len: usize| {
            let last = len.div_ceil(step) - 1;
            let at = (at / step as f64 - 0.5).clamp(0.0, last as f64);
            (at as usize, (at as usize + 1).min(last), at.fract())
        };
        let (x0, x1, fx) = split(x, across, self.info.width);
        let (y0, y1, fy) = split(y, down, self.info.height);
        let row = |y| self.sample(k, x0, y) * (1.0 - fx) + self.sample(k, x1, y) * fx;
        row(y0) * (1.0 - fy) + row(y1) * fy
    }

    /// RGB levels from three samples, with the constants as BT.601, BT.709 and BT.2020 tabulate them.
    fn rgb(&self, [a, b, c]: [f64; 3]) -> [f64; 3] {
        let limited = self.info.range == Range::Limited;
        let luma = |v: f64| if limited { (v - 16.0) / 219.0 * 255.0 } else { v };
        if !self.info.format.is_yuv() {
            return [a, b, c].map(|v| luma(v).clamp(0.0, 255.0));
        }
        let chroma = |v: f64| {
            if limited { (v - 128.0) / 224.0 * 255.0 } else { v - 128.0 }
        };
        let (y, u, v) = (luma(a), chroma(b), chroma(c));
        let [rv, gu, gv, bu] = match self.info.matrix {
            Matrix::Bt601 => [1.402, 0.344_136, 0.714_136, 1.772],
            Matrix::Bt709 => [1.5748, 0.187_324, 0.468_124, 1.8556],
            Matrix::Bt2020 => [1.4746, 0.164_553, 0.571_353, 1.8814],
        };
        [y + rv * v, y - gu * u - gv * v, y + bu * u].map(|v| v.clamp(0.0, 255.0))
    }

    /// RGB levels at a place in pixels.
    fn rgb_at(&self, x: f64, y: f64) -> [f64; 3] {
        self.rgb([0, 1, 2].map(|k| self.interpolated(k, x, y)))
    }
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    Vec::try_from(tensor.to_device(Device::Cpu).to_kind(Kind::Float).contiguous().flatten(0, -1)).unwrap()
}

/// Largest difference of two tensors.
fn apart(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.size(), b.size());
    (a.to_kind(Kind::Float) - b.to_kind(Kind::Float)).abs().max().double_value(&[])
}

fn variants(format: PixelFormat, width: usize, height: usize) -> Vec<FrameInfo> {
    let matrices: &[Matrix] =
        if format.is_yuv() { &[Matrix::Bt601, Matrix::Bt709, Matrix::Bt2020] } else { &[Matrix::Bt601] };
    let info = |matrix, range| FrameInfo { format, width, height, matrix, range };
    matrices.iter().flat_map(|m| [info(*m, Range::Full), info(*m, Range::Limited)]).collect()
}

const SIZES: [(usize, usize); 5] = [(1, 1), (17, 31), (4097, 3), (128, 72), (66, 130)];
