//! Frames in: what the thread does that brings them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use gst::prelude::*;
use gst::subclass::prelude::*;

use super::imp::{CAT, Item, Stream, TorchFilter};
use super::live::Late;
use super::outlet::output_of;
use super::queue::Flushing;
use super::settings::Settings;
use super::{Finish, Input};
use crate::sync::lock;
use crate::{meta, sticky, video};

impl TorchFilter {
    pub(super) fn chain(&self, _pad: &gst::Pad, buffer: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        (*lock(&self.flow))?;
        if self.eos.load(Ordering::SeqCst) {
            return Err(gst::FlowError::Eos);
        }
        let stream = lock(&self.stream).clone().ok_or(gst::FlowError::NotNegotiated)?;
        self.sync_controlled(&buffer);
        let settings = lock(&self.settings).clone();
        let arrived = Instant::now();
        let places = places(&stream);

        let mut infer = lock(&self.interval).due(settings.inference_interval);
        if infer {
            match settings.late_policy.when(stream.live) {
                Late::Wait => self.queue.wait_for_place(places).map_err(|Flushing| gst::FlowError::Flushing)?,
                late if self.queue.has_place(places) && !self.is_too_late(&buffer) => {
                    gst::trace!(CAT, imp = self, "in time, {late:?} not needed");
                }
                late => {
                    self.count_skipped(&buffer, stream.live);
                    lock(&self.interval).reset(); // the next frame is tried instead
                    infer = false;
                    if late == Late::Drop {
                        return Ok(gst::FlowSuccess::Ok);
                    }
                }
            }
        }
        // A place was free or waited for, but flow may have changed in the meantime.
        (*lock(&self.flow))?;
        let finish = if infer { self.submit(&stream, &settings, &buffer)? } else { None };
        let busy = finish.is_some();
        self.announce(&stream)?;
        let item = Item::Frame { buffer, stream, arrived, finish };
        self.queue.push(item, busy).map_err(|Flushing| gst::FlowError::Flushing)?;
        Ok(gst::FlowSuccess::Ok)
    }

