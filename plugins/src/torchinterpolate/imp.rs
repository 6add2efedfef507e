use std::collections::VecDeque;
use std::sync::{Arc, LazyLock, Mutex};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::base_transform::GenerateOutputSuccess;
use gst_base::subclass::prelude::*;
use gst_torch_runtime::{Model, Result as TorchResult, Stats};

use super::rate::{Rate, Rates};
use super::session::{Session, Shown};
use super::settings::{LatencyMode, Repair, Settings};
use super::timeline::{self, Fault, Frame, Step, Timeline, Wait};
use crate::filter::Failures;
use crate::pace::Backlog;
use crate::report;
use crate::sync::lock;

pub(super) static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new("torchinterpolate", gst::DebugColorFlags::empty(), Some("Frames between frames"))
});

/// The model that runs when none is named.
const DEFAULT_MODEL: &str = "interpolate";
pub(super) const TASK: &str = "interpolate";

/// Upstream is not asked for more buffers than this, however long `max-gap` is.
const WAITING_MAX: u32 = 32;

/// The model, and the name it was opened by.
struct Opened {
    model_file: Option<String>,
    model: Arc<Model>,
}

/// The stream as the caps describe it.
pub(super) struct Stream {
    pub session: Arc<Session>,
    pub timeline: Timeline<Shown>,
    pub rates: Rates,
    pub live: bool,
    pub backlog: Backlog,
    pub failures: Failures,
}

/// What is to be pushed.
pub(super) enum Job {
    Step(Step<Shown>),
    /// A frame that the timeline knows nothing of.
    Pass(gst::Buffer),
    Event(gst::Event),
}

#[derive(Default)]
pub(super) struct Counters {
    pub stats: Stats,
    pub made: u64,
    pub held: u64,
}

#[derive(Default)]
pub struct TorchInterpolate {
    pub(super) settings: Mutex<Settings>,
    /// Outlives READY, so that going there and back loads nothing.
    opened: Mutex<Option<Opened>>,
    pub(super) stream: Mutex<Option<Stream>>,
    pub(super) jobs: Mutex<VecDeque<Job>>,
    /// Events that came after frames which wait.
    pub(super) behind: Mutex<Vec<gst::Event>>,
    pub(super) segment: Mutex<Option<gst::Segment>>,
    pub(super) counters: Mutex<Counters>,
}

#[glib::object_subclass]
impl ObjectSubclass for TorchInterpolate {
    const NAME: &'static str = "GstTorchInterpolate";
    type Type = super::TorchInterpolate;
    type ParentType = gst_base::BaseTransform;
}

impl ObjectImpl for TorchInterpolate {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(Settings::properties);
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        let (result, max_gap, repair) = {
            let mut settings = lock(&self.settings);
            (settings.set(pspec.name(), value), settings.max_gap, settings.repair)
        };
        if let Err(error) = result {
            gst::element_imp_warning!(self, gst::LibraryError::Settings, ["{}: {error}", pspec.name()]);
        }
        if let Some(stream) = lock(&self.stream).as_mut() {
            stream.timeline.set(max_gap, repair.contains(Repair::MISSING));
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

impl GstObjectImpl for TorchInterpolate {}

impl ElementImpl for TorchInterpolate {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "PyTorch frame interpolator",
                "Filter/Effect/Video",
                "Makes missing, damaged and frozen frames good, and more frames a second",
                env!("CARGO_PKG_AUTHORS"),
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let mut caps = crate::video::caps();
            // Of two fields that were taken at different times, no one picture can be made.
            caps.make_mut().set("interlace-mode", "progressive");
            [("src", gst::PadDirection::Src), ("sink", gst::PadDirection::Sink)]
                .into_iter()
                .filter_map(|(name, way)| gst::PadTemplate::new(name, way, gst::PadPresence::Always, &caps).ok())
                .collect()
        });
        &TEMPLATES
    }

    fn change_state(&self, change: gst::StateChange) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        let success = self.parent_change_state(change)?;
        if change == gst::StateChange::ReadyToNull {
            let opened = lock(&self.opened).take();
            drop(opened); // under no lock: it may free a good part of the memory
        }
        Ok(success)
    }
}

