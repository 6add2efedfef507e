//! Access units to pictures.

use std::sync::Arc;

use gst_torch_runtime::Error;
use tch::TchError;

use super::canvas::Frame;
use super::detail::Detail;
use super::encoder::{predict, reconstruct};
use super::entropy::Coder;
use super::model::Model;
use super::motion::Reference;
use super::network::Network;
use super::picture::Picture;
use super::stream::{Header, PictureUnit};
use super::symbols::{Kind, Symbols};
use super::tone;

/// Why a picture cannot be decoded.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The model itself failed.
    #[error(transparent)]
    Model(#[from] Error),
    /// Bytes that no encoder wrote.
    #[error("slice {0} is damaged")]
    Damaged(usize),
    #[error("{0}")]
    Detail(String),
    /// An inter picture before the first intra picture.
    #[error("it refers to a picture that is not there")]
    NoReference,
    #[error("it is predicted from a still of {columns}x{rows} blocks, which its model does not have")]
    NoStill { columns: usize, rows: usize },
    #[error("it is predicted in another light, as only residual autoencoders can")]
    TonesElsewhere,
    /// The reference is not the encoder's.
    #[error("it refers to another picture than the one decoded before: something was lost")]
    OtherReference,
}

/// Decodes one sequence. Its network runs where `decode` is called: to be called on a worker of the runtime.
pub struct Decoder {
    model: Arc<Model>,
    network: Network,
    header: Header,
    coders: Vec<Coder>,
    decoded: Option<Picture>,
    /// The one before it, in its light, if it is not a key frame itself.
    older: Option<Picture>,
    /// Set when a picture was lost: nothing but an intra picture can follow.
    lost: bool,
    detail: Option<Detail>,
}

impl Decoder {
    pub fn new(model: Arc<Model>, header: Header) -> Self {
        let columns = header.blocks().0;
        let coders = header
            .slices()
            .map(|rows| Coder::new(columns, rows.len(), &model.prior, Arc::clone(&model.steps)))
            .collect();
        let network = model.network();
        let detail = Detail::new(header.width.into(), header.height.into(), header.subsampling);
        Decoder { model, network, header, coders, decoded: None, older: None, lost: true, detail }
    }

    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The last picture once more, in place of one that cannot be decoded.
    pub fn conceal(&self) -> Option<Frame> {
        self.decoded.as_ref().map(|canvas| Frame::of_canvas(canvas, &self.header))
    }

    /// Says that a picture was lost on the way.
    pub fn lose(&mut self) {
        self.lost = true;
    }

    pub fn decode(&mut self, unit: &PictureUnit) -> Result<Frame, DecodeError> {
        let result = self.try_decode(unit);
        self.lost = result.is_err();
        let (decoded, lit) = result?;
        self.older = lit.or(self.decoded.take()).filter(|_| unit.kind == Kind::Inter);
        let mut frame = Frame::of_canvas(self.decoded.insert(decoded), &self.header);
        if let Some(detail) = &mut self.detail {
            let decoded = detail.decode(unit.detail.unwrap_or_default(), &mut frame, unit.step);
            if let Err(reason) = decoded {
                self.lost = true;
                return Err(DecodeError::Detail(reason));
            }
        }
        Ok(frame)
    }

    /// The picture, and what it is predicted from in its light, if that is another.
    fn try_decode(&mut self, unit: &PictureUnit) -> Result<(Picture, Option<Picture>), DecodeError> {
        let _guard = tch::no_grad_guard();
        let (columns, rows) = self.header.blocks();
        let mut prediction = Picture::grey(columns, rows);
        let reference = match unit.kind {
            Kind::Intra => {
                self.coders.iter_mut().for_each(Coder::reset);
                let still = || self.model.still((columns, rows)).ok_or(DecodeError::NoStill { columns, rows });
                unit.tones.map(|_| still()).transpose()?
            }
            Kind::Inter => {
                let reference = self.decoded.as_ref().filter(|_| !self.lost).ok_or(DecodeError::NoReference)?;
                if unit.reference != Some(reference.checksum() as u16) {
                    return Err(DecodeError::OtherReference);
                }
                Some(reference)
            }
        };
        let light = |picture: &Picture| unit.tones.map(|tones| tone::apply(&tones, picture.clone()));
        let lit = reference.and_then(light);
        let reference = lit.as_ref().or(reference).map(Reference::new);
        let kind = if reference.is_some() { Kind::Inter } else { Kind::Intra };
        let colour = self.header.subsampling != super::stream::Subsampling::Grey;
        let mut slices: Vec<Symbols> = Vec::with_capacity(self.coders.len());
        for (index, (coder, bytes)) in self.coders.iter_mut().zip(&unit.slices).enumerate() {
            let slice = coder.decode(kind, colour, unit.step, bytes).map_err(|_| DecodeError::Damaged(index))?;
            slices.push(slice);
        }
        if let Some(reference) = &reference {
            let older = self.older.as_ref().filter(|_| unit.kind == Kind::Inter);
            let older = older.map(|older| Reference::new(light(older).as_ref().unwrap_or(older)));
            for (slice, rows) in slices.iter().zip(self.header.slices()) {
                predict(reference, older.as_ref(), &slice.blocks, rows, &mut prediction);
            }
        }
        let torch = |e: TchError| Error::torch(&self.model.name, e.to_string());
        let decoded = reconstruct(&self.model, &self.network, &slices, &prediction).map_err(torch)?;
        Ok((decoded, lit))
    }
}
