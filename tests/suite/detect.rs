//! torchdetect in every format and situation a pipeline can bring about, with networks whose answer is known.

use std::path::Path;

use gst::prelude::*;
use gsttorch::meta;

use crate::{common, scripted};

const FORMATS: [&str; 10] = ["I420", "NV12", "YUY2", "RGB", "BGR", "RGBA", "BGRA", "RGBx", "BGRx", "GRAY8"];

/// A harness says that it is live; these tests are about files, where frames wait for the model.
fn harness(model: &Path, settings: &str) -> gst_check::Harness {
    common::init();
    let line = format!("torchdetect precision=fp32 late-policy=block model-file={} {settings}", model.display());
    gst_check::Harness::with_element(&gst::parse::launch(&line).unwrap(), Some("sink"), Some("src"))
}

fn caps(format: &str, width: i32, height: i32) -> gst::Caps {
    common::init();
    gst::Caps::builder("video/x-raw")
        .field("format", format)
        .field("width", width)
        .field("height", height)
        .field("framerate", gst::Fraction::new(25, 1))
        .field("colorimetry", if format.starts_with(['R', 'B']) { "sRGB" } else { "bt709" })
        .build()
}

/// A frame of one grey level, 0 (black) to 255 (white), its numbers in the limited range where the format has one.
fn frame(caps: &gst::Caps, level: u8, number: u64) -> gst::Buffer {
    let info = gst_video::VideoInfo::from_caps(caps).unwrap();
    let mut buffer = gst::Buffer::with_size(info.size()).unwrap();
    {
        let buffer = buffer.get_mut().unwrap();
        buffer.set_pts(gst::ClockTime::from_mseconds(40 * number));
        buffer.set_duration(gst::ClockTime::from_mseconds(40));
    }
    let mut frame = gst_video::VideoFrame::from_buffer_writable(buffer, &info).unwrap();
    let luma = (16.0 + f32::from(level) * 219.0 / 255.0).round() as u8;
    match info.format() {
        gst_video::VideoFormat::I420 | gst_video::VideoFormat::Nv12 => {
            frame.plane_data_mut(0).unwrap().fill(luma);
            (1..info.n_planes()).for_each(|p| frame.plane_data_mut(p).unwrap().fill(128));
        }
        gst_video::VideoFormat::Yuy2 => {
            frame.plane_data_mut(0).unwrap().chunks_mut(2).for_each(|pair| pair.copy_from_slice(&[luma, 128]));
        }
        gst_video::VideoFormat::Gray8 => frame.plane_data_mut(0).unwrap().fill(luma),
        _ => frame.plane_data_mut(0).unwrap().fill(level),
    }
    frame.into_buffer()
}

fn ms(milliseconds: u64) -> gst::ClockTime {
    gst::ClockTime::from_mseconds(milliseconds)
}

fn labels(buffer: &gst::Buffer) -> Vec<String> {
    meta::objects(buffer).into_iter().map(|object| object.label).collect()
}

#[test]
fn every_format_gives_the_same_box_and_leaves_the_frame_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let model = scripted::brightness(folder.path(), "brightness.pt", 0);
    for format in FORMATS {
        for (width, height) in [(320, 240), (321, 243), (66, 50)] {
            let caps = caps(format, width, height);
            let mut harness = harness(&model, "");
            harness.set_src_caps(caps.clone());
            let sent = frame(&caps, 200, 3);
            let before = sent.map_readable().unwrap().to_vec();
            harness.push(sent).unwrap();
            let got = harness.pull().unwrap();
            assert_eq!(*got.map_readable().unwrap(), *before, "{format}");
            assert_eq!((got.pts(), got.duration()), (Some(ms(120)), Some(ms(40))), "{format}");
            let objects = meta::objects(&got);
            assert_eq!(objects.len(), 1, "{format} {width}x{height}");
            // The letterbox bars are grey 114: the brightness is the mean of frame and bars.
            let filled = f64::from(height) / f64::from(width);
            let expected = (200.0 * filled + 114.0 * (1.0 - filled)) / 255.0;
            assert!((objects[0].confidence - expected).abs() < 0.02, "{format}: {}, {expected}", objects[0].confidence);
            let rect = objects[0].rect;
            assert!((rect.x - width as f32 / 2.0).abs() < 1.0 && rect.y == 0.0, "{format}: {rect:?}");
            assert!((rect.w - width as f32 / 2.0).abs() < 1.0 && (rect.h - height as f32).abs() < 1e-3, "{rect:?}");
        }
    }
}

