use std::path::Path;
use std::sync::Arc;

use gst_torch_runtime::{DeviceSpec, PrecisionSpec};
use tch::{CModule, Kind, Tensor};

use crate::codec::any::{AnyDecoder, AnyEncoder, AnyModel};
use crate::codec::basis::zigzag;
use crate::codec::canvas::Frame;
use crate::codec::control::Rate;
use crate::codec::decoder::DecodeError;
use crate::codec::encoder::Request;
use crate::codec::stream::{Header, PictureUnit, Subsampling};
use crate::codec::testing::{each_picture, frame, header};

fn open(card: &Path) -> gst_torch_runtime::Result<Arc<AnyModel>> {
    AnyModel::open(card.to_str().unwrap(), DeviceSpec::Cpu, PrecisionSpec::Auto)
}

/// Noise that is the same in every run.
fn weight(size: &[i64], scale: f64) -> Tensor {
    let count: i64 = size.iter().product();
    let at = Tensor::arange(count, (Kind::Float, tch::Device::Cpu));
    ((&at * 12.9898).sin() * 43758.547).frac().view(size) * scale
}

fn trace(path: &Path, input: Tensor, mut f: impl FnMut(&Tensor) -> Tensor) {
    let module = CModule::create_by_tracing("net", "forward", &[input], &mut |x: &[Tensor]| vec![f(&x[0])]);
    module.unwrap().save(path).unwrap();
}

/// Blocks of `stride` pixels become `latents` numbers, of which the decoder makes what it can.
fn convolutional(folder: &Path, channels: i64, latents: i64, stride: i64, text: &str) -> std::path::PathBuf {
    let inputs = channels * stride * stride;
    // The lowest frequencies of every channel in turn: orthonormal rows, so that the transposed matrix is the best decoder.
    let frequencies = zigzag(stride as usize);
    let mut rows = vec![0f32; (latents * inputs) as usize];
    for (latent, row) in rows.chunks_mut(inputs as usize).enumerate() {
        let (v, h) = frequencies[latent / channels as usize];
        let first = latent % channels as usize * (stride * stride) as usize;
        for (i, value) in row[first..][..(stride * stride) as usize].iter_mut().enumerate() {
            let wave = |f: usize, at: usize| {
                let scale = if f == 0 { 1.0 } else { 2f64.sqrt() } / (stride as f64).sqrt();
                scale * ((2 * at + 1) as f64 * f as f64 * std::f64::consts::PI / (2 * stride) as f64).cos()
            };
            *value = (wave(v, i / stride as usize) * wave(h, i % stride as usize)) as f32;
        }
    }
    let matrix = Tensor::from_slice(&rows).view([latents, inputs, 1, 1]);
    let back = matrix.transpose(0, 1).contiguous();
    // Latents are bounded, but seldom near their bounds.
    let scale = 1.0 / stride as f64;
    let side = stride * 4;
    let input = Tensor::zeros([1, channels, side, side], (Kind::Float, tch::Device::Cpu));
    trace(&folder.join("enc.pt"), input, |x| {
        x.pixel_unshuffle(stride).conv2d(&matrix, None::<Tensor>, 1, 0, 1, 1).tanh()
    });
    let input = Tensor::zeros([1, latents, 4, 4], (Kind::Float, tch::Device::Cpu));
    trace(&folder.join("dec.pt"), input, |x| {
        let open = x.clamp(-0.999, 0.999).atanh() / scale;
        open.conv2d(&back, None::<Tensor>, 1, 0, 1, 1).pixel_shuffle(stride)
    });
    let card = folder.join("m.toml");
    let head = "task = 'codec'\nnetwork = 'autoencoder'\nencoder = 'enc.pt'\ndecoder = 'dec.pt'\n";
    std::fs::write(&card, format!("{head}{text}")).unwrap();
    card
}

/// RGB as planes of green, blue and red, which the header calls the identity matrix.
fn rgb(width: u16, height: u16) -> Header {
    let mut header = header(width, height, Subsampling::Full);
    (header.colour.matrix, header.colour.range) = (0, 1);
    header
}

