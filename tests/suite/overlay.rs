//! `torchoverlay` on real frames of every format it takes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use gst::prelude::*;
use gst_torch_models::boxes::Rect;
use gst_video::prelude::*;
use gsttorch::meta::{Object, set_objects};

use crate::common;

const FORMATS: [&str; 10] = ["RGB", "BGR", "RGBA", "BGRA", "RGBx", "BGRx", "GRAY8", "I420", "NV12", "YUY2"];
/// The overlay's first colour, that of track 0.
const GREEN: [u8; 3] = [34, 244, 3];

fn tracked(rect: (f32, f32, f32, f32), track: u64) -> Object {
    let (x, y, w, h) = rect;
    let rect = Rect { x, y, w, h };
    Object { id: 1, parent: None, label: "car".into(), confidence: 0.5, rect, track: Some(track) }
}

/// One frame of `format`, of a real clip where there is one.
fn frame(format: &str, width: i32, height: i32) -> gst::Sample {
    common::init();
    let source = match common::data("carnd-lanelines/test_videos/solidWhiteRight.mp4") {
        Some(clip) => format!("filesrc location={} ! decodebin", clip.display()),
        None => "videotestsrc pattern=smpte".to_string(),
    };
    let line = format!(
        "{source} ! videoconvert ! videoscale add-borders=false \
         ! video/x-raw,format={format},width={width},height={height},pixel-aspect-ratio=1/1 ! fakesink name=sink"
    );
    let pipeline = gst::parse::launch(&line).unwrap().downcast::<gst::Pipeline>().unwrap();
    let sink = pipeline.by_name("sink").unwrap();
    sink.set_property("enable-last-sample", true);
    pipeline.set_state(gst::State::Paused).unwrap();
    let (result, ..) = pipeline.state(gst::ClockTime::from_seconds(30));
    result.unwrap();
    let sample = sink.property::<gst::Sample>("last-sample");
    pipeline.set_state(gst::State::Null).unwrap();
    sample
}

fn overlay(properties: &str, caps: &gst::CapsRef) -> gst_check::Harness {
    common::init();
    let mut harness = gst_check::Harness::new_parse(&format!("torchoverlay {properties}"));
    harness.set_src_caps(caps.to_owned());
    harness
}

/// What `torchoverlay` makes of a frame that carries `objects`.
fn drawn(properties: &str, sample: &gst::Sample, objects: &[Object]) -> gst::Sample {
    let mut harness = overlay(properties, sample.caps().unwrap());
    let mut buffer = sample.buffer_owned().unwrap();
    set_objects(buffer.make_mut(), objects);
    harness.push(buffer).unwrap();
    gst::Sample::builder().buffer(&harness.pull().unwrap()).caps(&sample.caps_owned().unwrap()).build()
}

/// The frame as RGB, rows without gaps.
fn rgb(sample: &gst::Sample) -> Vec<[u8; 3]> {
    let info = gst_video::VideoInfo::from_caps(sample.caps().unwrap()).unwrap();
    let to = gst_video::VideoInfo::builder(gst_video::VideoFormat::Rgb, info.width(), info.height()).build().unwrap();
    let converted = gst_video::convert_sample(sample, &to.to_caps().unwrap(), gst::ClockTime::from_seconds(10).into());
    let converted = converted.unwrap();
    let frame = gst_video::VideoFrame::from_buffer_readable(converted.buffer_owned().unwrap(), &to).unwrap();
    let data = frame.plane_data(0).unwrap();
    let pixel = |row: &[u8], x: usize| [row[3 * x], row[3 * x + 1], row[3 * x + 2]];
    data.chunks(frame.plane_stride()[0] as usize)
        .flat_map(|row| (0..info.width() as usize).map(move |x| pixel(row, x)))
        .collect()
}

fn difference(a: [u8; 3], b: [u8; 3]) -> i32 {
    a.iter().zip(b).map(|(a, b)| (i32::from(*a) - i32::from(b)).abs()).max().unwrap()
}