impl BaseTransformImpl for TorchInterpolate {
    const MODE: gst_base::subclass::BaseTransformMode = gst_base::subclass::BaseTransformMode::NeverInPlace;
    const PASSTHROUGH_ON_SAME_CAPS: bool = false;
    const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

    fn start(&self) -> Result<(), gst::ErrorMessage> {
        *lock(&self.counters) = Counters::default();
        *lock(&self.segment) = None;
        self.forget();
        self.model().map_err(|error| gst::error_msg!(gst::LibraryError::Settings, ["{error}"]))?;
        Ok(())
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        self.forget();
        let stream = lock(&self.stream).take();
        drop(stream);
        Ok(())
    }

    fn transform_caps(
        &self,
        _direction: gst::PadDirection,
        caps: &gst::Caps,
        filter: Option<&gst::Caps>,
    ) -> Option<gst::Caps> {
        // The same rate first, then any.
        let mut others = caps.copy();
        for structure in others.make_mut().iter_mut() {
            structure
                .set("framerate", gst::FractionRange::new(gst::Fraction::new(0, 1), gst::Fraction::new(i32::MAX, 1)));
            structure.remove_field("max-framerate");
        }
        let mut all = caps.copy();
        all.merge(others);
        Some(match filter {
            Some(filter) => filter.intersect_with_mode(&all, gst::CapsIntersectMode::First),
            None => all,
        })
    }

    fn fixate_caps(&self, direction: gst::PadDirection, caps: &gst::Caps, mut others: gst::Caps) -> gst::Caps {
        let rate = caps.structure(0).and_then(|structure| structure.get::<gst::Fraction>("framerate").ok());
        others.truncate();
        if let (Some(rate), Some(structure)) = (rate, others.make_mut().structure_mut(0)) {
            structure.fixate_field_nearest_fraction("framerate", rate);
        }
        self.parent_fixate_caps(direction, caps, others)
    }

    fn set_caps(&self, incaps: &gst::Caps, outcaps: &gst::Caps) -> Result<(), gst::LoggableError> {
        self.configure(incaps, outcaps).map_err(|error| {
            gst::element_imp_error!(self, gst::StreamError::Format, ["{error}"]);
            gst::loggable_error!(CAT, "{error}")
        })
    }

    fn propose_allocation(
        &self,
        decided: Option<&gst::query::Allocation>,
        query: &mut gst::query::Allocation,
    ) -> Result<(), gst::LoggableError> {
        query.add_allocation_meta::<gst_video::VideoMeta>(None);
        // Two frames are remembered and some may wait: a pool that has fewer would run dry.
        let info = query.get().0.and_then(|caps| gst_video::VideoInfo::from_caps(caps).ok());
        if let Some(info) = info {
            let spacing = lock(&self.stream).as_ref().and_then(|stream| stream.rates.spacing());
            let waiting = spacing.map_or(1, |spacing| lock(&self.settings).max_gap / spacing.max(1));
            let kept = 3 + u32::try_from(waiting).unwrap_or(u32::MAX).min(WAITING_MAX);
            query.add_allocation_pool(None::<&gst::BufferPool>, info.size() as u32, kept, 0);
        }
        self.parent_propose_allocation(decided, query)
    }

    fn sink_event(&self, event: gst::Event) -> bool {
        self.on_sink_event(event)
    }

    fn query(&self, direction: gst::PadDirection, query: &mut gst::QueryRef) -> bool {
        if direction == gst::PadDirection::Src
            && let gst::QueryViewMut::Latency(latency) = query.view_mut()
        {
            let mut upstream = gst::query::Latency::new();
            if !self.obj().sink_pad().peer_query(&mut upstream) {
                return false;
            }
            let (live, min, max) = upstream.result();
            let own = self.latency();
            latency.set(live, min + own, max.map(|max| max + own));
            return true;
        }
        BaseTransformImplExt::parent_query(self, direction, query)
    }

