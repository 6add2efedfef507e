use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Instant;

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_torch_runtime::planes::FrameInfo;
use gst_torch_runtime::{Model, Result as TorchResult, Stats};

use super::live::{Failures, Interval, Latency};
use super::pool::Pool;
use super::queue::Queue;
use super::settings::{InferenceRegion, Settings};
use super::{Finish, Session};
use crate::sync::lock;
use crate::{report, video};

pub(super) static CAT: LazyLock<gst::DebugCategory> =
    LazyLock::new(|| gst::DebugCategory::new("torchfilter", gst::DebugColorFlags::empty(), Some("Frames to networks")));

type MakeSession = fn(&super::TorchFilter, &Arc<Model>, &FrameInfo) -> TorchResult<Arc<dyn Session>>;
type Scale = fn(&super::TorchFilter, &Arc<Model>) -> TorchResult<usize>;
type ScaleByName = fn(&super::TorchFilter, &str) -> Option<usize>;

/// What a subclass gives; see `TorchFilterImpl`.
#[derive(Clone, Copy)]
pub(super) struct Virtuals {
    pub task: &'static str,
    pub default_model: fn(&super::TorchFilter) -> TorchResult<String>,
    pub scale: Scale,
    pub scale_by_name: ScaleByName,
    pub session: MakeSession,
}

#[repr(C)]
pub struct TorchFilterClass {
    parent: gst::ffi::GstElementClass,
    /// Filled for each subclass before it has instances.
    pub(super) virtuals: Option<Virtuals>,
}

// SAFETY: repr(C), and the parent's class struct comes first.
unsafe impl ClassStruct for TorchFilterClass {
    type Type = TorchFilter;
}

impl std::ops::Deref for TorchFilterClass {
    type Target = glib::Class<gst::Element>;

    fn deref(&self) -> &Self::Target {
        // SAFETY: repr(C), and the parent's class struct comes first.
        unsafe { &*std::ptr::from_ref(self).cast() }
    }
}

/// The stream as the caps describe it, and what runs on it.
#[derive(Clone)]
pub(super) struct Stream {
    /// What comes.
    pub input: gst::Caps,
    pub info: gst_video::VideoInfo,
    pub frame: FrameInfo,
    /// What leaves.
    pub output: gst_video::VideoInfo,
    pub caps: gst::Caps,
    pub live: bool,
    pub session: Arc<dyn Session>,
}

pub(super) enum Item {
    Frame { buffer: gst::Buffer, stream: Arc<Stream>, arrived: Instant, finish: Option<Finish> },
    Event(gst::Event),
}

#[derive(Default)]
pub(super) struct Counters {
    pub stats: Stats,
    pub latency: Latency,
}

pub struct TorchFilter {
    pub(super) sinkpad: gst::Pad,
    pub(super) srcpad: gst::Pad,
    pub(super) settings: Mutex<Settings>,
    /// Outlives READY, so that going there and back loads nothing.
    pub(super) model: Mutex<Option<Arc<Model>>>,
    /// How many times larger frames leave with that model.
    pub(super) scale: AtomicUsize,
    pub(super) stream: Mutex<Option<Arc<Stream>>>,
    pub(super) queue: Queue<Item>,
    /// What downstream said last; given to whoever brings the next frame.
    pub(super) flow: Mutex<Result<gst::FlowSuccess, gst::FlowError>>,
    pub(super) segment: Mutex<gst::FormattedSegment<gst::ClockTime>>,
    pub(super) interval: Mutex<Interval>,
    pub(super) failures: Mutex<Failures>,
    pub(super) counters: Mutex<Counters>,
    /// Running time before which a sink finds frames too late.
    pub(super) earliest: Mutex<Option<gst::ClockTime>>,
    /// Counts model changes, so that of two loads under way the last asked for wins.
    pub(super) generation: AtomicU64,
    pub(super) eos: AtomicBool,
    /// The next frame does not follow the one before.
    pub(super) fresh: AtomicBool,
    /// The caps that whatever is put into the queue next will have.
    pub(super) announced: Mutex<Option<gst::Caps>>,
    pub(super) pool: Mutex<Pool>,
}

#[glib::object_subclass]
impl ObjectSubclass for TorchFilter {
    const NAME: &'static str = "GstTorchFilter";
    const ABSTRACT: bool = true;
    type Type = super::TorchFilter;
    type ParentType = gst::Element;
    type Class = TorchFilterClass;

