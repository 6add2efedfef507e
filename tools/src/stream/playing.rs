//! A pipeline that plays until it goes out of scope, and says what went wrong in it.

use anyhow::{Context, Result, anyhow};
use gst::prelude::*;

/// The pipeline of a launch line.
pub fn pipeline(line: &str) -> Result<gst::Pipeline> {
    gst::parse::launch(line)?.downcast::<gst::Pipeline>().map_err(|_| anyhow!("no pipeline: {line}"))
}

pub struct Playing(gst::Pipeline);

impl Playing {
    /// # Errors
    /// What an element says; that a state cannot be changed is only its consequence.
    pub fn start(pipeline: &gst::Pipeline) -> Result<Playing> {
        let playing = Playing(pipeline.clone());
        match pipeline.set_state(gst::State::Playing) {
            Ok(_) => Ok(playing),
            Err(error) => Err(playing.error().unwrap_or_else(|| error.into())),
        }
    }

    /// What went wrong since the last call.
    pub fn error(&self) -> Option<anyhow::Error> {
        said(&self.0.bus()?.pop_filtered(&[gst::MessageType::Error])?)
    }

    /// The same, if need be after some time.
    pub fn error_within(&self, wait: gst::ClockTime) -> Option<anyhow::Error> {
        said(&self.0.bus()?.timed_pop_filtered(wait, &[gst::MessageType::Error])?)
    }

    /// Waits until all has come through.
    ///
    /// # Errors
    /// What an element says instead.
    pub fn end(&self) -> Result<()> {
        let bus = self.0.bus().context("a pipeline has a bus")?;
        let message = bus.timed_pop_filtered(None, &[gst::MessageType::Error, gst::MessageType::Eos]);
        said(&message.context("the bus was closed")?).map_or(Ok(()), Err)
    }
}

fn said(message: &gst::Message) -> Option<anyhow::Error> {
    match message.view() {
        gst::MessageView::Error(error) => Some(anyhow!("{} ({})", error.error(), error.debug().unwrap_or_default())),
        _ => None,
    }
}

impl Drop for Playing {
    fn drop(&mut self) {
        // Going to NULL does not fail, and there would be nothing left to do about it.
        let _ = self.0.set_state(gst::State::Null);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_keeps_a_pipeline_from_starting_is_said() {
        gst::init().unwrap();
        let line = "filesrc location=/nowhere/clip.mp4 ! fakesink";
        let error = Playing::start(&pipeline(line).unwrap()).err().expect("there is no such file").to_string();
        assert!(error.contains("/nowhere/clip.mp4"), "{error}");
    }
}
