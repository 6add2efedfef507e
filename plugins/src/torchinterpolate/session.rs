//! A model at work on frames of one format: frames to pictures, and the pictures that are made back to frames.

use std::sync::{Arc, OnceLock};

use gst_torch_models::codec::canvas::Frame as Canvas;
use gst_torch_models::codec::picture::Picture;
use gst_torch_models::codec::stream::Subsampling;
use gst_torch_models::interpolate::{Interpolator, Made, Still};
use gst_torch_runtime::{Error, Model, Result};
use gst_video::prelude::*;
use gst_video::{VideoConverter, VideoFormat, VideoFrame, VideoFrameRef, VideoInfo};

use crate::codec;

/// A frame that came, and what it is matched by, once that was needed.
#[derive(Debug, Clone)]
pub struct Shown {
    pub buffer: gst::Buffer,
    still: Arc<OnceLock<Still>>,
}

impl Shown {
    pub fn new(buffer: gst::Buffer) -> Self {
        Shown { buffer, still: Arc::default() }
    }
}

/// There and back, for what is not 4:2:0.
struct Conversion {
    info: VideoInfo,
    there: VideoConverter,
    back: VideoConverter,
}

pub struct Session {
    info: VideoInfo,
    subsampling: Subsampling,
    conversion: Option<Conversion>,
    pub interpolator: Interpolator,
}

impl Session {
    /// May take its time, the first time for a size: the engine measures.
    pub fn new(model: &Model, info: &VideoInfo) -> Result<Session> {
        let (width, height) = (info.width() as usize, info.height() as usize);
        let interpolator = Interpolator::new(model, (width.div_ceil(16), height.div_ceil(16)))?;
        let subsampling = match info.format() {
            VideoFormat::Gray8 => Subsampling::Grey,
            _ => Subsampling::Quarter,
        };
        let conversion = match info.format() {
            VideoFormat::Gray8 | VideoFormat::I420 | VideoFormat::Nv12 => None,
            _ => Some(Conversion::new(info).map_err(|e| mismatch(model, &e))?),
        };
        Ok(Session { info: info.clone(), subsampling, conversion, interpolator })
    }

    pub fn info(&self) -> &VideoInfo {
        &self.info
    }

    /// A new frame of the picture at `at` between two others, without times; `None` where they show different scenes.
    pub fn make(&self, before: &Shown, after: &Shown, at: f32) -> Result<Option<gst::Buffer>, String> {
        let (first, second) = (self.still(before)?, self.still(after)?);
        let made = self.interpolator.make(first, second, at).map_err(|e| e.to_string())?;
        let Made::Picture(picture) = made else { return Ok(None) };
        // What is not in the picture (an alpha channel) is that of the nearer frame.
        let nearer = if at < 0.5 { before } else { after };
        self.write(&picture, &nearer.buffer).map(Some)
    }

