use std::sync::{Arc, LazyLock, Mutex};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_torch_models::restore;
use gst_torch_models::restore::interface::Interface;
use gst_torch_models::restore::restorer::Restorer;
use gst_torch_runtime::planes::FrameInfo;
use gst_torch_runtime::{Model, Result};

use super::session::Restoring;
use super::settings::Settings;
use crate::filter::{Session, TorchFilter, TorchFilterImpl};
use crate::sync::lock;

#[derive(Default)]
pub struct TorchRestore {
    /// Shared with the sessions, so that a change shows on the next frame.
    settings: Arc<Mutex<Settings>>,
}

#[glib::object_subclass]
impl ObjectSubclass for TorchRestore {
    const NAME: &'static str = "GstTorchRestore";
    type Type = super::TorchRestore;
    type ParentType = TorchFilter;
}

impl ObjectImpl for TorchRestore {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(Settings::properties);
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        let model_changed = {
            let mut settings = lock(&self.settings);
            let before = settings.model().ok();
            settings.set(pspec.name(), value);
            settings.model().ok() != before
        };
        if model_changed {
            self.obj().upcast_ref::<TorchFilter>().model_changed(pspec.name());
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        lock(&self.settings).get(pspec.name())
    }
}

impl GstObjectImpl for TorchRestore {}

impl ElementImpl for TorchRestore {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "PyTorch video restorer",
                "Filter/Effect/Video",
                "Takes away noise, compression artefacts and blur, adds pixels and light; runs any image-to-image network",
                env!("CARGO_PKG_AUTHORS"),
            )
        });
        Some(&METADATA)
    }
}

impl TorchFilterImpl for TorchRestore {
    const TASK: &'static str = "restore";

    fn default_model(&self) -> Result<String> {
        lock(&self.settings).model()
    }

    fn scale_by_name(&self, name: &str) -> Option<usize> {
        restore::scale_of(name)
    }

    fn scale(&self, model: &Arc<Model>) -> Result<usize> {
        let settings = lock(&self.settings).clone();
        settings.check_tiles()?;
        let wishes = settings.options().wishes;
        Interface::scale_of(model, &wishes)
    }

    fn session(&self, model: &Arc<Model>, frame: &FrameInfo) -> Result<Arc<dyn Session>> {
        let options = lock(&self.settings).options();
        let restorer =
            Restorer::new(model, frame, &options, self.obj().upcast_ref::<TorchFilter>().looks_at_regions())?;
        Ok(Arc::new(Restoring::new(restorer, Arc::clone(&self.settings))))
    }
}
