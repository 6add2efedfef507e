use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::base_src::CreateSuccess;
use gst_base::subclass::prelude::*;
use gst_torch_models::generate::generator::{Generator, Pending};
use gst_torch_runtime::planes::FrameInfo;
use gst_torch_runtime::{Engine, Model, Stats};

use super::fit::Fit;
use super::settings::Settings;
use super::timeline::{Frame, Timeline};
use crate::pace::Backlog;
use crate::sync::lock;
use crate::{report, video};

pub(super) static CAT: LazyLock<gst::DebugCategory> =
    LazyLock::new(|| gst::DebugCategory::new("torchsrc", gst::DebugColorFlags::empty(), Some("Video from generators")));

/// Colour first: where downstream takes anything, nothing is lost.
const FORMATS: [gst_video::VideoFormat; 10] = [
    gst_video::VideoFormat::Rgb,
    gst_video::VideoFormat::Rgba,
    gst_video::VideoFormat::I420,
    gst_video::VideoFormat::Nv12,
    gst_video::VideoFormat::Gray8,
    gst_video::VideoFormat::Bgr,
    gst_video::VideoFormat::Bgra,
    gst_video::VideoFormat::Rgbx,
    gst_video::VideoFormat::Bgrx,
    gst_video::VideoFormat::Yuy2,
];
const SIDE_MAX: i32 = 8192;
/// Where downstream does not care.
const RATE: (i32, i32) = (30, 1);

/// What leaves, and how far it has got.
#[derive(Default)]
pub(super) struct Stream {
    /// `None` until caps are known.
    pub format: Option<Format>,
    /// Frames under way, the next one first.
    pub queue: VecDeque<Queued>,
    pub backlog: Backlog,
    pub fit: Fit,
}

#[derive(Clone)]
pub(super) struct Format {
    pub info: gst_video::VideoInfo,
    pub frame: FrameInfo,
}

pub(super) struct Queued {
    pub frame: Frame,
    pub watermark: bool,
    pub pending: Pending,
    pub asked: std::time::Instant,
}

/// What `stats` tells of the model.
#[derive(Clone)]
pub(super) struct Running {
    pub model: Arc<Model>,
    pub engine: Arc<Engine>,
    /// Width and height that the network makes.
    pub size: [usize; 2],
}

#[derive(Default)]
pub struct TorchSrc {
    pub(super) settings: Mutex<Settings>,
    /// Away while a frame is made.
    pub(super) generator: Mutex<Option<Generator>>,
    /// Another one, which takes over with the next frame.
    pub(super) next_generator: Mutex<Option<Generator>>,
    pub(super) running: Mutex<Option<Running>>,
    /// Only the streaming thread makes frames; away while it does.
    pub(super) stream: Mutex<Stream>,
    /// Which frame is next; `None` until the first seek, which the base class makes at the start.
    pub(super) timeline: Mutex<Option<Timeline>>,
    pub(super) stats: Mutex<Stats>,
    /// Counts loads, so that of two under way the last asked for wins.
    pub(super) generation: AtomicU64,
    /// The last load that ended, well or not: where that is the last one, none is under way.
    pub(super) settled: AtomicU64,
    /// A model does not run only because the mode does not fit it.
    pub(super) waits_for_mode: AtomicBool,
    /// Whoever waits is to stop waiting.
    pub(super) unlocked: AtomicBool,
    /// The next frame does not go on from the one before.
    pub(super) restart: AtomicBool,
}

#[glib::object_subclass]
impl ObjectSubclass for TorchSrc {
    const NAME: &'static str = "GstTorchSrc";
    type Type = super::TorchSrc;
    type ParentType = gst_base::PushSrc;
}

impl ObjectImpl for TorchSrc {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(Settings::properties);
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        // Controllers come here for every frame, so only what may name another generator is compared.
        let watched = matches!(pspec.name(), "model-file" | "start-picture" | "end-picture");
        let (result, changed) = {
            let mut settings = lock(&self.settings);
            let before = watched.then(|| settings.clone());
            let result = settings.set(pspec.name(), value);
            (result, before.is_some_and(|before| settings.another_generator(&before)))
        };
        if let Err(error) = result {
            gst::element_imp_warning!(self, gst::LibraryError::Settings, ["{}: {error}", pspec.name()]);
        }
        if pspec.name() == "is-live" {
            let live = lock(&self.settings).live;
            self.obj().set_live(live);
        }
        let fits_now = pspec.name() == "mode" && self.waits_for_mode.swap(false, Ordering::SeqCst);
        if changed || fits_now {
            self.swap_generator();
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
        self.obj().set_format(gst::Format::Time);
    }
}

