//! Frames that leave larger than they come: caps, allocation, and what travels on buffers.

use gst_torch_models::boxes::Rect;
use gsttorch::meta;

use super::*;
use crate::scripted;

#[test]
fn frames_double_in_every_format_and_carry_what_they_came_with() {
    let folder = tempfile::tempdir().unwrap();
    let model = scripted::doubles(folder.path(), "doubles.pt");
    for format in FORMATS {
        for (width, height) in [(1, 1), (17, 31), (64, 48)] {
            let caps = caps(format, width, height);
            let mut harness = with_model(&model, "output-kind=image");
            harness.set_src_caps(caps.clone());
            for number in 0..3 {
                harness.push(frame(&caps, number)).unwrap();
                let got = harness.pull().unwrap();
                assert_eq!(label(&got), label(&frame(&caps, number)), "{format}");
                let out = harness.sinkpad().unwrap().current_caps().unwrap();
                let info = gst_video::VideoInfo::from_caps(&out).unwrap();
                assert_eq!((info.width(), info.height()), (2 * width as u32, 2 * height as u32));
                assert_eq!(info.fps(), gst::Fraction::new(25, 1));
                let came = gst_video::VideoInfo::from_caps(&caps).unwrap();
                assert_eq!(info.colorimetry(), came.colorimetry(), "{format}");
                assert_eq!(got.size(), info.size(), "{format}");
                if ["RGB", "BGR", "GRAY8"].contains(&format) {
                    let step = if format == "GRAY8" { 1 } else { 3 };
                    let (small, large) = (bytes(&frame(&caps, number)), bytes(&got));
                    let at = |x: usize, y: usize| {
                        let small = small[y / 2 * came.stride()[0] as usize + x / 2 * step];
                        (small, large[y * info.stride()[0] as usize + x * step])
                    };
                    for (x, y) in [(0, 0), (1, 1), (2 * width as usize - 1, 2 * height as usize - 1)] {
                        let (small, large) = at(x, y);
                        assert!(small.abs_diff(large) <= 1, "{format} at {x}, {y}: {small} became {large}");
                    }
                }
            }
        }
    }
}

#[test]
fn sizes_are_negotiated_through_it_both_ways() {
    let folder = tempfile::tempdir().unwrap();
    let model = scripted::doubles(folder.path(), "doubles.pt");
    // What comes before is told half of what comes after wants; what comes after, twice of what there is.
    for line in [
        "videotestsrc num-buffers=3 ! torchrestore name=r MODEL ! video/x-raw,width=128,height=96 ! fakesink name=sink",
        "videotestsrc num-buffers=3 ! video/x-raw,width=64,height=48 ! torchrestore name=r MODEL ! fakesink name=sink",
        "videotestsrc num-buffers=3 ! video/x-raw,width=64,height=48 ! torchrestore name=r MODEL ! videoconvert \
         ! xvimagesink-none name=sink",
    ] {
        let line = line.replace("MODEL", &format!("model-file={} output-kind=image", model.display()));
        let pipeline = launch(&line.replace("xvimagesink-none", "fakesink"));
        common::play_to_eos(&pipeline);
        let restore = pipeline.by_name("r").unwrap();
        let size = |pad: &str| {
            let caps = restore.static_pad(pad).unwrap().current_caps().unwrap();
            let info = gst_video::VideoInfo::from_caps(&caps).unwrap();
            (info.width(), info.height())
        };
        assert_eq!((size("sink"), size("src")), ((64, 48), (128, 96)), "{line}");
        assert_eq!(stats(&restore).get::<u64>("frames").unwrap(), 3);
        pipeline.set_state(gst::State::Null).unwrap();
    }
    let odd = launch(&format!(
        "videotestsrc num-buffers=3 ! torchrestore model-file={} ! video/x-raw,width=65,height=96 ! fakesink",
        model.display()
    ));
    let failed = odd.set_state(gst::State::Playing).is_err()
        || odd
            .bus()
            .unwrap()
            .timed_pop_filtered(gst::ClockTime::from_seconds(20), &[gst::MessageType::Error])
            .is_some();
    odd.set_state(gst::State::Null).unwrap();
    assert!(failed, "no size becomes 65 when doubled");
}

/// Links of a launch line are made before anything is loaded.
#[test]
fn caps_on_both_sides_are_linked_before_a_model_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let model = scripted::doubles(folder.path(), "doubles.pt");
    let doubles = format!("torchrestore model-file={} output-kind=image", model.display());
    for (elements, (width, height)) in [
        ("torchrestore task=super-resolution", (64, 48)),
        ("torchrestore task=super-resolution scale=4", (128, 96)),
        ("torchrestore model-file=super-resolution-x4", (128, 96)),
        ("torchrestore model-file=super-resolution-x2 ! torchrestore task=super-resolution", (128, 96)),
        ("torchrestore ! torchrestore task=super-resolution ! torchrestore task=low-light", (64, 48)),
        ("torchrestore task=super-resolution ! videoconvert ! capsfilter caps=video/x-raw,format=RGB", (64, 48)),
        ("torchrestore", (32, 24)),
        // What the file does shows only once it is loaded.
        (&doubles, (64, 48)),
    ] {
        let pipeline = launch(&format!(
            "videotestsrc num-buffers=3 ! video/x-raw,format=NV12,width=32,height=24,framerate=25/1 ! {elements} \
             ! video/x-raw,width={width},height={height} ! fakesink name=sink"
        ));
        common::play_to_eos(&pipeline);
        assert_eq!(stats(&pipeline.by_name("sink").unwrap()).get::<u64>("rendered").unwrap(), 3, "{elements}");
        pipeline.set_state(gst::State::Null).unwrap();
    }
    common::init();
    let wrong = "videotestsrc ! video/x-raw,width=32,height=24 ! torchrestore task=super-resolution \
                 ! video/x-raw,width=32,height=24 ! fakesink";
    assert!(gst::parse::launch(wrong).is_err(), "twice the size is not the size");
}

