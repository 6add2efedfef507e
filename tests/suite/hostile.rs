//! Bad input: model files and cards that are broken, and frames that make libtorch throw. Each is a clear message that
//! names what is wrong, and the process goes on.

use std::path::Path;

use gst::prelude::*;
use gsttorch::meta;

use crate::{common, scripted};

/// What torchdetect says when it is started with `settings`.
fn refusal(settings: &str) -> String {
    failure(&format!("videotestsrc num-buffers=2 ! video/x-raw,width=64,height=64 ! torchdetect {settings} ! fakesink"))
}

/// What a pipeline says that is to fail.
fn failure(line: &str) -> String {
    common::init();
    let pipeline = gst::parse::launch(line).unwrap().downcast::<gst::Pipeline>().unwrap();
    let started = pipeline.set_state(gst::State::Playing);
    let wanted = [gst::MessageType::Error, gst::MessageType::Eos];
    let wait = gst::ClockTime::from_seconds(if started.is_ok() { 60 } else { 1 });
    let message = pipeline.bus().unwrap().timed_pop_filtered(wait, &wanted);
    pipeline.set_state(gst::State::Null).unwrap();
    match message.as_ref().map(|m| m.view()) {
        Some(gst::MessageView::Error(error)) => format!("{} {}", error.error(), error.debug().unwrap_or_default()),
        other => panic!("no error of {line}: {other:?}"),
    }
}

fn refuses_file(path: &Path, expected: &str) {
    let text = refusal(&format!("model-file={}", path.display()));
    let name = path.file_name().unwrap().to_str().unwrap();
    assert!(text.contains(name) && text.contains(expected), "{name}: expected '{expected}' in: {text}");
    assert!(text.len() < 2_000, "{} characters", text.len());
}

#[test]
fn broken_model_files_are_named_with_what_was_expected() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let good = std::fs::read(scripted::brightness(folder.path(), "good.pt", 0)).unwrap();

    refuses_file(&path("absent.pt"), "cannot be read");
    for (name, bytes, expected) in [
        ("empty.pt", &b""[..], "empty"),
        ("text.pt", b"hello", "zip"),
        ("truncated.pt", &good[..good.len() / 2], "TorchScript"),
        ("package.pt2", &good[..], ".pt2"),
    ] {
        std::fs::write(path(name), bytes).unwrap();
        refuses_file(&path(name), expected);
    }
    // Bytes flipped all over: whatever it says, it says it, and nothing ends.
    for step in [97, 331, 1009] {
        let mut bytes = good.clone();
        bytes.iter_mut().step_by(step).for_each(|byte| *byte ^= 0x55);
        std::fs::write(path("flipped.pt"), bytes).unwrap();
        refuses_file(&path("flipped.pt"), "flipped.pt");
    }
    refuses_file(folder.path(), "not a file");
}

#[test]
fn broken_cards_are_named_with_what_was_expected() {
    let folder = tempfile::tempdir().unwrap();
    scripted::brightness(folder.path(), "good.pt", 0);
    let weights = "weights = 'good.pt'\n";
    for (card, expected) in [
        ("task = ", "line 1"),
        ("task = 'detect'", "weights"),
        ("weights = 'nowhere.pt'", "nowhere.pt"),
        (&format!("{weights}sha256 = '{}'", "0".repeat(64)), "pins sha256"),
        (&format!("{weights}network = 'transformer'"), "transformer"),
        (&format!("{weights}task = 'classify'"), "classify"),
        (&format!("{weights}[input]\nsize = [64, 64]\n[output]\nlayout = 'yolov9000'"), "yolov9000"),
        (&format!("{weights}[input]\nsize = [64, 64]\n[output]\nlayout = 'yolov8'"), "(1, 1, 3)"),
    ] {
        std::fs::write(folder.path().join("card.toml"), card).unwrap();
        let text = refusal(&format!("model-file={}", folder.path().join("card.toml").display()));
        assert!(text.contains(expected), "{card}: expected '{expected}' in: {text}");
    }
}

#[test]
fn files_with_other_signatures_fail_with_the_signature() {
    let Some(folder) = common::data("tch-rs/tests") else { return };
    for name in ["foo.pt", "foo2.pt", "foo3.pt"] {
        refuses_file(&folder.join(name), "");
    }
    let Some(models) = common::data("nnstreamer/tests/test_models/models") else { return };
    refuses_file(&models.join("sample_3x4_two_input_two_output.pt"), "forward takes");
    refuses_file(&models.join("pytorch_lenet5.pt"), "pytorch_lenet5.pt");
    let Some(weights) = common::data("ultraface/models/pretrained/version-slim-320.pth") else { return };
    refuses_file(&weights, "version-slim-320.pth");
}

#[test]
fn what_is_not_there_is_listed_with_what_is() {
    assert!(refusal("model-file=persno").contains("person, cells"));
    assert!(refusal("device=cuda:7").contains("available: cpu"));
    assert!(refusal("precision=fp16 device=cpu").contains("fp32, bf16"));
    assert!(refusal("label-file=/nowhere/labels.txt").contains("/nowhere/labels.txt"));
}

/// A word that means nothing is no reason to run elsewhere, or in another precision.
#[test]
fn words_for_devices_and_precisions_that_mean_nothing_are_refused_by_every_element() {
    let source = "videotestsrc num-buffers=2 ! video/x-raw,format=I420,width=64,height=48,framerate=25/1";
    for element in ["torchdetect", "torchrestore", "torchinterpolate", "torchenc", "torchenc ! torchdec", "torchsrc"] {
        for (words, expected) in [("device=gpu", "auto, cpu"), ("precision=int8", "auto, fp32")] {
            let line = match element {
                "torchsrc" => format!("torchsrc {words} num-buffers=2 ! fakesink"),
                _ => format!("{source} ! {element} {words} ! fakesink"),
            };
            let text = failure(&line);
            let word = words.split_once('=').unwrap().1;
            assert!(text.contains(word) && text.contains(expected), "{line}: {text}");
        }
    }
}

#[test]
fn a_frame_that_makes_libtorch_throw_passes_with_a_warning() {
    common::init();
    let folder = tempfile::tempdir().unwrap();
    let model = scripted::throws_on_bright(folder.path(), "throws.pt");
    let line = format!("torchdetect model-file={} precision=fp32 late-policy=block", model.display());
    let mut harness = gst_check::Harness::with_element(&gst::parse::launch(&line).unwrap(), Some("sink"), Some("src"));
    let bus = gst::Bus::new();
    harness.element().unwrap().set_bus(Some(&bus));
    harness.set_src_caps_str("video/x-raw,format=RGB,width=64,height=64,framerate=25/1");
    let mut ran = Vec::new();
    for level in [150u8, 255, 150, 255, 150] {
        harness.push(gst::Buffer::from_mut_slice(vec![level; 64 * 64 * 3])).unwrap();
        ran.push(meta::inference_ran(&harness.pull().unwrap()));
    }
    assert_eq!(ran, [true, false, true, false, true]);
    let warnings: Vec<String> = std::iter::from_fn(|| bus.pop_filtered(&[gst::MessageType::Warning]))
        .map(|message| format!("{:?}", message.view()))
        .collect();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].contains("throws.pt") && warnings[0].contains("out of range"), "{}", warnings[0]);

    // Ten in a row are no accident any more.
    let failed = (0..30).any(|_| harness.push(gst::Buffer::from_mut_slice(vec![255u8; 64 * 64 * 3])).is_err());
    assert!(failed);
}
