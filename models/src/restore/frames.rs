//! Frames of any format as the 4:2:0 pictures of the built-in networks, these as their samples, and back.
//!
//! 4:2:0 planes are taken as they are. Of YUY2 the chroma of two rows is averaged, grey has chroma of no colour; RGB goes
//! through 4:2:0 of the frame's matrix in limited range, which is what the networks were trained on.

use gst_torch_runtime::planes::{
    Colour, Fit, FrameInfo, InputSpec, Layout, PixelFormat, Planes, PlanesMut, Preprocessor, Range, to_tensor,
    write_tensor,
};
use gst_torch_runtime::{Error, Result};
use tch::{Device, Kind};

use super::maps::Maps;
use super::samples::Frame;
use super::{Config, SAMPLES, UNIT};

/// Copies a frame, converted if need be.
pub fn read(frame: &Planes) -> Result<Frame> {
    let FrameInfo { format, width, height, .. } = *frame.info();
    let (across, down) = (width.div_ceil(2), height.div_ceil(2));
    let copy = |planes: [(&[u8], usize); 3]| Frame::copy(width, height, planes).map_err(shape);
    match format {
        PixelFormat::I420 => copy([frame.plane(0), frame.plane(1), frame.plane(2)]),
        PixelFormat::Nv12 => {
            let colour = |offset: usize| -> Vec<u8> {
                (0..down).flat_map(|y| row(frame, 1, y).chunks_exact(2).map(move |pair| pair[offset])).collect()
            };
            copy([frame.plane(0), (&colour(0), across), (&colour(1), across)])
        }
        PixelFormat::Yuy2 => {
            let luma: Vec<u8> =
                (0..height).flat_map(|y| row(frame, 0, y).iter().step_by(2).take(width).copied()).collect();
            let colour = |offset: usize| -> Vec<u8> {
                let mean = |y: usize| {
                    let (above, below) = (row(frame, 0, 2 * y), row(frame, 0, (2 * y + 1).min(height - 1)));
                    let pairs = above.chunks_exact(4).zip(below.chunks_exact(4));
                    pairs.map(move |(a, b)| u16::midpoint(a[offset].into(), u16::from(b[offset]) + 1) as u8)
                };
                (0..down).flat_map(mean).collect()
            };
            copy([(&luma, width), (&colour(1), across), (&colour(3), across)])
        }
        PixelFormat::Gray8 => {
            let neutral = vec![128; across * down];
            copy([frame.plane(0), (&neutral, across), (&neutral, across)])
        }
        _ => {
            let rgb = to_tensor(frame, Device::Cpu, Kind::Float)?;
            let mut yuv = Buffer::new(yuv(frame.info()));
            write_tensor(&rgb, &mut yuv.planes_mut()?)?;
            read(&yuv.planes()?)
        }
    }
}