    /// `None` where this frame failed and passes as it is.
    pub(super) fn submit(
        &self,
        stream: &Stream,
        settings: &Settings,
        buffer: &gst::Buffer,
    ) -> Result<Option<Finish>, gst::FlowError> {
        if buffer.flags().contains(gst::BufferFlags::GAP) && buffer.size() == 0 {
            return Ok(None);
        }
        let regions = settings.regions(|| meta::objects(buffer));
        let fresh = self.fresh.swap(false, Ordering::SeqCst) || buffer.flags().contains(gst::BufferFlags::DISCONT);
        let submitted = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, &stream.info)
            .map_err(|_| format!("a frame cannot be mapped as {}", stream.frame))
            .and_then(|frame| {
                let planes = video::planes(&frame, stream.frame).map_err(|e| e.to_string())?;
                let batching = settings.batching(stream.live);
                let input = Input { frame: &planes, regions: regions.as_deref(), fresh, batching };
                stream.session.submit(input).map_err(|e| e.to_string())
            });
        match submitted {
            Ok(finish) => Ok(Some(finish)),
            Err(reason) => self.frame_failed(&reason).map(|()| None),
        }
    }

    /// Properties that a controller drives take the value that they have at this frame.
    fn sync_controlled(&self, buffer: &gst::BufferRef) {
        let element = self.obj();
        if element.has_active_control_bindings()
            && let Some(time) = buffer.pts().and_then(|pts| lock(&self.segment).to_stream_time(pts))
            && let Err(error) = element.sync_values(time)
        {
            gst::warning!(CAT, imp = self, "a controlled property keeps its value: {error}");
        }
    }

    pub(super) fn is_too_late(&self, buffer: &gst::Buffer) -> bool {
        let running = buffer.pts().and_then(|pts| lock(&self.segment).to_running_time(pts));
        matches!((running, *lock(&self.earliest)), (Some(running), Some(earliest)) if running < earliest)
    }

    pub(super) fn count_skipped(&self, buffer: &gst::Buffer, live: bool) {
        let (processed, dropped) = {
            let mut counters = lock(&self.counters);
            counters.stats.skipped += 1;
            (counters.stats.frames, counters.stats.skipped)
        };
        let segment = lock(&self.segment).clone();
        let message = gst::message::Qos::builder(live)
            .running_time(buffer.pts().and_then(|pts| segment.to_running_time(pts)))
            .stream_time(buffer.pts().and_then(|pts| segment.to_stream_time(pts)))
            .timestamp(buffer.pts())
            .duration(buffer.duration())
            .stats(gst::format::Buffers::from_u64(processed), gst::format::Buffers::from_u64(dropped))
            .src(&*self.obj())
            .build();
        let _ = self.obj().post_message(message);
    }

    /// A frame on which inference failed passes as it is, with a warning; many in a row end the stream.
    pub(super) fn frame_failed(&self, reason: &str) -> Result<(), gst::FlowError> {
        if lock(&self.failures).failed() {
            gst::element_imp_error!(self, gst::StreamError::Failed, ["inference fails on every frame: {reason}"]);
            return Err(gst::FlowError::Error);
        }
        gst::element_imp_warning!(self, gst::StreamError::Failed, ["a frame passes without inference: {reason}"]);
        Ok(())
    }

    pub(super) fn sink_event(&self, pad: &gst::Pad, mut event: gst::Event) -> Result<gst::FlowSuccess, gst::FlowError> {
        use gst::EventView;
        let taken = |passed| if passed { Ok(gst::FlowSuccess::Ok) } else { Err(gst::FlowError::Error) };
        match event.view() {
            EventView::FlushStart(_) => {
                let passed = self.srcpad.push_event(event);
                self.queue.set_flushing(true);
                let _ = self.srcpad.pause_task();
                return taken(passed);
            }
            EventView::FlushStop(_) => {
                let passed = self.srcpad.push_event(event);
                self.keep_sticky_events();
                self.reset_flow();
                return taken(self.start_task().is_ok() && passed);
            }
            EventView::Caps(caps) => {
                let seqnum = event.seqnum();
                match self.configure(caps.caps()) {
                    Ok(output) => {
                        *lock(&self.announced) = Some(output.clone());
                        event = gst::event::Caps::builder(&output).seqnum(seqnum).build();
                    }
                    Err(message) => {
                        gst::error!(CAT, imp = self, "{message}");
                        return Err(gst::FlowError::NotNegotiated);
                    }
                }
            }
            EventView::Segment(segment) => {
                if let Some(segment) = segment.segment().downcast_ref::<gst::ClockTime>() {
                    *lock(&self.segment) = segment.clone();
                }
                self.fresh.store(true, Ordering::SeqCst);
            }
            EventView::Eos(_) => self.eos.store(true, Ordering::SeqCst),
            EventView::StreamStart(_) => self.eos.store(false, Ordering::SeqCst),
            _ => {}
        }
        if event.is_serialized() {
            let pushed = self.queue.push(Item::Event(event), false);
            return pushed.map(|()| gst::FlowSuccess::Ok).map_err(|Flushing| gst::FlowError::Flushing);
        }
        taken(gst::Pad::event_default(pad, Some(&*self.obj()), event))
    }

    /// After a flush: caps that were in the queue leave with the next frame, and so does all else that holds for the stream.
    fn keep_sticky_events(&self) {
        sticky::outlive_flush(&self.sinkpad, &self.srcpad);
        let caps = lock(&self.stream).as_ref().map(|stream| stream.caps.clone());
        if let Some(caps) = caps.filter(|caps| self.srcpad.current_caps().as_ref() != Some(caps)) {
            let _ = self.srcpad.store_sticky_event(&gst::event::Caps::new(&caps));
        }
    }

    /// Gets ready for frames of `caps`; the caps that they leave with.
    pub(super) fn configure(&self, caps: &gst::CapsRef) -> Result<gst::Caps, String> {
        let info = gst_video::VideoInfo::from_caps(caps).map_err(|e| format!("caps {caps}: {e}"))?;
        let frame = video::frame_info(&info).ok_or_else(|| format!("caps {caps}: no format of ours"))?;
        if let Some(slot) = lock(&self.stream).as_mut()
            && slot.frame == frame
        {
            // Another frame rate changes nothing else here.
            let (output, output_caps) = output_of(caps, &info, slot.session.scale())?;
            let stream = Stream { input: caps.to_owned(), info, output, caps: output_caps.clone(), ..(**slot).clone() };
            *slot = Arc::new(stream);
            return Ok(output_caps);
        }
        let mut query = gst::query::Latency::new();
        let live = self.sinkpad.peer_query(&mut query) && query.result().0;
        let model = lock(&self.model).clone().ok_or("no model is loaded")?;
        let session = self.progress("preparing", "Preparing the model", || self.make_session(&model, &frame));
        let session = session.map_err(|error| {
            self.post_error(&error);
            error.to_string()
        })?;
        gst::info!(CAT, imp = self, "{} runs {} for {frame}", model.info().name, session.engine().describe());
        let (output, output_caps) = output_of(caps, &info, session.scale())?;
        let stream = Stream { input: caps.to_owned(), info, frame, output, caps: output_caps.clone(), live, session };
        let before = lock(&self.stream).replace(Arc::new(stream));
        drop(before);
        lock(&self.interval).reset();
        self.fresh.store(true, Ordering::SeqCst);
        Ok(output_caps)
    }
}

/// How many frames of one stream may be under way. Live, one that runs and one that waits: more would only be latency.
/// Else one more than can run at once, so that no lane waits for a frame to be read.
fn places(stream: &Stream) -> usize {
    if stream.live { 2 } else { stream.session.engine().parallel() + 1 }
}
