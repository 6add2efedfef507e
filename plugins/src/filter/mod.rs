//! `TorchFilter`: what every element has that shows frames to a network and lets them pass, as they came or changed.
//!
//! Frames are read, turned into tensors and handed to the runtime on the streaming thread that brought them; a task of
//! the source pad waits for the results in order, attaches or writes them, and pushes. So up to a few frames of one stream
//! are under way at once, frames of all streams share the lanes, and no streaming thread runs a network.
//!
//! A subclass says which model is built in, and makes a [`Session`] for a model and a frame format. Frames leave in the size
//! they came in, or a whole multiple of it.

use std::sync::Arc;

use gst::glib;
use gst::glib::object::{Cast, IsA};
use gst::subclass::prelude::*;
use gst_torch_runtime::planes::{FrameInfo, Planes};
use gst_torch_runtime::{Batching, Engine, Error, Model, Result};

mod imp;
mod input;
mod live;
mod model;
mod outlet;
mod output;
mod pool;
mod queries;
mod queue;
mod scale;
mod settings;

pub use outlet::Outlet;

use crate::meta::Object;
pub use live::{Failures, Late};
pub use settings::LatePolicy;

glib::wrapper! {
    pub struct TorchFilter(ObjectSubclass<imp::TorchFilter>) @extends gst::Element, gst::Object;
}

impl TorchFilter {
    /// To be called when `property` of the subclass names another model: it takes over between two frames, once it is loaded.
    pub fn model_changed(&self, property: &str) {
        imp::TorchFilter::from_obj(self).swap_model(property);
    }

    /// Whether frames are to be looked at by their regions, as it is set now.
    pub fn looks_at_regions(&self) -> bool {
        imp::TorchFilter::from_obj(self).looks_at_regions()
    }
}

/// A frame, and what is known about it.
pub struct Input<'a> {
    pub frame: &'a Planes<'a>,
    /// With these, only they are looked at.
    pub regions: Option<&'a [Object]>,
    /// It does not follow the frame before: the first one, or one after a flush, a jump or a gap.
    pub fresh: bool,
    pub batching: Batching,
}

/// What is left to do for a frame that was handed over: wait, and make of the buffer what leaves. A failure gives it back as
/// it came.
pub type Finish = Box<dyn FnOnce(gst::Buffer, &Outlet) -> Result<gst::Buffer, Failed> + Send>;

/// A frame on which inference failed, as it came.
#[derive(Debug)]
pub struct Failed(pub gst::Buffer, pub Error);

/// A model at work on frames of one format. Shared by frames under way; made anew when model or caps change.
pub trait Session: Send + Sync {
    /// Reads the frame, hands it over, and says how to finish. Frames are finished in the order they were submitted in, each
    /// after the one before.
    fn submit(&self, input: Input) -> Result<Finish>;

    fn engine(&self) -> &Arc<Engine>;

    /// How many times wider and higher frames leave than they come.
    fn scale(&self) -> usize {
        1
    }

    /// What becomes of a frame that the network is not run on.
    fn pass(&self, buffer: gst::Buffer, _outlet: &Outlet) -> Result<gst::Buffer, Failed> {
        Ok(buffer)
    }

    /// What happened that a user should hear of, since the last call.
    fn take_notices(&self) -> Vec<String> {
        self.engine().take_notices()
    }
}

/// What a subclass gives.
pub trait TorchFilterImpl: ElementImpl + ObjectSubclass<Type: IsA<TorchFilter>> {
    /// The word that cards use for what it does.
    const TASK: &'static str;

    /// The model that runs when none is named.
    fn default_model(&self) -> Result<String>;

    /// How many times larger frames leave, with a model that is about to run. May take its time, as `session`.
    fn scale(&self, _model: &Arc<Model>) -> Result<usize> {
        Ok(1)
    }

    /// The same of the model of that name, before it is loaded; `None` where only the model itself could tell. Asked for by
    /// queries, so it reads no file.
    fn scale_by_name(&self, _name: &str) -> Option<usize> {
        Some(1)
    }

    /// Makes the session. May take its time: no lock is held and no frame waits for it.
    fn session(&self, model: &Arc<Model>, frame: &FrameInfo) -> Result<Arc<dyn Session>>;
}

// SAFETY: the class struct of TorchFilter is filled for every subclass before an instance exists.
unsafe impl<T: TorchFilterImpl> IsSubclassable<T> for TorchFilter {
    fn class_init(class: &mut glib::Class<Self>) {
        Self::parent_class_init::<T>(class);
        fn instance<T: TorchFilterImpl>(filter: &TorchFilter) -> &T {
            filter.dynamic_cast_ref::<T::Type>().expect("the class belongs to the instance").imp()
        }
        class.as_mut().virtuals = Some(imp::Virtuals {
            task: T::TASK,
            default_model: |filter| instance::<T>(filter).default_model(),
            scale_by_name: |filter, name| instance::<T>(filter).scale_by_name(name),
            scale: |filter, model| instance::<T>(filter).scale(model),
            session: |filter, model, frame| instance::<T>(filter).session(model, frame),
        });
    }
}
