//! What encoder and decoder count.

use std::time::Duration;

use gst_torch_models::codec::any::AnyModel as Model;
use gst_torch_runtime::Stats;

#[derive(Default)]
pub struct Counters {
    pub stats: Stats,
    pub keys: u64,
    pub bytes: u64,
    /// Pictures that another stood in for.
    pub concealed: u64,
}

impl Counters {
    /// A picture was coded or decoded.
    pub fn count(&mut self, key: bool, bytes: usize, took: Duration) {
        self.stats.frames += 1;
        self.stats.record(took);
        self.keys += u64::from(key);
        self.bytes += bytes as u64;
    }

    /// The structure of the property `stats`, to which the element adds what only it knows.
    pub fn structure(&self, model: Option<&Model>) -> gst::structure::Builder {
        let ms = |p| self.stats.percentile(p).map_or(0.0, |d| d.as_secs_f64() * 1e3);
        gst::Structure::builder("stats")
            .field("frames", self.stats.frames)
            .field("keys", self.keys)
            .field("bytes", self.bytes)
            .field("p50", ms(0.5))
            .field("p99", ms(0.99))
            .field_if_some("model", model.map(|model| model.name.clone()))
            .field_if_some("device", model.map(|model| model.device.to_string()))
            .field_if_some("precision", model.map(|model| model.precision.to_string()))
    }
}
