//! Pictures to access units.

use std::sync::Arc;

use gst_torch_runtime::{Error, Result};
use tch::{Device, Kind as Type, TchError, Tensor};

use super::colour::Space;
use super::fit::Placing;
use super::model::Model;
use super::shape::{RANGE, Shape};
use crate::codec::array;
use crate::codec::canvas::Frame;
use crate::codec::encoder::{Coded, Request};
use crate::codec::entropy::latents::Latents;
use crate::codec::guess::Guess;
use crate::codec::stream::{Header, PictureUnit};
use crate::codec::symbols::Kind;

/// Codes one sequence. Its network runs where `encode` is called: to be called on a worker of the runtime.
pub struct Encoder {
    model: Arc<Model>,
    header: Header,
    space: Space,
    placing: Placing,
    guess: Guess,
    number: u8,
    before: Option<Before>,
}

/// The picture before.
struct Before {
    shape: Shape,
    coder: Latents,
    checksum: u16,
}

impl Encoder {
    pub fn new(model: Arc<Model>, header: Header) -> Self {
        let (space, placing) = (Space::of(&header), model.placing(&header));
        Encoder { model, header, space, placing, guess: Guess::default(), number: 0, before: None }
    }

    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Codes a picture of the header's size. Changes of steps by block are of no account here.
    pub fn encode(&mut self, frame: &Frame, request: &Request) -> Result<Coded> {
        let _guard = tch::no_grad_guard();
        array::expect(frame, &self.header, &self.model.name)?;
        let model = Arc::clone(&self.model);
        let torch = |e: TchError| Error::torch(&model.name, e.to_string());
        let wrong = |reason: String| Error::Mismatch { model: model.name.clone(), reason };
        let levels = self.space.levels(frame, model.card.channels(), model.device.torch()).map_err(torch)?;
        let tensor = model.encode(&self.placing.place(&levels).map_err(torch)?)?;
        let (mut latents, whole) = read(&tensor).map_err(torch)?;
        if let (Some((min, max)), false) = (model.card.range(), whole) {
            latents.iter_mut().for_each(|v| *v = v.clamp(min, max));
        }
        let same = |before: &Before| before.shape.size == tensor.size() && before.shape.whole == whole;
        let [least, most] = RANGE.map(|bound| bound as f32);
        if whole && let Some(index) = latents.iter().find(|index| !(least..=most).contains(*index)) {
            return Err(wrong(format!("its encoder gives the index {index}; expected {least} to {most}")));
        }
        let before = self.before.take().filter(|before| !request.key && same(before));
        let (key, reference) = (before.is_none(), before.as_ref().map(|before| before.checksum));
        let (shape, coder) = match before {
            Some(Before { shape, coder, .. }) => (shape, coder),
            None => {
                let shape = Shape { size: tensor.size(), whole, steps: model.card.steps(&latents) };
                let coder = shape.coder().map_err(wrong)?;
                (shape, coder)
            }
        };
        let (step, (coder, numbers, bytes)) =
            array::fit(&mut self.guess, request.rate, key, &Guess::default(), |step| {
                let mut coder = coder.clone();
                let numbers = shape.numbers(&latents, step);
                let mut bytes = if key { shape.write() } else { Vec::new() };
                bytes.extend(coder.encode(&numbers).map_err(wrong)?);
                let length = bytes.len();
                Ok(((coder, numbers, bytes), length))
            })?;
        self.before = Some(Before { shape, coder, checksum: array::checksum(&numbers) });
        self.number = self.number.wrapping_add(1);
        let unit = PictureUnit {
            kind: if key { Kind::Intra } else { Kind::Inter },
            step,
            number: self.number,
            reference,
            tones: None,
            time: request.time,
            slices: vec![&bytes],
            detail: None,
        };
        let mut bytes = if key { self.header.write() } else { Vec::new() };
        bytes.extend(unit.write());
        Ok(Coded { bytes, key, step })
    }
}

/// Latents as numbers, and whether they are whole ones.
fn read(tensor: &Tensor) -> Result<(Vec<f32>, bool), TchError> {
    let whole = !tensor.is_floating_point();
    let values = tensor.f_to_device(Device::Cpu)?.f_to_kind(Type::Float)?.f_contiguous()?.f_view([-1])?;
    Ok((Vec::<f32>::try_from(values)?, whole))
}
