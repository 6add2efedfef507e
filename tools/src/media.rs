//! Frames of videos and pixels of pictures, read through GStreamer (pictures through the `image` crate).

use std::ops::ControlFlow;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use gst::prelude::*;
use gst_torch_models::data::picture::Picture;
use gst_video::prelude::*;

/// Whether a file is read as a picture; everything else is asked of GStreamer.
pub fn is_picture(path: &Path) -> bool {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    matches!(extension.as_str(), "jpg" | "jpeg" | "png" | "bmp")
}

pub fn read_picture(path: &Path) -> Result<Picture> {
    let picture = image::open(path).with_context(|| format!("{} cannot be read", path.display()))?.into_rgb8();
    let (width, height) = picture.dimensions();
    Picture::new(width as usize, height as usize, picture.into_raw())
        .ok_or_else(|| anyhow!("{} has no pixels", path.display()))
}

/// Hands the frames of a video to `each` in order, counted from 1, until it breaks or the video ends. `wanted` says of
/// which frames the pixels are needed.
pub fn each_frame(
    path: &Path,
    mut wanted: impl FnMut(u32) -> bool,
    mut each: impl FnMut(u32, Picture) -> Result<ControlFlow<()>>,
) -> Result<()> {
    let decoder = Decoder::open(path, sized(gst_video::VideoFormat::Rgb, None)?)?;
    for number in 1.. {
        let Some(sample) = decoder.next()? else { break };
        if wanted(number) {
            let picture = picture_of(&sample).with_context(|| format!("{}, frame {number}", path.display()))?;
            if each(number, picture)?.is_break() {
                break;
            }
        }
    }
    Ok(())
}

/// Hands the frames of a video, or of a picture, as RGB to `each` in order until it breaks or the video ends; scaled to `size`
/// where one is given.
pub fn each_rgb(
    path: &Path,
    size: Option<(usize, usize)>,
    each: impl FnMut(Picture) -> Result<ControlFlow<()>>,
) -> Result<()> {
    each_of(path, sized(gst_video::VideoFormat::Rgb, size)?, picture_of, each)
}

fn each_of<T>(
    path: &Path,
    caps: gst_video::VideoCapsBuilder<gst::caps::NoFeature>,
    read: impl Fn(&gst::Sample) -> Result<T>,
    mut each: impl FnMut(T) -> Result<ControlFlow<()>>,
) -> Result<()> {
    let decoder = Decoder::open(path, caps)?;
    while let Some(sample) = decoder.next()? {
        if each(read(&sample).with_context(|| path.display().to_string())?)?.is_break() {
            break;
        }
    }
    Ok(())
}

/// The first that a command asks of GStreamer, so that it starts it.
fn sized(
    format: gst_video::VideoFormat,
    size: Option<(usize, usize)>,
) -> Result<gst_video::VideoCapsBuilder<gst::caps::NoFeature>> {
    gst::init()?;
    let caps = gst_video::VideoCapsBuilder::new().format(format);
    Ok(match size {
        Some((width, height)) => {
            caps.width(width as i32).height(height as i32).pixel_aspect_ratio(gst::Fraction::new(1, 1))
        }
        None => caps,
    })
}

/// A frame of 8-bit 4:2:0, Y then U and V, rows without gaps. Chroma has half the luma's size, rounded up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Yuv {
    pub width: usize,
    pub height: usize,
    pub planes: [Vec<u8>; 3],
}

impl Yuv {
    /// Mean luma.
    pub fn brightness(&self) -> f64 {
        let luma = &self.planes[0];
        luma.iter().map(|&v| u64::from(v)).sum::<u64>() as f64 / luma.len() as f64
    }
}

/// Hands the frames of a video, or of a picture, as I420 to `each` in order until it breaks or the video ends; scaled to
/// `size` where one is given. Colours are not converted where the file is 4:2:0 already.
pub fn each_yuv(
    path: &Path,
    size: Option<(usize, usize)>,
    each: impl FnMut(Yuv) -> Result<ControlFlow<()>>,
) -> Result<()> {
    each_of(path, sized(gst_video::VideoFormat::I420, size)?, yuv_of, each)
}

