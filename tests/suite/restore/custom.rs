//! Users' own networks: what they may be, and what is said about those that are none.

use tch::{Kind, Tensor};

use super::*;
use crate::scripted;

/// The first byte of each colour of an RGB frame of one colour.
fn colours(model: &Path, settings: &str, rgb: [u8; 3]) -> [u8; 3] {
    let caps = caps("RGB", 48, 40);
    let mut harness = with_model(model, settings);
    harness.set_src_caps(caps.clone());
    let mut buffer = frame(&caps, 0);
    let mut map = buffer.get_mut().unwrap().map_writable().unwrap();
    map.chunks_exact_mut(3).for_each(|pixel| pixel.copy_from_slice(&rgb));
    drop(map);
    harness.push(buffer).unwrap();
    let got = bytes(&harness.pull().unwrap());
    [got[0], got[1], got[2]]
}

fn near(got: [u8; 3], expected: [u8; 3]) {
    assert!(got.iter().zip(expected).all(|(a, b)| a.abs_diff(b) <= 1), "{got:?} for {expected:?}");
}

#[test]
fn cards_and_properties_say_how_colours_and_ranges_are_meant() {
    let folder = tempfile::tempdir().unwrap();
    // Made before tracing: numbers that come from Rust are not written down by the tracer.
    let gains = Tensor::from_slice(&[0.0f32, 1.0, 1.0]).view([1, 3, 1, 1]);
    let first_channel_away = |x: &Tensor| vec![x * &gains];
    let plain = scripted::restorer(folder.path(), "plain.pt", 3, "", first_channel_away);
    near(colours(&plain, "", [80, 120, 200]), [0, 120, 200]);
    near(colours(&plain, "input-colour=bgr", [80, 120, 200]), [80, 120, 0]);
    let carded = scripted::restorer(folder.path(), "carded.pt", 3, "[input]\ncolour = 'bgr'\n", first_channel_away);
    near(colours(&carded, "", [80, 120, 200]), [80, 120, 0]);
    near(colours(&carded, "input-colour=rgb", [80, 120, 200]), [0, 120, 200]);

    // 0.5 more: half the way from black to white where these are 0 and 1, a quarter from -1 to 1, nothing from 0 to 255.
    let brighter = scripted::restorer(folder.path(), "brighter.pt", 3, "", |x| vec![x + 0.5]);
    near(colours(&brighter, "output-kind=image", [20, 40, 60]), [148, 168, 188]);
    near(colours(&brighter, "output-kind=image value-range=signed", [20, 40, 60]), [84, 104, 124]);
    near(colours(&brighter, "output-kind=image value-range=levels", [20, 40, 60]), [20, 40, 60]);
    let card = "task = 'restore'\n[input]\nscale = 255\nmean = [0.5, 0.5, 0.5]\nstd = [0.5, 0.5, 0.5]\n\
                [output]\nkind = 'image'\nscale = 255\nmean = [0, 0, 0]\nstd = [1, 1, 1]\n";
    let other_ends = scripted::restorer(folder.path(), "ends.pt", 3, card, |x| vec![x * 0.5 + 0.5]);
    near(colours(&other_ends, "", [20, 40, 60]), [20, 40, 60]);
}

#[test]
fn differences_are_added_or_taken_away() {
    let folder = tempfile::tempdir().unwrap();
    let constant = scripted::restorer(folder.path(), "constant.pt", 3, "", |x| vec![x * 0.0 + 0.1]);
    near(colours(&constant, "output-kind=residual", [80, 120, 200]), [106, 146, 226]);
    near(colours(&constant, "output-kind=noise", [80, 120, 200]), [54, 94, 174]);
    near(colours(&constant, "output-kind=image", [80, 120, 200]), [26, 26, 26]);
    let carded =
        scripted::restorer(folder.path(), "carded.pt", 3, "[output]\nkind = 'noise'\n", |x| vec![x * 0.0 + 0.1]);
    near(colours(&carded, "", [80, 120, 200]), [54, 94, 174]);
}

#[test]
fn one_output_of_several_is_the_first_picture_or_the_one_that_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let several =
        scripted::restorer(folder.path(), "several.pt", 3, "", |x| vec![Tensor::cat(&[x, x], 1), x * 0.5, x * 0.25]);
    near(colours(&several, "", [80, 120, 200]), [40, 60, 100]);
    near(colours(&several, "output-tensor=2", [80, 120, 200]), [20, 30, 50]);
    let text = refusal(&format!("model-file={} output-tensor=sharp", several.display()));
    assert!(text.contains("no output 'sharp'") && text.contains("0 [1, 6, 64, 64]"), "{text}");
}

