//! Objects on buffers: what is written is read, also behind elements that copy, convert and scale.

use std::sync::{Arc, Mutex};

use gst::prelude::*;
use gst_torch_models::boxes::Rect;
use gst_video::VideoRegionOfInterestMeta;
use gsttorch::meta::{Object, inference_ran, next_id, objects, set_objects};

use crate::common;

fn object(id: i32, label: &str, rect: (f32, f32, f32, f32)) -> Object {
    let (x, y, w, h) = rect;
    Object { id, parent: None, label: label.into(), confidence: 0.875, rect: Rect { x, y, w, h }, track: None }
}

/// A person with a face, tracked, at sub-pixel positions.
fn person_and_face() -> Vec<Object> {
    let person = Object { track: Some(7), confidence: 0.1 + 0.2, ..object(1, "person", (40.25, 20.5, 80.0, 160.125)) };
    let face = Object { parent: Some(1), ..object(2, "face", (60.0, 30.0, 20.0, 24.0)) };
    vec![person, face]
}

fn region_count(buffer: &gst::BufferRef) -> usize {
    buffer.iter_meta::<VideoRegionOfInterestMeta>().count()
}

/// What arrives at the end of `RGB 320x240 ! middle` when every frame carries `sent`.
fn through(middle: &str, sent: &[Object]) -> Vec<Vec<Object>> {
    common::init();
    let line = format!(
        "videotestsrc num-buffers=3 ! video/x-raw,format=RGB,width=320,height=240 ! identity name=tag ! {middle} \
         ! fakesink name=sink"
    );
    let pipeline = gst::parse::launch(&line).unwrap().downcast::<gst::Pipeline>().unwrap();
    let sent = sent.to_vec();
    let tag = pipeline.by_name("tag").unwrap().static_pad("src").unwrap();
    tag.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        set_objects(info.buffer_mut().unwrap().make_mut(), &sent);
        gst::PadProbeReturn::Ok
    });
    let got = Arc::new(Mutex::new(Vec::new()));
    let sink = pipeline.by_name("sink").unwrap().static_pad("sink").unwrap();
    sink.add_probe(gst::PadProbeType::BUFFER, {
        let got = got.clone();
        move |_, info| {
            let buffer = info.buffer().unwrap();
            assert!(inference_ran(buffer));
            got.lock().unwrap().push(objects(buffer));
            gst::PadProbeReturn::Ok
        }
    });
    common::play_to_end(&pipeline);
    let got = std::mem::take(&mut *got.lock().unwrap());
    assert_eq!(got.len(), 3);
    got
}

#[test]
fn what_is_set_is_read_back_exactly() {
    common::init();
    let mut buffer = gst::Buffer::new();
    let sent = person_and_face();
    set_objects(buffer.make_mut(), &sent);
    assert_eq!(objects(&buffer), sent);
}

#[test]
fn setting_again_replaces_and_does_not_add() {
    common::init();
    let mut buffer = gst::Buffer::new();
    set_objects(buffer.make_mut(), &person_and_face());
    for _ in 0..3 {
        let found = objects(&buffer);
        set_objects(buffer.make_mut(), &found);
    }
    assert_eq!(objects(&buffer), person_and_face());
    assert_eq!(region_count(&buffer), 2);

    let other = [object(5, "car", (0.0, 0.0, 10.0, 10.0))];
    set_objects(buffer.make_mut(), &other);
    assert_eq!(objects(&buffer), other);
    assert_eq!(region_count(&buffer), 1);
    assert_eq!(buffer.iter_meta::<gst::Meta>().count(), 2, "one region and one record");
}

#[test]
fn an_empty_set_says_that_inference_ran() {
    common::init();
    let mut buffer = gst::Buffer::new();
    assert!(!inference_ran(&buffer));
    set_objects(buffer.make_mut(), &[]);
    assert!(inference_ran(&buffer));
    assert!(objects(&buffer).is_empty());
}

#[test]
fn regions_carry_what_dl_streamer_reads() {
    common::init();
    let mut buffer = gst::Buffer::new();
    set_objects(buffer.make_mut(), &person_and_face());
    let regions: Vec<_> = buffer.iter_meta::<VideoRegionOfInterestMeta>().collect();
    assert_eq!(regions[0].roi_type(), "person");
    assert_eq!(regions[0].rect(), (40, 21, 80, 160));
    assert_eq!(regions[0].param("detection").unwrap().get::<f64>("confidence").unwrap(), 0.1 + 0.2);
    assert_eq!(regions[0].param("object_id").unwrap().get::<i32>("id").unwrap(), 7);
    assert_eq!(regions[0].parent_id(), 0);
    assert_eq!(regions[1].parent_id(), regions[0].id());
    assert!(regions[1].param("object_id").is_none());
}

#[test]
fn objects_survive_a_colour_conversion() {
    for got in through("videoconvert ! video/x-raw,format=I420", &person_and_face()) {
        assert_eq!(got, person_and_face());
    }
}