impl GstObjectImpl for TorchSrc {}

impl ElementImpl for TorchSrc {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "PyTorch generator source",
                "Source/Video",
                "Renders video from generative networks: GANs, VAEs, VQ-VAEs, sequence models, any decoder",
                env!("CARGO_PKG_AUTHORS"),
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let caps = gst_video::VideoCapsBuilder::new()
                .format_list(FORMATS)
                .width_range(1..=SIDE_MAX)
                .height_range(1..=SIDE_MAX)
                .build();
            let template = gst::PadTemplate::new("src", gst::PadDirection::Src, gst::PadPresence::Always, &caps);
            template.into_iter().collect()
        });
        &TEMPLATES
    }

    fn change_state(&self, change: gst::StateChange) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        let success = self.parent_change_state(change)?;
        if change == gst::StateChange::ReadyToNull {
            let generators = (lock(&self.generator).take(), lock(&self.next_generator).take());
            let running = lock(&self.running).take();
            drop((generators, running)); // under no lock: it may free a good part of the memory
        }
        Ok(success)
    }
}

impl BaseSrcImpl for TorchSrc {
    fn start(&self) -> Result<(), gst::ErrorMessage> {
        *lock(&self.stats) = Stats::default();
        *lock(&self.stream) = Stream::default();
        *lock(&self.timeline) = None;
        self.unlocked.store(false, Ordering::SeqCst);
        self.load_for_start().map_err(|error| report::message(&error))
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        let stream = std::mem::take(&mut *lock(&self.stream));
        drop(stream);
        Ok(())
    }

    fn is_seekable(&self) -> bool {
        true
    }

    /// Live frames wait for their time.
    fn times(&self, buffer: &gst::BufferRef) -> (Option<gst::ClockTime>, Option<gst::ClockTime>) {
        if !self.obj().is_live() {
            return (None, None);
        }
        (buffer.pts(), buffer.pts().zip(buffer.duration()).map(|(pts, duration)| pts + duration))
    }

    fn do_seek(&self, segment: &mut gst::Segment) -> bool {
        let Some(time) = segment.downcast_mut::<gst::ClockTime>() else { return false };
        let reverse = time.rate() < 0.0;
        time.set_time(time.start());
        let nanoseconds = |time: Option<gst::ClockTime>| time.map(gst::ClockTime::nseconds);
        let (start, stop) = (nanoseconds(time.start()).unwrap_or(0), nanoseconds(time.stop()));
        let position = match (reverse, stop) {
            (true, None) => return false, // there is no end to go back from
            (true, Some(stop)) => stop,
            (false, _) => nanoseconds(time.position()).unwrap_or(start),
        };
        lock(&self.timeline).get_or_insert(Timeline::new(RATE)).seek((start, stop), position, reverse);
        let mut stream = lock(&self.stream);
        let dropped = std::mem::take(&mut stream.queue);
        stream.backlog = Backlog::default();
        drop(stream);
        drop(dropped);
        self.restart.store(true, Ordering::SeqCst);
        true
    }

    fn query(&self, query: &mut gst::QueryRef) -> bool {
        let timeline = *lock(&self.timeline);
        match query.view_mut() {
            gst::QueryViewMut::Latency(latency) if self.obj().is_live() => {
                // A frame is made while the one before is shown.
                let spacing = timeline.and_then(|timeline| timeline.spacing()).unwrap_or(0);
                latency.set(true, gst::ClockTime::from_nseconds(spacing), gst::ClockTime::NONE);
                true
            }
            gst::QueryViewMut::Duration(duration) if duration.format() == gst::Format::Time => {
                let frames = u64::try_from(self.obj().num_buffers()).ok();
                let known = frames.zip(timeline).and_then(|(frames, timeline)| timeline.duration(frames));
                let Some(known) = known else { return false };
                duration.set(gst::ClockTime::from_nseconds(known));
                true
            }
            _ => BaseSrcImplExt::parent_query(self, query),
        }
    }

