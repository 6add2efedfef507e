use std::sync::{LazyLock, Mutex};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::subclass::prelude::*;
use gst_torch_models::track::Config;

use super::follower::{Follower, Format};
use crate::meta;
use crate::sync::lock;

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new("torchtrack", gst::DebugColorFlags::empty(), Some("Ids that stay with objects"))
});

static DEFAULTS: LazyLock<Config> = LazyLock::new(Config::default);

#[derive(Default, glib::Properties)]
#[properties(wrapper_type = super::TorchTrack)]
pub struct TorchTrack {
    #[property(name = "class-confidence-threshold", get, set, type = f32, member = high_threshold,
        minimum = 0.0, maximum = 1.0, default = DEFAULTS.high_threshold, mutable_playing,
        nick = "Class confidence threshold", blurb = "Detections of at least this confidence start tracks")]
    #[property(name = "low-confidence-threshold", get, set, type = f32, member = low_threshold,
        minimum = 0.0, maximum = 1.0, default = DEFAULTS.low_threshold, mutable_playing,
        nick = "Low confidence threshold", blurb = "Detections of at least this confidence carry tracks on")]
    #[property(name = "iou-threshold", get, set, type = f32, member = min_iou,
        minimum = 0.0, maximum = 1.0, default = DEFAULTS.min_iou, mutable_playing,
        nick = "IoU threshold",
        blurb = "Overlap, times confidence, from which a detection and the predicted box of a track are the same object")]
    #[property(name = "min-frame-count-for-new-track", get, set, type = u32, member = frames_to_confirm,
        minimum = 1, default = DEFAULTS.frames_to_confirm, mutable_playing,
        nick = "Min frame count for new track",
        blurb = "Number of detections in a row after which an object gets its id; at the start of a stream the first does")]
    #[property(name = "min-frame-count-for-lost-track", get, set, type = u32, member = frames_to_forget,
        default = DEFAULTS.frames_to_forget, mutable_playing,
        nick = "Min frame count for lost track",
        blurb = "Number of frame periods for which an object that is not found keeps its id")]
    settings: Mutex<Config>,
    follower: Mutex<Follower>,
}

impl TorchTrack {
    fn stats(&self) -> gst::Structure {
        let counts = lock(&self.follower).counts();
        gst::Structure::builder("stats")
            .field("frames", counts.frames)
            .field("predicted", counts.predicted)
            .field("tracks", counts.tracks)
            .field("active", counts.active)
            .build()
    }
}

#[glib::object_subclass]
impl ObjectSubclass for TorchTrack {
    const NAME: &'static str = "GstTorchTrack";
    type Type = super::TorchTrack;
    type ParentType = gst_base::BaseTransform;
}

impl ObjectImpl for TorchTrack {
    fn properties() -> &'static [glib::ParamSpec] {
        // A GstStructure is a type that the derive does not know. It comes last: derived properties count from 1.
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let stats = glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
                .nick("Statistics")
                .blurb("frames, predicted (those on which no detector ran), tracks (ids given), active (followed now)")
                .read_only()
                .build();
            TorchTrack::derived_properties().iter().cloned().chain([stats]).collect()
        });
        &PROPERTIES
    }

    fn set_property(&self, id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        self.derived_set_property(id, value, pspec);
    }

    fn property(&self, id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        match pspec.name() {
            "stats" => self.stats().to_value(),
            _ => self.derived_property(id, pspec),
        }
    }
}

impl GstObjectImpl for TorchTrack {}

impl ElementImpl for TorchTrack {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Object tracker",
                "Analyzer/Video",
                "Gives detected objects ids that stay with them, also through occlusions and frames without detection",
                env!("CARGO_PKG_AUTHORS"),
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            // Pixels are never looked at, so any memory will do.
            let caps = gst::Caps::builder("video/x-raw").any_features().build();
            [("sink", gst::PadDirection::Sink), ("src", gst::PadDirection::Src)]
                .map(|(name, direction)| {
                    gst::PadTemplate::new(name, direction, gst::PadPresence::Always, &caps)
                        .expect("a name, a direction and caps make a template")
                })
                .into()
        });
        &TEMPLATES
    }
}

impl BaseTransformImpl for TorchTrack {
    // In place rather than passthrough: the base class then makes the buffer writable, which copies no pixel. Allocation
    // queries go through to the neighbours all the same.
    const MODE: gst_base::subclass::BaseTransformMode = gst_base::subclass::BaseTransformMode::AlwaysInPlace;
    const PASSTHROUGH_ON_SAME_CAPS: bool = false;
    const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

    fn start(&self) -> Result<(), gst::ErrorMessage> {
        lock(&self.follower).restart();
        Ok(())
    }

    fn set_caps(&self, incaps: &gst::Caps, _outcaps: &gst::Caps) -> Result<(), gst::LoggableError> {
        // By fields, not as GstVideoInfo, which does not know the formats of all kinds of memory.
        let size = |s: &gst::StructureRef| Some((s.get::<i32>("width").ok()?, s.get::<i32>("height").ok()?));
        let caps = incaps.structure(0);
        let (width, height) =
            caps.and_then(size).ok_or_else(|| gst::loggable_error!(CAT, "No width and height in {incaps}"))?;
        let framerate = caps.and_then(|s| s.get::<gst::Fraction>("framerate").ok());
        let framerate = framerate.map_or((0, 1), |rate| (rate.numer(), rate.denom()));
        lock(&self.follower).set_format(Format::new(width, height, framerate));
        Ok(())
    }

    fn sink_event(&self, event: gst::Event) -> bool {
        if matches!(event.type_(), gst::EventType::FlushStop | gst::EventType::StreamStart) {
            gst::debug!(CAT, imp = self, "Starting anew at {:?}", event.type_());
            lock(&self.follower).reset();
        }
        self.parent_sink_event(event)
    }

    fn transform_ip(&self, buffer: &mut gst::BufferRef) -> Result<gst::FlowSuccess, gst::FlowError> {
        let config = lock(&self.settings).clone();
        let mut objects = meta::objects(buffer);
        let ran = meta::inference_ran(buffer) || !objects.is_empty();
        let time = buffer.pts().map(|pts| pts.nseconds());

        let mut follower = lock(&self.follower);
        follower.set_config(&config);
        let changed = follower.follow(&mut objects, ran, time);
        drop(follower);

        if changed {
            meta::set_objects(buffer, &objects);
        }
        Ok(gst::FlowSuccess::Ok)
    }
}