#[test]
fn every_format_gets_the_right_colour_in_the_right_place_and_nothing_else() {
    let (width, height) = (320usize, 240usize);
    let style = "line-width=4 draw-labels=false draw-confidence=false draw-ids=false";
    for format in FORMATS {
        let before = frame(format, width as i32, height as i32);
        let after = drawn(style, &before, &[tracked((100.0, 60.0, 80.0, 40.0), 0)]);
        let (before, after) = (rgb(&before), rgb(&after));
        // GRAY8 is full range: luma by BT.601.
        let expected = if format == "GRAY8" { [154; 3] } else { GREEN };
        for y in 0..height {
            for x in 0..width {
                let at = y * width + x;
                // Two pixels either way for what interpolating chroma does on the way to RGB.
                let inside = |m: usize| (100 + m..180 - m).contains(&x) && (60 + m..100 - m).contains(&y);
                let near = (98..182).contains(&x) && (58..102).contains(&y) && !inside(6);
                let on_line = inside(1) && !inside(3);
                if on_line {
                    assert!(difference(after[at], expected) <= 6, "{format} {x},{y}: {:?}", after[at]);
                } else if !near {
                    assert_eq!(after[at], before[at], "{format} at {x},{y}");
                }
            }
        }
    }
}

#[test]
fn matrix_and_range_of_the_frame_are_heeded() {
    common::init();
    for colorimetry in ["bt601", "bt709", "1:1:5:1", "1:4:0:1"] {
        let caps: gst::Caps =
            format!("video/x-raw,format=I420,width=64,height=64,framerate=30/1,colorimetry={colorimetry}")
                .parse()
                .unwrap();
        let info = gst_video::VideoInfo::from_caps(&caps).unwrap();
        let buffer = gst::Buffer::from_mut_slice(vec![128u8; info.size()]);
        let sample = gst::Sample::builder().buffer(&buffer).caps(&caps).build();
        let after = drawn("line-width=1000", &sample, &[tracked((0.0, 0.0, 64.0, 64.0), 0)]);
        let bottom = rgb(&after)[63 * 64 + 32];
        assert!(difference(bottom, GREEN) <= 6, "{colorimetry}: {bottom:?}");
    }
}

#[test]
fn a_frame_with_nothing_on_it_is_passed_on_untouched_and_unshared() {
    let sample = frame("I420", 320, 240);
    let mut harness = overlay("object-class=person", sample.caps().unwrap());
    let mut with_hidden_object = sample.buffer_owned().unwrap();
    set_objects(with_hidden_object.make_mut(), &[tracked((10.0, 10.0, 50.0, 50.0), 1)]);
    for buffer in [sample.buffer_owned().unwrap(), with_hidden_object] {
        let address = buffer.as_ptr();
        // A second reference, which would force a copy on whoever wants to write.
        let shared = buffer.clone();
        harness.push(buffer).unwrap();
        assert_eq!(harness.pull().unwrap().as_ptr(), address);
        drop(shared);
    }
}

#[test]
fn a_shared_frame_is_not_drawn_on_for_the_others() {
    let sample = frame("NV12", 320, 240);
    let mut harness = overlay("", sample.caps().unwrap());
    let mut buffer = sample.buffer_owned().unwrap();
    set_objects(buffer.make_mut(), &[tracked((50.0, 50.0, 100.0, 100.0), 1)]);
    let shared = buffer.clone();
    let before = shared.map_readable().unwrap().to_vec();
    harness.push(buffer).unwrap();
    let after = harness.pull().unwrap();
    assert_eq!(*shared.map_readable().unwrap(), before);
    assert_ne!(*after.map_readable().unwrap(), before);
    assert_eq!((after.pts(), after.duration()), (shared.pts(), shared.duration()));
    assert_eq!(gsttorch::meta::objects(&after), gsttorch::meta::objects(&shared));
}

#[test]
fn padded_rows_and_planes_are_drawn_on_where_the_picture_is() {
    common::init();
    let (width, height) = (33u32, 17u32);
    let info = gst_video::VideoInfo::builder(gst_video::VideoFormat::I420, width, height).build().unwrap();
    let strides = [80usize, 56, 48];
    let rows = [17usize, 9, 9];
    let offsets = [16, 16 + strides[0] * rows[0] + 64, 16 + strides[0] * rows[0] + 64 + strides[1] * rows[1]];
    let mut buffer = gst::Buffer::from_mut_slice(vec![77u8; offsets[2] + strides[2] * rows[2] + 32]);
    let to = strides.map(|s| s as i32);
    gst_video::VideoMeta::add_full(
        buffer.make_mut(),
        gst_video::VideoFrameFlags::empty(),
        gst_video::VideoFormat::I420,
        width,
        height,
        &offsets,
        &to,
    )
    .unwrap();
    set_objects(buffer.make_mut(), &[tracked((-5.0, -5.0, 100.0, 100.0), 0)]);
    let mut harness =
        overlay("line-width=1000 draw-labels=false draw-confidence=false draw-ids=false", &info.to_caps().unwrap());
    harness.push(buffer).unwrap();
    let after = harness.pull().unwrap();
    let data = after.map_readable().unwrap();
    let samples = [33usize, 17, 17];
    for (at, value) in data.iter().enumerate() {
        let inside = (0..3).any(|plane| {
            let from = at.wrapping_sub(offsets[plane]);
            from < strides[plane] * rows[plane] && from % strides[plane] < samples[plane]
        });
        assert_eq!(*value != 77, inside, "byte {at} is {value}");
    }
}

