use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::sync::{LazyLock, Mutex};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::subclass::prelude::*;

use super::line::{Found, Frame};
use crate::meta;
use crate::sync::lock;

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new("torchmeta", gst::DebugColorFlags::empty(), Some("What was found, as JSON lines"))
});

const STANDARD_OUTPUT: &str = "-";

struct Settings {
    location: String,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { location: STANDARD_OUTPUT.to_string() }
    }
}

/// What is open between READY and PAUSED.
struct State {
    location: String,
    output: Box<dyn Write + Send>,
    frame: u64,
    size: Option<(u32, u32)>,
}

#[derive(Default, glib::Properties)]
#[properties(wrapper_type = super::TorchMeta)]
pub struct TorchMeta {
    #[property(name = "location", get, set = Self::set_location, type = String, member = location,
        default = Some(STANDARD_OUTPUT), mutable_ready, nick = "Location",
        blurb = "File that the lines are written to, replacing what it held (- = standard output)")]
    settings: Mutex<Settings>,
    state: Mutex<Option<State>>,
}

impl TorchMeta {
    fn set_location(&self, location: Option<String>) {
        if let Some(state) = lock(&self.state).as_ref() {
            gst::warning!(CAT, imp = self, "location stays {} while lines are written to it", state.location);
            return;
        }
        lock(&self.settings).location = location.unwrap_or_else(|| STANDARD_OUTPUT.to_string());
    }

    fn flush(&self) {
        let flushed = lock(&self.state).as_mut().map(|state| (state.output.flush(), state.location.clone()));
        if let Some((Err(err), location)) = flushed {
            gst::element_imp_warning!(self, gst::ResourceError::Write, ("{location} cannot be flushed: {err}"));
        }
    }

    /// Says why a line could not be written. Standard output that nobody reads any more ends the stream, as it ends a
    /// tool in a shell pipe.
    fn failed(&self, location: &str, err: &io::Error) -> gst::FlowError {
        if err.kind() == ErrorKind::BrokenPipe && location == STANDARD_OUTPUT {
            gst::info!(CAT, imp = self, "Nobody reads standard output any more");
            return gst::FlowError::Eos;
        }
        let kind = match err.kind() {
            ErrorKind::StorageFull => gst::ResourceError::NoSpaceLeft,
            _ => gst::ResourceError::Write,
        };
        gst::element_imp_error!(self, kind, ("{location} cannot be written to: {err}"));
        gst::FlowError::Error
    }
}

impl State {
    fn write(&mut self, buffer: &gst::BufferRef) -> io::Result<()> {
        let frame = Frame {
            pts: buffer.pts().map(gst::ClockTime::nseconds),
            frame: self.frame,
            width: self.size.map(|(width, _)| width),
            height: self.size.map(|(_, height)| height),
            objects: meta::objects(buffer).into_iter().map(Found::from).collect(),
        };
        self.frame += 1;
        self.output.write_all(&frame.to_line()?)
    }
}

#[glib::object_subclass]
impl ObjectSubclass for TorchMeta {
    const NAME: &'static str = "GstTorchMeta";
    type Type = super::TorchMeta;
    type ParentType = gst_base::BaseTransform;
}

#[glib::derived_properties]
impl ObjectImpl for TorchMeta {}

impl GstObjectImpl for TorchMeta {}

impl ElementImpl for TorchMeta {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Objects as JSON lines",
                "Sink/Analyzer",
                "Passes frames on and writes what was found in them as JSON lines",
                "The GstTorch developers",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let caps = gst::Caps::builder("video/x-raw").any_features().build();
            [("src", gst::PadDirection::Src), ("sink", gst::PadDirection::Sink)]
                .into_iter()
                .filter_map(|(name, way)| gst::PadTemplate::new(name, way, gst::PadPresence::Always, &caps).ok())
                .collect()
        });
        &TEMPLATES
    }
}

impl BaseTransformImpl for TorchMeta {
    const MODE: gst_base::subclass::BaseTransformMode = gst_base::subclass::BaseTransformMode::AlwaysInPlace;
    const PASSTHROUGH_ON_SAME_CAPS: bool = true;
    const TRANSFORM_IP_ON_PASSTHROUGH: bool = true;

    fn start(&self) -> Result<(), gst::ErrorMessage> {
        let location = lock(&self.settings).location.clone();
        let output: Box<dyn Write + Send> = if location == STANDARD_OUTPUT {
            Box::new(io::stdout())
        } else {
            let file = File::create(&location).map_err(|err| {
                gst::error_msg!(gst::ResourceError::OpenWrite, ("{location} cannot be opened for writing: {err}"))
            })?;
            Box::new(file)
        };
        *lock(&self.state) = Some(State { location, output, frame: 0, size: None });
        Ok(())
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        self.flush();
        *lock(&self.state) = None;
        Ok(())
    }

    fn set_caps(&self, incaps: &gst::Caps, _outcaps: &gst::Caps) -> Result<(), gst::LoggableError> {
        // Read as fields, for frames in device memory are none that GstVideoInfo knows in every version.
        let size = incaps.structure(0).and_then(|s| {
            let field = |name| u32::try_from(s.get::<i32>(name).ok()?).ok();
            Some((field("width")?, field("height")?))
        });
        if let Some(state) = lock(&self.state).as_mut() {
            state.size = size;
        }
        Ok(())
    }

    fn sink_event(&self, event: gst::Event) -> bool {
        if let gst::EventView::Eos(_) = event.view() {
            self.flush();
        }
        self.parent_sink_event(event)
    }

    fn transform_ip_passthrough(&self, buffer: &gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        let written = {
            let mut state = lock(&self.state);
            let state = state.as_mut().ok_or(gst::FlowError::Flushing)?;
            state.write(buffer).map_err(|err| (state.location.clone(), err))
        };
        // What is posted may come back as a call, so no lock is held.
        written.map_err(|(location, err)| self.failed(&location, &err))?;
        Ok(gst::FlowSuccess::Ok)
    }
}
