//! What is no generator, or a broken one, is named with what was expected, and the process lives on.

use tch::{Kind, Tensor};

use super::*;
use crate::scripted;

fn says(path: &Path, settings: &str, expected: &[&str]) {
    let text = refusal(&format!("{} {settings}", model(path)));
    assert!(expected.iter().all(|part| text.contains(part)), "{}: {text}", path.display());
    assert!(text.len() < 2000, "{} bytes", text.len());
}

#[test]
fn broken_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let good = std::fs::read(scripted::mixture(folder.path(), "good.pt")).unwrap();
    std::fs::write(path("truncated.pt"), &good[..good.len() / 2]).unwrap();
    says(&path("truncated.pt"), "", &["truncated.pt", "TorchScript"]);
    std::fs::write(path("empty.pt"), b"").unwrap();
    says(&path("empty.pt"), "", &["empty.pt", "empty"]);
    for step in [97, 331] {
        let mut flipped = good.clone();
        flipped.iter_mut().step_by(step).for_each(|byte| *byte ^= 0x55);
        std::fs::write(path("flipped.pt"), flipped).unwrap();
        says(&path("flipped.pt"), "", &["flipped.pt"]);
    }
    says(&path("nowhere.pt"), "", &["nowhere.pt", "cannot be read"]);
    says(&path("good.pt"), "device=cuda:99", &["cuda:99"]);
}

#[test]
fn what_makes_no_pictures_is_told_from_what_does() {
    let folder = tempfile::tempdir().unwrap();
    let weights = |rows: i64, columns: i64| Tensor::ones([rows, columns], (Kind::Float, tch::Device::Cpu)) * 0.01;
    // An encoder from pictures to latents, a classifier, a whole autoencoder.
    let encode = weights(32 * 32, 16);
    let encoder =
        scripted::decoder(folder.path(), "encoder.pt", &[1, 32, 32], "", |x| vec![x.flatten(1, -1).matmul(&encode)]);
    says(&encoder, "", &["encoder.pt", "expected a picture"]);
    let flat =
        scripted::decoder(folder.path(), "flat.pt", &[512], "", |x| vec![x.narrow(1, 0, 10).softmax(1, Kind::Float)]);
    says(&flat, "", &["flat.pt", "expected a picture", "[1, 10]"]);
    let whole = scripted::decoder(folder.path(), "whole.pt", &[3, 32, 32], "[config]\nlatent = [3, 32, 32]\n", |x| {
        vec![x.sigmoid()]
    });
    says(&whole, "", &["whole.pt", "[1, 3, 32, 32]", "an encoder, not a decoder?"]);
    // A card that says another latent than the network takes.
    let wrong = scripted::mixture(folder.path(), "wrong.pt");
    std::fs::write(wrong.with_extension("toml"), "[config]\nlatent = [9]\n").unwrap();
    says(&wrong, "", &["wrong.pt", "[1, 9]"]);
    std::fs::write(wrong.with_extension("toml"), "[config]\nlatent = [0, -3]\n").unwrap();
    says(&wrong, "", &["[0, -3]", "positive sizes"]);
    std::fs::write(wrong.with_extension("toml"), "[config]\nlatents = [8]\n").unwrap();
    says(&wrong, "", &["latents", "latent, classes, size, range, distribution"]);
    std::fs::write(wrong.with_extension("toml"), "task = 'detect'\n").unwrap();
    says(&wrong, "", &["made for the task 'detect', not 'generate'"]);
    says(Path::new("person"), "", &["made for the task 'detect', not 'generate'"]);
    // Numbers that are none.
    let nothing = scripted::decoder(folder.path(), "nan.pt", &[8], "[config]\nlatent = [8]\n", |x| {
        vec![(x.sum(Kind::Float).view([1, 1, 1, 1]).expand([1, 1, 16, 16], false) * 0.0).log() * 0.0]
    });
    says(&nothing, "", &["nan.pt", "not finite"]);
}

#[test]
fn modes_that_a_model_does_not_have_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = scripted::mixture(folder.path(), "mixture.pt");
    says(&path, "mode=sequence", &["mixture.pt", "does not go on by itself"]);
    says(&path, "mode=reconstruct", &["start-picture"]);
    says(&path, "start-picture=nowhere.png", &["no encoder"]);
}

#[test]
fn a_network_that_throws_while_playing_ends_the_stream_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    // Throws where its first number is above 2, which no probe reaches.
    let path = scripted::decoder(folder.path(), "throws.pt", &[8], "[config]\nlatent = [8]\n", |x| {
        let index = (x.narrow(1, 0, 1).view([-1]) * 0.01).to_kind(Kind::Int64);
        let row = x.index_select(0, &index).mean(Kind::Float) * 0.0;
        vec![(x.mean(Kind::Float) + row).sigmoid().view([1, 1, 1, 1]).expand([1, 1, 16, 16], false)]
    });
    let source = Source::play(&format!("{} mode=fixed latent=\"<0>\"", model(&path)), "video/x-raw,format=GRAY8");
    source.frames(3);
    source.element.set_property("latent", gst::Array::new([500.0]));
    let message =
        source.pipeline.bus().unwrap().timed_pop_filtered(gst::ClockTime::from_seconds(1), &[gst::MessageType::Error]);
    // The sink holds frames back, so the failure may come only when they are pulled.
    let message = message.or_else(|| {
        while source.sink.try_pull_sample(gst::ClockTime::from_mseconds(300)).is_some() {}
        source.pipeline.bus().unwrap().timed_pop_filtered(gst::ClockTime::from_seconds(20), &[gst::MessageType::Error])
    });
    let message = message.expect("the stream ends with an error");
    let gst::MessageView::Error(error) = message.view() else { panic!("no error") };
    assert!(format!("{} {:?}", error.error(), error.debug()).contains("throws.pt"));
    // Set right, it plays again.
    source.pipeline.set_state(gst::State::Null).unwrap();
    source.element.set_property("latent", gst::Array::new([0.0]));
    source.pipeline.set_state(gst::State::Playing).unwrap();
    source.frames(3);
}

#[test]
fn latents_that_make_no_sense_are_no_danger() {
    let folder = tempfile::tempdir().unwrap();
    let path = scripted::mixture(folder.path(), "mixture.pt");
    let source = Source::play(&format!("{} mode=fixed", model(&path)), "video/x-raw,format=GRAY8");
    for latent in [vec![1e300; 8], vec![0.0; 100_000], Vec::new()] {
        source.element.set_property("latent", gst::Array::new(latent));
        source.frames(6);
    }
}
