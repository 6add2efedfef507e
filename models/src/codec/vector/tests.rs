use std::sync::Arc;

use gst_torch_runtime::{DeviceSpec, Error, Precision, PrecisionSpec};
use tch::{Tensor, nn};

use super::network::{Config, Network};
use super::{Model, kept};
use crate::codec::any::{AnyDecoder, AnyEncoder, AnyModel};
use crate::codec::control::Rate;
use crate::codec::decoder::DecodeError;
use crate::codec::encoder::Request;
use crate::codec::stream::{Coding, Subsampling};
use crate::codec::testing::{each_picture, frame, header, psnr};

/// Untrained, which is a quantised cosine transform.
fn model() -> Arc<AnyModel> {
    let store = nn::VarStore::new(tch::Device::Cpu);
    let config = Config { encoder: [8, 0], decoder: [8, 0], ..Config::default() };
    Network::new(&store.root(), &config).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    // Random convolutions would make each test's weights, and their identity, its own.
    let zero = |(name, value): (String, Tensor)| {
        let convolution = name.starts_with("encoder") || name.starts_with("decoder");
        (name, if convolution { value.zeros_like() } else { value.detach() })
    };
    let tensors: Vec<_> = store.variables().into_iter().map(zero).collect();
    Tensor::write_safetensors(&tensors, &path).unwrap();
    let (device, precision) = (DeviceSpec::Cpu, PrecisionSpec::Exactly(Precision::Fp32));
    let bad = |reason: String| Error::bad_file("m.toml", reason);
    let bytes = std::fs::read(&path).unwrap();
    Arc::new(Model::load("m", config, &bytes, device, precision, bad).unwrap().into())
}

fn request(step: u8) -> Request {
    Request { rate: Rate::Step(step), ..Request::default() }
}

#[test]
fn qualities_are_numbers_of_digits() {
    assert_eq!((kept(0, 40), kept(20, 40), kept(60, 40), kept(120, 40), kept(127, 40)), (40, 40, 25, 1, 1));
    assert_eq!((kept(20, 1), kept(120, 1)), (1, 1));
    let model = model();
    let mut last = (usize::MAX, f64::MAX);
    for step in [20, 60, 90, 120] {
        let mut encoder = AnyEncoder::new(Arc::clone(&model), header(200, 120, Subsampling::Quarter));
        let mut decoder = AnyDecoder::new(Arc::clone(&model), encoder.header().clone());
        let picture = frame(encoder.header(), 0);
        let coded = encoder.encode(&picture, &request(step)).unwrap();
        let slices = encoder.header().slices().count();
        let decoded = each_picture(&coded.bytes, slices, |unit| decoder.decode(unit)).unwrap();
        let now = (coded.bytes.len(), psnr(&decoded, &picture));
        assert!(now.0 < last.0 && now.1 < last.1, "{step}: {now:?} after {last:?}");
        last = now;
    }
    assert!(last.1 > 20.0, "{last:?}");
}

#[test]
fn every_size_and_sampling_comes_back() {
    let model = model();
    for (width, height) in [(1, 1), (17, 33), (64, 130)] {
        for kind in [Subsampling::Grey, Subsampling::Quarter, Subsampling::Half, Subsampling::Full] {
            let mut encoder = AnyEncoder::new(Arc::clone(&model), header(width, height, kind));
            let header = encoder.header().clone();
            let mut decoder = AnyDecoder::new(Arc::clone(&model), header.clone());
            for shift in 0..3 {
                let picture = frame(&header, shift);
                let coded = encoder.encode(&picture, &request(20)).unwrap();
                assert_eq!(coded.key, shift == 0);
                let decoded = each_picture(&coded.bytes, header.slices().count(), |unit| decoder.decode(unit)).unwrap();
                assert!(decoded.fits(&header));
                let psnr = psnr(&decoded, &picture);
                assert!(psnr > 28.0, "{width}x{height} {kind:?}: {psnr}");
            }
        }
    }
}

#[test]
fn noise_costs_next_to_nothing_and_change_is_seen() {
    let mut encoder = AnyEncoder::new(model(), header(320, 192, Subsampling::Quarter));
    let still = frame(encoder.header(), 0);
    let first = encoder.encode(&still, &request(60)).unwrap().bytes.len();
    let mut state = 1u32;
    let mut noisy = || {
        let mut picture = still.clone();
        for value in picture.planes.iter_mut().flat_map(|plane| &mut plane.data) {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *value = value.wrapping_add((state >> 30) as u8).wrapping_sub(1);
        }
        picture
    };
    let later: Vec<usize> = (0..5).map(|_| encoder.encode(&noisy(), &request(60)).unwrap().bytes.len()).collect();
    assert!(later[4] * 50 < first, "{first}, then {later:?}");
    let moved = encoder.encode(&frame(encoder.header(), 5), &request(60)).unwrap().bytes.len();
    assert!(moved > later[4] * 10, "{moved} after {later:?}");
}

