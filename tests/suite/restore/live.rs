//! Live streams, and what is changed while they play.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::*;
use crate::scripted;

/// Plays 60 live frames of 100 a second through a model that does far fewer; frames out, skipped, and how many are dark.
fn overload(policy: &str) -> (u64, u64, u64) {
    let folder = tempfile::tempdir().unwrap();
    let model = scripted::slow_restorer(folder.path(), "slow.pt", 40);
    let pipeline = launch(&format!(
        "videotestsrc is-live=true num-buffers=60 pattern=white ! video/x-raw,format=GRAY8,width=64,height=64,framerate=100/1 \
         ! torchrestore name=restore model-file={} input-colour=rgb precision=fp32 late-policy={policy} \
         ! fakesink name=sink sync=false",
        model.display()
    ));
    let dark = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&dark);
    let pad = pipeline.by_name("restore").unwrap().static_pad("src").unwrap();
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let buffer = info.buffer().unwrap();
        seen.fetch_add(u64::from(buffer.map_readable().unwrap()[0] < 150), Ordering::SeqCst);
        gst::PadProbeReturn::Ok
    });
    common::play_to_eos(&pipeline);
    let rendered = stats(&pipeline.by_name("sink").unwrap()).get::<u64>("rendered").unwrap();
    let skipped = stats(&pipeline.by_name("restore").unwrap()).get::<u64>("skipped").unwrap();
    pipeline.set_state(gst::State::Null).unwrap();
    (rendered, skipped, dark.load(Ordering::SeqCst))
}

#[test]
fn late_policy_decides_what_becomes_of_frames_the_model_has_no_time_for() {
    assert_eq!(overload("block"), (60, 0, 60));
    for policy in ["auto", "passthrough"] {
        let (frames, skipped, restored) = overload(policy);
        assert_eq!(frames, 60, "{policy}: every frame arrives");
        assert!(skipped > 0 && restored > 0, "{policy}: {skipped} and {restored}");
        assert_eq!(restored + skipped, 60, "{policy}: a frame is restored, or counted as skipped");
    }
    let (frames, skipped, restored) = overload("skip");
    assert!(skipped > 0 && frames + skipped == 60 && restored == frames, "{frames}, {skipped} and {restored}");
}

#[test]
fn task_and_model_change_while_playing_and_no_frame_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let halves = scripted::halves(folder.path(), "halves.pt");
    let quarters = scripted::restorer(folder.path(), "quarters.pt", 3, "", |x| vec![x * 0.25 + 0.7]);
    let caps = caps("GRAY8", 64, 48);
    let mut harness = with_model(&halves, "");
    let element = harness.element().unwrap();
    harness.set_src_caps(caps.clone());
    let mut number = 0;
    let mut until = |harness: &mut gst_check::Harness, done: &dyn Fn(u8, u8) -> bool| {
        for _ in 0..1000 {
            let sent = frame(&caps, number);
            let (expected, was) = (label(&sent), bytes(&sent)[0]);
            harness.push(sent).unwrap();
            let got = harness.pull().unwrap();
            assert_eq!(label(&got), expected);
            number += 1;
            if done(was, bytes(&got)[0]) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the other model takes over");
    };
    until(&mut harness, &|was, is| is.abs_diff(was / 2) <= 1);
    element.set_property("model-file", quarters.to_str().unwrap());
    until(&mut harness, &|was, is| is.abs_diff(was / 4 + 178) <= 2);
    // Back to a task, without a file.
    element.set_property("model-file", None::<&str>);
    until(&mut harness, &|was, is| is.abs_diff(was) <= 12);
    element.set_property_from_str("task", "custom");
    element.set_property("model-file", halves.to_str().unwrap());
    until(&mut harness, &|was, is| is.abs_diff(was / 2) <= 1);
}

#[test]
fn a_swap_to_another_size_changes_caps_between_two_frames() {
    let folder = tempfile::tempdir().unwrap();
    let (halves, doubles) =
        (scripted::halves(folder.path(), "halves.pt"), scripted::doubles(folder.path(), "doubles.pt"));
    let caps = caps("RGB", 64, 48);
    let mut harness = with_model(&halves, "output-kind=image");
    let element = harness.element().unwrap();
    harness.set_src_caps(caps.clone());
    let mut sizes = Vec::new();
    for number in 0..400 {
        harness.push(frame(&caps, number)).unwrap();
        let got = harness.pull().unwrap();
        assert_eq!(label(&got), label(&frame(&caps, number)));
        sizes.push(got.size());
        match number {
            5 => element.set_property("model-file", doubles.to_str().unwrap()),
            _ if sizes.last() == Some(&(128 * 96 * 3)) => {
                element.set_property("model-file", halves.to_str().unwrap());
            }
            _ if sizes.contains(&(128 * 96 * 3)) => break,
            _ => std::thread::sleep(Duration::from_millis(10)),
        }
    }
    assert_eq!(sizes.last(), Some(&(64 * 48 * 3)), "{sizes:?}");
    // They left before the frames that were pulled.
    let events = std::iter::from_fn(|| harness.try_pull_event());
    let widths: Vec<i32> = events
        .filter_map(|event| match event.view() {
            gst::EventView::Caps(caps) => caps.caps().structure(0).unwrap().get("width").ok(),
            _ => None,
        })
        .collect();
    assert_eq!(widths, [64, 128, 64]);
}