#[test]
fn padded_strides_are_honoured() {
    let folder = tempfile::tempdir().unwrap();
    let model = scripted::brightness(folder.path(), "brightness.pt", 0);
    let caps = caps("GRAY8", 60, 60);
    let mut harness = harness(&model, "");
    harness.set_src_caps(caps);
    // White padding right of black pixels: reading it would show.
    let (stride, rows) = (128usize, 60usize);
    let mut data = vec![255u8; stride * rows];
    data.chunks_mut(stride).for_each(|row| row[..60].fill(16));
    let mut buffer = gst::Buffer::from_mut_slice(data);
    let writable = buffer.get_mut().unwrap();
    let flags = gst_video::VideoFrameFlags::empty();
    gst_video::VideoMeta::add_full(writable, flags, gst_video::VideoFormat::Gray8, 60, 60, &[0], &[stride as i32])
        .unwrap();
    harness.element().unwrap().set_property("class-confidence-threshold", 0.0f32);
    harness.push(buffer).unwrap();
    let objects = meta::objects(&harness.pull().unwrap());
    assert!(objects.iter().all(|object| object.confidence < 0.01), "{objects:?}");
}

#[test]
fn thresholds_and_model_change_while_playing() {
    let folder = tempfile::tempdir().unwrap();
    let first = scripted::brightness(folder.path(), "first.pt", 0);
    let second = scripted::brightness(folder.path(), "second.pt", 1);
    let caps = caps("RGB", 64, 64);
    let mut harness = harness(&first, "");
    let element = harness.element().unwrap();
    harness.set_src_caps(caps.clone());
    let show = |harness: &mut gst_check::Harness, number| {
        harness.push(frame(&caps, 200, number)).unwrap();
        labels(&harness.pull().unwrap())
    };
    assert_eq!(show(&mut harness, 0), ["thing"]);
    element.set_property("class-confidence-threshold", 0.9f32);
    assert!(show(&mut harness, 1).is_empty());
    element.set_property("class-confidence-threshold", 0.4f32);

    element.set_property("model-file", second.to_str().unwrap());
    let swapped = (2..500).find(|number| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        let labels = show(&mut harness, *number);
        assert!(labels == ["thing"] || labels == ["other"], "{labels:?}: one of the models, on every frame");
        labels == ["other"]
    });
    assert!(swapped.is_some(), "the second model takes over");
}

#[test]
fn a_bad_file_named_while_playing_leaves_the_old_model_running() {
    let folder = tempfile::tempdir().unwrap();
    let model = scripted::brightness(folder.path(), "good.pt", 0);
    let bad = folder.path().join("bad.pt");
    std::fs::write(&bad, b"PK\x03\x04 not really").unwrap();
    let caps = caps("RGB", 64, 64);
    let mut harness = harness(&model, "");
    let bus = gst::Bus::new();
    harness.element().unwrap().set_bus(Some(&bus));
    harness.set_src_caps(caps.clone());
    harness.element().unwrap().set_property("model-file", bad.to_str().unwrap());
    let warning = bus.timed_pop_filtered(gst::ClockTime::from_seconds(20), &[gst::MessageType::Warning]).unwrap();
    let gst::MessageView::Warning(warning) = warning.view() else { panic!("not a warning") };
    let text = format!("{} {:?}", warning.error(), warning.debug());
    assert!(text.contains("bad.pt"), "{text}");
    harness.push(frame(&caps, 200, 0)).unwrap();
    assert_eq!(labels(&harness.pull().unwrap()), ["thing"]);
}

#[test]
fn caps_changes_flushes_and_state_cycles_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let model = scripted::brightness(folder.path(), "brightness.pt", 0);
    let mut harness = harness(&model, "");
    for (round, format) in FORMATS.iter().cycle().take(12).enumerate() {
        let caps = caps(format, 64 + 2 * round as i32, 48);
        harness.set_src_caps(caps.clone());
        for number in 0..5 {
            harness.push(frame(&caps, 220, number)).unwrap();
        }
        for number in 0..5 {
            let buffer = harness.pull().unwrap();
            assert_eq!(buffer.pts(), Some(ms(40 * number)));
            assert_eq!(labels(&buffer).len(), 1, "{format}");
        }
        if round % 3 == 0 {
            common::flush(&mut harness);
        }
    }
    // EOS lets everything out first.
    let caps = caps("I420", 64, 64);
    harness.set_src_caps(caps.clone());
    (0..7).for_each(|number| assert!(harness.push(frame(&caps, 220, number)).is_ok()));
    harness.push_event(gst::event::Eos::new());
    (0..7).for_each(|_| assert_eq!(labels(&harness.pull().unwrap()).len(), 1));
    let eos = std::iter::from_fn(|| harness.pull_event().ok()).any(|event| event.type_() == gst::EventType::Eos);
    assert!(eos);
}

