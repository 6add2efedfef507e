//! All of the decoder that reads what comes from outside: everything but the network, whose input has the same shape and
//! range whatever the stream says. Included by path, so that libtorch need not be built for fuzzing.

#![allow(dead_code)]

#[path = "../../../models/src/codec"]
pub mod codec {
    pub mod basis;
    pub mod canvas;
    pub mod detail;
    pub mod entropy;
    pub mod motion;
    pub mod picture;
    pub mod stream;
    pub mod symbols;
    pub mod transform;
}

use std::sync::Arc;

use codec::canvas::Frame;
use codec::detail::Detail;
use codec::entropy::{Coder, Prior, Steps};
use codec::motion::{Reference, compensate};
use codec::picture::Picture;
use codec::stream::{Header, PictureUnit};
use codec::symbols::{CELL, Kind};
use codec::transform::{Sixteenths, Tables};

/// Decodes pictures, all but the correction.
pub struct Decoder {
    header: Header,
    coders: Vec<Coder>,
    tables: Tables,
    detail: Option<Detail>,
    decoded: Picture,
}

impl Decoder {
    pub fn new(header: Header) -> Self {
        let (columns, rows) = header.blocks();
        let steps = Arc::new(Steps::default());
        let coder = |slice: std::ops::Range<usize>| Coder::new(columns, slice.len(), &Prior::default(), steps.clone());
        let inverse: Vec<i16> =
            codec::basis::cosines().as_flattened().iter().map(|v| (v * 4096.0).round() as i16).collect();
        let size: Vec<i32> = (0..128 * CELL).map(|i| 8 << (i / CELL / 16)).collect();
        Decoder {
            coders: header.slices().map(coder).collect(),
            tables: Tables::new(&inverse, &size).expect("the tables are whole"),
            detail: Detail::new(header.width.into(), header.height.into(), header.subsampling),
            decoded: Picture::grey(columns, rows),
            header,
        }
    }

    /// Whether it could be decoded; that it returns is what is tested.
    pub fn decode(&mut self, kind: Kind, payload: &[u8]) -> bool {
        let Ok(unit) = PictureUnit::read(kind, payload, self.coders.len()) else { return false };
        let (columns, rows) = self.header.blocks();
        let reference = Reference::new(&self.decoded);
        let mut residual = Sixteenths::new(columns, rows);
        let mut out = Picture::grey(columns, rows);
        for ((coder, bytes), place) in self.coders.iter_mut().zip(&unit.slices).zip(self.header.slices()) {
            if kind == Kind::Intra {
                coder.reset();
            }
            let Ok(symbols) = coder.decode(kind, true, unit.step, bytes) else {
                coder.reset();
                return false;
            };
            let mut slice = Picture::grey(columns, place.len());
            compensate(&reference, &symbols.blocks, columns, place.start, &mut slice);
            residual.put(&self.tables, &symbols, place.start);
        }
        let prediction = out.clone();
        residual.add_to(&prediction, None, &mut out);
        self.decoded = out;
        let mut frame = Frame::of_canvas(&self.decoded, &self.header);
        match (&mut self.detail, unit.detail) {
            (Some(detail), Some(bytes)) => detail.decode(bytes, &mut frame, unit.step).is_ok(),
            _ => true,
        }
    }
}
