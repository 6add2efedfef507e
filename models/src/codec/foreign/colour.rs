//! Pictures as levels of red, green and blue, or of grey, and back, as the sequence header says.
//!
//! Chroma is repeated on the way there and averaged on the way back, so that what a network hands through comes back as it
//! was. With matrix 0 the planes of 4:4:4 pictures are green, blue and red (ISO/IEC 23091-2), and nothing is converted.

use tch::{Device, Kind, TchError, Tensor};

use crate::codec::canvas::Frame;
use crate::codec::picture::Plane;
use crate::codec::stream::{Header, Subsampling};

type Result<T> = std::result::Result<T, TchError>;

/// What the numbers of a sequence's samples mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Space {
    identity: bool,
    /// Weights of red and blue in luma.
    weights: [f64; 2],
    /// Black, and the distance to white, of luma; the distance between the extremes of chroma.
    black: f64,
    white: f64,
    chroma: f64,
}

impl Space {
    pub fn of(header: &Header) -> Self {
        let grey = header.subsampling == Subsampling::Grey;
        // Where nobody knows, what GStreamer assumes: grey is full range; small pictures are BT.601.
        let full = match header.colour.range {
            1 => true,
            2 => false,
            _ => grey,
        };
        let weights = match header.colour.matrix {
            1 => [0.2126, 0.0722],
            4 => [0.30, 0.11],
            5 | 6 => [0.299, 0.114],
            7 => [0.212, 0.087],
            9 | 10 => [0.2627, 0.0593],
            _ if header.height <= 576 => [0.299, 0.114],
            _ if header.height < 2160 => [0.2126, 0.0722],
            _ => [0.2627, 0.0593],
        };
        let identity = header.colour.matrix == 0 && header.colour.range == 1 && header.subsampling == Subsampling::Full;
        let (black, white, chroma) = if full { (0.0, 255.0, 255.0) } else { (16.0, 219.0, 224.0) };
        Space { identity, weights, black, white, chroma }
    }

    /// Levels `(1, 3, H, W)` of red, green and blue, or `(1, 1, H, W)` of grey.
    pub fn levels(&self, frame: &Frame, channels: i64, device: Device) -> Result<Tensor> {
        let planes = frame.planes.iter().map(|plane| upload(plane, device)).collect::<Result<Vec<_>>>()?;
        if let (true, [g, b, r]) = (self.identity, &planes[..]) {
            let colours = Tensor::f_cat(&[r, g, b], 1)?;
            return if channels == 1 { self.grey(&colours) } else { Ok(colours) };
        }
        let luma = planes[0].f_add_scalar(-self.black)?.f_mul_scalar(255.0 / self.white)?;
        let ([_, u, v], true) = (&planes[..], channels == 3) else {
            return luma.f_clamp(0.0, 255.0)?.f_expand([1, channels, -1, -1], false);
        };
        let size = (frame.height as i64, frame.width as i64);
        let chroma = |plane: &Tensor| -> Result<Tensor> {
            let whole = repeat(plane, size)?;
            whole.f_add_scalar(-128.0)?.f_mul_scalar(255.0 / self.chroma)
        };
        let (u, v, [kr, kb]) = (chroma(u)?, chroma(v)?, self.weights);
        let red = luma.f_add(&v.f_mul_scalar(2.0 * (1.0 - kr))?)?;
        let blue = luma.f_add(&u.f_mul_scalar(2.0 * (1.0 - kb))?)?;
        let rest = luma.f_sub(&red.f_mul_scalar(kr)?)?.f_sub(&blue.f_mul_scalar(kb)?)?;
        let green = rest.f_mul_scalar(1.0 / (1.0 - kr - kb))?;
        Tensor::f_cat(&[red, green, blue], 1)?.f_clamp(0.0, 255.0)
    }

    fn grey(&self, colours: &Tensor) -> Result<Tensor> {
        let [kr, kb] = self.weights;
        let weights = Tensor::f_from_slice(&[kr as f32, (1.0 - kr - kb) as f32, kb as f32])?;
        let weights = weights.f_view([1, 3, 1, 1])?.f_to_device(colours.device())?;
        colours.f_mul(&weights)?.f_sum_dim_intlist(&[1i64][..], true, Kind::Float)
    }

    /// A frame of the header's kind; its chroma is 128 where `levels` are grey.
    pub fn frame(&self, levels: &Tensor, header: &Header) -> Result<Frame> {
        let mut frame = Frame::new(header.width.into(), header.height.into(), header.subsampling);
        let levels = levels.f_clamp(0.0, 255.0)?;
        let colours = levels.size()[1] == 3;
        if self.identity {
            let part = |c: i64| levels.f_narrow(1, if colours { c } else { 0 }, 1);
            for (plane, channel) in frame.planes.iter_mut().zip([1, 2, 0]) {
                download(&part(channel)?, plane)?;
            }
            return Ok(frame);
        }
        let luma = if colours { self.grey(&levels)? } else { levels.shallow_clone() };
        download(&luma.f_mul_scalar(self.white / 255.0)?.f_add_scalar(self.black)?, &mut frame.planes[0])?;
        if let (true, [_, u, v]) = (colours, &mut frame.planes[..]) {
            let [kr, kb] = self.weights;
            for (plane, channel, weight) in [(u, 2, kb), (v, 0, kr)] {
                let difference = levels.f_narrow(1, channel, 1)?.f_sub(&luma)?;
                let scale = self.chroma / 255.0 / (2.0 * (1.0 - weight));
                let mean = mean(&difference.f_mul_scalar(scale)?, plane)?;
                download(&mean.f_add_scalar(128.0)?, plane)?;
            }
        }
        Ok(frame)
    }
}