#[test]
fn a_track_keeps_its_colour_wherever_it_goes() {
    let sample = frame("RGB", 320, 240);
    let style = "line-width=6 draw-labels=false draw-confidence=false draw-ids=false";
    let corner = |x: usize, y: usize, track| {
        let after = drawn(style, &sample, &[tracked((x as f32, y as f32, 60.0, 60.0), track)]);
        rgb(&after)[(y + 2) * 320 + x + 2]
    };
    assert_eq!(corner(20, 30, 5), corner(200, 120, 5));
    assert_ne!(corner(20, 30, 5), corner(20, 30, 6));
}

#[test]
fn text_can_be_turned_off_piece_by_piece() {
    let sample = frame("RGB", 320, 240);
    let object = [tracked((100.0, 100.0, 60.0, 60.0), 0)];
    let plate = |properties: &str| {
        rgb(&drawn(properties, &sample, &object))[..100 * 320].iter().filter(|p| **p == GREEN).count()
    };
    let all = plate("");
    for off in ["draw-labels=false", "draw-confidence=false", "draw-ids=false"] {
        assert!((1..all).contains(&plate(off)), "{off}");
    }
    assert_eq!(plate("draw-labels=false draw-confidence=false draw-ids=false"), 0);
    assert!(plate("font-size=30") > all);
}

#[test]
fn caps_may_change_between_frames_and_states_may_cycle() {
    let mut harness = overlay("", frame("RGB", 320, 240).caps().unwrap());
    for (format, width, height) in
        [("RGB", 320, 240), ("YUY2", 161, 121), ("I420", 1, 1), ("NV12", 3, 5), ("GRAY8", 640, 360)]
    {
        let sample = frame(format, width, height);
        harness.set_src_caps(sample.caps_owned().unwrap());
        let mut buffer = sample.buffer_owned().unwrap();
        set_objects(buffer.make_mut(), &[tracked((-10.0, -10.0, 1000.0, 1000.0), 3)]);
        let before = buffer.map_readable().unwrap().to_vec();
        harness.push(buffer).unwrap();
        assert_ne!(*harness.pull().unwrap().map_readable().unwrap(), before, "{format} {width}x{height}");
    }
    let element = harness.element().unwrap();
    for _ in 0..3 {
        element.set_state(gst::State::Null).unwrap();
        element.set_state(gst::State::Playing).unwrap();
    }
    let sample = frame("RGB", 320, 240);
    let mut harness = overlay("", sample.caps().unwrap());
    harness.push(sample.buffer_owned().unwrap()).unwrap();
}

#[test]
fn a_real_clip_plays_through_with_an_object_on_every_frame() {
    let Some(clip) = common::data("carnd-lanelines/test_videos/solidWhiteRight.mp4") else {
        return;
    };
    common::init();
    let line = format!(
        "filesrc location={} ! decodebin ! identity name=tag ! torchoverlay ! tee name=t ! queue ! fakesink name=sink \
         t. ! queue ! videoconvert ! fakesink",
        clip.display()
    );
    let pipeline = gst::parse::launch(&line).unwrap().downcast::<gst::Pipeline>().unwrap();
    let count = AtomicU64::new(0);
    let tag = pipeline.by_name("tag").unwrap().static_pad("src").unwrap();
    tag.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let n = count.fetch_add(1, Ordering::Relaxed);
        set_objects(info.buffer_mut().unwrap().make_mut(), &[tracked((n as f32, 100.0, 90.0, 50.0), n / 50)]);
        gst::PadProbeReturn::Ok
    });
    let times = Arc::new(Mutex::new(Vec::new()));
    let sink = pipeline.by_name("sink").unwrap().static_pad("sink").unwrap();
    sink.add_probe(gst::PadProbeType::BUFFER, {
        let times = times.clone();
        move |_, info| {
            times.lock().unwrap().push(info.buffer().unwrap().pts());
            gst::PadProbeReturn::Ok
        }
    });
    common::play_to_end(&pipeline);
    let times = times.lock().unwrap();
    assert!(times.len() > 200, "{} frames", times.len());
    assert!(times.is_sorted());
}
