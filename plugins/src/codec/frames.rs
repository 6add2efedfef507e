//! GStreamer's frames as the codec's pictures, and back.

use gst_torch_models::codec::canvas::Frame;
use gst_torch_models::codec::stream::Subsampling;
use gst_video::VideoFrameRef;
use gst_video::prelude::*;

/// Where a component's samples lie in its plane.
#[derive(Clone, Copy)]
struct Layout {
    plane: u32,
    /// Of the first sample, in bytes.
    first: usize,
    stride: usize,
    /// From one sample to the next.
    step: usize,
}

/// `None` for strides that make no sense, bottom-up pictures among them.
fn layout<T: VideoFrameExt>(frame: &T, component: u32) -> Option<Layout> {
    let plane = frame.comp_plane(component);
    Some(Layout {
        plane,
        first: frame.comp_poffset(component) as usize,
        stride: usize::try_from(frame.comp_stride(component)).ok()?,
        step: usize::try_from(frame.comp_pstride(component)).ok().filter(|step| *step > 0)?,
    })
}

/// Copies the samples of a mapped frame; `None` where its layout is not what its format says.
pub fn read(frame: &VideoFrameRef<&gst::BufferRef>, subsampling: Subsampling) -> Option<Frame> {
    let mut picture = Frame::new(frame.width() as usize, frame.height() as usize, subsampling);
    for (component, plane) in (0..).zip(&mut picture.planes) {
        let Layout { plane: index, first, stride, step } = layout(frame, component)?;
        let data = frame.plane_data(index).ok()?;
        for y in 0..plane.height {
            let source = data.get(y * stride + first..)?;
            let target = plane.row_mut(y);
            if step == 1 {
                target.copy_from_slice(source.get(..target.len())?);
            } else {
                let source = source.get(..(target.len() - 1) * step + 1)?;
                target.iter_mut().zip(source.iter().step_by(step)).for_each(|(t, s)| *t = *s);
            }
        }
    }
    Some(picture)
}

/// The inverse of `read`.
pub fn write(picture: &Frame, frame: &mut VideoFrameRef<&mut gst::BufferRef>) -> Option<()> {
    for (component, plane) in (0..).zip(&picture.planes) {
        let Layout { plane: index, first, stride, step } = layout(frame, component)?;
        let data = frame.plane_data_mut(index).ok()?;
        for y in 0..plane.height {
            let target = data.get_mut(y * stride + first..)?;
            let source = plane.row(y);
            if step == 1 {
                target.get_mut(..source.len())?.copy_from_slice(source);
            } else {
                let target = target.get_mut(..(source.len() - 1) * step + 1)?;
                target.iter_mut().step_by(step).zip(source).for_each(|(t, s)| *t = *s);
            }
        }
    }
    Some(())
}
