use std::sync::{LazyLock, Mutex};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::prelude::*;
use gst_video::VideoFrameExt;

use super::canvas::{Canvas, Component, Plane};
use super::colour::ColourModel;
use super::scene;
use super::style::Style;
use super::text::Typeface;
use crate::meta::{self, Object};
use crate::sync::lock;

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new("torchoverlay", gst::DebugColorFlags::empty(), Some("Boxes and labels drawn on video"))
});

#[derive(Clone)]
struct Settings {
    draw_labels: bool,
    draw_confidence: bool,
    draw_ids: bool,
    line_width: u32,
    font_size: u32,
    object_class: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            draw_labels: true,
            draw_confidence: true,
            draw_ids: true,
            line_width: 0,
            font_size: 0,
            object_class: None,
        }
    }
}

impl Settings {
    fn style(&self) -> Style {
        Style {
            labels: self.draw_labels,
            confidence: self.draw_confidence,
            ids: self.draw_ids,
            line_width: self.line_width,
            font_size: self.font_size,
        }
    }

    fn shows(&self, object: &Object) -> bool {
        self.object_class.as_deref().is_none_or(|classes| classes.split(',').any(|class| class.trim() == object.label))
    }
}

/// What follows from the caps.
struct State {
    info: gst_video::VideoInfo,
    components: Vec<Component>,
    colours: ColourModel,
    /// Of the size last drawn with.
    face: Option<Typeface>,
}

#[derive(Default, glib::Properties)]
#[properties(wrapper_type = super::TorchOverlay)]
pub struct TorchOverlay {
    #[property(name = "draw-labels", get, set, type = bool, member = draw_labels, default = true, mutable_playing,
        nick = "Draw labels", blurb = "Write the class of each object")]
    #[property(name = "draw-confidence", get, set, type = bool, member = draw_confidence, default = true, mutable_playing,
        nick = "Draw confidence", blurb = "Write the confidence of each object")]
    #[property(name = "draw-ids", get, set, type = bool, member = draw_ids, default = true, mutable_playing,
        nick = "Draw ids", blurb = "Write the id of each tracked object")]
    #[property(name = "line-width", get, set, type = u32, member = line_width, maximum = 1000, mutable_playing,
        nick = "Line width", blurb = "Of the boxes, in pixels (0 = by the frame's size)")]
    #[property(name = "font-size", get, set, type = u32, member = font_size, maximum = 1000, mutable_playing,
        nick = "Font size", blurb = "In pixels (0 = by the frame's size)")]
    #[property(name = "object-class", get, set, type = Option<String>, member = object_class, mutable_playing,
        nick = "Object class", blurb = "Draw objects of these classes only, comma-separated (unset = all)")]
    settings: Mutex<Settings>,
    state: Mutex<Option<State>>,
}

impl TorchOverlay {
    fn draw(&self, buffer: &mut gst::BufferRef, objects: &[Object], style: &Style) -> Result<(), gst::FlowError> {
        let mut state = lock(&self.state);
        let Some(State { info, components, colours, face }) = state.as_mut() else {
            return Err(gst::FlowError::NotNegotiated);
        };
        let mut frame = gst_video::VideoFrameRef::from_buffer_ref_writable(buffer, info).map_err(|err| {
            gst::element_imp_error!(self, gst::ResourceError::Write, ("A frame cannot be written to: {err}"));
            gst::FlowError::Error
        })?;
        let (width, height) = (frame.width() as i32, frame.height() as i32);
        let size = style.font_size(width, height);
        if face.as_ref().is_none_or(|face| face.size() != size) {
            *face = Typeface::new(size);
        }
        let Some(face) = face else {
            gst::element_imp_error!(self, gst::LibraryError::Init, ("The built-in font cannot be read"));
            return Err(gst::FlowError::Error);
        };
        // Strides that run upwards do not occur in system memory; such a plane stays as it is.
        let mut strides = [0; 4];
        for (stride, given) in strides.iter_mut().zip(frame.plane_stride()) {
            *stride = usize::try_from(*given).unwrap_or(0);
        }
        let mut strides = strides.into_iter();
        let planes = frame.planes_data_mut().map(|data| Plane { data, stride: strides.next().unwrap_or(0) });
        let mut canvas = Canvas { width, height, components, planes };
        scene::draw(&mut canvas, objects, style, face, colours);
        Ok(())
    }
}

