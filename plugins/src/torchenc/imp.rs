use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_torch_models::codec::any::AnyEncoder as Encoder;
use gst_torch_models::codec::any::AnyModel as Model;
use gst_torch_models::codec::canvas::Frame;
use gst_torch_models::codec::control::{Rate, RateControl, step_of_quality};
use gst_torch_models::codec::encoder::{Coded, Request};
use gst_torch_models::codec::stream::Header;
use gst_torch_runtime::run_on;
use gst_video::prelude::*;
use gst_video::subclass::prelude::*;
use gst_video::{VideoCodecFrame, VideoCodecFrameFlags, VideoFrameRef, video_codec_state};

use super::clock::Clock;
use super::region;
use super::settings::Settings;
use crate::codec::{self, Counters};
use crate::meta;
use crate::pace::{self, Backlog};
use crate::sync::lock;

static CAT: LazyLock<gst::DebugCategory> =
    LazyLock::new(|| gst::DebugCategory::new("torchenc", gst::DebugColorFlags::empty(), Some("Autoencoder codec")));

/// So many frames that fail in a row end the stream.
const FAILURES_MAX: u32 = 10;

type Input = gst_video::VideoCodecState<'static, video_codec_state::Readable>;

/// What was opened, and by which name.
struct Opened {
    model_file: Option<String>,
    model: Arc<Model>,
}

/// A sequence being coded.
struct Stream {
    input: Input,
    model: Arc<Model>,
    header: Header,
    /// Away while it works; after a panic it is not there, and a new one begins with a key frame.
    encoder: Option<Encoder>,
    /// Frames since the last key frame, itself included; 0 before the first.
    since_key: u32,
    /// A key frame was asked for, and the frame it was asked of was dropped.
    key_due: bool,
    rate: Option<RateControl>,
    backlog: Backlog,
    /// Of the frame before, coded or not.
    pts: Option<gst::ClockTime>,
    live: bool,
    failures: u32,
}

#[derive(Default)]
pub struct TorchEnc {
    settings: Mutex<Settings>,
    /// Outlives READY, so that going there and back loads nothing.
    opened: Mutex<Option<Opened>>,
    stream: Mutex<Option<Stream>>,
    /// Goes on over changes of caps.
    clock: Mutex<Option<Clock>>,
    counters: Mutex<Counters>,
}

#[glib::object_subclass]
impl ObjectSubclass for TorchEnc {
    const NAME: &'static str = "GstTorchEnc";
    type Type = super::TorchEnc;
    type ParentType = gst_video::VideoEncoder;
    type Interfaces = (gst::Preset,);
}

impl ObjectImpl for TorchEnc {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(Settings::properties);
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
        crate::video::take_unsaid_as_progressive(self.obj().sink_pad());
    }
}

impl GstObjectImpl for TorchEnc {}

impl PresetImpl for TorchEnc {}

impl ElementImpl for TorchEnc {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Autoencoder video encoder",
                "Codec/Encoder/Video",
                "Compresses video with a learned codec",
                env!("CARGO_PKG_AUTHORS"),
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let sink = gst_video::VideoCapsBuilder::new()
                .format_list(codec::FORMATS)
                .width_range(1..=8192)
                .height_range(1..=8192)
                .field("interlace-mode", "progressive")
                .build();
            let src = gst::Caps::builder(codec::MEDIA_TYPE)
                .field("stream-format", "byte-stream")
                .field("alignment", "au")
                .build();
            [("sink", gst::PadDirection::Sink, sink), ("src", gst::PadDirection::Src, src)]
                .into_iter()
                .filter_map(|(name, way, caps)| gst::PadTemplate::new(name, way, gst::PadPresence::Always, &caps).ok())
                .collect()
        });
        &TEMPLATES
    }
}

impl VideoEncoderImpl for TorchEnc {
    fn start(&self) -> Result<(), gst::ErrorMessage> {
        *lock(&self.counters) = Counters::default();
        *lock(&self.clock) = None;
        self.model().map_err(|error| gst::error_msg!(gst::LibraryError::Settings, ["{error}"]))?;
        self.parent_start()
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        let stream = lock(&self.stream).take();
        drop(stream);
        self.parent_stop()
    }

    fn close(&self) -> Result<(), gst::ErrorMessage> {
        let opened = lock(&self.opened).take();
        drop(opened); // under no lock: it may free a good part of the memory
        self.parent_close()
    }

    fn set_format(&self, state: &Input) -> Result<(), gst::LoggableError> {
        let model = self.model().map_err(|error| gst::loggable_error!(CAT, "{error}"))?;
        self.configure(state.clone(), model).map_err(|error| {
            gst::element_imp_error!(self, gst::StreamError::Format, ["{error}"]);
            gst::loggable_error!(CAT, "{error}")
        })
    }