/// The inverse of [`read`], into a frame of the same size. Alpha and unused bytes become 255.
pub fn write(picture: &Frame, frame: &mut PlanesMut) -> Result<()> {
    let info = *frame.info();
    if (picture.width, picture.height) != (info.width, info.height) {
        return Err(shape(format!("a picture of {}x{} does not fit {info}", picture.width, picture.height)));
    }
    let [luma, u, v] = &picture.picture.planes;
    match info.format {
        PixelFormat::I420 | PixelFormat::Nv12 | PixelFormat::Gray8 => {
            for y in 0..info.height {
                row_mut(frame, 0, y).copy_from_slice(&luma.row(y)[..info.width]);
            }
            for y in 0..info.rows(1) {
                if info.format == PixelFormat::I420 {
                    for (plane, samples) in [(1, u), (2, v)] {
                        let out = row_mut(frame, plane, y);
                        out.copy_from_slice(&samples.row(y)[..out.len()]);
                    }
                } else {
                    let pairs = row_mut(frame, 1, y).as_chunks_mut::<2>().0.iter_mut().zip(u.row(y)).zip(v.row(y));
                    pairs.for_each(|((out, u), v)| *out = [*u, *v]);
                }
            }
        }
        PixelFormat::Yuy2 => {
            for y in 0..info.height {
                // The second luma of an odd row's last pair is the repeated border of the picture.
                let pairs = luma.row(y).as_chunks::<2>().0.iter().zip(u.row(y / 2)).zip(v.row(y / 2));
                for (out, ((luma, u), v)) in row_mut(frame, 0, y).chunks_exact_mut(4).zip(pairs) {
                    out.copy_from_slice(&[luma[0], *u, luma[1], *v]);
                }
            }
        }
        _ => {
            let mut yuv = Buffer::new(yuv(&info));
            write(picture, &mut yuv.planes_mut()?)?;
            // Chroma is interpolated here: repeated, it would show as steps at edges.
            let (width, height) = (info.width, info.height);
            let spec = InputSpec { width, height, colour: Colour::Rgb, fit: Fit::Stretch, ..InputSpec::default() };
            let rgb = Preprocessor::new(&yuv.info, &spec)?;
            let rgb = rgb.run_on(&yuv.planes()?, Device::Cpu, Kind::Float, Layout::Contiguous)?;
            write_tensor(&rgb, frame)?;
        }
    }
    Ok(())
}

/// The 4:2:0 frame that stands for an RGB one.
fn yuv(info: &FrameInfo) -> FrameInfo {
    FrameInfo { format: PixelFormat::I420, range: Range::Limited, ..*info }
}

fn shape(reason: String) -> Error {
    Error::torch("restorer", reason)
}

/// The input of a built-in network, on maps of so many columns and rows: the picture, where there is one the restored `history`,
/// and what [`Config::constants`] says with the noise level, in levels of 8 bits.
pub fn input(
    config: &Config,
    (width, height): (usize, usize),
    picture: &Frame,
    history: Option<&Frame>,
    level: f64,
) -> Maps {
    let mut maps = Maps::zeros(config.inputs() as usize, height, width);
    to_maps(picture, &mut maps, 0);
    if let Some(history) = history {
        to_maps(history, &mut maps, SAMPLES as usize);
    }
    let constants = config.constants(picture, level);
    let first = maps.data.len() - constants.len() * width * height;
    for (plane, constant) in maps.data[first..].chunks_exact_mut(width * height).zip(constants) {
        plane.fill(constant);
    }
    maps
}

/// Writes the samples of a picture to six channels of `maps` from `first` on. Where the maps are larger than the picture,
/// its border is repeated.
fn to_maps(picture: &Frame, maps: &mut Maps, first: usize) {
    let [luma, u, v] = &picture.picture.planes;
    // All that the canvas has is the border of what it shows.
    let row_of = |y: usize, rows: usize| y.min(rows - 1);
    for y in 0..maps.height {
        for below in 0..2 {
            let line = luma.row(row_of(2 * y + below, luma.height)).as_chunks::<2>().0;
            for right in 0..2 {
                spread(line.iter().map(|pair| pair[right]), maps.row_mut(first + 2 * below + right, y));
            }
        }
        for (channel, plane) in [(4, u), (5, v)] {
            spread(plane.row(row_of(y, plane.height)).iter().copied(), maps.row_mut(first + channel, y));
        }
    }
}

fn spread(samples: impl ExactSizeIterator<Item = u8>, out: &mut [f32]) {
    let count = samples.len().min(out.len());
    for (out, sample) in out.iter_mut().zip(samples) {
        *out = f32::from(sample) * (1.0 / UNIT as f32);
    }
    let last = out[count - 1];
    out[count..].fill(last);
}

