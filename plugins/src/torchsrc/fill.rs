//! Frames: asked of the generator ahead of time, and written into buffers when they are due.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_torch_models::generate::generator::{Generator, Made};
use gst_torch_models::generate::latents::{self, Mode, Moment};
use gst_torch_models::generate::provenance::Provenance;
use gst_torch_runtime::Error;
use gst_video::VideoFrameRef;

use super::fit::Fit;
use super::imp::{CAT, Format, Queued, Stream, TorchSrc};
use super::timeline::{Frame, Timeline};
use super::way::Told;
use crate::sync::lock;
use crate::{provenance, report, video};

impl TorchSrc {
    pub(super) fn fill_next(&self, buffer: &mut gst::BufferRef) -> Result<(), gst::FlowError> {
        let started = Instant::now();
        // Taken out, so that no lock is held over what takes its time.
        let mut stream = std::mem::take(&mut *lock(&self.stream));
        let new = lock(&self.next_generator).take();
        let running = lock(&self.generator).take();
        let generator = match new {
            Some(new) => {
                drop(running);
                self.take_over(&new, &mut stream);
                Some(new)
            }
            None => running,
        };
        let Some(mut generator) = generator else {
            gst::element_imp_error!(self, gst::CoreError::Failed, ["there is no model"]);
            return Err(gst::FlowError::Error);
        };
        let result = self.produce(&mut generator, &mut stream, buffer);
        stream.backlog.took(started.elapsed());
        *lock(&self.generator) = Some(generator);
        *lock(&self.stream) = stream;
        match result {
            Ok(()) => Ok(()),
            Err(Failed::Flow(flow)) => Err(flow),
            Err(Failed::Torch(error)) => {
                self.post_error_message(report::message(&error));
                Err(gst::FlowError::Error)
            }
        }
    }

    /// Another model begins.
    fn take_over(&self, generator: &Generator, stream: &mut Stream) {
        self.note(generator);
        stream.fit.forget();
        // Live, a sequence of which nothing was shown begins here; else it is where it would be if it had been there all along.
        if let (true, Some(timeline)) = (self.obj().is_live(), &mut *lock(&self.timeline)) {
            timeline.begin();
        }
    }

    fn produce(
        &self,
        generator: &mut Generator,
        stream: &mut Stream,
        buffer: &mut gst::BufferRef,
    ) -> Result<(), Failed> {
        if self.restart.swap(false, Ordering::SeqCst) {
            generator.restart()?;
        }
        let (Some(format), Some(mut timeline)) = (stream.format.clone(), *lock(&self.timeline)) else {
            return Err(Failed::Flow(gst::FlowError::NotNegotiated));
        };
        let live = self.obj().is_live();
        // Live, one that is made and one that waits: more would only make changes of properties late.
        let ahead = if live { 2 } else { generator.engine().parallel() + 1 };
        let submitted = loop {
            if stream.queue.len() >= ahead {
                break Ok(());
            }
            let mode = self.fitting_mode(generator, &mut stream.fit);
            self.skip_late(stream, &mut timeline, live, mode);
            let Some(frame) = timeline.next() else { break Ok(()) };
            match self.submit(generator, &format, &mut stream.fit, mode, frame) {
                Ok(queued) => stream.queue.push_back(queued),
                Err(failed) => break Err(failed),
            }
            // Live, a sequence begins or goes on where it is shown.
            if mode == Mode::Sequence || !live { timeline.advance() } else { timeline.pass() }
        };
        *lock(&self.timeline) = Some(timeline);
        // What was submitted before is shown before the failure is.
        let Some(queued) = stream.queue.pop_front() else {
            return Err(submitted.err().unwrap_or(Failed::Flow(gst::FlowError::Eos)));
        };
        let Queued { frame, watermark, pending, asked } = queued;
        let made = pending.wait(watermark)?;
        {
            let mut stats = lock(&self.stats);
            stats.frames += 1;
            stats.record(asked.elapsed());
        }
        write(&format, &made, buffer).map_err(|error| match error {
            Some(error) => Failed::Torch(error),
            None => {
                gst::element_imp_error!(self, gst::StreamError::Format, ["a buffer is not laid out as its caps say"]);
                Failed::Flow(gst::FlowError::Error)
            }
        })?;
        describe(buffer, frame, &made.provenance);
        Ok(())
    }