/// Frames a second of a video, where its file says so and they are evenly spaced.
pub fn frame_rate(path: &Path) -> Result<Option<gst::Fraction>> {
    gst::init()?;
    let decoder = Decoder::open(path, gst_video::VideoCapsBuilder::new())?;
    let Some(sample) = decoder.next()? else { return Ok(None) };
    let info = gst_video::VideoInfo::from_caps(sample.caps().context("a sample without caps")?)?;
    Ok(Some(info.fps()).filter(|rate| rate.numer() > 0))
}

/// A decoding pipeline that is stopped when it goes out of scope.
struct Decoder {
    pipeline: gst::Pipeline,
    sink: gst_app::AppSink,
    name: String,
}

impl Decoder {
    fn open(path: &Path, caps: gst_video::VideoCapsBuilder<gst::caps::NoFeature>) -> Result<Self> {
        let source = gst::ElementFactory::make("filesrc").property("location", path).build()?;
        let decoder = gst::ElementFactory::make("decodebin").build()?;
        let convert = gst::ElementFactory::make("videoconvert").build()?;
        // Bilinear, the default, leaves aliases when a clip is made much smaller; so the filter is widened.
        let scale =
            gst::ElementFactory::make("videoscale").property("envelope", 2.0).property("add-borders", false).build()?;
        scale.set_property_from_str("method", "lanczos");
        let sink = gst_app::AppSink::builder().caps(&caps.build()).sync(false).max_buffers(4).build();
        let pipeline = gst::Pipeline::new();
        pipeline.add_many([&source, &decoder, &convert, &scale, sink.upcast_ref()])?;
        source.link(&decoder)?;
        gst::Element::link_many([&convert, &scale, sink.upcast_ref()])?;
        decoder.connect_pad_added(move |_, pad| {
            let video = pad
                .current_caps()
                .is_some_and(|caps| caps.structure(0).is_some_and(|s| s.name().starts_with("video/")));
            let free = convert.static_pad("sink").filter(|sink| !sink.is_linked());
            if let (true, Some(free)) = (video, free) {
                // A pad that cannot be linked shows as a not-linked error of its stream.
                let _ = pad.link(&free);
            }
        });
        let decoder = Decoder { pipeline, sink, name: path.display().to_string() };
        if decoder.pipeline.set_state(gst::State::Playing).is_err() {
            return Err(decoder.error().unwrap_or_else(|| anyhow!("{} cannot be opened", decoder.name)));
        }
        Ok(decoder)
    }

    /// The next frame, `None` at the end.
    fn next(&self) -> Result<Option<gst::Sample>> {
        loop {
            if let Some(sample) = self.sink.try_pull_sample(gst::ClockTime::from_mseconds(200)) {
                return Ok(Some(sample));
            }
            if let Some(error) = self.error() {
                return Err(error);
            }
            if self.sink.is_eos() {
                return Ok(None);
            }
        }
    }