/// The components of an 8-bit format, as GStreamer describes them.
fn components(format: &gst_video::VideoFormatInfo) -> Vec<Component> {
    (0..format.n_components() as usize)
        .map(|c| Component {
            plane: format.plane()[c] as usize,
            offset: format.poffset()[c] as usize,
            step: format.pixel_stride()[c].max(1) as usize,
            sub_x: format.w_sub()[c],
            sub_y: format.h_sub()[c],
        })
        .collect()
}

fn colour_model(info: &gst_video::VideoInfo) -> ColourModel {
    let format = info.format_info();
    let (offset, scale) = format.range_offsets(info.colorimetry().range());
    let [offset, scale] = [offset, scale].map(|[a, b, c, _]| [a as f32, b as f32, c as f32]);
    if format.is_rgb() {
        return ColourModel::Rgb { offset, scale };
    }
    // Unsaid: what GStreamer itself takes for the size.
    let unsaid = if info.height() > 576 { (0.2126, 0.0722) } else { (0.299, 0.114) };
    let (kr, kb) = info.colorimetry().matrix().kr_kb().unwrap_or(unsaid);
    ColourModel::Yuv { kr: kr as f32, kb: kb as f32, offset, scale }
}

#[glib::object_subclass]
impl ObjectSubclass for TorchOverlay {
    const NAME: &'static str = "GstTorchOverlay";
    type Type = super::TorchOverlay;
    type ParentType = gst_base::BaseTransform;
}

#[glib::derived_properties]
impl ObjectImpl for TorchOverlay {
    fn constructed(&self) {
        self.parent_constructed();
        // Frames are drawn on before the base class sees them, so that one with nothing on it is not even made
        // writable, and buffers come straight from the pool of what follows.
        self.obj().set_passthrough(true);
    }
}

impl GstObjectImpl for TorchOverlay {}

impl ElementImpl for TorchOverlay {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Object overlay",
                "Visualization/Video",
                "Draws boxes, labels, track ids and confidences of what was found",
                "The GstTorch developers",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let caps = crate::video::caps();
            [("src", gst::PadDirection::Src), ("sink", gst::PadDirection::Sink)]
                .into_iter()
                .filter_map(|(name, way)| gst::PadTemplate::new(name, way, gst::PadPresence::Always, &caps).ok())
                .collect()
        });
        &TEMPLATES
    }
}

impl BaseTransformImpl for TorchOverlay {
    const MODE: gst_base::subclass::BaseTransformMode = gst_base::subclass::BaseTransformMode::AlwaysInPlace;
    const PASSTHROUGH_ON_SAME_CAPS: bool = false;
    const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

    fn set_caps(&self, incaps: &gst::Caps, _outcaps: &gst::Caps) -> Result<(), gst::LoggableError> {
        let info = gst_video::VideoInfo::from_caps(incaps)
            .map_err(|_| gst::loggable_error!(CAT, "These are no caps of video in system memory: {incaps}"))?;
        let (components, colours) = (components(&info.format_info()), colour_model(&info));
        gst::debug!(CAT, imp = self, "{colours:?}");
        *lock(&self.state) = Some(State { info, components, colours, face: None });
        Ok(())
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        *lock(&self.state) = None;
        Ok(())
    }

    fn submit_input_buffer(
        &self,
        is_discont: bool,
        mut inbuf: gst::Buffer,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let mut objects = meta::objects(&inbuf);
        if !objects.is_empty() {
            let settings = lock(&self.settings).clone();
            objects.retain(|object| settings.shows(object));
            if !objects.is_empty() {
                self.draw(inbuf.make_mut(), &objects, &settings.style())?;
            }
        }
        self.parent_submit_input_buffer(is_discont, inbuf)
    }
}
