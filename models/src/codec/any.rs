//! The codings behind one face: what a model's card says decides which of them encodes and decodes.

use std::path::Path;
use std::sync::Arc;

use gst_torch_runtime::{Device, DeviceSpec, Error, Precision, PrecisionSpec, Result};

use super::canvas::Frame;
use super::decoder::DecodeError;
use super::encoder::{Coded, Request};
use super::stream::{Coding, Header, Identity, PictureUnit};
use super::{decoder, encoder, foreign, model, vector};

/// What `network` says in the cards of the built-in networks.
pub const RESIDUAL: &str = "codec";
pub const VECTOR: &str = "codec-vector";

/// A model of any coding, ready to run.
pub struct AnyModel {
    pub name: String,
    pub identity: Identity,
    pub coding: Coding,
    pub device: Device,
    pub precision: Precision,
    inner: Inner,
}

#[derive(Clone)]
enum Inner {
    Residual(Arc<model::Model>),
    Vector(Arc<vector::Model>),
    Foreign(Arc<foreign::Model>),
}

impl From<Arc<model::Model>> for AnyModel {
    fn from(m: Arc<model::Model>) -> Self {
        let (name, identity, coding) = (m.name.clone(), m.identity, Coding::Residual);
        AnyModel { name, identity, coding, device: m.device, precision: m.precision, inner: Inner::Residual(m) }
    }
}

impl From<Arc<vector::Model>> for AnyModel {
    fn from(m: Arc<vector::Model>) -> Self {
        let (name, identity, coding) = (m.name.clone(), m.identity, Coding::Vector);
        AnyModel { name, identity, coding, device: m.device, precision: m.precision, inner: Inner::Vector(m) }
    }
}

impl From<Arc<foreign::Model>> for AnyModel {
    fn from(m: Arc<foreign::Model>) -> Self {
        let (name, identity, coding) = (m.name.clone(), m.identity, Coding::Foreign);
        AnyModel { name, identity, coding, device: m.device, precision: m.precision, inner: Inner::Foreign(m) }
    }
}

impl AnyModel {
    /// Opens a model by what a user calls it: a built-in name or a card. What is open already is shared.
    pub fn open(name: &str, device: DeviceSpec, precision: PrecisionSpec) -> Result<Arc<AnyModel>> {
        let path = Path::new(name);
        if path.extension().is_some_and(|e| e == "toml")
            && let Ok(text) = std::fs::read_to_string(path)
            && let Some(card) = foreign::Card::parse(&text, path)?
        {
            return Ok(Arc::new(foreign::Model::open(path, card, device, precision)?.into()));
        }
        let (card, bytes, path) = model::find(name)?;
        if card.network.as_deref() != Some(VECTOR) {
            return Ok(Arc::new(model::Model::open(name, device, precision)?.into()));
        }
        let bad = |reason: String| Error::bad_file(&path, reason);
        if card.task.as_deref() != Some("codec") {
            return Err(bad(format!("its task is {:?}; expected \"codec\"", card.task.unwrap_or_default())));
        }
        let weights = model::weights_path(&card, &path);
        let config = card.config.ok_or_else(|| bad("it has no [config]".into()))?;
        let config = config.try_into().map_err(|e: toml::de::Error| bad(format!("[config]: {}", e.message())))?;
        let short = path.file_stem().map_or(name.into(), |stem| stem.to_string_lossy().into_owned());
        Ok(Arc::new(
            vector::Model::load(&short, config, &bytes, device, precision, |reason| Error::bad_file(&weights, reason))?
                .into(),
        ))
    }

    /// A header that says what this model's streams must say: coding, model, and one slice where there can be no more.
    pub fn complete(&self, mut header: Header) -> Header {
        header.coding = self.coding;
        header.model = self.identity;
        header.name = self.name.clone();
        if header.coding == Coding::Foreign {
            header.slice_rows = header.blocks().1 as u16;
        }
        header
    }
}

