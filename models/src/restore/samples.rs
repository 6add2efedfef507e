//! Pictures as the samples that the networks take, and back.

use tch::{Device, Kind, TchError, Tensor};

use super::{Config, SAMPLES, UNIT};
use crate::codec::picture::{Picture, Plane};

/// A picture of 8-bit 4:2:0 and its size in luma samples. Its planes are a canvas of whole blocks, as motion search wants
/// them; what lies beyond the size repeats the border.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub picture: Picture,
    pub width: usize,
    pub height: usize,
}

impl Frame {
    /// Copies Y, U and V, each a slice and its stride, of a `width` x `height` picture. Chroma has half the size, rounded up.
    ///
    /// # Errors
    /// When a plane has fewer samples than its size says, or the picture is empty.
    pub fn copy(width: usize, height: usize, planes: [(&[u8], usize); 3]) -> Result<Self, String> {
        if width == 0 || height == 0 {
            return Err(format!("a picture of {width}x{height} has no samples"));
        }
        let picture = Picture::grey(width.div_ceil(16), height.div_ceil(16));
        let mut frame = Frame { picture, width, height };
        for (index, (target, (data, stride))) in frame.picture.planes.iter_mut().zip(planes).enumerate() {
            let (width, height) = plane_size(width, height, index);
            if stride < width || data.len() < stride * (height - 1) + width {
                return Err(format!(
                    "plane {index} has {} bytes in rows of {stride}; expected {width}x{height} samples",
                    data.len()
                ));
            }
            for (y, row) in data.chunks(stride).take(height).enumerate() {
                target.row_mut(y)[..width].copy_from_slice(&row[..width]);
            }
            repeat_border(target, width, height);
        }
        Ok(frame)
    }

    /// Other samples for the same size, rows without gaps.
    pub(super) fn set(&mut self, planes: &[Vec<u8>; 3]) {
        for (index, (target, plane)) in self.picture.planes.iter_mut().zip(planes).enumerate() {
            let (width, height) = plane_size(self.width, self.height, index);
            for (y, row) in plane.chunks(width).take(height).enumerate() {
                target.row_mut(y)[..width].copy_from_slice(row);
            }
            repeat_border(target, width, height);
        }
    }

    /// Width and height of the maps of samples: half the luma, rounded up.
    pub fn cells(&self) -> (usize, usize) {
        (self.width.div_ceil(2), self.height.div_ceil(2))
    }

    /// A plane's samples, rows without gaps.
    pub fn plane(&self, index: usize) -> Vec<u8> {
        let (width, height) = plane_size(self.width, self.height, index);
        let plane = &self.picture.planes[index];
        (0..height).flat_map(|y| &plane.row(y)[..width]).copied().collect()
    }
}

fn plane_size(width: usize, height: usize, index: usize) -> (usize, usize) {
    if index == 0 { (width, height) } else { (width.div_ceil(2), height.div_ceil(2)) }
}

/// Fills what lies right of `width` and below `height`.
fn repeat_border(plane: &mut Plane, width: usize, height: usize) {
    for y in 0..height {
        let row = plane.row_mut(y);
        let last = row[width - 1];
        row[width..].fill(last);
    }
    let (above, below) = plane.data.split_at_mut(height * plane.width);
    for row in below.chunks_mut(plane.width) {
        row.copy_from_slice(&above[(height - 1) * plane.width..]);
    }
}

/// The samples of a frame as bytes: luma phases, U, V.
fn put(frame: &Frame, out: &mut Vec<u8>) {
    let (width, height) = frame.cells();
    let luma = &frame.picture.planes[0];
    for phase in 0..4 {
        for y in 0..height {
            let row = &luma.row(2 * y + phase / 2)[..2 * width];
            out.extend(row.chunks_exact(2).map(|pair| pair[phase % 2]));
        }
    }
    for plane in &frame.picture.planes[1..] {
        for y in 0..height {
            out.extend_from_slice(&plane.row(y)[..width]);
        }
    }
}

