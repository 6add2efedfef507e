//! What a frame needs on its way out: what it is, what it becomes, and a buffer for it.

use gst::prelude::*;
use gst::subclass::prelude::*;

use super::imp::{CAT, Item, Stream, TorchFilter};
use super::scale::output_caps;
use crate::sync::lock;

/// For a session that finishes a frame.
pub struct Outlet<'a> {
    filter: &'a TorchFilter,
    stream: &'a Stream,
}

impl<'a> Outlet<'a> {
    pub(super) fn new(filter: &'a TorchFilter, stream: &'a Stream) -> Self {
        Outlet { filter, stream }
    }

    /// The frame as it comes.
    pub fn input(&self) -> &gst_video::VideoInfo {
        &self.stream.info
    }

    /// The frame as it leaves.
    pub fn output(&self) -> &gst_video::VideoInfo {
        &self.stream.output
    }

    /// A new buffer of the size that leaves.
    ///
    /// # Errors
    /// When downstream gives none, flushing among the reasons.
    pub fn buffer(&self) -> Result<gst::Buffer, gst::FlowError> {
        let pad = &self.filter.srcpad;
        // Only the task of the source pad comes here: nobody waits for this lock while downstream is asked.
        let mut pool = std::mem::take(&mut *lock(&self.filter.pool));
        let buffer = pool.buffer(pad, &self.stream.caps, &self.stream.output, pad.check_reconfigure());
        *lock(&self.filter.pool) = pool;
        buffer
    }
}

/// What frames of such caps leave as, in a size `scale` times theirs.
pub(super) fn output_of(
    caps: &gst::CapsRef,
    info: &gst_video::VideoInfo,
    scale: usize,
) -> Result<(gst_video::VideoInfo, gst::Caps), String> {
    if scale == 1 {
        return Ok((info.clone(), caps.to_owned()));
    }
    let output = output_caps(caps, info, scale);
    let info = gst_video::VideoInfo::from_caps(&output).map_err(|e| format!("caps {output}: {e}"))?;
    Ok((info, output))
}

impl TorchFilter {
    /// Says what leaves from now on, if that is news. To be called by whoever brings frames, before the first of them.
    pub(super) fn announce(&self, stream: &Stream) -> Result<(), gst::FlowError> {
        if lock(&self.announced).as_ref() == Some(&stream.caps) {
            return Ok(());
        }
        let event = gst::event::Caps::new(&stream.caps);
        self.queue.push(Item::Event(event), false).map_err(|_| gst::FlowError::Flushing)?;
        *lock(&self.announced) = Some(stream.caps.clone());
        gst::debug!(CAT, imp = self, "{} leaves as {}", stream.frame, stream.caps);
        Ok(())
    }
}