fn as_levels(frame: &Frame) -> Tensor {
    let plane = |i: usize| {
        Tensor::from_slice(&frame.planes[i].data).to_kind(Kind::Float).view([
            1,
            1,
            frame.height as i64,
            frame.width as i64,
        ])
    };
    if frame.planes.len() == 1 { plane(0) } else { Tensor::cat(&[plane(2), plane(0), plane(1)], 1) }
}

fn psnr(a: &Tensor, b: &Tensor) -> f64 {
    10.0 * (65025.0 / (a - b).square().mean(Kind::Double).double_value(&[])).log10()
}

/// Bits of a sequence of symbols by their frequencies.
fn entropy(numbers: &[i64]) -> f64 {
    let mut counts = std::collections::HashMap::new();
    numbers.iter().for_each(|n| *counts.entry(n).or_insert(0u32) += 1);
    let total = numbers.len() as f64;
    counts.values().map(|&c| -f64::from(c) * (f64::from(c) / total).log2()).sum()
}

/// Codes pictures at the default quality; returns PSNR by picture, of ours and of the bare networks (which quantise nothing),
/// and the bits of ours over the zero-order entropy of the latents quantised with `step`.
fn compare(
    card: &Path,
    header: Header,
    pictures: usize,
    numbers: impl Fn(&Tensor) -> Tensor,
    step: f64,
) -> (Vec<[f64; 2]>, f64) {
    let model = open(card).unwrap();
    let mut encoder = AnyEncoder::new(Arc::clone(&model), header);
    let header = encoder.header().clone();
    let mut decoder = AnyDecoder::new(model, header.clone());
    let load = |name: &str| CModule::load(card.parent().unwrap().join(name)).unwrap();
    let (enc, dec) = (load("enc.pt"), load("dec.pt"));
    let (mut scores, mut bits, mut symbols) = (Vec::new(), 0, Vec::new());
    for i in 0..pictures {
        let picture = frame(&header, i * 3);
        let coded = encoder.encode(&picture, &Request::default()).unwrap();
        bits += coded.bytes.len() * 8;
        let decoded = each_picture(&coded.bytes, 1, |unit| decoder.decode(unit)).unwrap();
        let levels = as_levels(&picture);
        let latents = enc.forward_ts(&[numbers(&levels)]).unwrap();
        let bare = dec.forward_ts(&[&latents]).unwrap().view_as(&numbers(&levels));
        // What authors do: back to levels, clamped.
        let bare =
            ((&bare - numbers(&levels)) / (numbers(&(&levels + 1.0)) - numbers(&levels)) + &levels).clamp(0.0, 255.0);
        scores.push([psnr(&as_levels(&decoded), &levels), psnr(&bare, &levels)]);
        let quantised = (latents / step).round().to_kind(Kind::Int64).view([-1]);
        symbols.extend(Vec::<i64>::try_from(quantised).unwrap());
    }
    (scores, bits as f64 / entropy(&symbols))
}

#[test]
fn psnr_is_the_authors_and_bits_are_the_entropy() {
    let folder = tempfile::tempdir().unwrap();
    let card = convolutional(folder.path(), 3, 8, 4, "[latent]\nstep = 0.004");
    let (scores, ratio) = compare(&card, rgb(256, 192), 4, |levels| levels / 255.0, 0.004);
    for [ours, authors] in &scores {
        assert!((ours - authors).abs() < 0.1 && *authors < 45.0, "{scores:?}");
    }
    assert!(ratio < 1.05, "{ratio} of the zero-order entropy");
}