    fn submit_input_buffer(&self, _lost: bool, buffer: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        // That something was lost is told by the buffer itself; what fills the hole does not begin anew.
        let success = self.parent_submit_input_buffer(false, buffer)?;
        let Some(buffer) = self.take_queued_buffer() else { return Ok(success) };
        self.follow_model_file();
        self.arrive(buffer)?;
        Ok(success)
    }

    fn generate_output(&self) -> Result<GenerateOutputSuccess, gst::FlowError> {
        Ok(self.next_buffer()?.map_or(GenerateOutputSuccess::NoOutput, GenerateOutputSuccess::Buffer))
    }
}

impl TorchInterpolate {
    /// The model that the properties name, opened if it is not.
    fn model(&self) -> TorchResult<Arc<Model>> {
        let wanted = lock(&self.settings).model.clone();
        if let Some(opened) = lock(&self.opened).as_ref().filter(|opened| opened.model_file == wanted.model_file) {
            return Ok(Arc::clone(&opened.model));
        }
        let name = wanted.model_file.as_deref().unwrap_or(DEFAULT_MODEL);
        let model = wanted.open(name, TASK)?.load(wanted.device()?, wanted.precision()?)?;
        let opened = Opened { model_file: wanted.model_file, model: Arc::clone(&model) };
        let before = lock(&self.opened).replace(opened);
        drop(before);
        Ok(model)
    }

    /// Runs another model from the next frame on, if `model-file` has changed; one that cannot be opened leaves all as it is.
    fn follow_model_file(&self) {
        let wanted = lock(&self.settings).model.model_file.clone();
        if lock(&self.opened).as_ref().is_none_or(|opened| opened.model_file == wanted) {
            return;
        }
        let info = lock(&self.stream).as_ref().map(|stream| stream.session.info().clone());
        let Some(info) = info else { return };
        match self.model().and_then(|model| Session::new(&model, &info)) {
            Ok(session) => {
                let mut guard = lock(&self.stream);
                let before = guard.as_mut().map(|stream| std::mem::replace(&mut stream.session, Arc::new(session)));
                drop(guard);
                drop(before);
            }
            Err(error) => {
                gst::element_imp_warning!(self, gst::ResourceError::NotFound, ["{error}; the model before goes on"]);
                // What could not be opened counts as opened, so that it is not tried again with every frame.
                if let Some(opened) = lock(&self.opened).as_mut() {
                    opened.model_file = wanted;
                }
            }
        }
    }

    fn configure(&self, incaps: &gst::Caps, outcaps: &gst::Caps) -> Result<(), String> {
        let read = |caps: &gst::Caps| {
            gst_video::VideoInfo::from_caps(caps).map_err(|_| format!("these are no caps of video in memory: {caps}"))
        };
        let (info, output) = (read(incaps)?, read(outcaps)?);
        let rate = |info: &gst_video::VideoInfo| -> Rate {
            let fps = info.fps();
            (u32::try_from(fps.numer()).unwrap_or(0), u32::try_from(fps.denom()).unwrap_or(0))
        };
        let rates = Rates::new(rate(&info), rate(&output));
        let model = self.model().map_err(|error| error.to_string())?;
        let session = Session::new(&model, &info).map_err(|error| error.to_string())?;
        let engine = session.interpolator.engine();
        gst::info!(CAT, imp = self, "{} runs {} for {incaps}", model.info().name, engine.describe());
        let mut query = gst::query::Latency::new();
        let live = self.obj().sink_pad().peer_query(&mut query) && query.result().0;
        let settings = lock(&self.settings).clone();
        let wait = match settings.latency_mode {
            // Of frames that come at no known rate, no latency can be reported either.
            LatencyMode::OneFrame if live && rates.spacing().is_none() => Wait::Never,
            LatencyMode::OneFrame if live => Wait::OneFrame,
            LatencyMode::OneFrame => Wait::Always,
            LatencyMode::Zero => Wait::Never,
        };
        let timeline = Timeline::new(timeline::Settings {
            rates,
            max_gap: settings.max_gap,
            missing: settings.repair.contains(Repair::MISSING),
            wait,
        });
        let session = Arc::new(session);
        let stream =
            Stream { session, timeline, rates, live, backlog: Backlog::default(), failures: Failures::default() };
        let before = lock(&self.stream).replace(stream);
        drop(before);
        let _ = self.obj().post_message(gst::message::Latency::builder().src(&*self.obj()).build());
        Ok(())
    }