    fn still<'a>(&self, shown: &'a Shown) -> Result<&'a Still, String> {
        if let Some(still) = shown.still.get() {
            return Ok(still);
        }
        let still = Still::new(self.read(&shown.buffer)?);
        Ok(shown.still.get_or_init(|| still))
    }

    fn read(&self, buffer: &gst::Buffer) -> Result<Picture, String> {
        let unreadable = || format!("a frame is not laid out as its caps say: {:?}", self.info.format());
        let canvas = match &self.conversion {
            None => {
                let frame = VideoFrameRef::from_buffer_ref_readable(buffer, &self.info).map_err(|_| unreadable())?;
                codec::read(&frame, self.subsampling)
            }
            Some(Conversion { info, there, .. }) => {
                let frame = VideoFrame::from_buffer_readable(buffer.clone(), &self.info).map_err(|_| unreadable())?;
                let mut converted = new_frame(info)?;
                there.frame(&frame, &mut converted);
                let converted = converted.into_buffer();
                let frame = VideoFrameRef::from_buffer_ref_readable(&converted, info).map_err(|_| unreadable())?;
                codec::read(&frame, self.subsampling)
            }
        };
        Ok(canvas.ok_or_else(unreadable)?.to_canvas())
    }

    fn write(&self, picture: &Picture, nearer: &gst::Buffer) -> Result<gst::Buffer, String> {
        let mut canvas = Canvas::new(self.info.width() as usize, self.info.height() as usize, self.subsampling);
        for (plane, made) in canvas.planes.iter_mut().zip(&picture.planes) {
            for y in 0..plane.height {
                let width = plane.width;
                plane.row_mut(y).copy_from_slice(&made.row(y)[..width]);
            }
        }
        let info = self.conversion.as_ref().map_or(&self.info, |conversion| &conversion.info);
        let mut buffer = new_frame(info)?.into_buffer();
        let written = VideoFrameRef::from_buffer_ref_writable(buffer.make_mut(), info)
            .ok()
            .and_then(|mut frame| codec::write(&canvas, &mut frame));
        written.ok_or("a new frame cannot be written")?;
        let Some(Conversion { back, .. }) = &self.conversion else { return Ok(buffer) };
        let frame = VideoFrame::from_buffer_readable(buffer, info).map_err(|_| "a new frame cannot be read")?;
        let mut converted = new_frame(&self.info)?;
        back.frame(&frame, &mut converted);
        if self.info.has_alpha() {
            let nearer = VideoFrameRef::from_buffer_ref_readable(nearer, &self.info)
                .map_err(|_| "a frame is not laid out as its caps say")?;
            copy_alpha(&nearer, &mut converted);
        }
        Ok(converted.into_buffer())
    }
}

impl Conversion {
    fn new(info: &VideoInfo) -> Result<Self, String> {
        let given = info.colorimetry();
        // Full range where the frame has it, so that nothing is rounded twice.
        let colorimetry = if info.is_rgb() {
            gst_video::VideoColorimetry::new(
                gst_video::VideoColorRange::Range0_255,
                gst_video::VideoColorMatrix::Bt601,
                given.transfer(),
                given.primaries(),
            )
        } else {
            given
        };
        let converted = VideoInfo::builder(VideoFormat::I420, info.width(), info.height())
            .colorimetry(&colorimetry)
            .fps(info.fps()) // a converter refuses to change it
            .build()
            .map_err(|e| e.to_string())?;
        let converter =
            |from: &VideoInfo, to: &VideoInfo| VideoConverter::new(from, to, None).map_err(|e| e.to_string());
        Ok(Conversion { there: converter(info, &converted)?, back: converter(&converted, info)?, info: converted })
    }
}

fn new_frame(info: &VideoInfo) -> Result<VideoFrame<gst_video::video_frame::Writable>, String> {
    let buffer = gst::Buffer::with_size(info.size()).map_err(|e| e.to_string())?;
    VideoFrame::from_buffer_writable(buffer, info).map_err(|_| "a new frame cannot be mapped".into())
}

/// The fourth component of a packed format, sample by sample.
fn copy_alpha(from: &VideoFrameRef<&gst::BufferRef>, to: &mut VideoFrame<gst_video::video_frame::Writable>) {
    let (offset, step) = (from.comp_poffset(3) as usize, from.comp_pstride(3).max(1) as usize);
    let (width, height) = (from.width() as usize, from.height() as usize);
    let strides = (from.plane_stride()[0], to.plane_stride()[0]);
    let (Ok(source_stride), Ok(target_stride)) = (usize::try_from(strides.0), usize::try_from(strides.1)) else {
        return;
    };
    let (Ok(source), Ok(target)) = (from.plane_data(0), to.plane_data_mut(0)) else { return };
    if source_stride == 0 || target_stride == 0 {
        return;
    }
    for (source, target) in source.chunks(source_stride).zip(target.chunks_mut(target_stride)).take(height) {
        let samples = source.iter().skip(offset).step_by(step).take(width);
        target.iter_mut().skip(offset).step_by(step).zip(samples).for_each(|(t, s)| *t = *s);
    }
}

fn mismatch(model: &Model, reason: &str) -> Error {
    Error::Mismatch { model: model.info().name.clone(), reason: reason.into() }
}
