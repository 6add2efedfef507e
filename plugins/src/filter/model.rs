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
    /// between two frames. One that fails leaves the old one running.
    pub(super) fn swap_model(&self) {
        let generation = self.generation.fetch_add(1, Ordering::SeqCst) + 1;
        if lock(&self.stream).is_none() && lock(&self.model).is_none() {
            return; // it is loaded when the element starts
        }
        let element = self.obj().downgrade();
        let work = move || {
            let Some(element) = element.upgrade() else { return };
            let filter = Self::from_obj(&element);
            let result = filter.progress("loading", "Loading another model", || filter.install_model(generation));
            if let Err(error) = result {
                gst::element_imp_warning!(filter, gst::ResourceError::NotFound, ["{error}; the model before goes on"]);
            }
        };
        if let Err(error) = std::thread::Builder::new().name("torch-load".into()).spawn(work) {
            gst::element_imp_warning!(self, gst::ResourceError::Failed, ["no thread to load the model on: {error}"]);
        }
    }

    pub(super) fn install_model(&self, generation: u64) -> TorchResult<()> {
        let (model, scale) = self.load_model()?;
        loop {
            let frame = lock(&self.stream).as_ref().map(|stream| stream.frame);
            let session = frame.map(|frame| self.make_session(&model, &frame)).transpose()?;
            if self.generation.load(Ordering::SeqCst) != generation {
                return Ok(()); // another was asked for meanwhile
            }
            let mut stream = lock(&self.stream);
            if stream.as_ref().map(|s| s.frame) != frame {
                continue; // the caps changed meanwhile
            }
            let mut old_stream = None;
            if let (Some(slot), Some(session)) = (stream.as_mut(), session) {
                let fits = output_of(&slot.input, &slot.info, session.scale());
                let (output, caps) =
                    fits.map_err(|reason| Error::Mismatch { model: model.info().name.clone(), reason })?;
                let changed = Stream { output, caps, session, ..(**slot).clone() };
                old_stream = Some(std::mem::replace(slot, Arc::new(changed)));
                self.fresh.store(true, Ordering::SeqCst);
            }
            self.scale.store(scale, Ordering::SeqCst);
            let old_model = lock(&self.model).replace(model);
            drop(stream);
            drop((old_stream, old_model));
            return Ok(());
        }
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