    fn flush(&self) -> bool {
        if let Some(stream) = lock(&self.stream).as_mut() {
            stream.since_key = 0;
        }
        true
    }

    fn propose_allocation(&self, query: &mut gst::query::Allocation) -> Result<(), gst::LoggableError> {
        query.add_allocation_meta::<gst_video::VideoMeta>(None);
        self.parent_propose_allocation(query)
    }

    fn handle_frame(&self, mut frame: VideoCodecFrame) -> Result<gst::FlowSuccess, gst::FlowError> {
        self.follow_model_file();
        let Some(job) = self.plan(&frame)? else {
            lock(&self.counters).stats.skipped += 1;
            // Without a buffer it is dropped, and the base class says so on the bus.
            return self.obj().finish_frame(frame);
        };
        let started = Instant::now();
        let Job { encoder, picture, request, device, .. } = job;
        let outcome = run_on(device, move || {
            let mut encoder = encoder;
            let result = encoder.encode(&picture, &request);
            (encoder, result)
        });
        let took = started.elapsed();
        match outcome {
            Ok((encoder, Ok(coded))) => {
                self.coded(encoder, &coded, took);
                if coded.key {
                    frame.set_flags(VideoCodecFrameFlags::SYNC_POINT);
                }
                frame.set_output_buffer(gst::Buffer::from_mut_slice(coded.bytes));
                self.obj().finish_frame(frame)
            }
            Ok((_, Err(error))) => self.failed(frame, &error.to_string()),
            Err(panic) => self.failed(frame, &format!("internal error while encoding: {panic}")),
        }
    }
}

/// A frame on its way to the worker.
struct Job {
    encoder: Encoder,
    picture: Frame,
    request: Request,
    device: gst_torch_runtime::Device,
}

impl TorchEnc {
    /// The model that the properties name, opened if it is not.
    fn model(&self) -> gst_torch_runtime::Result<Arc<Model>> {
        let wanted = lock(&self.settings).model.clone();
        if let Some(opened) = lock(&self.opened).as_ref().filter(|opened| opened.model_file == wanted.model_file) {
            return Ok(Arc::clone(&opened.model));
        }
        let name = wanted.model_file.as_deref().unwrap_or(codec::DEFAULT_MODEL);
        let model = Model::open(name, wanted.device()?, wanted.precision()?)?;
        let opened = Opened { model_file: wanted.model_file, model: Arc::clone(&model) };
        let before = lock(&self.opened).replace(opened);
        drop(before);
        Ok(model)
    }

    /// Begins a new sequence where `model-file` has changed; a model that cannot be opened leaves all as it is.
    fn follow_model_file(&self) {
        let wanted = lock(&self.settings).model.model_file.clone();
        let Some(input) = lock(&self.stream).as_ref().map(|stream| stream.input.clone()) else { return };
        if lock(&self.opened).as_ref().is_none_or(|opened| opened.model_file == wanted) {
            return;
        }
        let result = self.model().map_err(|error| error.to_string()).and_then(|model| self.configure(input, model));
        if let Err(error) = result {
            gst::element_imp_warning!(self, gst::LibraryError::Settings, ["model-file: {error}"]);
            // What could not be opened counts as opened, so that it is not tried again with every frame.
            if let Some(opened) = lock(&self.opened).as_mut() {
                opened.model_file = wanted;
            }
        }
    }

    /// Begins a sequence.
    fn configure(&self, input: Input, model: Arc<Model>) -> Result<(), String> {
        let header = codec::header(input.info(), &model)?;
        gst::debug!(CAT, imp = self, "{header:?} on {} in {}", model.device, model.precision);
        let obj = self.obj();
        let mut query = gst::query::Latency::new();
        let live = obj.sink_pad().peer_query(&mut query) && query.result().0;
        lock(&self.clock).get_or_insert_with(|| Clock::new(header.rate)).set_rate(header.rate);
        let frame = codec::Timeline::new(header.rate).after(1);
        let caps = codec::caps(&header);
        let encoder = Encoder::new(Arc::clone(&model), header.clone());
        let stream = Stream {
            input: input.clone(),
            model,
            header,
            encoder: Some(encoder),
            since_key: 0,
            key_due: false,
            rate: None,
            backlog: Backlog::default(),
            pts: None,
            live,
            failures: 0,
        };
        let before = lock(&self.stream).replace(stream);
        drop(before);
        // An encoder that keeps up takes a frame's time at most; frames of files have all the time there is.
        let latency = if live { gst::ClockTime::from_nseconds(frame) } else { gst::ClockTime::ZERO };
        obj.set_latency(latency, latency);
        // Negotiated with the first frame, by the base class: what it returns then tells a flush from a refusal.
        obj.set_output_state(caps, Some(&input)).map(drop).map_err(|error| error.to_string())
    }

