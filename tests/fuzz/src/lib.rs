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
    #[path = "foreign/shape.rs"]
    pub mod shape;
    pub mod stream;
    pub mod symbols;
    pub mod tone;
    pub mod transform;
}

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use codec::canvas::Frame;
use codec::detail::Detail;
use codec::entropy::{Coder, Prior, Steps};
use codec::motion::{Reference, compensate};
use codec::picture::Picture;
use codec::stream::{Header, PictureUnit};
use codec::symbols::{CELL, Kind};
use codec::tone;
use codec::transform::{Sixteenths, Tables};

static TABLES: LazyLock<Tables> = LazyLock::new(|| {
    let inverse: Vec<i16> =
        codec::basis::cosines().as_flattened().iter().map(|v| (v * 4096.0).round() as i16).collect();
    let size: Vec<i32> = (0..128 * CELL).map(|i| 8 << (i / CELL / 16)).collect();
    Tables::new(&inverse, &size).expect("the tables are whole")
});

thread_local! {
    /// Coders as they begin, by columns and rows: making one from the prior takes far longer than decoding some bytes.
    static FRESH: RefCell<HashMap<(usize, usize), Coder>> = RefCell::default();
}

fn coder(columns: usize, rows: usize) -> Coder {
    let make = || Coder::new(columns, rows, &Prior::default(), Arc::new(Steps::default()));
    FRESH.with_borrow_mut(|fresh| fresh.entry((columns, rows)).or_insert_with(make).clone())
}

/// Decodes pictures, all but the correction.
pub struct Decoder {
    header: Header,
    coders: Vec<Coder>,
    detail: Option<Detail>,
    decoded: Picture,
    older: Option<Picture>,
    /// Whether the coders have left the state that they begin with.
    begun: bool,
}

impl Decoder {
    pub fn new(header: Header) -> Self {
        let (columns, rows) = header.blocks();
        Decoder {
            coders: header.slices().map(|slice| coder(columns, slice.len())).collect(),
            detail: Detail::new(header.width.into(), header.height.into(), header.subsampling),
            decoded: Picture::grey(columns, rows),
            older: None,
            begun: false,
            header,
        }
    }

    /// Whether it could be decoded; that it returns is what is tested.
    pub fn decode(&mut self, kind: Kind, payload: &[u8]) -> bool {
        let Ok(unit) = PictureUnit::read(kind, payload, self.coders.len()) else { return false };
        // What the still has in it makes no difference.
        let lit = |picture: &Picture| match &unit.tones {
            Some(tones) => tone::apply(tones, picture.clone()),
            None => picture.clone(),
        };
        let coded = if unit.tones.is_some() { Kind::Inter } else { kind };
        let (columns, rows) = self.header.blocks();
        let before = lit(&self.decoded);
        let reference = Reference::new(&before);
        let older = self.older.as_ref().filter(|_| kind == Kind::Inter).map(|older| Reference::new(&lit(older)));
        let mut residual = Sixteenths::new(columns, rows);
        let mut out = Picture::grey(columns, rows);
        for ((coder, bytes), place) in self.coders.iter_mut().zip(&unit.slices).zip(self.header.slices()) {
            if kind == Kind::Intra && self.begun {
                coder.reset();
            }
            let Ok(symbols) = coder.decode(coded, true, unit.step, bytes) else {
                self.begun = true;
                return false;
            };
            let mut slice = Picture::grey(columns, place.len());
            compensate(&reference, older.as_ref(), &symbols.blocks, columns, place.start, &mut slice);
            residual.put(&TABLES, &symbols, place.start);
        }
        self.begun = true;
        let prediction = out.clone();
        residual.add_to(&prediction, None, &mut out);
        self.decoded = out;
        self.older = Some(before).filter(|_| kind == Kind::Inter);
        let mut frame = Frame::of_canvas(&self.decoded, &self.header);
        match (&mut self.detail, unit.detail) {
            (Some(detail), Some(bytes)) => detail.decode(bytes, &mut frame, unit.step).is_ok(),
            _ => true,
        }
    }
}
