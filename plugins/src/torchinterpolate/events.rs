//! Events: what ends the neighbourhood of frames, what is a gap, and what has to wait behind frames that do.

use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::prelude::*;

use super::imp::{CAT, Job, TorchInterpolate};
use super::session::Shown;
use super::timeline::Step;
use crate::sticky;
use crate::sync::lock;

impl TorchInterpolate {
    pub(super) fn on_sink_event(&self, event: gst::Event) -> bool {
        use gst::EventView;
        match event.view() {
            EventView::FlushStop(_) => {
                self.forget();
                *lock(&self.segment) = None;
                let passed = self.parent_sink_event(event);
                sticky::outlive_flush(self.obj().sink_pad(), self.obj().src_pad());
                return passed;
            }
            EventView::Gap(gap) => {
                let (time, duration) = gap.get();
                if let Some(steps) = self.gap(time, duration) {
                    self.enqueue(steps);
                    return self.push_jobs();
                }
            }
            EventView::Segment(segment) => {
                let segment = segment.segment();
                if lock(&self.segment).as_ref() != Some(segment) {
                    self.push_drained();
                    *lock(&self.segment) = Some(segment.clone());
                }
            }
            EventView::Caps(caps) if self.is_new(caps.caps()) => self.push_drained(),
            EventView::Caps(_) => {}
            EventView::Eos(_) | EventView::StreamStart(_) => self.push_drained(),
            _ if event.is_serialized() => {
                let waits = lock(&self.stream).as_ref().is_some_and(|stream| stream.timeline.waits());
                if waits {
                    lock(&self.behind).push(event);
                    return true;
                }
            }
            _ => {}
        }
        self.parent_sink_event(event)
    }

    fn is_new(&self, caps: &gst::CapsRef) -> bool {
        self.obj().sink_pad().current_caps().is_none_or(|current| *current != *caps)
    }

    /// What waits leaves before an event does.
    fn push_drained(&self) {
        let steps = self.drained();
        self.enqueue(steps);
        if !self.push_jobs() {
            gst::debug!(CAT, imp = self, "Nobody takes the last frames");
        }
    }

    /// Appends steps to what is to be pushed; events that waited go before the frame that came after them, kept or waiting.
    pub(super) fn enqueue(&self, steps: Vec<Step<Shown>>) {
        let waits = steps.is_empty() && lock(&self.stream).as_ref().is_some_and(|stream| stream.timeline.waits());
        let mut events = if waits { Vec::new() } else { std::mem::take(&mut *lock(&self.behind)) };
        let mut jobs = lock(&self.jobs);
        for step in steps {
            if let Step::Keep { .. } = step {
                jobs.extend(events.drain(..).map(Job::Event));
            }
            jobs.push_back(Job::Step(step));
        }
        jobs.extend(events.into_iter().map(Job::Event));
    }

    /// Pushes what there is from the thread of an event; whether downstream took it.
    fn push_jobs(&self) -> bool {
        loop {
            match self.next_buffer() {
                Ok(None) => return true,
                Ok(Some(buffer)) => {
                    if self.obj().src_pad().push(buffer).is_err() {
                        let left = std::mem::take(&mut *lock(&self.jobs));
                        drop(left);
                        return false;
                    }
                }
                Err(_) => return false,
            }
        }
    }
}
