//! What made a generated frame, carried on its buffer as a `GstCustomMeta` without tags, which conversions keep.
//!
//! `docs/metadata.md` writes it down for those who read it without this crate.

use std::sync::Once;

use gst::meta::CustomMeta;
use gst_torch_models::generate::provenance::Provenance;

/// Name of the `GstCustomMeta`, and of the structure in it.
pub const META_NAME: &str = "GstTorchGeneratedMeta";

/// GStreamer forbids looking for a custom meta whose name nobody registered, and registering one twice.
fn register() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if !CustomMeta::is_registered(META_NAME) {
            CustomMeta::register_simple(META_NAME);
        }
    });
}

/// Says what made the frame in `buffer`.
pub fn set(buffer: &mut gst::BufferRef, provenance: &Provenance) {
    register();
    match CustomMeta::add(buffer, META_NAME) {
        Ok(mut meta) => {
            let structure = meta.mut_structure();
            structure.set("model", &provenance.model);
            structure.set("sha256", &provenance.sha256);
            structure.set("seed", provenance.seed);
            structure.set("frame", provenance.frame);
            structure.set("watermark", provenance.watermark);
            if !provenance.latent.is_empty() {
                structure.set("latent", gst::Array::new(&provenance.latent));
            }
            if let Some(class) = provenance.class() {
                structure.set("class", class);
                structure.set("classes", gst::Array::new(&provenance.classes));
            }
            if !provenance.codes.is_empty() {
                structure.set("codes", gst::Array::new(provenance.codes.iter().map(|&code| u32::from(code))));
            }
        }
        Err(err) => gst::error!(gst::CAT_RUST, "{META_NAME} cannot be added: {err}"),
    }
}

/// What made the frame in `buffer`; `None` where nobody says that it was generated.
pub fn get(buffer: &gst::BufferRef) -> Option<Provenance> {
    register();
    let meta = CustomMeta::from_buffer(buffer, META_NAME).ok()?;
    let structure = meta.structure();
    let floats = |name| -> Vec<f32> {
        let array = structure.get::<gst::ArrayRef>(name).ok();
        array.map(|array| array.iter().filter_map(|v| v.get().ok()).collect()).unwrap_or_default()
    };
    let codes = structure.get::<gst::ArrayRef>("codes").ok();
    let code = |value: &gst::glib::SendValue| value.get::<u32>().ok().and_then(|code| u16::try_from(code).ok());
    Some(Provenance {
        model: structure.get("model").ok()?,
        sha256: structure.get("sha256").ok()?,
        seed: structure.get("seed").ok()?,
        frame: structure.get("frame").ok()?,
        latent: floats("latent"),
        classes: floats("classes"),
        codes: codes.map(|codes| codes.iter().filter_map(code).collect()).unwrap_or_default(),
        watermark: structure.get("watermark").unwrap_or(false),
    })
}