#[test]
fn what_was_lost_is_noticed_until_the_next_key_frame() {
    let model = model();
    let mut encoder = AnyEncoder::new(Arc::clone(&model), header(160, 160, Subsampling::Quarter));
    let header = encoder.header().clone();
    let mut decoder = AnyDecoder::new(model, header.clone());
    let slices = header.slices().count();
    assert_eq!(slices, 3);
    let coded: Vec<_> = (0..5)
        .map(|i| encoder.encode(&frame(&header, i * 3), &Request { key: i == 4, ..request(60) }).unwrap().bytes)
        .collect();
    let mut decode = |bytes: &[u8]| each_picture(bytes, slices, |unit| decoder.decode(unit));
    assert!(matches!(decode(&coded[1]), Err(DecodeError::NoReference)));
    decode(&coded[0]).unwrap();
    assert!(matches!(decode(&coded[2]), Err(DecodeError::OtherReference)));
    assert!(matches!(decode(&coded[1]), Err(DecodeError::NoReference)), "state is lost with the picture");
    decode(&coded[4]).unwrap();
    assert!(decoder.conceal().is_some());
    decoder.lose();
    assert!(each_picture(&coded[1], slices, |unit| decoder.decode(unit)).is_err());
}

#[test]
fn damage_is_an_error_or_a_picture() {
    let model = model();
    let mut encoder = AnyEncoder::new(Arc::clone(&model), header(64, 64, Subsampling::Full));
    let header = encoder.header().clone();
    let coded = encoder.encode(&frame(&header, 0), &request(30)).unwrap().bytes;
    let mut decoder = AnyDecoder::new(model, header.clone());
    each_picture(&coded, header.slices().count(), |unit| {
        for at in 0..unit.slices[0].len() {
            let mut slice = unit.slices[0].to_vec();
            slice[at] ^= 0x55;
            let broken = crate::codec::stream::PictureUnit { slices: vec![&slice[..]], ..unit.clone() };
            let _ = decoder.decode(&broken);
            slice.truncate(at);
            let broken = crate::codec::stream::PictureUnit { slices: vec![&slice[..]], ..unit.clone() };
            let _ = decoder.decode(&broken);
        }
        decoder.decode(unit).unwrap();
    });
}

#[test]
fn bits_are_met() {
    let mut encoder = AnyEncoder::new(model(), header(320, 192, Subsampling::Quarter));
    let rate = Rate::Bits { target: 20_000, least: 16_000, most: 24_000 };
    let mut bits = Vec::new();
    for shift in 0..8 {
        let picture = frame(encoder.header(), shift * 7);
        let request = Request { rate, key: true, ..Request::default() };
        bits.push(encoder.encode(&picture, &request).unwrap().bytes.len() * 8);
    }
    assert!(bits[3..].iter().all(|bits| (15_000..25_000).contains(bits)), "{bits:?}");
}

#[test]
fn the_built_in_model_codes_well_at_every_quality() {
    let open = |precision: &str| AnyModel::open("codec-vq", DeviceSpec::Cpu, precision.parse().unwrap()).unwrap();
    // What was coded in one precision is decoded in another: symbols do not depend on it.
    let (model, other) = (open("fp32"), open("bf16"));
    assert_eq!((model.coding, model.name.as_str()), (Coding::Vector, "codec-vq"));
    let mut last = f64::MAX;
    for (step, least, most) in [(20, 34.0, 1.2), (60, 31.0, 0.9), (120, 22.0, 0.2)] {
        let mut encoder = AnyEncoder::new(Arc::clone(&model), header(320, 192, Subsampling::Quarter));
        let header = encoder.header().clone();
        let mut decoders = [&model, &other].map(|model| AnyDecoder::new(Arc::clone(model), header.clone()));
        let picture = frame(&header, 0);
        let coded = encoder.encode(&picture, &request(step)).unwrap();
        let bits = coded.bytes.len() as f64 * 8.0 / (320.0 * 192.0);
        let slices = header.slices().count();
        let [long, short] =
            decoders.each_mut().map(|decoder| each_picture(&coded.bytes, slices, |unit| decoder.decode(unit)).unwrap());
        let quality = psnr(&long, &picture);
        assert!(quality > least && quality < last && bits < most, "step {step}: {quality} dB, {bits} bits a pixel");
        assert!(psnr(&long, &short) > 40.0, "step {step}: {}", psnr(&long, &short));
        last = quality;
    }
}