#[test]
fn three_states_of_one_model_in_the_cache() {
    common::init();
    let folder = tempfile::tempdir().unwrap();
    let path = scripted::brightness(folder.path(), "shared.pt", 0);
    let open = || gst_torch_models::builtin::open(path.to_str().unwrap()).unwrap();
    let load = || open().load("cpu".parse().unwrap(), "fp32".parse().unwrap()).unwrap();
    let first = load();
    let second = load();
    assert!(std::sync::Arc::ptr_eq(&first, &second), "loaded and shared");
    let weak = std::sync::Arc::downgrade(&first);
    drop((first, second));
    assert!(weak.upgrade().is_none(), "gone with its last user");
    let third = load();
    std::fs::write(&path, std::fs::read(scripted::brightness(folder.path(), "other.pt", 1)).unwrap()).unwrap();
    assert!(!std::sync::Arc::ptr_eq(&third, &load()), "another file under the same name is another model");
}

#[test]
fn elements_share_a_model_and_keep_it_over_ready() {
    common::init();
    let line = "videotestsrc num-buffers=8 ! video/x-raw,width=320,height=240 ! torchdetect name=a ! fakesink \
                videotestsrc num-buffers=8 ! video/x-raw,width=640,height=360 ! torchdetect name=b ! fakesink";
    let pipeline = gst::parse::launch(line).unwrap().downcast::<gst::Pipeline>().unwrap();
    for _ in 0..3 {
        pipeline.set_state(gst::State::Playing).unwrap();
        let bus = pipeline.bus().unwrap();
        let end = bus
            .timed_pop_filtered(gst::ClockTime::from_seconds(120), &[gst::MessageType::Eos, gst::MessageType::Error]);
        assert_eq!(end.unwrap().type_(), gst::MessageType::Eos);
        for name in ["a", "b"] {
            let stats: gst::Structure = pipeline.by_name(name).unwrap().property("stats");
            assert_eq!(stats.get::<u64>("frames").unwrap(), 8);
            assert!(stats.get::<f64>("p99").unwrap() >= stats.get::<f64>("p50").unwrap());
            assert_eq!(stats.get::<String>("device").unwrap(), "cpu");
            assert!(stats.get::<u64>("memory").unwrap() > 0 && !stats.get::<String>("engine").unwrap().is_empty());
        }
        pipeline.set_state(gst::State::Ready).unwrap();
    }
    pipeline.set_state(gst::State::Null).unwrap();
}

#[test]
fn inference_interval_leaves_the_frames_between_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let model = scripted::brightness(folder.path(), "brightness.pt", 0);
    let caps = caps("RGB", 64, 64);
    let mut harness = harness(&model, "inference-interval=3");
    harness.set_src_caps(caps.clone());
    let ran: Vec<bool> = (0..7)
        .map(|number| {
            harness.push(frame(&caps, 200, number)).unwrap();
            meta::inference_ran(&harness.pull().unwrap())
        })
        .collect();
    assert_eq!(ran, [true, false, false, true, false, false, true]);
}

#[test]
fn objects_of_an_element_before_are_looked_at_one_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let model = scripted::brightness(folder.path(), "brightness.pt", 0);
    let caps = caps("RGB", 128, 64);
    let mut harness = harness(&model, "inference-region=roi-list object-class=face");
    harness.set_src_caps(caps.clone());
    let mut buffer = frame(&caps, 230, 0);
    let object = |id, label: &str, x| meta::Object {
        id,
        parent: None,
        label: label.into(),
        confidence: 0.9,
        rect: gst_torch_models::boxes::Rect { x, y: 0.0, w: 40.0, h: 40.0 },
        track: None,
    };
    meta::set_objects(buffer.get_mut().unwrap(), &[object(1, "face", 10.0), object(2, "hand", 80.0)]);
    harness.push(buffer).unwrap();
    let objects = meta::objects(&harness.pull().unwrap());
    assert_eq!(objects.len(), 3, "{objects:?}");
    let found = &objects[2];
    assert_eq!((found.parent, found.label.as_str()), (Some(1), "thing"));
    assert!((found.rect.x - 30.0).abs() < 0.6 && (found.rect.w - 20.0).abs() < 0.6, "the right half of the face");
}
