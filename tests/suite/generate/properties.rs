//! What is changed while a source plays, by hand and by control sources.

use gst_controller::prelude::*;

use super::*;
use crate::scripted;

/// The first pixels of a network that shows its first two numbers: 100 levels a number, around grey.
fn shows(folder: &Path) -> std::path::PathBuf {
    scripted::decoder(folder, "shows.pt", &[4], "[config]\nlatent = [4]\n", |x| {
        let tiles: Vec<tch::Tensor> =
            (0..4).map(|i| x.narrow(1, i, 1).view([1, 1, 1, 1]).expand([1, 1, 16, 4], false)).collect();
        vec![tch::Tensor::cat(&tiles, 3) * (100.0 / 255.0) + 0.5]
    })
}

/// The four numbers that a frame shows.
fn numbers(sample: &gst::Sample) -> [f64; 4] {
    let pixels = pixels(sample);
    [0, 4, 8, 12].map(|x| (f64::from(pixels[x]) - 127.5) / 100.0)
}

fn settle(source: &Source, mut done: impl FnMut([f64; 4]) -> bool) {
    for _ in 0..200 {
        if done(numbers(&source.pull())) {
            return;
        }
    }
    panic!("the change does not show");
}

const PLAIN: &str = "mode=fixed watermark=false precision=fp32 value-range=unit";

#[test]
fn every_property_changes_what_is_shown_while_it_plays() {
    let folder = tempfile::tempdir().unwrap();
    let source = Source::play(
        &format!("{} {PLAIN} latent=\"<0,0.25,-0.5,1>\"", model(&shows(folder.path()))),
        "video/x-raw,format=GRAY8",
    );
    let element = &source.element;
    let near = |got: [f64; 4], expected: [f64; 4]| got.iter().zip(expected).all(|(a, b)| (a - b).abs() < 0.02);
    settle(&source, |got| near(got, [0.0, 0.25, -0.5, 1.0]));
    element.set_property("latent-1", 0.75);
    settle(&source, |got| near(got, [0.0, 0.75, -0.5, 1.0]));
    element.set_property("latent", gst::Array::new([1.0, 1.0]));
    let mut random = [0.0; 4];
    settle(&source, |got| {
        random = got;
        near([got[0], got[1], 0.0, 0.0], [1.0, 0.75, 0.0, 0.0]) && got[2] != -0.5
    });
    element.set_property("truncation", 0.5);
    settle(&source, |got| near(got, [1.0, 0.75, random[2] / 2.0, random[3] / 2.0]));
    element.set_property("truncation", 1.0);
    element.set_property("seed", 77u64);
    settle(&source, |got| (got[2] - random[2]).abs() > 0.05 && (got[3] - random[3]).abs() > 0.05);

    // Modes: every frame another, then a walk, then one that stays.
    let changes = |source: &Source| {
        let shown: Vec<_> = (0..20).map(|_| numbers(&source.pull())).collect();
        shown.windows(2).map(|pair| (pair[0][2] - pair[1][2]).abs()).fold(0.0, f64::max)
    };
    element.set_property_from_str("mode", "noise");
    source.frames(8);
    assert!(changes(&source) > 0.3);
    element.set_property_from_str("mode", "walk");
    source.frames(8);
    assert!((0.001..0.3).contains(&changes(&source)));
    element.set_property("walk-speed", 0.0);
    source.frames(8);
    assert_eq!(changes(&source), 0.0);
    element.set_property("walk-speed", 2.0);
    element.set_property("loop", 1u32);
    source.frames(8);
    assert_eq!(changes(&source), 0.0, "a loop of one key stays");

    // The watermark comes and goes.
    element.set_property_from_str("mode", "fixed");
    element.set_property("latent", gst::Array::new([0.0, 0.0, 0.0, 0.0]));
    element.set_property("latent-1", 0.0);
    settle(&source, |got| near(got, [0.0; 4]));
    assert!(pixels(&source.pull()).iter().all(|v| (127..=128).contains(v)));
    element.set_property("watermark", true);
    source.frames(8);
    assert!(pixels(&source.pull()).iter().any(|v| !(126..=129).contains(v)));
}