/// The picture of `width` x `height` whose samples six maps hold: rounded, and held to 8 bits.
pub fn from_maps(maps: &Maps, width: usize, height: usize) -> Result<Frame> {
    let (across, down) = (width.div_ceil(2), height.div_ceil(2));
    if maps.channels < 6 || maps.width < across || maps.height < down {
        let Maps { channels, height, width, .. } = maps;
        return Err(shape(format!(
            "the network gave [1, {channels}, {height}, {width}]; expected [1, 6, {down}, {across}]"
        )));
    }
    let mut luma = vec![0; 2 * across * height];
    for (y, line) in luma.chunks_exact_mut(2 * across).enumerate() {
        let (left, right) = (maps.row(y % 2 * 2, y / 2), maps.row(y % 2 * 2 + 1, y / 2));
        for ((pair, left), right) in line.as_chunks_mut::<2>().0.iter_mut().zip(left).zip(right) {
            *pair = [byte(*left), byte(*right)];
        }
    }
    let chroma = |channel: usize| -> Vec<u8> {
        (0..down).flat_map(|y| maps.row(channel, y)[..across].iter().map(|v| byte(*v))).collect()
    };
    Frame::copy(width, height, [(&luma, 2 * across), (&chroma(4), across), (&chroma(5), across)]).map_err(shape)
}

/// The cast saturates, and NaN becomes 0.
fn byte(v: f32) -> u8 {
    (v * UNIT as f32 + 0.5) as u8
}

/// A frame with memory of its own.
#[derive(Debug, Clone)]
pub struct Buffer {
    pub info: FrameInfo,
    data: [Vec<u8>; 3],
}

impl Buffer {
    pub fn new(info: FrameInfo) -> Self {
        Buffer { info, data: std::array::from_fn(|plane| vec![0; info.row_bytes(plane) * info.rows(plane)]) }
    }

    pub fn copy(frame: &Planes) -> Self {
        let info = *frame.info();
        let plane = |plane| (0..info.rows(plane)).flat_map(|y| row(frame, plane, y)).copied().collect();
        Buffer { info, data: std::array::from_fn(plane) }
    }

    pub fn planes(&self) -> Result<Planes<'_>> {
        let list: [(&[u8], usize); 3] = std::array::from_fn(|i| (self.data[i].as_slice(), self.info.row_bytes(i)));
        Ok(Planes::new(self.info, &list[..self.info.format.planes()])?)
    }

    pub fn planes_mut(&mut self) -> Result<PlanesMut<'_>> {
        let (info, count) = (self.info, self.info.format.planes());
        let list: Vec<_> =
            self.data[..count].iter_mut().enumerate().map(|(i, d)| (&mut d[..], info.row_bytes(i))).collect();
        Ok(PlanesMut::from_planes(info, list)?)
    }
}

/// A row of a plane without its padding.
pub(super) fn row<'a>(frame: &Planes<'a>, plane: usize, y: usize) -> &'a [u8] {
    let (data, stride) = frame.plane(plane);
    &data[y * stride..][..frame.info().row_bytes(plane)]
}