    /// The network's own size, where the other side leaves it open.
    fn fixate(&self, mut caps: gst::Caps) -> gst::Caps {
        let [width, height] = lock(&self.running).as_ref().map_or([64, 64], |running| running.size);
        caps.truncate();
        if let Some(structure) = caps.make_mut().structure_mut(0) {
            structure.fixate_field_nearest_int("width", width as i32);
            structure.fixate_field_nearest_int("height", height as i32);
            structure.fixate_field_nearest_fraction("framerate", gst::Fraction::new(RATE.0, RATE.1));
            if structure.has_field("pixel-aspect-ratio") {
                structure.fixate_field_nearest_fraction("pixel-aspect-ratio", gst::Fraction::new(1, 1));
            }
            if structure.has_field("interlace-mode") {
                structure.fixate_field_str("interlace-mode", "progressive");
            }
        }
        self.parent_fixate(caps)
    }

    fn set_caps(&self, caps: &gst::Caps) -> Result<(), gst::LoggableError> {
        let info = gst_video::VideoInfo::from_caps(caps).map_err(|e| gst::loggable_error!(CAT, "caps {caps}: {e}"))?;
        let frame =
            video::frame_info(&info).ok_or_else(|| gst::loggable_error!(CAT, "caps {caps}: no format of ours"))?;
        gst::debug!(CAT, imp = self, "{frame} at {}", info.fps());
        self.obj().set_blocksize(info.size() as u32);
        let rate = (info.fps().numer(), info.fps().denom());
        let mut stream = lock(&self.stream);
        // What is under way has the size of before.
        let dropped = std::mem::take(&mut stream.queue);
        stream.format = Some(Format { info, frame });
        drop(stream);
        {
            let mut timeline = lock(&self.timeline);
            let timeline = timeline.get_or_insert(Timeline::new(rate));
            if let Some(first) = dropped.front() {
                timeline.rewind(dropped.len(), first.frame.picture);
            }
            timeline.set_rate(rate);
        }
        drop(dropped);
        Ok(())
    }

    /// Frames are written into downstream's buffers where it offers some, with rows padded as it likes; else into a pool's.
    fn decide_allocation(&self, query: &mut gst::query::Allocation) -> Result<(), gst::LoggableError> {
        let (caps, _) = query.get_owned();
        let caps = caps.ok_or_else(|| gst::loggable_error!(CAT, "no caps to allocate for"))?;
        let info = gst_video::VideoInfo::from_caps(&caps).map_err(|e| gst::loggable_error!(CAT, "caps {caps}: {e}"))?;
        let strides = query.find_allocation_meta::<gst_video::VideoMeta>().is_some();
        let offered: Vec<_> = query.allocation_pools().collect();
        let (pool, size, least, most) = offered.first().cloned().unwrap_or((None, 0, 0, 0));
        let size = size.max(info.size() as u32);
        let pool = pool.unwrap_or_else(|| gst_video::VideoBufferPool::new().upcast());
        let mut config = pool.config();
        config.set_params(Some(&caps), size, least, most);
        if strides && pool.has_option(gst_video::BUFFER_POOL_OPTION_VIDEO_META) {
            config.add_option(gst_video::BUFFER_POOL_OPTION_VIDEO_META);
        }
        pool.set_config(config).map_err(|e| gst::loggable_error!(CAT, "the buffer pool refuses {caps}: {e}"))?;
        if offered.is_empty() {
            query.add_allocation_pool(Some(&pool), size, least, most);
        } else {
            query.set_nth_allocation_pool(0, Some(&pool), size, least, most);
        }
        self.parent_decide_allocation(query)
    }

    fn unlock(&self) -> Result<(), gst::ErrorMessage> {
        self.unlocked.store(true, Ordering::SeqCst);
        Ok(())
    }

    fn unlock_stop(&self) -> Result<(), gst::ErrorMessage> {
        self.unlocked.store(false, Ordering::SeqCst);
        Ok(())
    }
}

impl PushSrcImpl for TorchSrc {
    fn create(&self, buffer: Option<&mut gst::BufferRef>) -> Result<CreateSuccess, gst::FlowError> {
        if let Some(buffer) = buffer {
            return self.fill_next(buffer).map(|()| CreateSuccess::FilledBuffer);
        }
        let pool = self.obj().buffer_pool().ok_or(gst::FlowError::NotNegotiated)?;
        let mut buffer = pool.acquire_buffer(None)?;
        self.fill_next(buffer.make_mut())?;
        Ok(CreateSuccess::NewBuffer(buffer))
    }
}

impl TorchSrc {
    fn stats(&self) -> gst::Structure {
        let stats = lock(&self.stats).clone();
        let running = lock(&self.running).clone();
        let (model, engine) = running.as_ref().map(|running| (&*running.model, &*running.engine)).unzip();
        report::stats(&stats, model, engine).build()
    }
}
