//! `TorchFilter`: what every element has that shows frames to a network and lets them pass.
//!
//! Frames are read, turned into tensors and handed to the runtime on the streaming thread that brought them; a task of
//! the source pad waits for the results in order, attaches them, and pushes. So up to a few frames of one stream are
//! under way at once, frames of all streams share the lanes, and no streaming thread runs a network.
//!
//! A subclass says which model is built in, and makes a [`Session`] for a model and a frame format.

use std::sync::Arc;

use gst::glib;
use gst::glib::object::{Cast, IsA};
use gst::subclass::prelude::*;
use gst_torch_runtime::planes::{FrameInfo, Planes};
use gst_torch_runtime::{Batching, Engine, Model, Result};

mod imp;
mod input;
mod live;
mod model;
mod output;
mod queue;
mod settings;

use crate::meta::Object;
pub use live::{Failures, Late};
pub use settings::LatePolicy;

glib::wrapper! {
    pub struct TorchFilter(ObjectSubclass<imp::TorchFilter>) @extends gst::Element, gst::Object;
}

/// What is left to do for a frame that was handed over: wait, and attach what was found.
pub type Finish = Box<dyn FnOnce(&mut gst::BufferRef) -> Result<()> + Send>;

/// A model at work on frames of one format. Shared by frames under way; made anew when model or caps change.
pub trait Session: Send + Sync {
    /// Reads the frame, hands it over, and says how to finish. With `regions`, only these objects are looked at.
    fn submit(&self, frame: &Planes, regions: Option<&[Object]>, batching: Batching) -> Result<Finish>;

    fn engine(&self) -> &Arc<Engine>;
}

/// What a subclass gives.
pub trait TorchFilterImpl: ElementImpl + ObjectSubclass<Type: IsA<TorchFilter>> {
    /// The word that cards use for what it does.
    const TASK: &'static str;
    /// The model that runs when none is named.
    const DEFAULT_MODEL: &'static str;

    /// Makes the session. May take its time: no lock is held and no frame waits for it.
    fn session(&self, model: &Arc<Model>, frame: &FrameInfo) -> Result<Arc<dyn Session>>;
}

// SAFETY: the class struct of TorchFilter is filled for every subclass before an instance exists.
unsafe impl<T: TorchFilterImpl> IsSubclassable<T> for TorchFilter {
    fn class_init(class: &mut glib::Class<Self>) {
        Self::parent_class_init::<T>(class);
        let class = class.as_mut();
        class.virtuals = Some(imp::Virtuals {
            task: T::TASK,
            default_model: T::DEFAULT_MODEL,
            session: |filter, model, frame| {
                let instance = filter.dynamic_cast_ref::<T::Type>().expect("the class belongs to the instance");
                instance.imp().session(model, frame)
            },
        });
    }
}
