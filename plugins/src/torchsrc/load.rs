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
        let generation = self.generation.fetch_add(1, Ordering::SeqCst) + 1;
        self.waits_for_mode.store(false, Ordering::SeqCst);
        let generator = self.open()?;
        generator.check(lock(&self.settings).for_frame(&generator).mode)?;
        self.settled.store(generation, Ordering::SeqCst);
        self.note(&generator);
        let before = (lock(&self.next_generator).take(), lock(&self.generator).replace(generator));
        drop(before);
        Ok(())
    }

    /// While playing, what was named last is opened beside what runs, and takes over between two frames. What cannot be opened
    /// leaves the old one running.
    pub(super) fn swap_generator(&self) {
        let generation = self.generation.fetch_add(1, Ordering::SeqCst) + 1;
        self.waits_for_mode.store(false, Ordering::SeqCst);
        if lock(&self.running).is_none() {
            return; // it is opened when the element starts
        }
        let element = self.obj().downgrade();
        let work = move || {
            if let Some(element) = element.upgrade() {
                TorchSrc::from_obj(&element).load(generation);
            }
        };
        if let Err(error) = std::thread::Builder::new().name("torch-load".into()).spawn(work) {
            self.settled.store(generation, Ordering::SeqCst);
            gst::element_imp_warning!(self, gst::ResourceError::Failed, ["no thread to load the model on: {error}"]);
        }
    }

    /// Nothing is said or done where something else was named meanwhile: then that counts.
    fn load(&self, generation: u64) {
        let opened = self.open();
        let last = || self.generation.load(Ordering::SeqCst) == generation;
        if !last() {
            return;
        }
        match opened {
            Ok(generator) => {
                // As the mode is now: it may have been set after the model, to go with it. If it is set after this, it finds
                // the model waiting.
                self.waits_for_mode.store(true, Ordering::SeqCst);
                let mode = lock(&self.settings).for_frame(&generator).mode;
                match generator.check(mode) {
                    Ok(()) => {
                        self.waits_for_mode.store(false, Ordering::SeqCst);
                        let mut slot = lock(&self.next_generator);
                        let before = if last() { slot.replace(generator) } else { None };
                        drop(slot);
                        drop(before);
                    }
                    Err(error) if last() => {
                        let until = "the model before goes on until mode is set to one of these";
                        gst::element_imp_warning!(self, gst::LibraryError::Settings, ["{error}; {until}"]);
                    }
                    Err(_) => {}
                }
            }
            Err(error) => {
                gst::element_imp_warning!(self, gst::ResourceError::NotFound, ["{error}; the model before goes on"]);
            }
        }
        self.settled.fetch_max(generation, Ordering::SeqCst);
    }

    fn open(&self) -> Result<Generator> {
        let settings = lock(&self.settings).clone();
        report::progress(&*self.obj(), "loading", "Loading the model", || settings.open())
    }

    /// What `stats` and caps go by from now on.
    pub(super) fn note(&self, generator: &Generator) {
        let (model, engine) = (Arc::clone(generator.model()), Arc::clone(generator.engine()));
        gst::info!(CAT, imp = self, "{} on {}: {}", model.info().name, model.device(), engine.describe());
        let before = lock(&self.running).replace(Running { model, engine, size: generator.size() });
        drop(before);
    }
}
