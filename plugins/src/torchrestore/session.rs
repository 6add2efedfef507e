//! A restorer at work on the frames of one stream: buffers to planes and back, and what travels on them.

use std::sync::{Arc, Mutex};

use gst_torch_models::boxes::Rect;
use gst_torch_models::restore::restorer::{Pending, Request, Restorer};
use gst_torch_runtime::{Engine, Error, Result};
use gst_video::VideoFrameRef;

use super::settings::Settings;
use crate::filter::{Failed, Finish, Input, Outlet, Session};
use crate::meta;
use crate::sync::lock;
use crate::video;

pub struct Restoring {
    restorer: Arc<Restorer>,
    settings: Arc<Mutex<Settings>>,
}

impl Restoring {
    pub fn new(restorer: Arc<Restorer>, settings: Arc<Mutex<Settings>>) -> Self {
        Restoring { restorer, settings }
    }
}

impl Session for Restoring {
    fn submit(&self, input: Input) -> Result<Finish> {
        let (strength, noise) = {
            let settings = lock(&self.settings);
            (settings.strength, settings.noise_level)
        };
        let frame = input.frame.info();
        let regions = input.regions.map(|objects| {
            let pixels = |object: &meta::Object| video::whole_pixels(&object.rect, frame);
            objects.iter().filter_map(pixels).collect()
        });
        let Input { fresh, batching, .. } = input;
        let request = Request { strength, noise: (noise > 0.0).then_some(noise), regions, fresh, batching };
        let pending = self.restorer.submit(input.frame, request)?;
        let restorer = Arc::clone(&self.restorer);
        Ok(Box::new(move |buffer, outlet| match restorer.scale() {
            1 => rewrite(&restorer, pending, buffer, outlet),
            _ => replace(&restorer, Some(pending), buffer, outlet),
        }))
    }

    fn engine(&self) -> &Arc<Engine> {
        self.restorer.engine()
    }

    fn scale(&self) -> usize {
        self.restorer.scale()
    }

    fn pass(&self, buffer: gst::Buffer, outlet: &Outlet) -> Result<gst::Buffer, Failed> {
        match self.restorer.scale() {
            1 => Ok(buffer),
            _ => replace(&self.restorer, None, buffer, outlet),
        }
    }

    fn take_notices(&self) -> Vec<String> {
        self.restorer.take_notices()
    }
}

/// Writes the restored frame over the one that came. GStreamer copies memory that others hold.
fn rewrite(
    restorer: &Restorer,
    pending: Pending,
    mut buffer: gst::Buffer,
    outlet: &Outlet,
) -> Result<gst::Buffer, Failed> {
    if pending.changes_nothing() {
        return Ok(buffer);
    }
    let result = VideoFrameRef::from_buffer_ref_writable(buffer.make_mut(), outlet.output())
        .map_err(|_| unmapped(restorer))
        .and_then(|mut frame| pending.finish(&mut video::planes_mut(&mut frame, *restorer.output())?));
    match result {
        Ok(()) => Ok(buffer),
        Err(error) => Err(Failed(buffer, error)),
    }
}

/// A new buffer with the frame in its new size, restored where it was submitted, else enlarged plainly; with the timestamps,
/// flags and metas of the one that came.
fn replace(
    restorer: &Restorer,
    pending: Option<Pending>,
    buffer: gst::Buffer,
    outlet: &Outlet,
) -> Result<gst::Buffer, Failed> {
    let make = || -> Result<gst::Buffer> {
        let model = || restorer.engine().model().to_owned();
        let flow =
            |e: gst::FlowError| Error::Mismatch { model: model(), reason: format!("no buffer for a frame: {e}") };
        let mut out = outlet.buffer().map_err(flow)?;
        let target = out.make_mut();
        {
            let frame =
                VideoFrameRef::from_buffer_ref_readable(&buffer, outlet.input()).map_err(|_| unmapped(restorer))?;
            let frame = video::planes(&frame, *restorer.input())?;
            let mut larger =
                VideoFrameRef::from_buffer_ref_writable(target, outlet.output()).map_err(|_| unmapped(restorer))?;
            let mut larger = video::planes_mut(&mut larger, *restorer.output())?;
            if pending.as_ref().is_none_or(Pending::needs_frame) {
                restorer.enlarge(&frame, &mut larger)?;
            }
            if let Some(pending) = pending {
                pending.finish(&mut larger)?;
            }
        }
        describe(&buffer, target, restorer.scale() as f32);
        Ok(out)
    };
    make().map_err(|error| Failed(buffer, error))
}

fn unmapped(restorer: &Restorer) -> Error {
    let reason = format!("a frame cannot be mapped as {}", restorer.input());
    Error::Mismatch { model: restorer.engine().model().to_owned(), reason }
}

/// Copies what a buffer says about its frame to one that is `scale` times as large.
fn describe(from: &gst::BufferRef, to: &mut gst::BufferRef, scale: f32) {
    let _ = from.copy_into(to, gst::BUFFER_COPY_METADATA & !gst::BufferCopyFlags::META, ..);
    let video = <gst_video::VideoMeta as gst::MetaAPI>::meta_api();
    let crop = <gst_video::VideoCropMeta as gst::MetaAPI>::meta_api();
    let copy = gst::meta::MetaTransformCopy::new(..);
    for meta in from.iter_meta::<gst::Meta>() {
        // How the memory is laid out is the new buffer's own affair.
        if meta.api() != video && meta.api() != crop {
            let _ = meta.transform(to, &copy);
        }
    }
    let mut objects = meta::objects(from);
    if objects.is_empty() && !meta::inference_ran(from) {
        return;
    }
    for object in &mut objects {
        let Rect { x, y, w, h } = object.rect;
        object.rect = Rect { x: x * scale, y: y * scale, w: w * scale, h: h * scale };
    }
    meta::set_objects(to, &objects);
}
