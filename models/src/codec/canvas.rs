//! Pictures of any size and subsampling, and the canvas of 4:2:0 blocks on which they are coded.

use super::picture::{Picture, Plane};
use super::stream::{Header, Subsampling};

/// A picture at its own size, as it comes and goes. Grey ones have one plane; chroma is rounded up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub width: usize,
    pub height: usize,
    pub subsampling: Subsampling,
    pub planes: Vec<Plane>,
}

impl Subsampling {
    /// Width and height of the chroma planes.
    pub fn chroma(self, width: usize, height: usize) -> (usize, usize) {
        match self {
            Subsampling::Grey => (0, 0),
            Subsampling::Quarter => (width.div_ceil(2), height.div_ceil(2)),
            Subsampling::Half => (width.div_ceil(2), height),
            Subsampling::Full => (width, height),
        }
    }
}

impl Frame {
    /// Grey of 128 all over.
    pub fn new(width: usize, height: usize, subsampling: Subsampling) -> Self {
        let mut planes = vec![Plane::new(width, height, 128)];
        if subsampling != Subsampling::Grey {
            let (width, height) = subsampling.chroma(width, height);
            planes.extend([Plane::new(width, height, 128), Plane::new(width, height, 128)]);
        }
        Frame { width, height, subsampling, planes }
    }

    /// Whether it is what the header says.
    pub fn fits(&self, header: &Header) -> bool {
        let size = (usize::from(header.width), usize::from(header.height));
        (self.width, self.height) == size && self.subsampling == header.subsampling
    }

    /// The canvas: chroma averaged to 4:2:0, the border repeated up to whole blocks.
    pub fn to_canvas(&self) -> Picture {
        let mut canvas = Picture::grey(self.width.div_ceil(16), self.height.div_ceil(16));
        extend(&self.planes[0], &mut canvas.planes[0]);
        let half = (self.width.div_ceil(2), self.height.div_ceil(2));
        for (source, target) in self.planes.iter().zip(&mut canvas.planes).skip(1) {
            if self.subsampling == Subsampling::Quarter {
                extend(source, target);
            } else {
                extend(&average(source, half), target);
            }
        }
        canvas
    }

    /// What a header says, cut out of its canvas; chroma samples are repeated where there are more of them.
    pub fn of_canvas(canvas: &Picture, header: &Header) -> Self {
        let mut frame = Frame::new(header.width.into(), header.height.into(), header.subsampling);
        for (target, source) in frame.planes.iter_mut().zip(&canvas.planes) {
            let across = usize::from(
                target.width > source.width
                    || (header.subsampling == Subsampling::Full && source.width < canvas.planes[0].width),
            );
            let down = usize::from(
                target.height > source.height
                    || (header.subsampling != Subsampling::Quarter && source.height < canvas.planes[0].height),
            );
            for y in 0..target.height {
                let from = source.row(y >> down);
                let row = target.row_mut(y);
                if across == 0 {
                    row.copy_from_slice(&from[..row.len()]);
                } else {
                    row.iter_mut().enumerate().for_each(|(x, v)| *v = from[x >> 1]);
                }
            }
        }
        frame
    }
}

/// Copies `source` into the larger `target` and repeats its right and bottom borders.
fn extend(source: &Plane, target: &mut Plane) {
    for y in 0..target.height {
        let from = source.row(y.min(source.height - 1));
        let row = target.row_mut(y);
        row[..from.len()].copy_from_slice(from);
        row[from.len()..].fill(from[from.len() - 1]);
    }
}

/// A plane of the size of 4:2:0 chroma: each sample the mean of those that fall on it.
fn average(source: &Plane, (width, height): (usize, usize)) -> Plane {
    let mut target = Plane::new(width, height, 0);
    let (across, down) = (usize::from(source.width > width), usize::from(source.height > height));
    for y in 0..height {
        let rows = [y << down, ((y << down) + down).min(source.height - 1)].map(|y| source.row(y));
        for (x, value) in target.row_mut(y).iter_mut().enumerate() {
            let columns = [x << across, ((x << across) + across).min(source.width - 1)];
            let sum: u32 = rows.iter().flat_map(|row| columns.map(|x| u32::from(row[x]))).sum();
            *value = ((sum + 2) / 4) as u8;
        }
    }
    target
}

#[cfg(test)]
mod tests {
    use super::super::stream::{Coding, Colour};
    use super::*;

    fn header(frame: &Frame) -> Header {
        Header {
            coding: Coding::Residual,
            model: [0; 16],
            name: String::new(),
            width: frame.width as u16,
            height: frame.height as u16,
            subsampling: frame.subsampling,
            interleaved: false,
            colour: Colour::default(),
            rate: (30, 1),
            aspect: (1, 1),
            slice_rows: 24,
        }
    }

    #[test]
    fn all_sizes_and_samplings_survive_the_canvas() {
        let kinds = [Subsampling::Grey, Subsampling::Quarter, Subsampling::Half, Subsampling::Full];
        for (width, height) in [(1, 1), (2, 2), (15, 17), (16, 16), (33, 31), (64, 48)] {
            for kind in kinds {
                let mut frame = Frame::new(width, height, kind);
                // Chroma that is the same in squares of 2x2 luma samples, so that averaging loses nothing.
                for (index, plane) in frame.planes.iter_mut().enumerate() {
                    let (across, down) = match (index, kind) {
                        (0, _) | (_, Subsampling::Quarter) => (0, 0),
                        (_, Subsampling::Half) => (0, 1),
                        _ => (1, 1),
                    };
                    for y in 0..plane.height {
                        let row = plane.row_mut(y);
                        row.iter_mut()
                            .enumerate()
                            .for_each(|(x, v)| *v = ((x >> across) * 7 + (y >> down) * 13 + index * 50) as u8);
                    }
                }
                let canvas = frame.to_canvas();
                assert_eq!(canvas.blocks(), (width.div_ceil(16), height.div_ceil(16)));
                assert_eq!(Frame::of_canvas(&canvas, &header(&frame)), frame, "{width}x{height} {kind:?}");
            }
        }
    }
}