/// Samples `(N, 6, h, w)` of frames of one size, in `kind`.
///
/// # Errors
/// Where libtorch has no memory.
pub fn of_frames(frames: &[&Frame], kind: Kind) -> Result<Tensor, TchError> {
    let mut bytes = Vec::new();
    for frame in frames {
        put(frame, &mut bytes);
    }
    let (width, height) = frames.first().map_or((0, 0), |f| f.cells());
    let size = [frames.len() as i64, SAMPLES, height as i64, width as i64];
    Tensor::f_from_data_size(&bytes, &size, Kind::Uint8)?.f_to_kind(kind)?.f_mul_scalar(1.0 / UNIT)
}

/// The input of a network, `(1, Config::inputs(), h, w)`: the frame, what was restored before and moved here, and what
/// [`Config::constants`] says with the noise level, in levels of 8 bits. The latter two are ignored where `config` has no place for them.
///
/// # Errors
/// Where libtorch has no memory.
pub fn input(
    config: &Config,
    frame: &Frame,
    history: Option<&Frame>,
    level: f64,
    kind: Kind,
) -> Result<Tensor, TchError> {
    let (width, height) = frame.cells();
    let count = SAMPLES as usize * width * height;
    let mut bytes = Vec::with_capacity(count * 2);
    put(frame, &mut bytes);
    if config.history {
        match history.filter(|h| (h.width, h.height) == (frame.width, frame.height)) {
            Some(history) => put(history, &mut bytes),
            None => bytes.resize(2 * count, 0),
        }
    }
    let size = [1, (bytes.len() / (width * height)) as i64, height as i64, width as i64];
    let pictures = Tensor::f_from_data_size(&bytes, &size, Kind::Uint8)?.f_to_kind(kind)?.f_mul_scalar(1.0 / UNIT)?;
    let constants = config.constants(frame, level);
    if constants.is_empty() {
        return Ok(pictures);
    }
    let constants = Tensor::f_from_slice(&constants)?.f_to_kind(kind)?.f_view([1, -1, 1, 1])?;
    Tensor::f_cat(&[&pictures, &constants.f_expand([1, -1, size[2], size[3]], false)?], 1)
}

