//! Steps carried out: buffers kept, made and held.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;

use super::imp::{CAT, Job, TorchInterpolate};
use super::session::Shown;
use super::timeline::{Fault, Slot, Step};
use crate::filter::Late;
use crate::sync::lock;

/// Of a bad frame, what the picture in its place has as well.
const INHERITED: gst::BufferCopyFlags =
    gst::BufferCopyFlags::FLAGS.union(gst::BufferCopyFlags::TIMESTAMPS).union(gst::BufferCopyFlags::META);

impl TorchInterpolate {
    /// The next buffer that is to be pushed; events before it are pushed here. `None` where nothing is left.
    pub(super) fn next_buffer(&self) -> Result<Option<gst::Buffer>, gst::FlowError> {
        loop {
            let Some(job) = lock(&self.jobs).pop_front() else { return Ok(None) };
            let buffer = match job {
                Job::Event(event) => {
                    self.push_event(event);
                    continue;
                }
                Job::Pass(buffer) => Some(buffer),
                Job::Step(step) => self.carry_out(step)?,
            };
            if buffer.is_some() {
                lock(&self.counters).stats.frames += 1;
                return Ok(buffer);
            }
        }
    }

    fn push_event(&self, event: gst::Event) {
        self.obj().src_pad().push_event(event);
    }

    fn carry_out(&self, step: Step<Shown>) -> Result<Option<gst::Buffer>, gst::FlowError> {
        match step {
            Step::Keep { content, time, duration } => {
                let mut buffer = content.buffer;
                self.is_late(duration.or(buffer.duration().map(gst::ClockTime::nseconds)));
                if buffer.pts().is_some_and(|pts| pts.nseconds() != time) {
                    buffer.make_mut().set_pts(gst::ClockTime::from_nseconds(time));
                }
                if let Some(duration) = duration {
                    buffer.make_mut().set_duration(gst::ClockTime::from_nseconds(duration));
                }
                Ok(Some(buffer))
            }
            Step::Hold { content, slot } => {
                self.is_late(slot.duration);
                Ok(Some(self.hold(&content, slot)))
            }
            Step::Make { before, after, at, slot } => {
                let nearer = if at < 0.5 { &before } else { &after };
                match self.is_late(slot.duration) {
                    Late::Wait => {}
                    late => {
                        lock(&self.counters).stats.skipped += 1;
                        return Ok((late == Late::Pass).then(|| self.hold(nearer, slot)));
                    }
                }
                Ok(Some(match self.make(&before, &after, at)? {
                    Some(buffer) => stamped(buffer, slot),
                    None => self.hold(nearer, slot),
                }))
            }
            Step::Beyond { from, fault } => {
                self.announce(from, fault);
                Ok(None)
            }
            Step::Nothing { from, until } => {
                let time = gst::ClockTime::from_nseconds;
                self.push_event(
                    gst::event::Gap::builder(time(from)).duration(time(until.saturating_sub(from))).build(),
                );
                Ok(None)
            }
        }
    }

    /// What becomes of a picture that is shown for so long: whether there is time to make it.
    fn is_late(&self, duration: Option<u64>) -> Late {
        let policy = lock(&self.settings).late_policy;
        let mut guard = lock(&self.stream);
        let Some(stream) = guard.as_mut() else { return Late::Wait };
        let spacing = duration.map_or(Duration::from_millis(40), Duration::from_nanos);
        if stream.backlog.is_late(spacing) { policy.when(stream.live) } else { Late::Wait }
    }

    /// The picture between two; `None` where there is none, or it cannot be made.
    fn make(&self, before: &Shown, after: &Shown, at: f32) -> Result<Option<gst::Buffer>, gst::FlowError> {
        let session = match lock(&self.stream).as_ref() {
            Some(stream) => Arc::clone(&stream.session),
            None => return Err(gst::FlowError::Flushing),
        };
        let started = Instant::now();
        let made = session.make(before, after, at);
        let took = started.elapsed();
        for notice in session.interpolator.engine().take_notices() {
            gst::element_imp_warning!(self, gst::ResourceError::NoSpaceLeft, ["{notice}"]);
        }
        let failed = match lock(&self.stream).as_mut() {
            Some(stream) => {
                stream.backlog.took(took);
                match &made {
                    Ok(_) => {
                        stream.failures.succeeded();
                        false
                    }
                    Err(_) => stream.failures.failed(),
                }
            }
            None => false,
        };
        match made {
            Ok(made) => {
                let mut counters = lock(&self.counters);
                counters.stats.record(took);
                counters.made += u64::from(made.is_some());
                Ok(made)
            }
            Err(reason) if failed => {
                gst::element_imp_error!(self, gst::StreamError::Failed, ["no picture can be made: {reason}"]);
                Err(gst::FlowError::Error)
            }
            Err(reason) => {
                gst::element_imp_warning!(self, gst::StreamError::Failed, ["a frame is held instead: {reason}"]);
                Ok(None)
            }
        }
    }

    /// The frame again, at another time: its memory is shared, not copied.
    fn hold(&self, content: &Shown, mut slot: Slot<Shown>) -> gst::Buffer {
        lock(&self.counters).held += 1;
        // One that is frozen shows the same, and stays what it is.
        if let Some(frozen) = slot.instead.take_if(|bad| !bad.buffer.flags().contains(gst::BufferFlags::CORRUPTED)) {
            return frozen.buffer;
        }
        let mut buffer = gst::Buffer::new();
        let new = buffer.make_mut();
        // Only a buffer that cannot be written would refuse, and this one is new.
        let _ = content.buffer.copy_into(new, gst::BufferCopyFlags::MEMORY, ..);
        if let Some(meta) = content.buffer.meta::<gst_video::VideoMeta>() {
            let planes = meta.n_planes() as usize;
            let _ = gst_video::VideoMeta::add_full(
                new,
                meta.video_frame_flags(),
                meta.format(),
                meta.width(),
                meta.height(),
                &meta.offset()[..planes],
                &meta.stride()[..planes],
            );
        }
        stamped(buffer, slot)
    }

    fn announce(&self, from: u64, fault: Option<Fault>) {
        let reason = match fault {
            None => "missing",
            Some(Fault::Corrupted) => "corrupted",
            Some(Fault::Frozen) => "frozen",
        };
        gst::info!(CAT, imp = self, "Frames are {reason} for longer than max-gap; the last one is held");
        let structure = gst::Structure::builder("torch-interpolate-gap")
            .field("timestamp", gst::ClockTime::from_nseconds(from))
            .field("reason", reason)
            .field("max-gap", gst::ClockTime::from_nseconds(lock(&self.settings).max_gap))
            .build();
        let _ = self.obj().post_message(gst::message::Element::builder(structure).src(&*self.obj()).build());
    }
}

/// With the times of the slot, and what the bad frame had that was there.
fn stamped(mut buffer: gst::Buffer, slot: Slot<Shown>) -> gst::Buffer {
    let new = buffer.make_mut();
    if let Some(bad) = &slot.instead {
        let _ = bad.buffer.copy_into(new, INHERITED, ..);
        new.unset_flags(gst::BufferFlags::CORRUPTED);
    }
    new.set_pts(gst::ClockTime::from_nseconds(slot.time));
    new.set_duration(slot.duration.map(gst::ClockTime::from_nseconds));
    buffer
}