#[test]
fn allocation_is_answered_for_the_size_that_comes() {
    let folder = tempfile::tempdir().unwrap();
    let model = scripted::doubles(folder.path(), "doubles.pt");
    let caps = caps("NV12", 64, 48);
    let mut harness = with_model(&model, "output-kind=image");
    harness.set_src_caps(caps.clone());
    let mut query = gst::query::Allocation::new(Some(&caps), true);
    assert!(harness.srcpad().unwrap().peer_query(&mut query));
    assert!(query.find_allocation_meta::<gst_video::VideoMeta>().is_some());
    let info = gst_video::VideoInfo::from_caps(&caps).unwrap();
    let (pool, size, ..) = query.allocation_pools().next().unwrap();
    assert_eq!(size as usize, info.size());
    let pool = pool.unwrap();
    pool.set_active(true).unwrap();
    assert!(pool.acquire_buffer(None).unwrap().size() >= info.size());
    pool.set_active(false).unwrap();
}

#[test]
fn boxes_grow_with_the_frame() {
    let folder = tempfile::tempdir().unwrap();
    let model = scripted::doubles(folder.path(), "doubles.pt");
    let caps = caps("I420", 64, 48);
    let mut harness = with_model(&model, "output-kind=image");
    harness.set_src_caps(caps.clone());
    let object = |id, rect| meta::Object {
        id,
        parent: None,
        label: "face".into(),
        confidence: 0.75,
        rect,
        track: Some(u64::from(id as u32) + 3),
    };
    let mut buffer = frame(&caps, 0);
    let ours = object(1, Rect { x: 3.25, y: 4.5, w: 20.0, h: 10.5 });
    meta::set_objects(buffer.get_mut().unwrap(), std::slice::from_ref(&ours));
    let mut foreign = gst_video::VideoRegionOfInterestMeta::add(buffer.get_mut().unwrap(), "plate", (8, 9, 10, 11));
    foreign.set_id(7);
    foreign.add_param(gst::Structure::builder("roi/x264enc").field("delta-qp", -3i32).build());
    harness.push(buffer).unwrap();
    let got = harness.pull().unwrap();
    let objects = meta::objects(&got);
    assert_eq!(objects.len(), 2, "{objects:?}");
    assert_eq!(objects[0], object(1, Rect { x: 6.5, y: 9.0, w: 40.0, h: 21.0 }));
    assert_eq!((objects[1].label.as_str(), objects[1].rect), ("plate", Rect { x: 16.0, y: 18.0, w: 20.0, h: 22.0 }));
    let kept = got.iter_meta::<gst_video::VideoRegionOfInterestMeta>().any(|meta| meta.param("roi/x264enc").is_some());
    assert!(kept, "what others hung on their region stays on it");
    // One layout a frame: the one of the new buffer.
    assert!(got.iter_meta::<gst_video::VideoMeta>().all(|meta| (meta.width(), meta.height()) == (128, 96)));
}

#[test]
fn frames_that_are_late_or_fail_leave_enlarged_plainly() {
    let folder = tempfile::tempdir().unwrap();
    let model = scripted::restorer(folder.path(), "throws.pt", 3, "", |x| {
        let index = (x.mean(tch::Kind::Float).view([1]) * 1.4).to_kind(tch::Kind::Int64);
        let spread: Vec<_> = (0..3).flat_map(|c| (0..4).map(move |_| c)).map(|c| x.narrow(1, c, 1)).collect();
        let large = tch::Tensor::cat(&spread, 1).pixel_shuffle(2);
        vec![large * 0.5 + x.index_select(0, &index).mean(tch::Kind::Float) * 0.0]
    });
    let caps = caps("RGB", 64, 48);
    let mut harness = with_model(&model, "output-kind=image");
    harness.set_src_caps(caps.clone());
    for (number, level, expected) in [(0, 100, 50), (1, 230, 230), (2, 100, 50)] {
        let mut buffer = frame(&caps, number);
        buffer.get_mut().unwrap().map_writable().unwrap().fill(level);
        let before = label(&buffer);
        harness.push(buffer).unwrap();
        let got = harness.pull().unwrap();
        assert_eq!(label(&got), before);
        assert_eq!(got.size(), 128 * 96 * 3);
        assert!(bytes(&got).iter().all(|v| v.abs_diff(expected) <= 1), "{level}");
    }
    // Half the strength is half of both.
    harness.element().unwrap().set_property("strength", 0.5f32);
    let mut buffer = frame(&caps, 3);
    buffer.get_mut().unwrap().map_writable().unwrap().fill(100);
    harness.push(buffer).unwrap();
    assert!(bytes(&harness.pull().unwrap()).iter().all(|v| v.abs_diff(75) <= 1));
}