pub(super) fn row_mut<'a>(frame: &'a mut PlanesMut, plane: usize, y: usize) -> &'a mut [u8] {
    let bytes = frame.info().row_bytes(plane);
    let (data, stride) = frame.plane_mut(plane);
    &mut data[y * stride..][..bytes]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(info: FrameInfo) -> Buffer {
        let mut frame = Buffer::new(info);
        let mut state = 3u64;
        for v in frame.data.iter_mut().flatten() {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            *v = (state >> 56) as u8;
        }
        frame
    }

    /// Through a picture and its samples, padded a little.
    fn back(frame: &Buffer) -> Buffer {
        let picture = read(&frame.planes().unwrap()).unwrap();
        let mut maps = Maps::zeros(7, picture.height.div_ceil(2) + 1, picture.width.div_ceil(2) + 1);
        to_maps(&picture, &mut maps, 1);
        let maps = Maps { channels: 6, data: maps.data[maps.width * maps.height..].to_vec(), ..maps };
        let mut out = Buffer::new(frame.info);
        let restored = from_maps(&maps, picture.width, picture.height).unwrap();
        assert_eq!(restored, picture);
        write(&restored, &mut out.planes_mut().unwrap()).unwrap();
        out
    }

    const SIZES: [(usize, usize); 6] = [(1, 1), (2, 2), (17, 31), (16, 9), (3, 4), (41, 3)];

    #[test]
    fn planes_of_420_and_grey_come_back_as_they_were() {
        for format in [PixelFormat::I420, PixelFormat::Nv12, PixelFormat::Gray8] {
            for (width, height) in SIZES {
                let frame = noise(FrameInfo::new(format, width, height));
                assert_eq!(back(&frame).data, frame.data, "{}", frame.info);
            }
        }
    }

    #[test]
    fn yuy2_keeps_its_luma_and_the_mean_of_its_chroma() {
        for (width, height) in SIZES {
            let frame = noise(FrameInfo::new(PixelFormat::Yuy2, width, height));
            let got = back(&frame);
            let stride = width.div_ceil(2) * 4;
            for y in 0..height {
                let (was, is) = (&frame.data[0][y * stride..], &got.data[0][y * stride..]);
                for x in 0..width {
                    assert_eq!(was[2 * x], is[2 * x], "{width}x{height} at {x}, {y}");
                }
                let other = (y ^ 1).min(height - 1);
                let mean = (u32::from(was[1]) + u32::from(frame.data[0][other * stride + 1])).div_ceil(2);
                assert_eq!(u32::from(is[1]), mean);
            }
        }
    }

    #[test]
    fn rgb_that_420_can_hold_comes_back_within_rounding() {
        use PixelFormat::{Bgr, Bgra, Bgrx, Rgb, Rgba, Rgbx};
        for format in [Rgb, Bgr, Rgba, Bgra, Rgbx, Bgrx] {
            for (width, height) in SIZES {
                let mut frame = Buffer::new(FrameInfo::new(format, width, height));
                let step = frame.info.row_bytes(0) / width;
                let colour = if matches!(format, Bgr | Bgra | Bgrx) { [40, 120, 200] } else { [200, 120, 40] };
                frame.data[0].chunks_exact_mut(step).for_each(|pixel| pixel[..3].copy_from_slice(&colour));
                let got = back(&frame);
                for pixel in got.data[0].chunks_exact(step) {
                    let far = pixel.iter().zip(colour).any(|(a, b)| a.abs_diff(b) > 2);
                    assert!(!far && pixel[3..].iter().all(|v| *v == 255), "{}: {pixel:?}", frame.info);
                }
            }
        }
    }

    #[test]
    fn luma_is_taken_apart_in_reading_order() {
        let mut frame = Buffer::new(FrameInfo::new(PixelFormat::I420, 3, 3));
        frame.data[0] = (0..9).collect();
        let mut maps = Maps::zeros(6, 2, 2);
        to_maps(&read(&frame.planes().unwrap()).unwrap(), &mut maps, 0);
        let levels: Vec<f32> = maps.data[..16].iter().map(|v| v * 256.0).collect();
        assert_eq!(levels, [0., 2., 6., 8., 1., 2., 7., 8., 3., 5., 6., 8., 4., 5., 7., 8.]);
    }

    #[test]
    fn samples_beyond_8_bits_are_held_there() {
        let mut maps = Maps::zeros(6, 1, 1);
        maps.data = vec![-0.1, 1.1, f32::NAN, 0.5, 255.4 / 256.0, 255.6 / 256.0];
        let picture = from_maps(&maps, 2, 2).unwrap();
        assert_eq!(
            (picture.plane(0), picture.plane(1), picture.plane(2)),
            (vec![0, 255, 0, 128], vec![255], vec![255])
        );
        assert!(from_maps(&maps, 4, 2).unwrap_err().to_string().contains("expected [1, 6, 1, 2]"));
    }
}