fn upload(plane: &Plane, device: Device) -> Result<Tensor> {
    let size = [1, 1, plane.height as i64, plane.width as i64];
    Tensor::f_from_data_size(&plane.data, &size, Kind::Uint8)?.f_to_device(device)?.f_to_kind(Kind::Float)
}

fn download(samples: &Tensor, plane: &mut Plane) -> Result<()> {
    let whole = samples.f_round()?.f_clamp(0.0, 255.0)?.f_to_kind(Kind::Uint8)?.f_to_device(Device::Cpu)?;
    plane.data = Vec::<u8>::try_from(whole.f_contiguous()?.f_view([-1])?)?;
    Ok(())
}

/// Each sample as often as it takes to cover `size`.
fn repeat(plane: &Tensor, (height, width): (i64, i64)) -> Result<Tensor> {
    let size = plane.size();
    let wide = if size[3] < width { plane.f_repeat_interleave_self_int(2, 3, None)? } else { plane.shallow_clone() };
    let high = if size[2] < height { wide.f_repeat_interleave_self_int(2, 2, None)? } else { wide };
    high.f_narrow(2, 0, height)?.f_narrow(3, 0, width)
}

/// The mean of the samples that fall on each of `plane`'s; at odd ends there are fewer of them.
fn mean(samples: &Tensor, plane: &Plane) -> Result<Tensor> {
    let size = samples.size();
    let (down, across) = (1 + i64::from(size[2] > plane.height as i64), 1 + i64::from(size[3] > plane.width as i64));
    samples.f_avg_pool2d([down, across], [down, across], [0, 0], true, false, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::stream::{Coding, Colour};

    fn header(width: u16, height: u16, subsampling: Subsampling, range: u8, matrix: u8) -> Header {
        Header {
            coding: Coding::Foreign,
            model: [0; 16],
            name: String::new(),
            width,
            height,
            subsampling,
            interleaved: false,
            colour: Colour { range, matrix, ..Colour::default() },
            rate: (30, 1),
            aspect: (1, 1),
            slice_rows: 600,
        }
    }

    #[test]
    fn known_colours_have_their_levels() {
        // BT.601, limited: red is 81, 90, 240 (EBU colour bars at 100 %).
        let header = header(2, 2, Subsampling::Quarter, 2, 6);
        let mut frame = Frame::new(2, 2, Subsampling::Quarter);
        for (plane, value) in frame.planes.iter_mut().zip([81, 90, 240]) {
            plane.data.fill(value);
        }
        let levels = Space::of(&header).levels(&frame, 3, Device::Cpu).unwrap();
        let of = |c: i64| levels.double_value(&[0, c, 1, 1]);
        assert!((of(0) - 254.4).abs() < 1.0 && of(1) < 1.0 && of(2) < 1.0, "{} {} {}", of(0), of(1), of(2));
    }

    #[test]
    fn every_picture_comes_back() {
        let kinds = [Subsampling::Grey, Subsampling::Quarter, Subsampling::Half, Subsampling::Full];
        for (width, height) in [(1, 1), (5, 3), (16, 8)] {
            for kind in kinds {
                for (range, matrix) in [(1, 1), (2, 6), (2, 9), (1, 0), (0, 2)] {
                    let header = header(width, height, kind, range, matrix);
                    let mut frame = Frame::new(width.into(), height.into(), kind);
                    for (index, plane) in frame.planes.iter_mut().enumerate() {
                        // Mild colours, which have a place in RGB.
                        let value = |i: usize| (110 + index * 7 + i * 5 % 40) as u8;
                        plane.data.iter_mut().enumerate().for_each(|(i, v)| *v = value(i));
                    }
                    let space = Space::of(&header);
                    let levels = space.levels(&frame, 3, Device::Cpu).unwrap();
                    assert_eq!(
                        space.frame(&levels, &header).unwrap(),
                        frame,
                        "{width}x{height} {kind:?} {range} {matrix}"
                    );
                    let grey = space.levels(&frame, 1, Device::Cpu).unwrap();
                    assert_eq!(grey.size(), [1, 1, i64::from(height), i64::from(width)]);
                    if matrix != 0 || kind != Subsampling::Full {
                        assert_eq!(space.frame(&grey, &header).unwrap().planes[0], frame.planes[0]);
                    }
                }
            }
        }
    }
}