#[test]
fn one_channel_other_ranges_and_measured_steps_work() {
    let folder = tempfile::tempdir().unwrap();
    let text = "[input]\ncolour = 'gray'\nmean = [0.5, 0, 0]\nstd = [0.5, 1, 1]";
    let card = convolutional(folder.path(), 1, 3, 8, text);
    let mut grey = header(100, 60, Subsampling::Grey);
    grey.colour.range = 1;
    // 100x60 is padded to 104x64 by repeating the border, so only the picture's own part is comparable.
    let model = open(&card).unwrap();
    let mut encoder = AnyEncoder::new(Arc::clone(&model), grey);
    let header = encoder.header().clone();
    let mut decoder = AnyDecoder::new(model, header.clone());
    let picture = frame(&header, 0);
    let coded = encoder.encode(&picture, &Request::default()).unwrap();
    let decoded = each_picture(&coded.bytes, 1, |unit| decoder.decode(unit)).unwrap();
    let levels = as_levels(&picture);
    let input = (&levels / 255.0 - 0.5) / 0.5;
    let padded = input.replication_pad2d([0, 4, 0, 4]);
    let load = |name: &str| CModule::load(folder.path().join(name)).unwrap();
    let latents = load("enc.pt").forward_ts(&[padded]).unwrap();
    let bare = load("dec.pt").forward_ts(&[latents]).unwrap().narrow(2, 0, 60).narrow(3, 0, 100);
    let bare = ((bare * 0.5 + 0.5) * 255.0).clamp(0.0, 255.0);
    let (ours, authors) = (psnr(&as_levels(&decoded), &levels), psnr(&bare, &levels));
    assert!((ours - authors).abs() < 0.1, "{ours} {authors}");
}

#[test]
fn flat_latents_of_a_fixed_size_scale_the_picture() {
    let folder = tempfile::tempdir().unwrap();
    let matrix = weight(&[32, 784], 0.05);
    let back = matrix.transpose(0, 1).contiguous();
    let input = Tensor::zeros([1, 784], (Kind::Float, tch::Device::Cpu));
    trace(&folder.path().join("enc.pt"), input, |x| x.linear(&matrix, None::<Tensor>));
    let input = Tensor::zeros([1, 32], (Kind::Float, tch::Device::Cpu));
    trace(&folder.path().join("dec.pt"), input, |x| x.linear(&back, None::<Tensor>).sigmoid());
    let card = folder.path().join("m.toml");
    let text = "task = 'codec'\nnetwork = 'autoencoder'\nencoder = 'enc.pt'\ndecoder = 'dec.pt'\n";
    std::fs::write(&card, format!("{text}[input]\ncolour = 'gray'")).unwrap();
    let error = open(&card).err().unwrap().to_string();
    assert!(error.contains("size"), "{error}");
    std::fs::write(&card, format!("{text}[input]\ncolour = 'gray'\nsize = [28, 28]\n[latent]\nstep = 0.01")).unwrap();
    let mut grey = header(28, 28, Subsampling::Grey);
    grey.colour.range = 1;
    let flat = |levels: &Tensor| levels.view([1, 784]) / 255.0;
    let model = open(&card).unwrap();
    let mut encoder = AnyEncoder::new(Arc::clone(&model), grey);
    let header28 = encoder.header().clone();
    let mut decoder = AnyDecoder::new(Arc::clone(&model), header28.clone());
    let picture = frame(&header28, 0);
    let coded = encoder.encode(&picture, &Request::default()).unwrap();
    let decoded = each_picture(&coded.bytes, 1, |unit| decoder.decode(unit)).unwrap();
    let load = |name: &str| CModule::load(folder.path().join(name)).unwrap();
    let bare = load("dec.pt").forward_ts(&[load("enc.pt").forward_ts(&[flat(&as_levels(&picture))]).unwrap()]).unwrap();
    let difference = (bare.view([1, 1, 28, 28]) * 255.0 - as_levels(&decoded)).abs().max().double_value(&[]);
    assert!(difference < 3.0, "{difference}");
    // A picture of another size, in colour, comes back at its own size.
    let mut encoder = AnyEncoder::new(Arc::clone(&model), header(70, 50, Subsampling::Quarter));
    let mut decoder = AnyDecoder::new(model, encoder.header().clone());
    let coded = encoder.encode(&frame(encoder.header(), 0), &Request::default()).unwrap();
    let decoded = each_picture(&coded.bytes, 1, |unit| decoder.decode(unit)).unwrap();
    assert!(decoded.fits(encoder.header()) && decoded.planes[1].data.iter().all(|&v| v == 128));
}

