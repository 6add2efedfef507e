//! GStreamer's frames as the runtime's planes.

use gst_torch_models::boxes::Rect;
use gst_torch_runtime::planes::{self, FrameInfo, Matrix, PixelFormat, Planes, PlanesMut, Range};
use gst_video::prelude::*;

/// The formats that every element reads as they come.
pub const FORMATS: [gst_video::VideoFormat; 10] = [
    gst_video::VideoFormat::I420,
    gst_video::VideoFormat::Nv12,
    gst_video::VideoFormat::Yuy2,
    gst_video::VideoFormat::Rgb,
    gst_video::VideoFormat::Bgr,
    gst_video::VideoFormat::Rgba,
    gst_video::VideoFormat::Bgra,
    gst_video::VideoFormat::Rgbx,
    gst_video::VideoFormat::Bgrx,
    gst_video::VideoFormat::Gray8,
];

pub fn caps() -> gst::Caps {
    gst_video::VideoCapsBuilder::new().format_list(FORMATS).build()
}

/// Lets a pad whose template asks for progressive video take caps that leave `interlace-mode` out: those are of progressive
/// video, too, though no subset of the template.
pub fn take_unsaid_as_progressive(pad: &gst::Pad) {
    pad.set_pad_flags(gst::PadFlags::ACCEPT_INTERSECT);
}

/// What the runtime needs to know of a stream; `None` for a format that is not in `FORMATS`.
pub fn frame_info(info: &gst_video::VideoInfo) -> Option<FrameInfo> {
    let format: PixelFormat = info.format().to_str().parse().ok()?;
    let colorimetry = info.colorimetry();
    let matrix = match colorimetry.matrix() {
        gst_video::VideoColorMatrix::Bt601 => Matrix::Bt601,
        gst_video::VideoColorMatrix::Bt709 | gst_video::VideoColorMatrix::Smpte240m => Matrix::Bt709,
        gst_video::VideoColorMatrix::Bt2020 => Matrix::Bt2020,
        // Unsaid: what GStreamer itself takes for the size.
        _ if info.height() > 576 => Matrix::Bt709,
        _ => Matrix::Bt601,
    };
    let full = match colorimetry.range() {
        gst_video::VideoColorRange::Range0_255 => true,
        gst_video::VideoColorRange::Range16_235 => false,
        _ => !format.is_yuv() && format != PixelFormat::Gray8,
    };
    Some(FrameInfo {
        format,
        width: info.width() as usize,
        height: info.height() as usize,
        matrix,
        range: if full { Range::Full } else { Range::Limited },
    })
}

/// The planes of a mapped frame, checked against their sizes.
pub fn planes<'a>(
    frame: &'a gst_video::VideoFrameRef<&'a gst::BufferRef>,
    info: FrameInfo,
) -> Result<Planes<'a>, planes::Error> {
    let mut list: [(&[u8], usize); 3] = [(&[], 0); 3];
    let count = info.format.planes();
    for (index, slot) in list.iter_mut().enumerate().take(count) {
        let data = frame.plane_data(index as u32).unwrap_or(&[]);
        // A negative stride (bottom-up pictures) cannot be a view; the checked constructor refuses 0.
        *slot = (data, frame.plane_stride()[index].max(0) as usize);
    }
    Planes::new(info, &list[..count])
}

/// The planes of a frame mapped for writing, checked against their sizes.
pub fn planes_mut<'a>(
    frame: &'a mut gst_video::VideoFrameRef<&mut gst::BufferRef>,
    info: FrameInfo,
) -> Result<PlanesMut<'a>, planes::Error> {
    let strides: [i32; 4] = std::array::from_fn(|plane| frame.plane_stride().get(plane).copied().unwrap_or(0));
    let data = frame.planes_data_mut().into_iter().zip(strides).take(info.format.planes());
    // As above; collected, for the constructor wants to know how many there are.
    let list: Vec<_> = data.map(|(data, stride)| (data, stride.max(0) as usize)).collect();
    PlanesMut::from_planes(info, list)
}

/// The pixels that a box touches, inside the frame; `None` where it touches none.
pub fn whole_pixels(rect: &Rect, frame: &FrameInfo) -> Option<planes::Rect> {
    let inside = rect.clip(frame.width as f32, frame.height as f32);
    let (x, y) = (inside.x.floor() as usize, inside.y.floor() as usize);
    let width = ((inside.x + inside.w).ceil() as usize).min(frame.width).saturating_sub(x);
    let height = ((inside.y + inside.h).ceil() as usize).min(frame.height).saturating_sub(y);
    (width > 0 && height > 0).then(|| planes::Rect::new(x, y, width, height))
}
