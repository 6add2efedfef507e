//! That decoders agree to the last bit, whatever they compute in: golden streams, and a thousand pictures in a row.

use std::path::PathBuf;
use std::sync::Arc;

use gst_torch_models::codec::canvas::Frame;
use gst_torch_models::codec::control::Rate;
use gst_torch_models::codec::decoder::Decoder;
use gst_torch_models::codec::encoder::{Encoder, Request};
use gst_torch_models::codec::model::Model;
use gst_torch_models::codec::stream::{self, Coding, Colour, Found, Header, PictureUnit, Subsampling};
use gst_torch_models::codec::symbols::Kind;
use sha2::{Digest, Sha256};

fn model(name: &str, precision: &str) -> Arc<Model> {
    Model::open(name, "cpu".parse().unwrap(), precision.parse().unwrap()).unwrap()
}

pub fn header(model: &Model, width: u16, height: u16, subsampling: Subsampling) -> Header {
    Header {
        coding: Coding::Residual,
        model: model.identity,
        name: model.name.clone(),
        width,
        height,
        subsampling,
        interleaved: false,
        colour: Colour::default(),
        rate: (25, 1),
        aspect: (1, 1),
        slice_rows: 2,
    }
}

/// Smooth waves that move, with a square that jumps about: motion, skips, splits and fresh content.
pub fn picture(header: &Header, number: usize) -> Frame {
    let mut frame = Frame::new(header.width.into(), header.height.into(), header.subsampling);
    for (index, plane) in frame.planes.iter_mut().enumerate() {
        let (time, scale) = (number as f32, if index == 0 { 1.0 } else { 2.0 });
        let (jump, size) = (number / 5 * 37 % 64, 12);
        for y in 0..plane.height {
            let row = plane.row_mut(y);
            for (x, value) in row.iter_mut().enumerate() {
                let (u, v) = (x as f32 * scale + time * 1.3, y as f32 * scale - time * 0.4);
                let wave = 50.0 * (u * 0.11).sin() * (v * 0.07).cos() + 20.0 * (u * 0.9 + v * 0.5).sin();
                let inside = (jump..jump + size).contains(&x) && (jump / 2..jump / 2 + size).contains(&y);
                *value = (128.0 + wave + if inside { 50.0 } else { 0.0 }) as u8;
            }
        }
    }
    frame
}

/// Every picture unit of a stream, with its header.
pub fn units(bytes: &[u8]) -> (Header, Vec<(Kind, &[u8])>) {
    let (mut header, mut pictures, mut at) = (None, Vec::new(), 0);
    while at < bytes.len() {
        let Found::Unit(unit) = stream::find(&bytes[at..]) else { panic!("no unit at byte {at}") };
        at += unit.length;
        match unit.kind {
            b'S' => header = Some(Header::read(unit.payload).unwrap()),
            b'I' => pictures.push((Kind::Intra, unit.payload)),
            _ => pictures.push((Kind::Inter, unit.payload)),
        }
    }
    (header.unwrap(), pictures)
}

/// SHA-256 over the samples of all pictures, as decoded in `precision` with `threads`.
fn decoded(bytes: &[u8], precision: &str, threads: i32) -> String {
    tch::set_num_threads(threads);
    let (header, pictures) = units(bytes);
    let slices = header.slices().count();
    let mut decoder = Decoder::new(model(&header.name, precision), header);
    let mut hash = Sha256::new();
    for (kind, payload) in pictures {
        let frame = decoder.decode(&PictureUnit::read(kind, payload, slices).unwrap()).unwrap();
        frame.planes.iter().for_each(|plane| hash.update(&plane.data));
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn encoded(encoder: &mut Encoder, numbers: std::ops::Range<usize>, key_every: usize, step: u8) -> Vec<u8> {
    numbers
        .flat_map(|number| {
            let key = number % key_every == 0;
            let request = Request { key, rate: Rate::Step(step), ..Request::default() };
            let frame = picture(encoder.header(), number);
            encoder.encode(&frame, &request).unwrap().bytes
        })
        .collect()
}

fn golden(name: &str) -> PathBuf {
    crate::common::root().join("tests/golden").join(name)
}

/// Streams that were written once, `UPDATE_GOLDEN=1` writes them anew after a new model or a new version of the format,
/// must be decoded to the samples that their encoder had.
#[test]
fn golden_streams_decode_the_same_everywhere() {
    for (name, coder, subsampling) in [
        ("grey", "codec-s", Subsampling::Grey),
        ("420", "codec-s", Subsampling::Quarter),
        ("422", "codec-s", Subsampling::Half),
        ("444", "codec-s", Subsampling::Full),
        ("medium", "codec-m", Subsampling::Quarter),
    ] {
        let (stream, sum) = (golden(&format!("{name}.tvc")), golden(&format!("{name}.sha256")));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            let model = model(coder, "fp32");
            let mut encoder = Encoder::new(model.clone(), header(&model, 93, 61, subsampling));
            let bytes = encoded(&mut encoder, 0..8, 5, 60);
            std::fs::create_dir_all(stream.parent().unwrap()).unwrap();
            std::fs::write(&sum, decoded(&bytes, "fp32", 1)).unwrap();
            std::fs::write(&stream, bytes).unwrap();
        }
        let bytes = std::fs::read(&stream).unwrap_or_else(|e| panic!("{}: {e}", stream.display()));
        let expected = std::fs::read_to_string(&sum).unwrap();
        let (header, _) = units(&bytes);
        assert_eq!(header.model, model(coder, "fp32").identity, "{name} was not coded by the {coder} that is built in");
        for (precision, threads) in [("fp32", 1), ("fp32", 2), ("bf16", 1), ("bf16", 2)] {
            assert_eq!(decoded(&bytes, precision, threads), expected, "{name}, {precision}, {threads} threads");
        }
    }
}

#[test]
fn a_thousand_pictures_do_not_drift() {
    for name in ["codec-s", "codec-m"] {
        let encoding = model(name, "bf16");
        tch::set_num_threads(2);
        let mut encoder = Encoder::new(encoding.clone(), header(&encoding, 64, 48, Subsampling::Quarter));
        let bytes = encoded(&mut encoder, 0..1000, usize::MAX, 76);
        // Its only key frame is the first: every picture stands on all that went before. Each brings the checksum of what it
        // refers to, so that a single sample that differs is an error.
        assert_eq!(decoded(&bytes, "fp32", 1), decoded(&bytes, "bf16", 2), "{name}");
        let (_, pictures) = units(&bytes);
        assert_eq!(pictures.iter().filter(|(kind, _)| *kind == Kind::Intra).count(), 1);
    }
}
