//! Scenes whose light changes: what pictures are predicted from is brought to it.

use std::sync::Arc;

use gst_torch_models::codec::canvas::Frame;
use gst_torch_models::codec::control::Rate;
use gst_torch_models::codec::decoder::Decoder;
use gst_torch_models::codec::encoder::{Encoder, Request};
use gst_torch_models::codec::model::Model;
use gst_torch_models::codec::stream::Subsampling;
use gst_torch_models::codec::tone::Tone;

use super::exact::{header, picture};
use super::still::first_picture;

/// One scene, so much lighter from picture to picture.
fn fading(scene: &Frame, count: usize, by: usize) -> Vec<Frame> {
    let light = |number: usize| {
        let mut frame = scene.clone();
        frame.planes[0].data.iter_mut().for_each(|sample| *sample = (usize::from(*sample) / 2 + number * by) as u8);
        frame
    };
    (0..count).map(light).collect()
}

#[test]
fn a_fade_costs_little_and_is_decoded() {
    let model = Model::open("codec-s", "cpu".parse().unwrap(), "bf16".parse().unwrap()).unwrap();
    let header = header(&model, 200, 120, Subsampling::Quarter);
    for (by, tones) in [(8, Tone { gain: 128, offset: 8 }), (0, Tone::SAME)] {
        let mut encoder = Encoder::new(Arc::clone(&model), header.clone());
        let mut decoder = Decoder::new(Arc::clone(&model), header.clone());
        let mut sizes = Vec::new();
        for frame in fading(&picture(&header, 0), 8, by) {
            let bytes = encoder.encode(&frame, &Request { rate: Rate::Step(80), ..Request::default() }).unwrap().bytes;
            // Pictures after the first have no sequence header before them.
            let all = [&header.write()[..], &bytes].concat();
            let (tones_of, decoded) = first_picture(&all, |_, unit| (unit.tones, decoder.decode(unit).unwrap()));
            let luma = tones_of.map_or(Tone::SAME, |[luma, ..]| luma);
            let expected = if sizes.is_empty() { Tone::SAME } else { tones };
            assert!(luma.gain.abs_diff(expected.gain) <= 3, "{luma:?} of picture {}", sizes.len());
            assert!(luma.offset.abs_diff(expected.offset) <= 1, "{luma:?} of picture {}", sizes.len());
            assert_eq!(Some(&decoded), encoder.decoded().map(|canvas| Frame::of_canvas(canvas, &header)).as_ref());
            sizes.push(bytes.len());
        }
        let rest = sizes[1..].iter().sum::<usize>() / 7;
        assert!(rest * 12 < sizes[0], "{sizes:?} bytes, lighter by {by} a picture");
    }
}
