use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_torch_models::codec::any::AnyDecoder as Decoder;
use gst_torch_models::codec::any::AnyModel as Model;
use gst_torch_models::codec::canvas::Frame;
use gst_torch_models::codec::decoder::DecodeError;
use gst_torch_models::codec::stream::{Header, Identity, PictureUnit};
use gst_torch_models::codec::symbols::Kind;
use gst_torch_runtime::run_on;
use gst_video::prelude::*;
use gst_video::subclass::prelude::*;
use gst_video::{VideoCodecFrame, VideoCodecFrameFlags, VideoDecoderRequestSyncPointFlags, VideoFrameRef};

use super::unit::{AccessUnit, Fault};
use crate::codec::{self, Counters};
use crate::settings::ModelSettings;
use crate::sync::lock;

static CAT: LazyLock<gst::DebugCategory> =
    LazyLock::new(|| gst::DebugCategory::new("torchdec", gst::DebugColorFlags::empty(), Some("Autoencoder codec")));

/// Key frames are asked for so often at most.
const REQUEST_INTERVAL: Duration = Duration::from_millis(500);
/// So many pictures in a row that the model fails on end the stream.
const FAILURES_MAX: u32 = 10;

type Input = gst_video::VideoCodecState<'static, gst_video::video_codec_state::Readable>;

/// A sequence being decoded.
struct Stream {
    header: Header,
    model: Arc<Model>,
    /// The property, as it was when the model was opened.
    model_file: Option<String>,
    info: gst_video::VideoInfo,
    /// Away while it works, and gone after a panic.
    decoder: Option<Decoder>,
    /// Of the last picture; `None` where only a key frame can come next.
    number: Option<u8>,
    /// The last picture may stand in for one that cannot be decoded.
    conceal: bool,
    failures: u32,
}

#[derive(Default)]
pub struct TorchDec {
    settings: Mutex<ModelSettings>,
    input: Mutex<Option<Input>>,
    stream: Mutex<Option<Stream>>,
    counters: Mutex<Counters>,
}

#[glib::object_subclass]
impl ObjectSubclass for TorchDec {
    const NAME: &'static str = "GstTorchDec";
    type Type = super::TorchDec;
    type ParentType = gst_video::VideoDecoder;
}

impl ObjectImpl for TorchDec {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let mut list = ModelSettings::properties(
                "Built-in model name or model card (.toml); unset is the model that the stream names",
            );
            list.retain(|property| property.name() != "label-file");
            list.push(
                glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
                    .nick("Statistics")
                    .blurb(
                        "Frames, key frames, concealed frames, bytes, p50 and p99 of the decoding time in ms, device, precision, \
                         model",
                    )
                    .read_only()
                    .build(),
            );
            list
        });
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        let result = lock(&self.settings).set(pspec.name(), value);
        if let Err(error) = result {
            gst::element_imp_warning!(self, gst::LibraryError::Settings, ["{}: {error}", pspec.name()]);
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        if pspec.name() == "stats" {
            return self.stats().to_value();
        }
        let value = lock(&self.settings).get(pspec.name());
        value.unwrap_or_else(|| pspec.default_value().clone())
    }

    fn constructed(&self) {
        self.parent_constructed();
        let obj = self.obj();
        obj.set_packetized(true);
        obj.set_min_force_key_unit_interval(REQUEST_INTERVAL.as_nanos() as u64);
    }
}

impl GstObjectImpl for TorchDec {}

impl ElementImpl for TorchDec {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Autoencoder video decoder",
                "Codec/Decoder/Video",
                "Decodes video that a learned codec compressed",
                env!("CARGO_PKG_AUTHORS"),
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let sink = gst::Caps::builder(codec::MEDIA_TYPE)
                .field("stream-format", "byte-stream")
                .field("alignment", "au")
                .build();
            let src = gst_video::VideoCapsBuilder::new().format_list(codec::FORMATS).build();
            [("sink", gst::PadDirection::Sink, sink), ("src", gst::PadDirection::Src, src)]
                .into_iter()
                .filter_map(|(name, way, caps)| gst::PadTemplate::new(name, way, gst::PadPresence::Always, &caps).ok())
                .collect()
        });
        &TEMPLATES
    }
}

impl VideoDecoderImpl for TorchDec {
    fn start(&self) -> Result<(), gst::ErrorMessage> {
        *lock(&self.counters) = Counters::default();
        self.parent_start()
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        let (stream, input) = (lock(&self.stream).take(), lock(&self.input).take());
        drop((stream, input)); // under no lock: the model may go with it
        self.parent_stop()
    }

    fn set_format(&self, state: &Input) -> Result<(), gst::LoggableError> {
        let before = lock(&self.input).replace(state.clone());
        drop(before);
        // Without codec_data, the header comes with the first key frame.
        let header = state.caps().map_or(Ok(None), |caps| codec::header_of_caps(&*self.obj(), caps))?;
        let Some(header) = header else { return Ok(()) };
        self.configure(header).map_err(|_| gst::loggable_error!(CAT, "the stream cannot be decoded"))
    }

