//! The generator: opened at the start, changed while playing.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use gst::subclass::prelude::*;
use gst_torch_models::generate::generator::Generator;
use gst_torch_runtime::Result;

use super::imp::{CAT, Running, TorchSrc};
use crate::report;
use crate::sync::lock;

impl TorchSrc {
    pub(super) fn load_for_start(&self) -> Result<()> {
        self.generation.fetch_add(1, Ordering::SeqCst);
        let generator = self.open()?;
        self.note(&generator);
        let before = (lock(&self.next_generator).take(), lock(&self.generator).replace(generator));
        drop(before);
        Ok(())
    }

    /// While playing, what was named last is opened beside what runs, and takes over between two frames. What cannot be opened
    /// leaves the old one running.
    pub(super) fn swap_generator(&self) {
        let generation = self.generation.fetch_add(1, Ordering::SeqCst) + 1;
        if lock(&self.running).is_none() {
            return; // it is opened when the element starts
        }
        let element = self.obj().downgrade();
        let work = move || {
            let Some(element) = element.upgrade() else { return };
            let source = TorchSrc::from_obj(&element);
            match source.open() {
                Ok(generator) => {
                    let mut slot = lock(&source.next_generator);
                    if source.generation.load(Ordering::SeqCst) == generation {
                        let before = slot.replace(generator);
                        drop(slot);
                        drop(before);
                    }
                }
                Err(error) => {
                    gst::element_imp_warning!(
                        source,
                        gst::ResourceError::NotFound,
                        ["{error}; the model before goes on"]
                    );
                }
            }
        };
        if let Err(error) = std::thread::Builder::new().name("torch-load".into()).spawn(work) {
            gst::element_imp_warning!(self, gst::ResourceError::Failed, ["no thread to load the model on: {error}"]);
        }
    }

    fn open(&self) -> Result<Generator> {
        let settings = lock(&self.settings).clone();
        report::progress(&*self.obj(), "loading", "Loading the model", || {
            let generator = settings.open()?;
            generator.check(settings.for_frame(&generator).mode)?;
            Ok(generator)
        })
    }

    /// What `stats` and caps go by from now on.
    pub(super) fn note(&self, generator: &Generator) {
        let (model, engine) = (Arc::clone(generator.model()), Arc::clone(generator.engine()));
        gst::info!(CAT, imp = self, "{} on {}: {}", model.info().name, model.device(), engine.describe());
        let before = lock(&self.running).replace(Running { model, engine, size: generator.size() });
        drop(before);
    }
}
