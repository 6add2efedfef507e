//! The model of a filter: loaded at the start, changed while playing.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_torch_runtime::planes::FrameInfo;
use gst_torch_runtime::{Error, Model, Result as TorchResult};

use super::Session;
use super::imp::{CAT, Stream, TorchFilter, Virtuals};
use super::outlet::output_of;
use crate::report;
use crate::sync::lock;

impl TorchFilter {
    pub(super) fn virtuals(&self) -> Virtuals {
        let element = self.obj();
        element.class().as_ref().virtuals.expect("an abstract class has no instances, its subclasses fill this")
    }

    /// The model, and how many times larger frames leave with it.
    pub(super) fn load_model(&self) -> TorchResult<(Arc<Model>, usize)> {
        let settings = lock(&self.settings).model.clone();
        let virtuals = self.virtuals();
        let name = match &settings.model_file {
            Some(name) => name.clone(),
            None => (virtuals.default_model)(&self.obj())?,
        };
        let file = settings.open(&name, virtuals.task)?;
        let model = file.load(settings.device()?, settings.precision()?)?;
        let scale = (virtuals.scale)(&self.obj(), &model)?;
        Ok((model, scale))
    }

    /// How many times larger frames leave: with the model that is loaded, or before one is, as the properties say. `None` where
    /// only the model itself could tell.
    pub(super) fn known_scale(&self) -> Option<usize> {
        if lock(&self.model).is_some() {
            return Some(self.scale.load(Ordering::SeqCst));
        }
        let model_file = lock(&self.settings).model.model_file.clone();
        let virtuals = self.virtuals();
        let name = model_file.map_or_else(|| (virtuals.default_model)(&self.obj()), Ok).ok()?;
        (virtuals.scale_by_name)(&self.obj(), &name)
    }

    pub(super) fn load_for_start(&self) -> Result<(), gst::StateChangeError> {
        // Opening finds the loaded model in the cache again where nothing changed.
        let loaded = self.progress("loading", "Loading the model", || self.load_model());
        match loaded {
            Ok((model, scale)) => {
                gst::info!(CAT, imp = self, "{} on {}", model.info().name, model.device());
                self.scale.store(scale, Ordering::SeqCst);
                let before = lock(&self.model).replace(model);
                drop(before);
                Ok(())
            }
            Err(error) => {
                self.post_error(&error);
                Err(gst::StateChangeError)
            }
        }
    }

    /// While playing, the model that was named last is loaded and warmed beside the one that runs, and takes over
    /// between two frames. One that fails, or whose frames nobody takes, leaves the old one running. `property` is what named it.
    pub(super) fn swap_model(&self, property: &str) {
        let generation = self.generation.fetch_add(1, Ordering::SeqCst) + 1;
        if lock(&self.stream).is_none() && lock(&self.model).is_none() {
            return; // it is loaded when the element starts
        }
        let element = self.obj().downgrade();
        let property = property.to_owned();
        let work = move || {
            let Some(element) = element.upgrade() else { return };
            let filter = Self::from_obj(&element);
            let result =
                filter.progress("loading", "Loading another model", || filter.install_model(generation, &property));
            if let Err(error) = result {
                gst::element_imp_warning!(filter, gst::ResourceError::NotFound, ["{error}; the model before goes on"]);
            }
        };
        if let Err(error) = std::thread::Builder::new().name("torch-load".into()).spawn(work) {
            gst::element_imp_warning!(self, gst::ResourceError::Failed, ["no thread to load the model on: {error}"]);
        }
    }

    pub(super) fn install_model(&self, generation: u64, property: &str) -> TorchResult<()> {
        let (model, scale) = self.load_model()?;
        loop {
            let before = lock(&self.stream).clone();
            let changed = before.as_ref().map(|stream| self.with_model(stream, &model, property)).transpose()?;
            if self.generation.load(Ordering::SeqCst) != generation {
                return Ok(()); // another was asked for meanwhile
            }
            let mut stream = lock(&self.stream);
            if stream.as_ref().map(Arc::as_ptr) != before.as_ref().map(Arc::as_ptr) {
                continue; // the caps changed meanwhile
            }
            if let Some(changed) = changed {
                *stream = Some(Arc::new(changed));
                self.fresh.store(true, Ordering::SeqCst);
            }
            self.scale.store(scale, Ordering::SeqCst);
            let old_model = lock(&self.model).replace(model);
            drop(stream);
            drop((before, old_model));
            return Ok(());
        }
    }

    /// The stream with another model at work on it; an error where its frames would leave in a size that nobody takes.
    fn with_model(&self, stream: &Stream, model: &Arc<Model>, property: &str) -> TorchResult<Stream> {
        let session = self.make_session(model, &stream.frame)?;
        let mismatch = |reason| Error::Mismatch { model: model.info().name.clone(), reason };
        let (output, caps) = output_of(&stream.input, &stream.info, session.scale()).map_err(mismatch)?;
        // Some elements look at their templates only when asked whether they accept caps, so they are asked what they can, too.
        let pad = &self.srcpad;
        let taken = || pad.peer_query_accept_caps(&caps) && !pad.peer_query_caps(Some(&caps)).is_empty();
        if caps != stream.caps && pad.is_linked() && !taken() {
            let size = |info: &gst_video::VideoInfo| format!("{}x{}", info.width(), info.height());
            let (wanted, now) = (size(&output), size(&stream.output));
            return Err(mismatch(format!(
                "{property} asks for frames of {wanted} instead of {now}, which what follows does not take"
            )));
        }
        Ok(Stream { output, caps, session, ..stream.clone() })
    }

    pub(super) fn make_session(&self, model: &Arc<Model>, frame: &FrameInfo) -> TorchResult<Arc<dyn Session>> {
        (self.virtuals().session)(&self.obj(), model, frame)
    }

    /// Tells the application that something takes its time.
    pub(super) fn progress<T>(&self, code: &str, text: &str, work: impl FnOnce() -> TorchResult<T>) -> TorchResult<T> {
        report::progress(&*self.obj(), code, text, work)
    }

    pub(super) fn post_error(&self, error: &Error) {
        self.post_error_message(report::message(error));
    }
}
