//! A detector at work on frames of one format: frame to tensor, outputs to boxes, boxes to objects on the buffer.

use std::sync::{Arc, Mutex};

use gst_torch_models::boxes::{Detection, Rect};
use gst_torch_models::detect::decode::{Params, decode};
use gst_torch_models::detect::layout::{Hints, Layout};
use gst_torch_models::detect::outputs::Outputs;
use gst_torch_runtime::planes::{self, Fit, FrameInfo, Geometry, Preprocessor};
use gst_torch_runtime::{Batching, Engine, Error, Model, ModelInfo, Result, Ticket};

use crate::filter::{Failed, Finish, Input, Session};
use crate::meta::{self, Object};
use crate::sync::lock;
use crate::video::whole_pixels;

/// The input size of a model that says nothing about it and does not scale by itself: what most detectors are made for.
const USUAL_SIZE: [usize; 2] = [640, 640];

pub struct Detector {
    shared: Arc<Shared>,
    preprocessor: Preprocessor,
}

/// What finishing a frame needs.
struct Shared {
    model: Arc<Model>,
    engine: Arc<Engine>,
    layout: Layout,
    hints: Hints,
    frame: FrameInfo,
    params: Arc<Mutex<Params>>,
}

impl Detector {
    /// Loads nothing, but may measure and compile; learns the layout from the outputs for a grey picture.
    pub fn new(model: &Arc<Model>, frame: &FrameInfo, params: Arc<Mutex<Params>>) -> Result<Detector> {
        let info = model.info();
        let mut spec = info.input_spec(USUAL_SIZE);
        if model.takes_list() && info.size.value.is_none() {
            (spec.width, spec.height, spec.fit) = (frame.width, frame.height, Fit::Stretch);
        }
        let preprocessor = Preprocessor::new(frame, &spec)?;
        let engine = model.engine(spec.channels(), spec.height, spec.width)?;
        let hints = hints(info, (spec.width, spec.height))?;

        let grey = preprocessor.empty(1, engine.input_kind(), planes::Layout::ChannelsLast)?;
        let grey = grey.f_full_like(0.5).map_err(|e| mismatch(info, &e))?;
        let outputs = Outputs(engine.submit(grey, Batching::default()).wait()?);
        let layout = Layout::recognise(&outputs, &hints).map_err(|e| mismatch(info, &e))?;
        decode(layout, &outputs, &hints, &Params::default()).map_err(|e| mismatch(info, &e))?;

        let shared = Shared { model: Arc::clone(model), engine, layout, hints, frame: *frame, params };
        Ok(Detector { shared: Arc::new(shared), preprocessor })
    }
}

fn hints(info: &ModelInfo, size: (usize, usize)) -> Result<Hints> {
    let layout = info.layout.value.as_deref().map(str::parse::<Layout>).transpose();
    Ok(Hints {
        task: info.task.value.clone(),
        layout: layout.map_err(|e| mismatch(info, &e))?,
        classes: info.labels.value.len(),
        size,
        end_to_end: info.end_to_end,
    })
}

fn mismatch(info: &ModelInfo, error: &dyn std::fmt::Display) -> Error {
    Error::Mismatch { model: info.name.clone(), reason: error.to_string() }
}

/// A part of a frame under way, and the object it belongs to.
struct Part {
    ticket: Ticket,
    geometry: Geometry,
    parent: Option<i32>,
}

impl Session for Detector {
    fn submit(&self, input: Input) -> Result<Finish> {
        let Input { frame, regions, batching, .. } = input;
        let engine = &self.shared.engine;
        let (device, kind) = (engine.device().torch(), engine.input_kind());
        let mut parts = Vec::new();
        match regions {
            None => {
                let input = self.preprocessor.run_on(frame, device, kind, planes::Layout::ChannelsLast)?;
                let ticket = engine.submit(input, batching);
                parts.push(Part { ticket, geometry: *self.preprocessor.geometry(), parent: None });
            }
            Some(objects) => {
                for object in objects {
                    let Some(region) = whole_pixels(&object.rect, &self.shared.frame) else { continue };
                    let layout = planes::Layout::ChannelsLast;
                    let (input, geometry) = self.preprocessor.run_region_on(frame, region, device, kind, layout)?;
                    let ticket = engine.submit(input, batching);
                    parts.push(Part { ticket, geometry, parent: Some(object.id) });
                }
            }
        }
        let shared = Arc::clone(&self.shared);
        Ok(Box::new(move |mut buffer, _| match shared.finish(buffer.make_mut(), parts) {
            Ok(()) => Ok(buffer),
            Err(error) => Err(Failed(buffer, error)),
        }))
    }

    fn engine(&self) -> &Arc<Engine> {
        &self.shared.engine
    }
}

impl Shared {
    fn finish(&self, buffer: &mut gst::BufferRef, parts: Vec<Part>) -> Result<()> {
        let params = lock(&self.params).clone();
        let mut objects = meta::objects(buffer);
        for part in parts {
            let outputs = Outputs(part.ticket.wait()?);
            let found =
                decode(self.layout, &outputs, &self.hints, &params).map_err(|e| mismatch(self.model.info(), &e))?;
            for detection in found {
                if let Some(rect) = self.in_frame(&detection, &part.geometry) {
                    objects.push(Object {
                        id: meta::next_id(&objects),
                        parent: part.parent,
                        label: self.model.info().label(detection.class),
                        confidence: f64::from(detection.confidence),
                        rect,
                        track: None,
                    });
                }
            }
        }
        meta::set_objects(buffer, &objects);
        Ok(())
    }

    /// In pixels of the frame, and inside it; `None` where nothing of it is.
    fn in_frame(&self, detection: &Detection, geometry: &Geometry) -> Option<Rect> {
        let Rect { x, y, w, h } = detection.rect;
        let [x1, y1, x2, y2] = geometry.to_source([x, y, x + w, y + h]);
        let rect = Rect::from_corners(x1, y1, x2, y2).clip(self.frame.width as f32, self.frame.height as f32);
        (rect.area() > 0.0).then_some(rect)
    }
}