/// Codes one sequence. Its network runs where `encode` is called: to be called on a worker of the runtime.
pub enum AnyEncoder {
    Residual(Box<encoder::Encoder>),
    Vector(Box<vector::Encoder>),
    Foreign(Box<foreign::Encoder>),
}

impl AnyEncoder {
    /// What the header says of the model is put right: see [`AnyModel::complete`] and [`AnyEncoder::header`].
    pub fn new(model: Arc<AnyModel>, header: Header) -> Self {
        let header = model.complete(header);
        match model.inner.clone() {
            Inner::Residual(model) => AnyEncoder::Residual(Box::new(encoder::Encoder::new(model, header))),
            Inner::Vector(model) => AnyEncoder::Vector(Box::new(vector::Encoder::new(model, header))),
            Inner::Foreign(model) => AnyEncoder::Foreign(Box::new(foreign::Encoder::new(model, header))),
        }
    }

    pub fn header(&self) -> &Header {
        match self {
            AnyEncoder::Residual(encoder) => encoder.header(),
            AnyEncoder::Vector(encoder) => encoder.header(),
            AnyEncoder::Foreign(encoder) => encoder.header(),
        }
    }

    /// Codes a picture of the header's size.
    pub fn encode(&mut self, frame: &Frame, request: &Request) -> Result<Coded> {
        match self {
            AnyEncoder::Residual(encoder) => encoder.encode(frame, request),
            AnyEncoder::Vector(encoder) => encoder.encode(frame, request),
            AnyEncoder::Foreign(encoder) => encoder.encode(frame, request),
        }
    }
}

/// Decodes one sequence. Its network runs where `decode` is called: to be called on a worker of the runtime.
pub enum AnyDecoder {
    Residual(Box<decoder::Decoder>),
    Vector(Box<vector::Decoder>),
    Foreign(Box<foreign::Decoder>),
}

impl AnyDecoder {
    /// For a stream of this very model: the caller has compared its identity with the header's.
    pub fn new(model: Arc<AnyModel>, header: Header) -> Self {
        match model.inner.clone() {
            Inner::Residual(model) => AnyDecoder::Residual(Box::new(decoder::Decoder::new(model, header))),
            Inner::Vector(model) => AnyDecoder::Vector(Box::new(vector::Decoder::new(model, header))),
            Inner::Foreign(model) => AnyDecoder::Foreign(Box::new(foreign::Decoder::new(model, header))),
        }
    }

    pub fn header(&self) -> &Header {
        match self {
            AnyDecoder::Residual(decoder) => decoder.header(),
            AnyDecoder::Vector(decoder) => decoder.header(),
            AnyDecoder::Foreign(decoder) => decoder.header(),
        }
    }

    pub fn decode(&mut self, unit: &PictureUnit) -> Result<Frame, DecodeError> {
        match self {
            AnyDecoder::Vector(_) | AnyDecoder::Foreign(_) if unit.tones.is_some() => Err(DecodeError::TonesElsewhere),
            AnyDecoder::Residual(decoder) => decoder.decode(unit),
            AnyDecoder::Vector(decoder) => decoder.decode(unit),
            AnyDecoder::Foreign(decoder) => decoder.decode(unit),
        }
    }

    /// The last picture once more, in place of one that cannot be decoded.
    pub fn conceal(&self) -> Option<Frame> {
        match self {
            AnyDecoder::Residual(decoder) => decoder.conceal(),
            AnyDecoder::Vector(decoder) => decoder.conceal(),
            AnyDecoder::Foreign(decoder) => decoder.conceal(),
        }
    }

    /// Says that a picture was lost on the way.
    pub fn lose(&mut self) {
        match self {
            AnyDecoder::Residual(decoder) => decoder.lose(),
            AnyDecoder::Vector(decoder) => decoder.lose(),
            AnyDecoder::Foreign(decoder) => decoder.lose(),
        }
    }
}