#[test]
fn one_channel_is_luma_and_colour_stays() {
    let folder = tempfile::tempdir().unwrap();
    let gray = scripted::restorer(folder.path(), "gray.pt", 1, "", |x| {
        let weight = Tensor::ones([1, 1, 1, 1], (Kind::Float, tch::Device::Cpu)) * 0.5;
        vec![x.conv2d(&weight, None::<&Tensor>, [1, 1], [0, 0], [1, 1], 1)]
    });
    // Luma of 119 halves: every colour loses 60.
    near(colours(&gray, "", [100, 120, 160]), [41, 61, 101]);
    for format in ["I420", "NV12", "YUY2"] {
        let caps = caps(format, 48, 40);
        let mut harness = with_model(&gray, "");
        harness.set_src_caps(caps.clone());
        let sent = bytes(&frame(&caps, 0));
        harness.push(frame(&caps, 0)).unwrap();
        let got = bytes(&harness.pull().unwrap());
        let luma = if format == "YUY2" { 2 } else { 1 };
        let expected = (f64::from(sent[0]) - 16.0) / 2.0 + 16.0;
        assert!((f64::from(got[0]) - expected).abs() <= 1.0, "{format}");
        if luma == 2 {
            assert!(sent.iter().zip(&got).skip(1).step_by(2).all(|(a, b)| a == b), "{format}");
        } else {
            assert_eq!(sent[48 * 40..], got[48 * 40..], "{format}");
        }
    }
}

#[test]
fn networks_that_halve_their_maps_get_sides_they_can_halve() {
    let folder = tempfile::tempdir().unwrap();
    // Averages of 8 x 8, repeated: sides that are no multiple of 8 come back smaller.
    let coarse = scripted::restorer(folder.path(), "coarse.pt", 3, "", |x| {
        let small = x.avg_pool2d([8, 8], [8, 8], [0, 0], false, true, None::<i64>);
        let spread: Vec<Tensor> = (0..3).flat_map(|c| (0..64).map(move |_| c)).map(|c| small.narrow(1, c, 1)).collect();
        vec![Tensor::cat(&spread, 1).pixel_shuffle(8)]
    });
    for (width, height) in [(1, 1), (17, 31), (67, 50), (4097, 3)] {
        let caps = caps("RGB", width, height);
        let mut harness = with_model(&coarse, "output-kind=image");
        harness.set_src_caps(caps.clone());
        harness.push(frame(&caps, 0)).unwrap();
        let got = harness.pull().unwrap();
        assert_eq!(label(&got), label(&frame(&caps, 0)));
        assert_eq!(got.size(), frame(&caps, 0).size());
    }
}

#[test]
fn networks_of_one_size_see_all_of_the_frame_in_parts() {
    let folder = tempfile::tempdir().unwrap();
    let fixed = scripted::restorer(folder.path(), "fixed.pt", 3, "[input]\nsize = [64, 64]\n", |x| {
        // Only this size has so many numbers.
        vec![x.reshape([1, 3, 64 * 64]).view([1, 3, 64, 64]) * 0.5]
    });
    for (width, height) in [(20, 30), (64, 64), (150, 90)] {
        let caps = caps("RGB", width, height);
        let mut harness = with_model(&fixed, "");
        harness.set_src_caps(caps.clone());
        harness.push(frame(&caps, 0)).unwrap();
        let (sent, got) = (frame(&caps, 0), harness.pull().unwrap());
        let info = gst_video::VideoInfo::from_caps(&caps).unwrap();
        let halves = |row: usize| -> bool {
            let line = row * info.stride()[0] as usize..;
            let (sent, got) = (&bytes(&sent)[line.clone()], &bytes(&got)[line]);
            sent.iter().zip(got).take(3 * width as usize).all(|(a, b)| (a / 2).abs_diff(*b) <= 1)
        };
        assert!((0..height as usize).all(halves), "{width}x{height}");
    }
}

#[test]
fn broken_and_wrong_models_are_named_with_what_was_expected() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let good = std::fs::read(scripted::halves(folder.path(), "good.pt")).unwrap();
    let says = |file: &Path, expected: &str| {
        let text = refusal(&format!("model-file={}", file.display()));
        let name = file.file_name().unwrap().to_str().unwrap();
        assert!(text.contains(name) && text.contains(expected), "{name}: expected '{expected}' in: {text}");
        assert!(text.len() < 2_000, "{} characters", text.len());
    };
    std::fs::write(path("truncated.pt"), &good[..good.len() / 2]).unwrap();
    says(&path("truncated.pt"), "TorchScript");
    std::fs::write(path("empty.pt"), b"").unwrap();
    says(&path("empty.pt"), "empty");
    for step in [97, 331] {
        let mut flipped = good.clone();
        flipped.iter_mut().step_by(step).for_each(|byte| *byte ^= 0x55);
        std::fs::write(path("flipped.pt"), flipped).unwrap();
        says(&path("flipped.pt"), "flipped.pt");
    }
    says(
        &scripted::restorer(folder.path(), "numbers.pt", 3, "", |x| vec![x.mean(Kind::Float)]),
        "expected [1, 3, 64, 64]",
    );
    says(
        &scripted::restorer(folder.path(), "two.pt", 2, "", |x| {
            vec![x.conv2d(
                &Tensor::ones([2, 2, 1, 1], (Kind::Float, tch::Device::Cpu)),
                None::<&Tensor>,
                [1, 1],
                [0, 0],
                [1, 1],
                1,
            )]
        }),
        "channels",
    );
    says(&scripted::brightness(folder.path(), "detector.pt", 0), "made for the task 'detect', not 'restore'");
    says(
        &scripted::restorer(folder.path(), "kind.pt", 3, "[output]\nkind = 'blurry'\n", |x| vec![x * 0.5]),
        "image, residual or noise",
    );
    assert!(refusal("task=custom").contains("model-file"));
    assert!(refusal("task=super-resolution scale=3").contains("2 or 4"));
}