    /// What to do with a frame; `None` is to drop it.
    fn plan(&self, frame: &VideoCodecFrame) -> Result<Option<Job>, gst::FlowError> {
        let settings = lock(&self.settings).clone();
        let buffer = frame.input_buffer().ok_or(gst::FlowError::Error)?;
        let (info, subsampling) = match lock(&self.stream).as_ref() {
            Some(stream) => (stream.input.info().clone(), stream.header.subsampling),
            None => return Err(gst::FlowError::NotNegotiated),
        };
        let pts = frame.pts().map(gst::ClockTime::nseconds);
        {
            let mut guard = lock(&self.stream);
            let stream = guard.as_mut().ok_or(gst::FlowError::NotNegotiated)?;
            let since = frame.pts().and_then(|pts| pts.checked_sub(stream.pts.replace(pts)?));
            let spacing = pace::spacing(frame.duration(), info.fps(), since);
            stream.key_due |= frame.flags().contains(VideoCodecFrameFlags::FORCE_KEYFRAME);
            if stream.backlog.is_late(spacing) && settings.late_policy.skips(stream.live) {
                return Ok(None);
            }
        }
        let mapped = VideoFrameRef::from_buffer_ref_readable(buffer, &info).ok();
        let picture = mapped.and_then(|mapped| codec::read(&mapped, subsampling)).ok_or_else(|| {
            gst::element_imp_error!(self, gst::StreamError::Format, ["a frame is not laid out as its caps say"]);
            gst::FlowError::Error
        })?;
        let boxes: Vec<_> = match settings.roi_quality {
            0.0 => Vec::new(),
            _ => meta::objects(buffer).into_iter().map(|object| object.rect).collect(),
        };

        let mut guard = lock(&self.stream);
        let stream = guard.as_mut().ok_or(gst::FlowError::NotNegotiated)?;
        let (encoder, fresh) = match stream.encoder.take() {
            Some(encoder) => (encoder, false),
            None => (Encoder::new(Arc::clone(&stream.model), stream.header.clone()), true),
        };
        let most = settings.key_int_max;
        let key = fresh || stream.key_due || stream.since_key == 0 || most > 0 && stream.since_key >= most;
        stream.key_due = false;
        let stamp = match lock(&self.clock).as_mut() {
            Some(clock) => clock.stamp(key, pts),
            None => Clock::new(stream.header.rate).stamp(key, pts),
        };
        let rate = match settings.bitrate {
            0 => {
                stream.rate = None;
                Rate::Step(step_of_quality(settings.quality))
            }
            kilobits => {
                let bits = f64::from(kilobits) * 1e3;
                let control = stream.rate.get_or_insert_with(|| RateControl::new(bits));
                control.set_bitrate(bits);
                control.plan(key, stamp.elapsed)
            }
        };
        let changes = region::changes(&boxes, settings.roi_quality, stream.header.blocks());
        let request = Request { key, rate, time: stamp.time, changes };
        Ok(Some(Job { encoder, picture, request, device: stream.model.device }))
    }

    /// Notes what came out.
    fn coded(&self, encoder: Encoder, coded: &Coded, took: Duration) {
        if let Some(stream) = lock(&self.stream).as_mut() {
            stream.encoder = Some(encoder);
            stream.since_key = if coded.key { 1 } else { stream.since_key.saturating_add(1) };
            stream.failures = 0;
            stream.backlog.took(took);
            if let Some(rate) = &mut stream.rate {
                rate.coded(u32::try_from(coded.bytes.len() * 8).unwrap_or(u32::MAX));
            }
        }
        lock(&self.counters).count(coded.key, coded.bytes.len(), took);
    }

    /// One frame that fails is left out and said; many in a row are an error.
    fn failed(&self, frame: VideoCodecFrame, reason: &str) -> Result<gst::FlowSuccess, gst::FlowError> {
        let failures = lock(&self.stream).as_mut().map_or(0, |stream| {
            stream.failures += 1;
            stream.failures
        });
        if failures >= FAILURES_MAX {
            gst::element_imp_error!(self, gst::StreamError::Encode, ["{reason}"]);
            return Err(gst::FlowError::Error);
        }
        gst::element_imp_warning!(self, gst::StreamError::Encode, ["{reason}"]);
        self.obj().finish_frame(frame)
    }

    fn stats(&self) -> gst::Structure {
        let model = lock(&self.opened).as_ref().map(|opened| Arc::clone(&opened.model));
        let counters = lock(&self.counters);
        counters.structure(model.as_deref()).field("skipped", counters.stats.skipped).build()
    }
}