/// The frames of samples `(N, 6, h, w)`, rounded and clamped. `width` and `height` are in luma samples.
///
/// # Errors
/// When the maps are not those of that size.
pub fn to_frames(samples: &Tensor, width: usize, height: usize) -> Result<Vec<Frame>, TchError> {
    let (count, channels, rows, columns) = samples.size4()?;
    let (w, h) = (width.div_ceil(2), height.div_ceil(2));
    if (channels, rows, columns) != (SAMPLES, h as i64, w as i64) || w == 0 || h == 0 {
        return Err(TchError::Shape(format!(
            "{:?} are no samples of a {width}x{height} picture; expected (N, 6, {h}, {w})",
            samples.size()
        )));
    }
    let whole = samples.f_detach()?.f_mul_scalar(UNIT)?.f_round()?.f_clamp(0.0, 255.0)?.f_to_kind(Kind::Uint8)?;
    let bytes = Vec::<u8>::try_from(whole.f_to_device(Device::Cpu)?.f_contiguous()?.f_view([-1])?)?;
    let frame = |n: usize| {
        let map = |channel: usize| &bytes[(n * SAMPLES as usize + channel) * w * h..][..w * h];
        let mut picture = Picture::grey(width.div_ceil(16), height.div_ceil(16));
        let [luma, u, v] = &mut picture.planes;
        for (y, across) in (0..2 * h).flat_map(|y| [(y, 0), (y, 1)]) {
            let from = &map(y % 2 * 2 + across)[y / 2 * w..][..w];
            let row = &mut luma.row_mut(y)[..2 * w];
            row.chunks_exact_mut(2).zip(from).for_each(|(pair, &sample)| pair[across] = sample);
        }
        for (plane, channel) in [(u, 4), (v, 5)] {
            for y in 0..h {
                plane.row_mut(y)[..w].copy_from_slice(&map(channel)[y * w..][..w]);
            }
        }
        for (index, plane) in picture.planes.iter_mut().enumerate() {
            let (width, height) = plane_size(width, height, index);
            repeat_border(plane, width, height);
        }
        Frame { picture, width, height }
    };
    Ok((0..count as usize).map(frame).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::restore::Task;

    fn frame(width: usize, height: usize) -> Frame {
        let stride = width + 3;
        let plane = |seed: usize, height: usize| (0..stride * height).map(|i| (i * 7 + seed) as u8).collect::<Vec<_>>();
        let planes = [plane(1, height), plane(2, height.div_ceil(2)), plane(3, height.div_ceil(2))];
        Frame::copy(width, height, [(&planes[0], stride), (&planes[1], stride), (&planes[2], stride)]).unwrap()
    }

    #[test]
    fn there_and_back_at_any_size_and_in_bf16() {
        for (width, height) in [(1, 1), (17, 31), (64, 48), (33, 2)] {
            let frame = frame(width, height);
            for kind in [Kind::Float, Kind::BFloat16] {
                let samples = of_frames(&[&frame, &frame], kind).unwrap();
                assert_eq!(samples.size(), [2, 6, height.div_ceil(2) as i64, width.div_ceil(2) as i64]);
                let back = to_frames(&samples, width, height).unwrap();
                assert!(back[0] == frame && back[1] == frame, "{width}x{height} {kind:?}");
            }
        }
    }

    #[test]
    fn channels_are_those_of_pixel_unshuffle_and_the_last_column_is_repeated() {
        let frame = frame(5, 4);
        let samples = of_frames(&[&frame], Kind::Float).unwrap();
        let luma = frame.picture.planes[0].row(3);
        assert_eq!(samples.double_value(&[0, 2, 1, 1]) * 256.0, f64::from(luma[2]));
        assert_eq!(samples.double_value(&[0, 3, 1, 1]) * 256.0, f64::from(luma[3]));
        // Column 5 is not there.
        assert_eq!(samples.double_value(&[0, 3, 1, 2]) * 256.0, f64::from(luma[4]));
        assert_eq!(samples.double_value(&[0, 5, 0, 2]) * 256.0, f64::from(frame.picture.planes[2].row(0)[2]));
    }

    #[test]
    fn inputs_have_what_the_configuration_asks_for() {
        let (now, before) = (frame(20, 10), frame(20, 10));
        let config = Config::of(Task::Denoise, 1);
        let all = input(&config, &now, Some(&before), 32.0, Kind::Float).unwrap();
        assert_eq!(all.size(), [1, 13, 5, 10]);
        assert_eq!(all.narrow(1, 0, 6), all.narrow(1, 6, 6));
        assert_eq!(all.double_value(&[0, 12, 4, 9]), 0.5);
        let none = input(&config, &now, None, 0.0, Kind::Float).unwrap();
        assert_eq!(none.narrow(1, 6, 7).abs().max().double_value(&[]), 0.0);
        let single = input(&Config::of(Task::Deblock, 1), &now, Some(&before), 32.0, Kind::Float).unwrap();
        assert_eq!(single.size(), [1, 6, 5, 10]);
    }

    #[test]
    fn planes_that_are_too_short_are_refused() {
        let short = [0u8; 10];
        let error = Frame::copy(4, 4, [(&short, 4), (&short, 4), (&short, 4)]).unwrap_err();
        assert!(error.contains("plane 0") && error.contains("4x4"), "{error}");
        assert!(Frame::copy(0, 4, [(&short, 4); 3]).is_err());
        assert!(to_frames(&Tensor::zeros([1, 6, 2, 2], (Kind::Float, Device::Cpu)), 9, 4).is_err());
    }
}