    fn flush(&self) -> bool {
        if let Some(stream) = lock(&self.stream).as_mut() {
            (stream.number, stream.conceal) = (None, false);
        }
        true
    }

    fn handle_frame(&self, mut frame: VideoCodecFrame) -> Result<gst::FlowSuccess, gst::FlowError> {
        let data = frame.input_buffer_owned().and_then(|buffer| buffer.into_mapped_buffer_readable().ok());
        let Some(data) = data else { return self.lost(frame, "it cannot be read") };
        let unit = match AccessUnit::read(&data) {
            Ok(unit) => unit,
            Err(Fault::Damaged(reason)) => return self.lost(frame, &reason),
            Err(Fault::Unknown(reason)) => {
                gst::element_imp_error!(self, gst::StreamError::Format, ["{reason}"]);
                return Err(gst::FlowError::Error);
            }
        };
        if let Some(header) = unit.header.clone()
            && self.is_new(&header)
        {
            self.configure(header)?;
        }
        let Some((decoder, device, slices)) = self.decoder_for(&unit) else {
            return self.lost(frame, "it refers to a picture that is not there");
        };

        let started = Instant::now();
        let (kind, picture) = (unit.kind, unit.picture.clone());
        let outcome = run_on(device, move || {
            let mut decoder = decoder;
            let result = match PictureUnit::read(kind, &data[picture], slices) {
                Ok(unit) => decoder.decode(&unit),
                Err(_) => Err(DecodeError::Damaged(0)),
            };
            (decoder, result)
        });
        match outcome {
            Ok((decoder, Ok(picture))) => {
                self.decoded(decoder, &unit, started.elapsed());
                if kind == Kind::Intra {
                    frame.set_flags(VideoCodecFrameFlags::SYNC_POINT);
                }
                if self.obj().max_decode_time(&frame) < 0 {
                    return self.obj().drop_frame(frame);
                }
                self.show(frame, &picture)
            }
            Ok((decoder, Err(error))) => {
                if let Some(stream) = lock(&self.stream).as_mut() {
                    stream.decoder = Some(decoder);
                }
                if let DecodeError::Model(_) = error {
                    self.model_failed(&error.to_string())?;
                }
                self.lost(frame, &error.to_string())
            }
            Err(panic) => {
                self.model_failed(&format!("internal error while decoding: {panic}"))?;
                self.lost(frame, &panic)
            }
        }
    }
}

impl TorchDec {
    /// Whether a header begins another sequence, or the model is to be another one.
    fn is_new(&self, header: &Header) -> bool {
        let model_file = lock(&self.settings).model_file.clone();
        lock(&self.stream).as_ref().is_none_or(|s| s.header != *header || s.model_file != model_file)
    }

    /// Begins a sequence; where it cannot, says so on the bus.
    fn configure(&self, header: Header) -> Result<(), gst::FlowError> {
        if !self.is_new(&header) {
            return Ok(());
        }
        let settings = lock(&self.settings).clone();
        let model = open(&settings, &header).map_err(|reason| {
            gst::element_imp_error!(self, gst::StreamError::CodecNotFound, ["{reason}"]);
            gst::FlowError::Error
        })?;
        gst::debug!(CAT, imp = self, "{header:?} on {} in {}", model.device, model.precision);
        let info = self.output_info(&header).map_err(|error| {
            gst::element_imp_error!(self, gst::StreamError::Format, ["{error}"]);
            gst::FlowError::Error
        })?;
        let stream = Stream {
            header,
            model,
            model_file: settings.model_file,
            info: info.clone(),
            decoder: None,
            number: None,
            conceal: false,
            failures: 0,
        };
        let before = lock(&self.stream).replace(stream);
        drop(before);
        let obj = self.obj();
        let mut output = obj.set_output_state(info.format(), info.width(), info.height(), None)?;
        output.set_info(info);
        // Negotiated with the first frame, by the base class: what it returns then tells a flush from a refusal.
        Ok(())
    }

    /// What the header says; a frame rate that it leaves open may be in the caps. Where downstream does not take U and V as
    /// the source had them, interleaved or not, they are turned.
    fn output_info(&self, header: &Header) -> Result<gst_video::VideoInfo, glib::BoolError> {
        let allowed = self.obj().src_pad().allowed_caps();
        let taken = |info: &gst_video::VideoInfo| {
            let format = gst_video::VideoCapsBuilder::new().format(info.format()).build();
            allowed.as_ref().is_none_or(|caps| caps.can_intersect(&format))
        };
        let info = codec::video_info(header)?;
        let turned = codec::video_info(&Header { interleaved: !header.interleaved, ..header.clone() })?;
        let info = if !taken(&info) && taken(&turned) { turned } else { info };
        let fps = lock(&self.input).as_ref().map(|input| input.info().fps());
        match fps.filter(|fps| header.rate.0 == 0 && fps.numer() > 0) {
            Some(fps) => gst_video::VideoInfo::builder_from_info(&info).fps(fps).build(),
            None => Ok(info),
        }
    }

