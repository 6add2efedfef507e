//! Access units to pictures.

use std::sync::Arc;

use gst_torch_runtime::Error;
use tch::TchError;

use super::colour::Space;
use super::fit::Placing;
use super::model::Model;
use super::shape::Shape;
use crate::codec::array;
use crate::codec::canvas::Frame;
use crate::codec::decoder::DecodeError;
use crate::codec::entropy::latents::Latents;
use crate::codec::stream::{Header, PictureUnit};
use crate::codec::symbols::Kind;

/// Decodes one sequence. Its network runs where `decode` is called: to be called on a worker of the runtime.
pub struct Decoder {
    model: Arc<Model>,
    header: Header,
    space: Space,
    placing: Placing,
    before: Option<Before>,
    shown: Option<Frame>,
}

/// The picture before; nothing after a loss.
struct Before {
    shape: Shape,
    coder: Latents,
    checksum: u16,
}

impl Decoder {
    pub fn new(model: Arc<Model>, header: Header) -> Self {
        let (space, placing) = (Space::of(&header), model.placing(&header));
        Decoder { model, header, space, placing, before: None, shown: None }
    }

    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The last picture once more, in place of one that cannot be decoded.
    pub fn conceal(&self) -> Option<Frame> {
        self.shown.clone()
    }

    /// Says that a picture was lost on the way.
    pub fn lose(&mut self) {
        self.before = None;
    }

    pub fn decode(&mut self, unit: &PictureUnit) -> Result<Frame, DecodeError> {
        let _guard = tch::no_grad_guard();
        let damaged = |_| DecodeError::Damaged(0);
        let before = self.before.take();
        let [mut bytes] = unit.slices[..] else { return Err(DecodeError::Damaged(unit.slices.len())) };
        let [height, width] = self.placing.input();
        let (shape, mut coder) = match (unit.kind, before) {
            (Kind::Intra, _) => {
                let (shape, rest) = Shape::read(bytes, (height * width) as u64).map_err(damaged)?;
                bytes = rest;
                let coder = shape.coder().map_err(damaged)?;
                (shape, coder)
            }
            (Kind::Inter, None) => return Err(DecodeError::NoReference),
            (Kind::Inter, Some(before)) if unit.reference != Some(before.checksum) => {
                return Err(DecodeError::OtherReference);
            }
            (Kind::Inter, Some(Before { shape, coder, .. })) => (shape, coder),
        };
        let numbers = coder.decode(bytes).map_err(|_| DecodeError::Damaged(0))?;
        let model = &self.model;
        let torch = |e: TchError| Error::torch(&model.name, e.to_string());
        let latents = shape.tensor(&numbers, unit.step, model.device.torch(), model.kind()).map_err(torch)?;
        let levels = model.decode(&latents, [height, width])?;
        let picture = self.placing.take(&levels).and_then(|levels| self.space.frame(&levels, &self.header));
        let frame = picture.map_err(torch)?;
        self.before = Some(Before { shape, coder, checksum: array::checksum(&numbers) });
        self.shown = Some(frame.clone());
        Ok(frame)
    }
}