#[test]
fn a_size_that_nobody_takes_leaves_the_old_model_running() {
    for (property, value) in [("task", "super-resolution"), ("model-file", "super-resolution-x2")] {
        let pipeline = launch(
            "videotestsrc is-live=true ! video/x-raw,format=I420,width=64,height=48,framerate=50/1 \
             ! torchrestore name=restore late-policy=block ! identity ! video/x-raw,width=64 ! fakesink name=sink",
        );
        pipeline.set_state(gst::State::Playing).unwrap();
        let bus = pipeline.bus().unwrap();
        let passed = |more: u64| {
            let rendered = || stats(&pipeline.by_name("sink").unwrap()).get::<u64>("rendered").unwrap();
            let goal = rendered() + more;
            for _ in 0..2000 {
                if rendered() >= goal {
                    return;
                }
                if let Some(error) = bus.pop_filtered(&[gst::MessageType::Error]) {
                    panic!("{error:?}");
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            panic!("the stream stands still");
        };
        passed(5);
        let restore = pipeline.by_name("restore").unwrap();
        restore.set_property_from_str(property, value);
        let wanted = [gst::MessageType::Warning, gst::MessageType::Error];
        let warning = bus.timed_pop_filtered(gst::ClockTime::from_seconds(60), &wanted).unwrap();
        let gst::MessageView::Warning(warning) = warning.view() else { panic!("not a warning: {warning:?}") };
        let text = format!("{} {:?}", warning.error(), warning.debug());
        for word in [property, "super-resolution-x2", "128x96", "64x48", "the model before goes on"] {
            assert!(text.contains(word), "{word}: {text}");
        }
        passed(10);
        // A model of the same size takes over as ever.
        restore.set_property("model-file", "deblock");
        for _ in 0..2000 {
            if stats(&restore).get::<&str>("model").is_ok_and(|model| model == "deblock") {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(stats(&restore).get::<&str>("model").unwrap(), "deblock");
        passed(5);
        pipeline.set_state(gst::State::Null).unwrap();
    }
}

#[test]
fn a_bad_file_named_while_playing_leaves_the_old_model_running() {
    let folder = tempfile::tempdir().unwrap();
    let model = scripted::halves(folder.path(), "good.pt");
    let bad = scripted::restorer(folder.path(), "bad.pt", 3, "", |x| vec![x.mean(tch::Kind::Float)]);
    let caps = caps("GRAY8", 64, 48);
    let mut harness = with_model(&model, "");
    let bus = gst::Bus::new();
    harness.element().unwrap().set_bus(Some(&bus));
    harness.set_src_caps(caps.clone());
    harness.element().unwrap().set_property("model-file", bad.to_str().unwrap());
    let warning = bus.timed_pop_filtered(gst::ClockTime::from_seconds(30), &[gst::MessageType::Warning]).unwrap();
    let gst::MessageView::Warning(warning) = warning.view() else { panic!("not a warning") };
    let text = format!("{} {:?}", warning.error(), warning.debug());
    assert!(text.contains("bad.pt") && text.contains("the model before goes on"), "{text}");
    harness.push(frame(&caps, 0)).unwrap();
    let (was, is) = (bytes(&frame(&caps, 0))[0], bytes(&harness.pull().unwrap())[0]);
    assert!(is.abs_diff(was / 2) <= 1);
}

#[test]
fn detected_boxes_are_restored_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let detector = scripted::brightness(folder.path(), "brightness.pt", 0);
    let model = scripted::halves(folder.path(), "halves.pt");
    // The detector finds a box over the right half.
    let pipeline = launch(&format!(
        "videotestsrc num-buffers=4 pattern=white ! video/x-raw,format=RGB,width=256,height=256 \
         ! torchdetect model-file={} ! torchrestore model-file={} inference-region=roi-list object-class=thing \
         ! appsink name=sink sync=false",
        detector.display(),
        model.display()
    ));
    let sink = pipeline.by_name("sink").unwrap().downcast::<gst_app::AppSink>().unwrap();
    let frames = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&frames);
    let keep = move |sink: &gst_app::AppSink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        seen.lock().unwrap().push(bytes(sample.buffer().unwrap()));
        Ok(gst::FlowSuccess::Ok)
    };
    sink.set_callbacks(gst_app::AppSinkCallbacks::builder().new_sample(keep).build());
    common::play_to_end(&pipeline);
    let frames = frames.lock().unwrap();
    assert_eq!(frames.len(), 4);
    for frame in frames.iter() {
        let at = |x: usize, y: usize| frame[(y * 256 + x) * 3];
        assert!((0..256).all(|y| (0..126).all(|x| at(x, y) == 255)), "the left half is as it came");
        assert!((0..256).all(|y| (140..256).all(|x| at(x, y).abs_diff(128) <= 1)), "the right half is restored");
    }
}