#[test]
fn quality_moves_the_step_and_bits_are_met() {
    let folder = tempfile::tempdir().unwrap();
    let card = convolutional(folder.path(), 3, 12, 8, "[latent]\nlevels = 64\nmin = -1\nmax = 1");
    let model = open(&card).unwrap();
    let size = |step| {
        let mut encoder = AnyEncoder::new(Arc::clone(&model), header(320, 192, Subsampling::Quarter));
        let request = Request { rate: Rate::Step(step), ..Request::default() };
        encoder.encode(&frame(encoder.header(), 0), &request).unwrap().bytes.len()
    };
    assert!(size(30) > size(60) && size(60) > size(100));
    let mut encoder = AnyEncoder::new(model, header(320, 192, Subsampling::Quarter));
    let rate = Rate::Bits { target: 12_000, least: 10_800, most: 13_200 };
    let request = Request { rate, key: true, ..Request::default() };
    let bits: Vec<usize> =
        (0..6).map(|i| encoder.encode(&frame(encoder.header(), i), &request).unwrap().bytes.len() * 8).collect();
    assert!(bits[2..].iter().all(|b| (10_000..14_000).contains(b)), "{bits:?}");
}

#[test]
fn hostile_streams_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let card = convolutional(folder.path(), 3, 4, 4, "");
    let model = open(&card).unwrap();
    let mut encoder = AnyEncoder::new(Arc::clone(&model), header(32, 32, Subsampling::Quarter));
    let header = encoder.header().clone();
    let mut decoder = AnyDecoder::new(model, header.clone());
    let first = encoder.encode(&frame(&header, 0), &Request::default()).unwrap().bytes;
    let second = encoder.encode(&frame(&header, 1), &Request::default()).unwrap().bytes;
    assert!(matches!(each_picture(&second, 1, |unit| decoder.decode(unit)), Err(DecodeError::NoReference)));
    each_picture(&first, 1, |unit| {
        for at in 0..unit.slices[0].len() {
            for flip in [1, 0x80, 0xff] {
                let mut slice = unit.slices[0].to_vec();
                slice[at] ^= flip;
                let _ = decoder.decode(&PictureUnit { slices: vec![&slice[..]], ..unit.clone() });
            }
            let _ = decoder.decode(&PictureUnit { slices: vec![&unit.slices[0][..at]], ..unit.clone() });
        }
        assert!(decoder.decode(&PictureUnit { slices: vec![], ..unit.clone() }).is_err());
        decoder.decode(unit).unwrap();
    });
    each_picture(&second, 1, |unit| decoder.decode(unit)).unwrap();
    assert!(matches!(each_picture(&second, 1, |unit| decoder.decode(unit)), Err(DecodeError::OtherReference)));
}

#[test]
fn networks_that_do_not_fit_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let card = convolutional(folder.path(), 3, 4, 4, "[input]\ncolour = 'gray'");
    let error = open(&card).err().unwrap().to_string();
    assert!(error.contains("'m'"), "{error}");
    let error = crate::builtin::open(card.to_str().unwrap()).err().unwrap().to_string();
    assert!(error.contains("torchenc"), "{error}");
    std::fs::write(folder.path().join("dec.pt"), "no archive").unwrap();
    let card = folder.path().join("m.toml");
    std::fs::write(&card, std::fs::read_to_string(&card).unwrap().replace("gray", "rgb")).unwrap();
    let error = open(&card).err().unwrap().to_string();
    assert!(error.contains("dec.pt") && error.contains("TorchScript"), "{error}");
    std::fs::remove_file(folder.path().join("enc.pt")).unwrap();
    assert!(open(&card).err().unwrap().to_string().contains("enc.pt"));
}