#[test]
fn another_model_takes_over_between_two_frames_and_a_bad_one_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let shown = shows(folder.path());
    let white = scripted::decoder(folder.path(), "white.pt", &[3], "[config]\nlatent = [3]\n", |x| {
        vec![x.narrow(1, 0, 1).view([1, 1, 1, 1]).expand([1, 1, 16, 16], false) * 0.0 + 1.0]
    });
    let source = Source::play(&format!("{} {PLAIN}", model(&shown)), "video/x-raw,format=GRAY8");
    let whole = |source: &Source| pixels(&source.pull()).iter().all(|v| *v == 255);
    assert!(!whole(&source));
    source.element.set_property("model-file", white.to_str().unwrap());
    assert!(
        (0..3000).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(2));
            whole(&source)
        }),
        "it takes over"
    );
    source.element.set_property("model-file", folder.path().join("none.pt").to_str().unwrap());
    let bus = source.pipeline.bus().unwrap();
    let wanted = [gst::MessageType::Warning, gst::MessageType::Error];
    let message = bus.timed_pop_filtered(gst::ClockTime::from_seconds(20), &wanted).unwrap();
    let gst::MessageView::Warning(warning) = message.view() else { panic!("an error") };
    assert!(warning.debug().unwrap_or_default().contains("none.pt") || warning.error().to_string().contains("none.pt"));
    assert!((0..20).all(|_| whole(&source)), "the model before goes on");
}

#[test]
fn a_keyframed_animation_is_a_control_source_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let shown = shows(folder.path());
    let play = || {
        let source = Source::paused(
            &format!("{} {PLAIN} latent=\"<0,0,0,0>\"", model(&shown)),
            "video/x-raw,format=GRAY8,framerate=10/1",
        );
        let curve = |name: &str, points: &[(u64, f64)]| {
            let control = gst_controller::InterpolationControlSource::new();
            control.set_mode(gst_controller::InterpolationMode::Linear);
            for (milliseconds, value) in points {
                assert!(control.set(gst::ClockTime::from_mseconds(*milliseconds), *value));
            }
            let binding = gst_controller::DirectControlBinding::new_absolute(&source.element, name, &control);
            source.element.add_control_binding(&binding).unwrap();
        };
        curve("latent-0", &[(0, -1.0), (1000, 1.0)]);
        curve("latent-3", &[(0, 0.5), (500, 0.0), (1000, 0.5)]);
        source.seek(0);
        source.pipeline.set_state(gst::State::Playing).unwrap();
        source
    };
    let source = play();
    let shown: Vec<_> = (0..10).map(|_| numbers(&source.pull())).collect();
    for (frame, got) in shown.iter().enumerate() {
        let time = frame as f64 / 10.0;
        let expected = [2.0 * time - 1.0, 0.0, 0.0, (time - 0.5).abs()];
        assert!(got.iter().zip(expected).all(|(a, b)| (a - b).abs() < 0.02), "frame {frame}: {got:?} {expected:?}");
    }
    // Sought, the curve is where it was.
    source.seek(700);
    assert_eq!(numbers(&source.pull()), shown[7]);
    assert_eq!(play().frames(10), play().frames(10));
}

#[test]
fn truncation_class_and_seed_follow_curves_too() {
    let folder = tempfile::tempdir().unwrap();
    let source =
        Source::paused(&format!("{} {PLAIN}", model(&shows(folder.path()))), "video/x-raw,format=GRAY8,framerate=10/1");
    for (name, from, to) in [("truncation", 0.0, 1.0), ("seed", 3.0, 3.0), ("class", 0.0, 2.0)] {
        let control = gst_controller::InterpolationControlSource::new();
        control.set_mode(gst_controller::InterpolationMode::Linear);
        assert!(control.set(gst::ClockTime::ZERO, from) && control.set(gst::ClockTime::from_seconds(1), to));
        let binding = gst_controller::DirectControlBinding::new_absolute(&source.element, name, &control);
        source.element.add_control_binding(&binding).unwrap();
    }
    source.seek(0);
    source.pipeline.set_state(gst::State::Playing).unwrap();
    let shown: Vec<_> = (0..11).map(|_| numbers(&source.pull())).collect();
    assert!(shown[0].iter().all(|v| v.abs() < 0.01), "{:?}", shown[0]);
    let grows = |i: usize| {
        shown[10][i].abs() < 0.1 || shown[10][i].abs() > 1.2 || (shown[5][i] / shown[10][i] - 0.5).abs() < 0.08
    };
    assert!((0..4).all(grows), "{shown:?}");
    assert_eq!(source.element.property::<u64>("seed"), 3);
}