    /// A frame comes.
    fn arrive(&self, buffer: gst::Buffer) -> Result<(), gst::FlowError> {
        let repair = lock(&self.settings).repair;
        let backwards = lock(&self.segment).as_ref().is_some_and(|segment| segment.rate() < 0.0);
        let (Some(pts), false) = (buffer.pts(), backwards) else {
            self.enqueue(self.drained());
            lock(&self.jobs).push_back(Job::Pass(buffer));
            return Ok(());
        };
        if buffer.flags().contains(gst::BufferFlags::GAP) && buffer.size() == 0 {
            match self.gap(pts, buffer.duration()) {
                Some(steps) => self.enqueue(steps),
                None => lock(&self.jobs).push_back(Job::Pass(buffer)),
            }
            return Ok(());
        }
        let lost = buffer.flags().contains(gst::BufferFlags::DISCONT) && repair.contains(Repair::MISSING);
        let last = lock(&self.stream).as_ref().ok_or(gst::FlowError::NotNegotiated)?.timeline.last().cloned();
        let fault = if repair.contains(Repair::CORRUPTED) && buffer.flags().contains(gst::BufferFlags::CORRUPTED) {
            Some(Fault::Corrupted)
        } else if repair.contains(Repair::FROZEN) && last.is_some_and(|last| same_bytes(&last.buffer, &buffer)) {
            Some(Fault::Frozen)
        } else {
            None
        };
        let (time, duration) = (pts.nseconds(), buffer.duration().map(gst::ClockTime::nseconds));
        let frame = Frame { content: Shown::new(buffer), time, duration };
        let steps = match lock(&self.stream).as_mut() {
            Some(stream) => stream.timeline.frame(frame, fault, lost),
            None => return Err(gst::FlowError::NotNegotiated),
        };
        self.enqueue(steps);
        Ok(())
    }

    pub(super) fn gap(&self, time: gst::ClockTime, duration: Option<gst::ClockTime>) -> Option<Vec<Step<Shown>>> {
        let repairs = lock(&self.settings).repair.contains(Repair::MISSING);
        let mut guard = lock(&self.stream);
        let timeline = &mut guard.as_mut().filter(|_| repairs)?.timeline;
        timeline.gap(time.nseconds(), duration.map(gst::ClockTime::nseconds))
    }

    /// What waits, as it leaves when nothing follows.
    pub(super) fn drained(&self) -> Vec<Step<Shown>> {
        lock(&self.stream).as_mut().map(|stream| stream.timeline.drain()).unwrap_or_default()
    }

    /// Nothing waits and nothing came before.
    pub(super) fn forget(&self) {
        let jobs = std::mem::take(&mut *lock(&self.jobs));
        let behind = std::mem::take(&mut *lock(&self.behind));
        let steps = self.drained();
        drop((jobs, behind, steps));
    }

    fn latency(&self) -> gst::ClockTime {
        if lock(&self.settings).latency_mode == LatencyMode::Zero {
            return gst::ClockTime::ZERO;
        }
        let spacing = lock(&self.stream).as_ref().and_then(|stream| stream.rates.spacing());
        gst::ClockTime::from_nseconds(spacing.unwrap_or(0))
    }

    fn stats(&self) -> gst::Structure {
        let session = lock(&self.stream).as_ref().map(|stream| Arc::clone(&stream.session));
        let model = lock(&self.opened).as_ref().map(|opened| Arc::clone(&opened.model));
        let counters = lock(&self.counters);
        let engine = session.as_ref().map(|session| &**session.interpolator.engine());
        report::stats(&counters.stats, model.as_deref(), engine)
            .field("made", counters.made)
            .field("held", counters.held)
            .build()
    }
}

/// Whether two buffers hold the same bytes.
fn same_bytes(a: &gst::Buffer, b: &gst::Buffer) -> bool {
    if a.size() != b.size() {
        return false;
    }
    match (a.map_readable(), b.map_readable()) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}