    fn error(&self) -> Option<anyhow::Error> {
        let message = self.pipeline.bus()?.pop_filtered(&[gst::MessageType::Error])?;
        match message.view() {
            gst::MessageView::Error(error) => Some(anyhow!("{} cannot be decoded: {}", self.name, error.error())),
            _ => None,
        }
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // Going to NULL does not fail, and there would be nothing left to do about it.
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

fn picture_of(sample: &gst::Sample) -> Result<Picture> {
    let buffer = sample.buffer().context("a sample without a buffer")?;
    let info = gst_video::VideoInfo::from_caps(sample.caps().context("a sample without caps")?)?;
    let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, &info)?;
    let (width, height) = (frame.width() as usize, frame.height() as usize);
    let stride = frame.plane_stride()[0] as usize;
    let data = frame.plane_data(0)?;
    let mut rgb = Vec::with_capacity(width * height * 3);
    for row in data.chunks(stride).take(height) {
        rgb.extend_from_slice(row.get(..width * 3).context("a row is shorter than its pixels")?);
    }
    match Picture::new(width, height, rgb) {
        Some(picture) => Ok(picture),
        None => bail!("{width}x{height} pixels do not fill the buffer"),
    }
}

/// The planes of an I420 sample, as they are.
pub fn yuv_of(sample: &gst::Sample) -> Result<Yuv> {
    let buffer = sample.buffer().context("a sample without a buffer")?;
    let info = gst_video::VideoInfo::from_caps(sample.caps().context("a sample without caps")?)?;
    let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, &info)?;
    let (width, height) = (frame.width() as usize, frame.height() as usize);
    let plane = |index: usize, width: usize, height: usize| -> Result<Vec<u8>> {
        let stride = frame.plane_stride()[index] as usize;
        let mut samples = Vec::with_capacity(width * height);
        for row in frame.plane_data(index as u32)?.chunks(stride).take(height) {
            samples.extend_from_slice(row.get(..width).context("a row is shorter than its pixels")?);
        }
        Ok(samples)
    };
    let half = |side: usize| side.div_ceil(2);
    let chroma = |index| plane(index, half(width), half(height));
    Ok(Yuv { width, height, planes: [plane(0, width, height)?, chroma(1)?, chroma(2)?] })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Five frames of an odd size, whose rows GStreamer pads.
    fn clip(path: &Path) {
        gst::init().unwrap();
        let line = format!(
            "videotestsrc num-buffers=5 pattern=red ! video/x-raw,format=I420,width=35,height=21 ! jpegenc ! avimux \
             ! filesink location={}",
            path.display()
        );
        let pipeline = gst::parse::launch(&line).unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        let message = pipeline
            .bus()
            .unwrap()
            .timed_pop_filtered(gst::ClockTime::from_seconds(10), &[gst::MessageType::Eos, gst::MessageType::Error]);
        assert_eq!(message.unwrap().type_(), gst::MessageType::Eos);
        pipeline.set_state(gst::State::Null).unwrap();
    }

    #[test]
    fn frames_come_in_order_without_their_padding() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clip.avi");
        clip(&path);
        let mut numbers = Vec::new();
        let each = |number, picture: Picture| {
            numbers.push(number);
            assert_eq!((picture.width(), picture.height()), (35, 21));
            assert!(picture.rgb().chunks(3).all(|p| p[0] > 200 && p[1] < 60 && p[2] < 60), "not red all over");
            Ok(if number == 4 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        };
        each_frame(&path, |n| n != 2, each).unwrap();
        assert_eq!(numbers, [1, 3, 4]);
    }

    #[test]
    fn planes_come_without_their_padding_and_scaled_where_asked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clip.avi");
        clip(&path);
        for (size, expected) in [(None, (35, 21)), (Some((16, 12)), (16, 12))] {
            let mut count = 0;
            each_yuv(&path, size, |frame| {
                count += 1;
                assert_eq!((frame.width, frame.height), expected);
                assert_eq!(frame.planes[0].len(), expected.0 * expected.1);
                assert!(frame.planes[2].iter().all(|&v| v > 200), "not red all over");
                Ok(ControlFlow::Continue(()))
            })
            .unwrap();
            assert_eq!(count, 5);
        }
    }

    #[test]
    fn what_cannot_be_decoded_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("noise.avi");
        std::fs::write(&path, [7u8; 4096]).unwrap();
        for path in [path.as_path(), Path::new("/nowhere/at-all.avi")] {
            let error = each_frame(path, |_| true, |_, _| Ok(ControlFlow::Continue(()))).unwrap_err();
            assert!(format!("{error:#}").contains(path.to_str().unwrap()), "{error:#}");
        }
        assert!(read_picture(&path).unwrap_err().to_string().contains("noise.avi"));
    }
}
