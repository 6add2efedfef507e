//! Sequence headers as GStreamer's caps and video infos, and back.

use gst::glib;
use gst::prelude::*;
use gst_torch_models::codec::any::AnyModel as Model;
use gst_torch_models::codec::stream::{self, Coding, Colour, Found, Header, SIDE_MAX, StreamError, Subsampling};
use gst_video::{VideoColorMatrix, VideoColorRange, VideoFormat};

pub const MEDIA_TYPE: &str = "video/x-torch-codec";

/// What is coded as it comes.
pub const FORMATS: [VideoFormat; 5] =
    [VideoFormat::I420, VideoFormat::Nv12, VideoFormat::Y42b, VideoFormat::Y444, VideoFormat::Gray8];

/// Luma rows of a slice, about: enough for its contexts to learn, few enough that a lost packet costs a part.
const SLICE_LINES: usize = 384;

/// The header of a stream of such pictures; an error names what cannot be coded.
pub fn header(info: &gst_video::VideoInfo, model: &Model) -> Result<Header, String> {
    let side = |length: u32| u16::try_from(length).ok().filter(|length| (1..=SIDE_MAX).contains(length));
    let (Some(width), Some(height)) = (side(info.width()), side(info.height())) else {
        return Err(format!("{}x{} pixels; expected 1 to {SIDE_MAX} each way", info.width(), info.height()));
    };
    let subsampling = match info.format() {
        VideoFormat::Gray8 => Subsampling::Grey,
        VideoFormat::I420 | VideoFormat::Nv12 => Subsampling::Quarter,
        VideoFormat::Y42b => Subsampling::Half,
        VideoFormat::Y444 => Subsampling::Full,
        other => return Err(format!("format {other:?}; expected one of {FORMATS:?}")),
    };
    let rows = usize::from(height).div_ceil(16);
    let slices = usize::from(height).div_ceil(SLICE_LINES);
    let header = Header {
        coding: Coding::Residual,
        model: model.identity,
        name: model.name.clone(),
        width,
        height,
        subsampling,
        interleaved: info.format() == VideoFormat::Nv12,
        colour: colour(info),
        rate: rate(info.fps()),
        aspect: aspect(info.par()),
        slice_rows: rows.div_ceil(slices) as u16,
    };
    // The model knows its coding, and may want another number of slices.
    Ok(model.complete(header))
}

fn colour(info: &gst_video::VideoInfo) -> Colour {
    let colorimetry = info.colorimetry();
    Colour {
        range: match colorimetry.range() {
            VideoColorRange::Range0_255 => 1,
            VideoColorRange::Range16_235 => 2,
            _ => 0,
        },
        // The code points fit into a byte; 2 is "unspecified".
        matrix: u8::try_from(colorimetry.matrix().to_iso()).unwrap_or(2),
        transfer: u8::try_from(colorimetry.transfer().to_iso()).unwrap_or(2),
        primaries: u8::try_from(colorimetry.primaries().to_iso()).unwrap_or(2),
        site: info.chroma_site().bits() as u8,
    }
}

fn rate(fps: gst::Fraction) -> (u32, u32) {
    match (u32::try_from(fps.numer()), u32::try_from(fps.denom())) {
        (Ok(numer), Ok(denom)) if numer > 0 && denom > 0 => (numer, denom),
        _ => (0, 1),
    }
}

/// As near as 16 bits allow.
fn aspect(par: gst::Fraction) -> (u16, u16) {
    let (mut numer, mut denom) = (par.numer().max(1), par.denom().max(1));
    while numer > i32::from(u16::MAX) || denom > i32::from(u16::MAX) {
        (numer, denom) = ((numer / 2).max(1), (denom / 2).max(1));
    }
    (numer as u16, denom as u16)
}

