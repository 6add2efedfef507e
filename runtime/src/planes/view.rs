//! Checked views of a frame's planes: once made, every row of every plane is there.

use super::{Error, FrameInfo, Result};

/// A frame to read: its description and its planes with their strides.
#[derive(Debug, Clone, Copy)]
pub struct Planes<'a> {
    info: FrameInfo,
    planes: [(&'a [u8], usize); 3],
}

impl<'a> Planes<'a> {
    /// Takes each plane with its stride in bytes. The last row of a plane need not be padded.
    ///
    /// # Errors
    /// Names the plane, and what was expected of it, when there are too few or too many planes, a stride is shorter
    /// than a row, or a plane is shorter than its rows.
    pub fn new(info: FrameInfo, planes: &[(&'a [u8], usize)]) -> Result<Self> {
        check(&info, planes.iter().map(|(data, stride)| (data.len(), *stride)))?;
        let mut all: [(&[u8], usize); 3] = [(&[], 0); 3];
        all[..planes.len()].copy_from_slice(planes);
        Ok(Planes { info, planes: all })
    }

    pub fn info(&self) -> &FrameInfo {
        &self.info
    }

    /// Bytes and stride of a plane; empty for a plane that the format does not have.
    pub fn plane(&self, plane: usize) -> (&'a [u8], usize) {
        self.planes.get(plane).copied().unwrap_or((&[], 0))
    }

    /// A row without its padding.
    #[inline(always)]
    pub(super) fn row(&self, plane: usize, y: usize) -> &'a [u8] {
        let (data, stride) = self.planes[plane];
        &data[y * stride..][..self.info.row_bytes(plane)]
    }
}

/// A frame to write: its description and its planes with their strides.
#[derive(Debug)]
pub struct PlanesMut<'a> {
    info: FrameInfo,
    planes: [(&'a mut [u8], usize); 3],
}

impl<'a> PlanesMut<'a> {
    /// Takes each plane with its stride in bytes; errors as [`Planes::new`].
    pub fn new<const N: usize>(info: FrameInfo, planes: [(&'a mut [u8], usize); N]) -> Result<Self> {
        Self::from_planes(info, planes)
    }

    /// As [`new`](Self::new), where the number of planes is not known when compiling.
    pub fn from_planes(info: FrameInfo, planes: impl IntoIterator<Item = (&'a mut [u8], usize)>) -> Result<Self> {
        let given: Vec<_> = planes.into_iter().collect();
        check(&info, given.iter().map(|(data, stride)| (data.len(), *stride)))?;
        let mut all: [(&mut [u8], usize); 3] = [(&mut [], 0), (&mut [], 0), (&mut [], 0)];
        for (slot, plane) in all.iter_mut().zip(given) {
            *slot = plane;
        }
        Ok(PlanesMut { info, planes: all })
    }

    pub fn info(&self) -> &FrameInfo {
        &self.info
    }

    /// Bytes and stride of a plane; empty for a plane that the format does not have.
    pub fn plane_mut(&mut self, plane: usize) -> (&mut [u8], usize) {
        match self.planes.get_mut(plane) {
            Some((data, stride)) => (data, *stride),
            None => (&mut [], 0),
        }
    }

    /// The same frame to read.
    pub fn as_planes(&self) -> Planes<'_> {
        Planes { info: self.info, planes: std::array::from_fn(|i| (&*self.planes[i].0, self.planes[i].1)) }
    }

    /// A row without its padding.
    #[inline(always)]
    pub(super) fn row_mut(&mut self, plane: usize, y: usize) -> &mut [u8] {
        let bytes = self.info.row_bytes(plane);
        let (data, stride) = &mut self.planes[plane];
        &mut data[y * *stride..][..bytes]
    }
}

fn check(info: &FrameInfo, planes: impl ExactSizeIterator<Item = (usize, usize)>) -> Result<()> {
    info.check()?;
    let expected = info.format.planes();
    if planes.len() != expected {
        return Err(Error::PlaneCount { info: *info, expected, got: planes.len() });
    }
    for (plane, (len, stride)) in planes.enumerate() {
        let (rows, row_bytes) = (info.rows(plane), info.row_bytes(plane));
        if stride < row_bytes {
            return Err(Error::Stride { info: *info, plane, expected: row_bytes, got: stride });
        }
        // A stride from a damaged file can be anything: what does not fit the address space is not there either.
        let expected = stride.saturating_mul(rows - 1).saturating_add(row_bytes);
        if len < expected {
            return Err(Error::Truncated { info: *info, plane, rows, stride, expected, got: len });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::PixelFormat;
    use super::*;

    #[test]
    fn last_row_may_lack_its_padding() {
        let info = FrameInfo::new(PixelFormat::Rgb, 5, 3);
        let data = vec![0; 20 * 2 + 15];
        assert_eq!(Planes::new(info, &[(&data, 20)]).unwrap().row(0, 2).len(), 15);
    }

    #[test]
    fn truncated_plane_names_what_was_expected() {
        let info = FrameInfo::new(PixelFormat::Nv12, 6, 4);
        let (y, uv) = (vec![0; 24], vec![0; 11]);
        let error = Planes::new(info, &[(&y, 6), (&uv, 6)]).unwrap_err();
        assert_eq!(error, Error::Truncated { info, plane: 1, rows: 2, stride: 6, expected: 12, got: 11 });
        let message = error.to_string();
        assert!(message.contains("plane 1 of NV12 6x4") && message.contains("12 bytes expected"), "{message}");
    }

    #[test]
    fn short_stride_and_wrong_plane_count_are_named() {
        let info = FrameInfo::new(PixelFormat::Bgrx, 6, 4);
        let data = vec![0; 1000];
        let error = Planes::new(info, &[(&data, 23)]).unwrap_err();
        assert_eq!(error, Error::Stride { info, plane: 0, expected: 24, got: 23 });
        let error = Planes::new(info, &[(&data, 24), (&data, 24)]).unwrap_err();
        assert_eq!(error, Error::PlaneCount { info, expected: 1, got: 2 });
        let mut data = vec![0; 95];
        assert!(matches!(PlanesMut::new(info, [(&mut data, 24)]), Err(Error::Truncated { expected: 96, .. })));
    }

    #[test]
    fn absurd_sizes_and_strides_are_errors() {
        for (width, height) in [(0, 4), (4, 0), (usize::MAX, 1), (1, 65537)] {
            let info = FrameInfo::new(PixelFormat::Gray8, width, height);
            assert_eq!(Planes::new(info, &[(&[], 8)]).unwrap_err(), Error::FrameSize(info));
        }
        let info = FrameInfo::new(PixelFormat::Gray8, 4, 4);
        assert!(matches!(Planes::new(info, &[(&[0; 64], usize::MAX)]), Err(Error::Truncated { .. })));
    }
}
