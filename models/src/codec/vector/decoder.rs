//! Access units to pictures.

use std::sync::Arc;

use gst_torch_runtime::Error;
use tch::{TchError, Tensor};

use super::kept;
use super::model::Model;
use super::network::Network;
use crate::codec::array;
use crate::codec::canvas::Frame;
use crate::codec::decoder::DecodeError;
use crate::codec::detail::Detail;
use crate::codec::entropy::latents::Latents;
use crate::codec::picture::Picture;
use crate::codec::stream::{Header, PictureUnit};
use crate::codec::symbols::Kind;
use crate::codec::tensors;

/// Decodes one sequence. Its network runs where `decode` is called: to be called on a worker of the runtime.
pub struct Decoder {
    model: Arc<Model>,
    network: Network,
    header: Header,
    coders: Vec<Latents>,
    /// Of the array before; nothing after a loss.
    checksum: Option<u16>,
    shown: Option<Frame>,
    detail: Option<Detail>,
}

impl Decoder {
    pub fn new(model: Arc<Model>, header: Header) -> Self {
        let detail = Detail::new(header.width.into(), header.height.into(), header.subsampling);
        let (network, coders) = (model.network(), model.coders(&header));
        Decoder { model, network, header, coders, checksum: None, shown: None, detail }
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
        self.checksum = None;
    }

    pub fn decode(&mut self, unit: &PictureUnit) -> Result<Frame, DecodeError> {
        let _guard = tch::no_grad_guard();
        let before = self.checksum.take();
        match unit.kind {
            Kind::Intra => self.coders.iter_mut().for_each(|coder| self.model.restart(coder)),
            Kind::Inter if before.is_none() => return Err(DecodeError::NoReference),
            Kind::Inter if before != unit.reference => return Err(DecodeError::OtherReference),
            Kind::Inter => {}
        }
        let (columns, rows) = self.header.blocks();
        let (area, count) = (columns * 2 * rows * 2, self.model.digits());
        let kept = kept(unit.step, count);
        let mut digits = vec![0; area * count];
        for (index, (coder, bytes)) in self.coders.iter_mut().zip(&unit.slices).enumerate() {
            let part = coder.decode_first(bytes, kept).map_err(|_| DecodeError::Damaged(index))?;
            let size = part.len() / count;
            let first = self.header.slices().take(index).map(|rows| rows.len()).sum::<usize>() * 2 * columns * 2;
            for ((channel, part), reach) in digits.chunks_mut(area).zip(part.chunks(size)).zip(&self.model.reach) {
                if part.iter().any(|digit| digit.abs() > *reach) {
                    return Err(DecodeError::Damaged(index));
                }
                channel[first..first + size].copy_from_slice(part);
            }
        }
        let torch = |e: TchError| Error::torch(&self.model.name, e.to_string());
        let canvas = picture(&self.model, &self.network, &digits, kept, (columns, rows)).map_err(torch)?;
        let mut frame = Frame::of_canvas(&canvas, &self.header);
        if let Some(detail) = &mut self.detail {
            let decoded = detail.decode(unit.detail.unwrap_or_default(), &mut frame, unit.step);
            decoded.map_err(DecodeError::Detail)?;
        }
        self.checksum = Some(array::checksum(&digits));
        self.shown = Some(frame.clone());
        Ok(frame)
    }
}

/// The canvas that digits stand for.
pub(super) fn picture(
    model: &Model,
    network: &Network,
    digits: &[i32],
    kept: usize,
    (columns, rows): (usize, usize),
) -> Result<Picture, TchError> {
    let device = network.device();
    let size = [1, model.digits() as i64, rows as i64 * 2, columns as i64 * 2];
    let digits = Tensor::f_from_slice(digits)?.f_view(size)?.f_to_device(device)?.f_to_kind(tch::Kind::Float)?;
    let kept = Tensor::f_from_slice(&[kept as f32])?.f_view([1, 1, 1, 1])?.f_to_device(device)?;
    let mut pictures = tensors::to_pictures(&network.decode(&digits, &kept, model.kind())?)?;
    pictures.pop().ok_or_else(|| TchError::Torch("no picture came out".into()))
}