    /// The decoder, its device and the number of slices, if the picture can be decoded.
    fn decoder_for(&self, unit: &AccessUnit) -> Option<(Decoder, gst_torch_runtime::Device, usize)> {
        let mut guard = lock(&self.stream);
        let stream = guard.as_mut()?;
        let follows = stream.number.is_some_and(|number| unit.number == number.wrapping_add(1));
        if unit.kind == Kind::Inter && !follows {
            return None;
        }
        let decoder = stream.decoder.take();
        let (model, header) = (Arc::clone(&stream.model), stream.header.clone());
        drop(guard);
        let slices = header.slices().count();
        let device = model.device;
        Some((decoder.unwrap_or_else(|| Decoder::new(model, header)), device, slices))
    }

    /// Notes that a picture was decoded.
    fn decoded(&self, decoder: Decoder, unit: &AccessUnit, took: Duration) {
        if let Some(stream) = lock(&self.stream).as_mut() {
            stream.decoder = Some(decoder);
            (stream.number, stream.conceal, stream.failures) = (Some(unit.number), true, 0);
        }
        lock(&self.counters).count(unit.kind == Kind::Intra, unit.length, took);
    }

    /// The model itself failed: once is a warning, many times in a row are an error.
    fn model_failed(&self, reason: &str) -> Result<(), gst::FlowError> {
        let failures = lock(&self.stream).as_mut().map_or(0, |stream| {
            stream.failures += 1;
            stream.failures
        });
        if failures >= FAILURES_MAX {
            gst::element_imp_error!(self, gst::StreamError::Decode, ["{reason}"]);
            return Err(gst::FlowError::Error);
        }
        gst::element_imp_warning!(self, gst::StreamError::Decode, ["{reason}"]);
        Ok(())
    }

    /// A picture that cannot be decoded: the one before stands in for it, if there is one, until the next key frame.
    fn lost(&self, mut frame: VideoCodecFrame, reason: &str) -> Result<gst::FlowSuccess, gst::FlowError> {
        let obj = self.obj();
        let (first, picture) = match lock(&self.stream).as_mut() {
            None => (false, None),
            Some(stream) => {
                let first = stream.number.take().is_some();
                (first, stream.decoder.as_ref().filter(|_| stream.conceal).and_then(Decoder::conceal))
            }
        };
        gst::debug!(CAT, imp = self, "Access unit of {:?} is lost: {reason}", frame.pts());
        obj.request_sync_point(&frame, VideoDecoderRequestSyncPointFlags::empty());
        if first {
            // Counts against max-errors; what follows is the same fault.
            gst_video::video_decoder_error!(
                obj,
                1,
                gst::StreamError::Decode,
                ("an access unit is lost"),
                ["{reason}"]
            )?;
        }
        let Some(picture) = picture else {
            obj.release_frame(frame);
            return Ok(gst::FlowSuccess::Ok);
        };
        lock(&self.counters).concealed += 1;
        frame.set_flags(VideoCodecFrameFlags::CORRUPTED);
        self.show(frame, &picture)
    }

    fn show(&self, mut frame: VideoCodecFrame, picture: &Frame) -> Result<gst::FlowSuccess, gst::FlowError> {
        let obj = self.obj();
        let info =
            lock(&self.stream).as_ref().map(|stream| stream.info.clone()).ok_or(gst::FlowError::NotNegotiated)?;
        obj.allocate_output_frame(&mut frame, None)?;
        let written = frame.output_buffer_mut().and_then(|buffer| {
            let mut mapped = VideoFrameRef::from_buffer_ref_writable(buffer, &info).ok()?;
            codec::write(picture, &mut mapped)
        });
        if written.is_none() {
            gst::element_imp_error!(
                self,
                gst::ResourceError::Write,
                ["the buffers of downstream are not what was agreed"]
            );
            return Err(gst::FlowError::Error);
        }
        obj.finish_frame(frame)
    }

    fn stats(&self) -> gst::Structure {
        let model = lock(&self.stream).as_ref().map(|stream| Arc::clone(&stream.model));
        let counters = lock(&self.counters);
        counters.structure(model.as_deref()).field("concealed", counters.concealed).build()
    }
}

/// The model of a stream, or why there is none.
fn open(settings: &ModelSettings, header: &Header) -> Result<Arc<Model>, String> {
    let made = format!("the stream was made with model '{}' ({})", header.name, hex(header.model));
    let name = match &settings.model_file {
        Some(name) => name,
        // What a stream says is no path to open.
        None if header.name.contains(['/', '\\', '.']) => {
            return Err(format!("{made}, which is not built in: model-file has to name it"));
        }
        None => &header.name,
    };
    let place = settings.device().and_then(|device| Ok((device, settings.precision()?)));
    let model = place.and_then(|(device, precision)| Model::open(name, device, precision));
    let model = model.map_err(|error| format!("{made}; {error}"))?;
    if model.identity != header.model {
        return Err(format!("{made}; '{name}' is another one ({})", hex(model.identity)));
    }
    if model.coding != header.coding {
        return Err(format!("{made} in coding {}; its coding is {}", header.coding as u8, model.coding as u8));
    }
    Ok(model)
}

fn hex(identity: Identity) -> String {
    identity.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}
