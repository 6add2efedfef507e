//! Frames out: what the task of the source pad does, and what downstream asks and says.

use std::time::{Duration, Instant};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;

use super::imp::{CAT, Counters, Item, Stream, TorchFilter};
use super::{Failed, Finish, Outlet};
use crate::sync::lock;

impl TorchFilter {
    pub(super) fn activate_src(
        &self,
        _pad: &gst::Pad,
        mode: gst::PadMode,
        active: bool,
    ) -> Result<(), gst::LoggableError> {
        if mode != gst::PadMode::Push {
            return Err(gst::loggable_error!(CAT, "Only push mode is supported"));
        }
        if active {
            self.reset_flow();
            self.start_task().map_err(|e| gst::loggable_error!(CAT, "No task: {e}"))
        } else {
            self.queue.set_flushing(true);
            self.srcpad.stop_task().map_err(|e| gst::loggable_error!(CAT, "The task does not stop: {e}"))
        }
    }

    pub(super) fn start_task(&self) -> Result<(), glib::BoolError> {
        let element = self.obj().downgrade();
        self.srcpad.start_task(move || {
            let Some(element) = element.upgrade() else { return };
            let filter = Self::from_obj(&element);
            gst::panic_to_error!(filter, (), { filter.push_one() });
        })
    }

    pub(super) fn push_one(&self) {
        let Ok(item) = self.queue.take() else {
            let _ = self.srcpad.pause_task();
            return;
        };
        let result = match item {
            Item::Event(event) => {
                self.srcpad.push_event(event);
                Ok(gst::FlowSuccess::Ok)
            }
            Item::Frame { buffer, stream, arrived, finish } => self.push_frame(buffer, &stream, arrived, finish),
        };
        if result.is_err() {
            // Whoever brings the next frame hears of it; those that wait have nowhere to go, events still do.
            *lock(&self.flow) = result;
        }
        self.queue.done();
    }

    pub(super) fn push_frame(
        &self,
        buffer: gst::Buffer,
        stream: &Stream,
        arrived: Instant,
        finish: Option<Finish>,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let outlet = Outlet::new(self, stream);
        let (buffer, finished) = match finish {
            None => (buffer, false),
            Some(finish) => match finish(buffer, &outlet) {
                Ok(buffer) => {
                    lock(&self.failures).succeeded();
                    self.record(arrived.elapsed());
                    (buffer, true)
                }
                Err(Failed(buffer, error)) => {
                    (*lock(&self.flow))?; // flushing is no failure
                    self.frame_failed(&error.to_string())?;
                    (buffer, false)
                }
            },
        };
        self.pass_on_notices(stream);
        // What has no picture (a GAP buffer of no size) has nothing to be enlarged either.
        let buffer = if finished || buffer.size() == 0 {
            buffer
        } else {
            stream.session.pass(buffer, &outlet).map_err(|Failed(_, error)| {
                gst::element_imp_error!(self, gst::StreamError::Failed, ["a frame cannot pass: {error}"]);
                gst::FlowError::Error
            })?
        };
        (*lock(&self.flow))?;
        lock(&self.counters).stats.frames += 1;
        self.srcpad.push(buffer)
    }

    pub(super) fn record(&self, latency: Duration) {
        let stale = {
            let mut counters = lock(&self.counters);
            counters.stats.record(latency);
            counters.latency.is_stale(&counters.stats)
        };
        let live = lock(&self.stream).as_ref().is_some_and(|stream| stream.live);
        if live && stale {
            let _ = self.obj().post_message(gst::message::Latency::builder().src(&*self.obj()).build());
        }
    }

    fn pass_on_notices(&self, stream: &Stream) {
        for notice in stream.session.take_notices() {
            gst::element_imp_warning!(self, gst::ResourceError::NoSpaceLeft, ["{notice}"]);
        }
    }

    pub(super) fn src_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        if let gst::EventView::Qos(qos) = event.view() {
            let (kind, _, jitter, timestamp) = qos.get();
            let earliest = match (kind, timestamp) {
                // Twice the lateness ahead, as GStreamer's own filters do, so as to catch up and not just follow.
                (gst::QOSType::Underflow, Some(at)) if jitter > 0 => {
                    Some(at + gst::ClockTime::from_nseconds(jitter.unsigned_abs().saturating_mul(2)))
                }
                (_, Some(at)) if jitter < 0 => at.checked_sub(gst::ClockTime::from_nseconds(jitter.unsigned_abs())),
                _ => timestamp,
            };
            *lock(&self.earliest) = earliest;
        }
        gst::Pad::event_default(pad, Some(&*self.obj()), event)
    }

    pub(super) fn latency(&self) -> gst::ClockTime {
        let stream = lock(&self.stream).clone();
        let expected = stream.map_or(0.0, |stream| stream.session.engine().choice().wide_ms);
        let expected = Duration::from_secs_f64(expected / 1e3);
        let mut counters = lock(&self.counters);
        let Counters { stats, latency } = &mut *counters;
        let latency = latency.answer(stats, expected);
        gst::ClockTime::from_nseconds(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX / 2))
    }
}