#[test]
fn objects_survive_jpeg() {
    for got in through("videoconvert ! jpegenc ! jpegdec", &person_and_face()) {
        assert_eq!(got, person_and_face());
    }
}

#[test]
fn boxes_follow_scaling_and_the_rest_stays() {
    for got in through("videoscale ! video/x-raw,width=160,height=120", &person_and_face()) {
        let expected: Vec<Object> = person_and_face()
            .into_iter()
            .zip([Rect { x: 20.0, y: 10.0, w: 40.0, h: 80.0 }, Rect { x: 30.0, y: 15.0, w: 10.0, h: 12.0 }])
            .map(|(object, rect)| Object { rect, ..object })
            .collect();
        assert_eq!(got, expected);
    }
}

#[test]
fn objects_whose_region_was_cropped_away_are_not_reported() {
    // videocrop drops regions: with boxes of another picture, no box is better than a wrong one.
    for got in through("videocrop left=16", &person_and_face()) {
        assert!(got.is_empty());
    }
}

#[test]
fn regions_of_other_elements_are_read() {
    common::init();
    let mut buffer = gst::Buffer::new();
    {
        let buffer = buffer.make_mut();
        let mut meta = VideoRegionOfInterestMeta::add(buffer, "bottle", (1, 2, 3, 4));
        meta.add_param(gst::Structure::builder("detection").field("confidence", 0.5f64).build());
        meta.add_param(gst::Structure::builder("object_id").field("id", 12i32).build());
        VideoRegionOfInterestMeta::add(buffer, "cup", (5, 6, 7, 8));
    }
    let found = objects(&buffer);
    assert_eq!(found[0].label, "bottle");
    assert_eq!((found[0].confidence, found[0].track), (0.5, Some(12)));
    assert_eq!(found[0].rect, Rect { x: 1.0, y: 2.0, w: 3.0, h: 4.0 });
    assert_eq!((found[1].label.as_str(), found[1].confidence, found[1].track), ("cup", 1.0, None));
    assert_ne!(found[0].id, found[1].id, "both were left at id 0");
    assert!(!inference_ran(&buffer));
}

#[test]
fn two_producers_live_on_one_buffer() {
    common::init();
    let mut buffer = gst::Buffer::new();
    set_objects(buffer.make_mut(), &person_and_face());
    {
        // Another element that took an id of ours, and hangs an encoder's hint on its region.
        let mut meta = VideoRegionOfInterestMeta::add(buffer.make_mut(), "plate", (100, 100, 30, 10));
        meta.set_id(1);
        meta.add_param(gst::Structure::builder("roi/x264enc").field("delta-qp", -5i32).build());
    }
    let found = objects(&buffer);
    assert_eq!(found[..2], person_and_face());
    assert_eq!((found[2].id, found[2].label.as_str()), (3, "plate"));

    // Ours are replaced, theirs stays while nobody speaks of it,
    let car = object(next_id(&found), "car", (0.0, 0.0, 10.0, 10.0));
    set_objects(buffer.make_mut(), std::slice::from_ref(&car));
    let labels: Vec<String> = objects(&buffer).into_iter().map(|o| o.label).collect();
    assert_eq!(labels, ["plate", "car"]);

    // and is rewritten, not doubled, when it is in the set, with the hint still on it.
    let tracked: Vec<Object> = objects(&buffer).into_iter().map(|o| Object { track: Some(9), ..o }).collect();
    set_objects(buffer.make_mut(), &tracked);
    assert_eq!(objects(&buffer), tracked);
    assert_eq!(region_count(&buffer), 2);
    let plate = buffer.iter_meta::<VideoRegionOfInterestMeta>().find(|m| m.roi_type() == "plate").unwrap();
    assert_eq!(plate.param("roi/x264enc").unwrap().get::<i32>("delta-qp").unwrap(), -5);
    assert_eq!(plate.params().count(), 3);
}

#[test]
fn odd_values_do_no_harm() {
    common::init();
    let mut buffer = gst::Buffer::new();
    let odd = [
        object(1, "a\0b", (f32::NAN, 0.0, f32::NAN, 5.0)),
        object(2, "", (-20.0, -5.0, 30.0, 10.0)),
        object(3, "Füßgänger 行人", (1e30, f32::INFINITY, -4.0, f32::NEG_INFINITY)),
        Object { track: Some(u64::MAX), parent: Some(3), ..object(i32::MAX, "x", (0.0, 0.0, 0.0, 0.0)) },
    ];
    set_objects(buffer.make_mut(), &odd);
    let found = objects(&buffer);
    assert_eq!(found.len(), 4);
    assert_eq!(found[0].label, "a b");
    assert_eq!(found[1], odd[1], "outside the picture, yet read back as it was");
    assert_eq!(found[2].label, odd[2].label);
    assert_eq!(found[3], odd[3]);
    assert!(next_id(&found) > 0);
}