    fn with_class(class: &Self::Class) -> Self {
        let template = |name| class.pad_template(name).expect("the templates below are registered");
        let sinkpad = gst::Pad::builder_from_template(&template("sink"))
            .chain_function(|pad, parent, buffer| {
                let error = || Err(gst::FlowError::Error);
                Self::catch_panic_pad_function(parent, error, |filter| filter.chain(pad, buffer))
            })
            // One that says why it refuses an event: that this element flushes is no error, where a source would end at one.
            .event_full_function(|pad, parent, event| {
                let error = || Err(gst::FlowError::Error);
                Self::catch_panic_pad_function(parent, error, |filter| filter.sink_event(pad, event))
            })
            .query_function(|pad, parent, query| {
                Self::catch_panic_pad_function(parent, || false, |filter| filter.sink_query(pad, query))
            })
            .flags(gst::PadFlags::PROXY_CAPS | gst::PadFlags::PROXY_ALLOCATION)
            .build();
        let srcpad = gst::Pad::builder_from_template(&template("src"))
            .event_function(|pad, parent, event| {
                Self::catch_panic_pad_function(parent, || false, |filter| filter.src_event(pad, event))
            })
            .query_function(|pad, parent, query| {
                Self::catch_panic_pad_function(parent, || false, |filter| filter.src_query(pad, query))
            })
            .activatemode_function(|pad, parent, mode, active| {
                Self::catch_panic_pad_function(
                    parent,
                    || Err(gst::loggable_error!(CAT, "Panic while activating")),
                    |filter| filter.activate_src(pad, mode, active),
                )
            })
            .flags(gst::PadFlags::PROXY_CAPS)
            .build();
        TorchFilter {
            sinkpad,
            srcpad,
            settings: Mutex::default(),
            model: Mutex::default(),
            scale: AtomicUsize::new(1),
            stream: Mutex::default(),
            queue: Queue::default(),
            flow: Mutex::new(Ok(gst::FlowSuccess::Ok)),
            segment: Mutex::new(gst::FormattedSegment::new()),
            interval: Mutex::default(),
            failures: Mutex::default(),
            counters: Mutex::default(),
            earliest: Mutex::default(),
            generation: AtomicU64::new(0),
            eos: AtomicBool::new(false),
            fresh: AtomicBool::new(true),
            announced: Mutex::default(),
            pool: Mutex::default(),
        }
    }
}

impl ObjectImpl for TorchFilter {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(Settings::properties);
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        let (result, model_changed) = {
            let mut settings = lock(&self.settings);
            let before = settings.model.model_file.clone();
            let result = settings.set(pspec.name(), value);
            (result, settings.model.model_file != before)
        };
        if let Err(error) = result {
            gst::element_imp_warning!(self, gst::LibraryError::Settings, ["{}: {error}", pspec.name()]);
        }
        if model_changed {
            self.swap_model(pspec.name());
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
        let element = self.obj();
        // Only a defect of this file could make these fail: the pads are new and have different names.
        let _ = element.add_pad(&self.sinkpad);
        let _ = element.add_pad(&self.srcpad);
    }
}

impl GstObjectImpl for TorchFilter {}

impl ElementImpl for TorchFilter {
    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            [("sink", gst::PadDirection::Sink), ("src", gst::PadDirection::Src)]
                .into_iter()
                .filter_map(|(name, way)| {
                    gst::PadTemplate::new(name, way, gst::PadPresence::Always, &video::caps()).ok()
                })
                .collect()
        });
        &TEMPLATES
    }

    fn change_state(&self, change: gst::StateChange) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        if change == gst::StateChange::ReadyToPaused {
            self.load_for_start()?;
        }
        let success = self.parent_change_state(change)?;
        match change {
            gst::StateChange::PausedToReady => self.reset_stream(),
            gst::StateChange::ReadyToNull => {
                let model = lock(&self.model).take();
                drop(model); // under no lock: it may free a good part of the memory
            }
            _ => {}
        }
        Ok(success)
    }
}

impl TorchFilter {
    pub(super) fn looks_at_regions(&self) -> bool {
        lock(&self.settings).inference_region == InferenceRegion::RoiList
    }

    /// As after a flush: nothing waits, nothing went wrong yet.
    pub(super) fn reset_flow(&self) {
        let dropped = self.queue.set_flushing(false);
        drop(dropped);
        *lock(&self.flow) = Ok(gst::FlowSuccess::Ok);
        *lock(&self.earliest) = None;
        *lock(&self.failures) = Failures::default();
        lock(&self.interval).reset();
        self.eos.store(false, Ordering::SeqCst);
        self.fresh.store(true, Ordering::SeqCst);
        // What was in the queue is gone.
        *lock(&self.announced) = self.srcpad.current_caps();
    }

    fn reset_stream(&self) {
        let stream = lock(&self.stream).take();
        drop(stream);
        *lock(&self.segment) = gst::FormattedSegment::new();
        *lock(&self.counters) = Counters::default();
        let pool = std::mem::take(&mut *lock(&self.pool));
        drop(pool);
    }

    fn stats(&self) -> gst::Structure {
        let stats = lock(&self.counters).stats.clone();
        let model = lock(&self.model).clone();
        let session = lock(&self.stream).as_ref().map(|stream| Arc::clone(&stream.session));
        let engine = session.as_ref().map(|session| &**session.engine());
        report::stats(&stats, model.as_deref(), engine).build()
    }
}