    /// Properties that a controller drives take the value that they have at this frame.
    fn submit(
        &self,
        generator: &mut Generator,
        format: &Format,
        fit: &mut Fit,
        mode: Mode,
        frame: Frame,
    ) -> Result<Queued, Failed> {
        let element = self.obj();
        if element.has_active_control_bindings()
            && let Err(error) = element.sync_values(gst::ClockTime::from_nseconds(frame.time))
        {
            gst::warning!(CAT, imp = self, "a controlled property keeps its value: {error}");
        }
        let (settings, watermark) = {
            let settings = lock(&self.settings);
            (latents::Settings { mode, ..settings.for_frame(generator) }, settings.watermark)
        };
        self.check_class(generator, fit, settings.class);
        let moment = Moment { frame: frame.number, picture: frame.picture, seconds: frame.seconds() };
        let size = [format.frame.width, format.frame.height];
        let asked = Instant::now();
        let mut told = Told::new(element.upcast_ref());
        let mut go_on = |way| {
            told.tell(way);
            !self.unlocked.load(Ordering::SeqCst)
        };
        let pending = generator.submit(&settings, moment, size, &mut go_on);
        told.end(match &pending {
            Ok(Some(_)) => gst::ProgressType::Complete,
            Ok(None) => gst::ProgressType::Canceled,
            Err(_) => gst::ProgressType::Error,
        });
        let pending = pending?.ok_or(Failed::Flow(gst::FlowError::Flushing))?;
        Ok(Queued { frame, watermark, pending, asked })
    }

    /// Leaves out what there is no time for: frames, or of a sequence, which cannot leave out pictures, their time.
    fn skip_late(&self, stream: &mut Stream, timeline: &mut Timeline, live: bool, mode: Mode) {
        let skips = lock(&self.settings).late_policy.skips(live);
        while let (Some(frame), Some(spacing)) = (timeline.next(), timeline.spacing()) {
            if !stream.backlog.is_late(Duration::from_nanos(spacing)) || !skips {
                return;
            }
            if mode == Mode::Sequence || live {
                timeline.pass()
            } else {
                timeline.advance()
            }
            let (made, skipped) = {
                let mut stats = lock(&self.stats);
                stats.skipped += 1;
                (stats.frames, stats.skipped)
            };
            let time = gst::ClockTime::from_nseconds(frame.time);
            let message = gst::message::Qos::builder(live)
                .stream_time(time)
                .timestamp(time)
                .duration(gst::ClockTime::from_nseconds(frame.duration))
                .stats(gst::format::Buffers::from_u64(made), gst::format::Buffers::from_u64(skipped))
                .src(&*self.obj())
                .build();
            let _ = self.obj().post_message(message);
        }
    }
}

/// Why there is no frame.
enum Failed {
    Torch(Error),
    Flow(gst::FlowError),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Failed::Torch(error)
    }
}

/// Without an error where the buffer cannot be mapped.
fn write(format: &Format, made: &Made, buffer: &mut gst::BufferRef) -> Result<(), Option<Error>> {
    let mut frame = VideoFrameRef::from_buffer_ref_writable(buffer, &format.info).map_err(|_| None)?;
    let mut planes = video::planes_mut(&mut frame, format.frame).map_err(|error| Some(error.into()))?;
    made.write(&mut planes).map_err(Some)
}

fn describe(buffer: &mut gst::BufferRef, frame: Frame, made_by: &Provenance) {
    buffer.set_pts(gst::ClockTime::from_nseconds(frame.time));
    buffer.set_dts(gst::ClockTime::NONE);
    let duration = (frame.duration > 0).then(|| gst::ClockTime::from_nseconds(frame.duration));
    buffer.set_duration(duration);
    buffer.set_offset(frame.number);
    buffer.set_offset_end(frame.number + 1);
    provenance::set(buffer, made_by);
}
