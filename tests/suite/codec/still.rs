//! Key frames that are predicted from the still of a model that was adapted to a camera.

use std::sync::Arc;

use gst_torch_models::codec::canvas::Frame;
use gst_torch_models::codec::control::Rate;
use gst_torch_models::codec::decoder::{DecodeError, Decoder};
use gst_torch_models::codec::encoder::{Encoder, Request};
use gst_torch_models::codec::model::{self, Model};
use gst_torch_models::codec::network::Config;
use gst_torch_models::codec::still;
use gst_torch_models::codec::stream::{Header, PictureUnit, Subsampling};
use gst_torch_models::codec::symbols::Kind;
use gst_torch_models::codec::tone::Tone;
use gst_torch_runtime::Error;
use tch::Tensor;

use super::exact::{header, picture, units};

/// `codec-s` with the canvas of a frame as its still.
fn adapted(frame: &Frame) -> Arc<Model> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("adapted.safetensors");
    std::fs::write(&path, model::find("codec-s").unwrap().1).unwrap();
    let mut tensors = Tensor::read_safetensors(&path).unwrap();
    for (name, plane) in still::TENSORS.iter().zip(frame.to_canvas().planes) {
        let size = [plane.height as i64, plane.width as i64];
        tensors.push((name.to_string(), Tensor::from_slice(&plane.data).view(size)));
    }
    Tensor::write_safetensors(&tensors, &path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let bad = |reason: String| Error::bad_file(&path, reason);
    let (device, precision) = ("cpu".parse().unwrap(), "bf16".parse().unwrap());
    Model::load("adapted", Config::SMALL, &bytes, device, precision, bad).unwrap()
}

fn encode(model: &Arc<Model>, header: &Header, frames: &[Frame]) -> Vec<Vec<u8>> {
    let mut encoder = Encoder::new(Arc::clone(model), header.clone());
    let request = Request { rate: Rate::Step(60), ..Request::default() };
    frames.iter().map(|frame| encoder.encode(frame, &request).unwrap().bytes).collect()
}

pub(super) fn first_picture<T>(bytes: &[u8], read: impl FnOnce(&Header, &PictureUnit) -> T) -> T {
    let (header, pictures) = units(bytes);
    read(&header, &PictureUnit::read(pictures[0].0, pictures[0].1, header.slices().count()).unwrap())
}

#[test]
fn a_key_frame_of_what_the_camera_always_sees_costs_little_and_is_decoded() {
    let plain = Model::open("codec-s", "cpu".parse().unwrap(), "bf16".parse().unwrap()).unwrap();
    let wanted = header(&plain, 200, 120, Subsampling::Quarter);
    let scene = picture(&wanted, 0);
    let model = adapted(&scene);
    let header = Header { model: model.identity, ..wanted.clone() };
    // The same scene, darker and with something in it.
    let mut frames = vec![scene.clone(), scene.clone()];
    frames[0].planes[0].data.iter_mut().for_each(|sample| *sample = (u16::from(*sample) * 3 / 4) as u8);
    (20..60).for_each(|y| frames[0].planes[0].row_mut(y)[50..90].fill(200));
    let (usual, short) = (encode(&plain, &wanted, &frames), encode(&model, &header, &frames));
    assert!(short[0].len() * 3 < usual[0].len(), "{} bytes, {} without a still", short[0].len(), usual[0].len());
    first_picture(&short[0], |_, unit| {
        assert_eq!((unit.kind, unit.reference), (Kind::Intra, None));
        let [luma, chroma @ ..] = unit.tones.expect("it is predicted from the still");
        assert!(luma.gain.abs_diff(64) < 4 && chroma == [Tone::SAME; 2], "{luma:?} {chroma:?}");
    });

    let mut encoder = Encoder::new(Arc::clone(&model), header.clone());
    let mut decoder = Decoder::new(Arc::clone(&model), header.clone());
    for frame in &frames {
        let bytes = encoder.encode(frame, &Request { rate: Rate::Step(60), ..Request::default() }).unwrap().bytes;
        // Every second picture has the sequence header before it no more.
        let all = [&header.write()[..], &bytes].concat();
        let decoded = first_picture(&all, |_, unit| decoder.decode(unit).unwrap());
        assert_eq!(Some(&decoded), encoder.decoded().map(|canvas| Frame::of_canvas(canvas, &header)).as_ref());
    }
}

#[test]
fn what_the_camera_never_saw_is_an_ordinary_intra_picture() {
    let plain = Model::open("codec-s", "cpu".parse().unwrap(), "bf16".parse().unwrap()).unwrap();
    let wanted = header(&plain, 200, 120, Subsampling::Quarter);
    let mut scene = picture(&wanted, 0);
    let model = adapted(&scene);
    let is_still = |frame: &Frame, header: Header| {
        let header = Header { model: model.identity, ..header };
        first_picture(&encode(&model, &header, std::slice::from_ref(frame))[0], |_, unit| unit.tones.is_some())
    };
    // Of another size.
    let other = self::header(&plain, 100, 120, Subsampling::Quarter);
    assert!(!is_still(&picture(&other, 0), other.clone()));
    // Another place.
    scene.planes[0].data.iter_mut().enumerate().for_each(|(at, sample)| *sample = (at * 31 % 200 / 100 * 90) as u8);
    assert!(!is_still(&scene, wanted));
}

#[test]
fn a_picture_from_a_still_that_is_not_there_is_an_error() {
    let plain = Model::open("codec-s", "cpu".parse().unwrap(), "bf16".parse().unwrap()).unwrap();
    let wanted = header(&plain, 200, 120, Subsampling::Quarter);
    let scene = picture(&wanted, 0);
    let model = adapted(&scene);
    let bytes = &encode(&model, &Header { model: model.identity, ..wanted }, &[scene])[0];
    let error = first_picture(bytes, |header, unit| Decoder::new(plain, header.clone()).decode(unit).unwrap_err());
    assert!(matches!(error, DecodeError::NoStill { columns: 13, rows: 8 }), "{error}");
    let (_, pictures) = units(bytes);
    assert!(PictureUnit::read(Kind::Inter, pictures[0].1, 4).is_err(), "only key frames have one");
}