/// The raw video that a stream decodes to, with U and V as they came.
pub fn video_info(header: &Header) -> Result<gst_video::VideoInfo, glib::BoolError> {
    let format = match header.subsampling {
        Subsampling::Grey => VideoFormat::Gray8,
        Subsampling::Quarter if header.interleaved => VideoFormat::Nv12,
        Subsampling::Quarter => VideoFormat::I420,
        Subsampling::Half => VideoFormat::Y42b,
        Subsampling::Full => VideoFormat::Y444,
    };
    let Colour { range, matrix, transfer, primaries, site } = header.colour;
    let range = match range {
        1 => VideoColorRange::Range0_255,
        2 => VideoColorRange::Range16_235,
        _ => VideoColorRange::Unknown,
    };
    // Code point 0, "identity", is RGB; here it can only mean that nobody knew.
    let matrix = if matrix == 0 { VideoColorMatrix::Unknown } else { VideoColorMatrix::from_iso(matrix.into()) };
    let transfer = gst_video::VideoTransferFunction::from_iso(transfer.into());
    let primaries = gst_video::VideoColorPrimaries::from_iso(primaries.into());
    let known = range != VideoColorRange::Unknown && matrix != VideoColorMatrix::Unknown;
    let colorimetry = gst_video::VideoColorimetry::new(range, matrix, transfer, primaries);
    let fraction = |numer: u32, denom: u32| gst::Fraction::new(numer as i32, denom as i32);
    gst_video::VideoInfo::builder(format, header.width.into(), header.height.into())
        .fps(fraction(header.rate.0, header.rate.1))
        .par(fraction(header.aspect.0.into(), header.aspect.1.into()))
        .colorimetry_if(&colorimetry, known)
        .chroma_site_if(gst_video::VideoChromaSite::from_bits_truncate(site.into()), site != 0)
        .build()
}

/// The caps of a stream of access units.
pub fn caps(header: &Header) -> gst::Caps {
    let chroma = match header.subsampling {
        Subsampling::Grey => "4:0:0",
        Subsampling::Quarter => "4:2:0",
        Subsampling::Half => "4:2:2",
        Subsampling::Full => "4:4:4",
    };
    let fraction = |numer: u32, denom: u32| gst::Fraction::new(numer as i32, denom as i32);
    let colorimetry = video_info(header).ok().map(|info| info.colorimetry().to_string());
    gst::Caps::builder(MEDIA_TYPE)
        .field("stream-format", "byte-stream")
        .field("alignment", "au")
        .field("width", i32::from(header.width))
        .field("height", i32::from(header.height))
        .field("framerate", fraction(header.rate.0, header.rate.1))
        .field("pixel-aspect-ratio", fraction(header.aspect.0.into(), header.aspect.1.into()))
        .field("chroma-format", chroma)
        .field_if_some("colorimetry", colorimetry.filter(|text| !text.is_empty()))
        .field("model", &header.name)
        .field("codec_data", gst::Buffer::from_slice(header.write()))
        .build()
}

/// The caps of a parsed stream whose header this version does not know: the header as it is.
pub fn foreign_caps(header: &[u8]) -> gst::Caps {
    gst::Caps::builder(MEDIA_TYPE)
        .field("stream-format", "byte-stream")
        .field("alignment", "au")
        .field("parsed", true)
        .field("codec_data", gst::Buffer::from_slice(header.to_vec()))
        .build()
}

/// The header that such caps carry, if they do. What this version does not know in it ends the stream of `element`.
pub fn header_of_caps(
    element: &impl IsA<gst::Element>,
    caps: &gst::CapsRef,
) -> Result<Option<Header>, gst::LoggableError> {
    let data = caps.structure(0).and_then(|caps| caps.get::<gst::Buffer>("codec_data").ok());
    let Some(data) = data.and_then(|data| data.into_mapped_buffer_readable().ok()) else { return Ok(None) };
    match stream::find(&data) {
        Found::Unit(unit) if unit.kind == b'S' => match Header::read(unit.payload) {
            // One that is damaged is no loss: it comes again with each key frame.
            Err(StreamError::Damaged { .. }) => Ok(None),
            Err(error) => {
                gst::element_error!(element, gst::StreamError::Format, ["{error}"]);
                Err(gst::loggable_error!(gst::CAT_RUST, "{error}"))
            }
            Ok(header) => Ok(Some(header)),
        },
        _ => Ok(None),
    }
}
