//! The tracker on real detections, and `torchtrack` on buffers.

use std::str::FromStr;

use gst::prelude::*;
use gst_torch_models::boxes::Rect;
use gst_torch_models::metrics::mot;
use gst_torch_models::track::mot_format::{self, Frames};
use gst_torch_models::track::{Config, sequence};
use gsttorch::meta::{self, Object};

use crate::common;

const PERIOD: gst::ClockTime = gst::ClockTime::from_mseconds(40);

fn read(path: &str) -> Option<Frames> {
    let text = std::fs::read_to_string(common::data(path)?).unwrap();
    Some(mot_format::parse(&text).unwrap())
}

fn tud_campus() -> Option<(Frames, Frames)> {
    let detections = read("sort-mot15-det/data/train/TUD-Campus/det/det.txt")?;
    Some((detections, read("motmetrics-gt/motmetrics/data/TUD-Campus/gt.txt")?))
}

/// The figures that py-motmetrics 1.4.0 prints for the two files of its own distribution, at IoU 0.5.
#[test]
fn scores_are_those_of_py_motmetrics() {
    let Some(truth) = read("motmetrics-gt/motmetrics/data/TUD-Campus/gt.txt") else { return };
    let Some(tracks) = read("motmetrics-gt/motmetrics/data/TUD-Campus/test.txt") else { return };
    let summary = mot::score(&truth, &tracks, 0.5);
    assert_eq!((summary.switches, summary.false_positives, summary.misses, summary.objects), (7, 13, 150, 359));
    assert!((summary.mota() - 0.526462).abs() < 1e-6);
    assert!((summary.idf1() - 0.557659).abs() < 1e-6);
    assert!((summary.precision() - 0.941441).abs() < 1e-6);
    assert!((summary.recall() - 0.582173).abs() < 1e-6);
}

/// SORT reaches MOTA 62.7 % and IDF1 60.6 % with these boxes.
#[test]
fn tracks_are_better_than_those_of_sort() {
    let Some((detections, truth)) = tud_campus() else { return };
    let summary = mot::score(&truth, &sequence::track(&detections, Config::default(), 1), 0.5);
    assert!(summary.mota() >= 0.627 && summary.idf1() >= 0.606, "{summary:?}");
}

#[test]
fn half_the_detections_do_nearly_as_well() {
    let Some((detections, truth)) = tud_campus() else { return };
    let summary = mot::score(&truth, &sequence::track(&detections, Config::default(), 2), 0.5);
    assert!(summary.mota() >= 0.60 && summary.idf1() >= 0.60, "{summary:?}");
}

/// The thresholds do not hang on how a detector scales its confidence.
#[test]
fn foreign_confidence_scales_are_taken_as_sure() {
    let Some((detections, truth)) = tud_campus() else { return };
    let rescaled = |scale: fn(f32) -> f32| {
        let mut detections = detections.clone();
        detections.values_mut().flatten().for_each(|entry| entry.confidence = scale(entry.confidence));
        mot::score(&truth, &sequence::track(&detections, Config::default(), 1), 0.5)
    };
    let per_cent = rescaled(|c| 100.0 * c);
    assert!(per_cent.mota() > 0.6 && per_cent.idf1() > 0.6, "{per_cent:?}");
    assert_eq!(rescaled(|_| -1.0), per_cent);
}

/// A `torchtrack` fed by hand with frames of 320x240 at 25 a second.
struct Feed {
    harness: gst_check::Harness,
    time: gst::ClockTime,
}

impl Feed {
    fn new() -> Self {
        common::init();
        let mut harness = gst_check::Harness::new("torchtrack");
        harness.set_src_caps_str("video/x-raw,format=GRAY8,width=320,height=240,framerate=25/1");
        Feed { harness, time: gst::ClockTime::ZERO }
    }

    /// What comes out for the next frame, on which a detector found a person at each of these x; `None` where it did
    /// not run.
    fn push(&mut self, found: Option<&[f32]>) -> Vec<Object> {
        let mut buffer = gst::Buffer::with_size(320 * 240).unwrap();
        let writable = buffer.get_mut().unwrap();
        writable.set_pts(self.time);
        if let Some(found) = found {
            meta::set_objects(writable, &people(found));
        }
        self.time += PERIOD;
        self.harness.push(buffer).unwrap();
        meta::objects(&self.harness.pull().unwrap())
    }

    fn stats(&self) -> gst::Structure {
        self.harness.element().unwrap().property("stats")
    }
}

fn people(found: &[f32]) -> Vec<Object> {
    let person = |(i, &x): (usize, &f32)| Object {
        id: i as i32 + 1,
        parent: None,
        label: "person".into(),
        confidence: 0.75,
        rect: Rect { x, y: 50.5, w: 30.0, h: 80.0 },
        track: None,
    };
    found.iter().enumerate().map(person).collect()
}

fn tracks(objects: &[Object]) -> Vec<Option<u64>> {
    objects.iter().map(|o| o.track).collect()
}

#[test]
fn ids_stay_through_frames_without_inference() {
    let mut feed = Feed::new();
    for frame in 0..60 {
        let x = 3.0 * frame as f32;
        let ran = frame % 3 == 0;
        let objects = feed.push(ran.then_some(&[x, 280.0 - x][..]));
        assert_eq!(tracks(&objects), [Some(1), Some(2)], "frame {frame}");
        assert_eq!(objects[0].label, "person");
        assert_eq!(objects[0].confidence, 0.75);
        let error = (objects[0].rect.x - x).abs();
        // Once the motion is known a predicted box is where the person is; a detected box is never changed.
        assert!(if ran { error == 0.0 } else { frame < 12 || error < 1.5 }, "frame {frame}: {:?}", objects[0].rect);
    }
    let stats = feed.stats();
    assert_eq!(stats.get::<u64>("frames"), Ok(60));
    assert_eq!(stats.get::<u64>("predicted"), Ok(40));
    assert_eq!(stats.get::<u64>("tracks"), Ok(2));
    assert_eq!(stats.get::<u64>("active"), Ok(2));
}

#[test]
fn nothing_found_is_not_the_same_as_not_looked() {
    let mut feed = Feed::new();
    feed.push(Some(&[100.0]));
    assert_eq!(feed.push(Some(&[])), [], "looked, and it was hidden");
    assert_eq!(feed.push(None), [], "where it is hidden nobody knows");
    assert_eq!(tracks(&feed.push(Some(&[100.0]))), [Some(1)], "it is back");
    assert_eq!(tracks(&feed.push(None)), [Some(1)]);
}

#[test]
fn regions_of_other_detectors_are_tracked() {
    let mut feed = Feed::new();
    for _ in 0..3 {
        let mut buffer = gst::Buffer::with_size(320 * 240).unwrap();
        let writable = buffer.get_mut().unwrap();
        writable.set_pts(feed.time);
        feed.time += PERIOD;
        gst_video::VideoRegionOfInterestMeta::add(writable, "car", (10, 20, 100, 50));
        feed.harness.push(buffer).unwrap();
        let objects = meta::objects(&feed.harness.pull().unwrap());
        assert_eq!((tracks(&objects), objects[0].label.as_str()), (vec![Some(1)], "car"));
    }
    assert_eq!(tracks(&feed.push(None)), [Some(1)]);
}

#[test]
fn a_flush_forgets_objects_and_gives_new_ids() {
    let mut feed = Feed::new();
    assert_eq!(tracks(&feed.push(Some(&[100.0]))), [Some(1)]);
    common::flush(&mut feed.harness);
    assert_eq!(feed.push(None), []);
    assert_eq!(tracks(&feed.push(Some(&[100.0]))), [Some(2)]);
}

#[test]
fn another_picture_size_forgets_objects_but_another_rate_does_not() {
    let mut feed = Feed::new();
    assert_eq!(tracks(&feed.push(Some(&[100.0]))), [Some(1)]);
    feed.harness.set_src_caps_str("video/x-raw,format=GRAY8,width=320,height=240,framerate=50/1");
    assert_eq!(tracks(&feed.push(Some(&[100.0]))), [Some(1)]);
    feed.harness.set_src_caps_str("video/x-raw,format=GRAY8,width=160,height=480,framerate=50/1");
    assert_eq!(tracks(&feed.push(Some(&[100.0]))), [Some(2)]);
}

#[test]
fn a_new_stream_and_a_restart_give_new_ids() {
    let mut feed = Feed::new();
    assert_eq!(tracks(&feed.push(Some(&[100.0]))), [Some(1)]);
    feed.harness.push_event(gst::event::StreamStart::new("another"));
    assert_eq!(tracks(&feed.push(Some(&[100.0]))), [Some(2)]);

    let element = feed.harness.element().unwrap();
    for state in [gst::State::Ready, gst::State::Null, gst::State::Playing] {
        element.set_state(state).unwrap();
    }
    // Going to READY made the pads forget their sticky events.
    feed.harness.push_event(gst::event::StreamStart::new("restarted"));
    feed.harness.set_src_caps_str("video/x-raw,format=GRAY8,width=320,height=240,framerate=25/1");
    feed.harness.push_event(gst::event::Segment::new(&gst::FormattedSegment::<gst::ClockTime>::new()));
    assert_eq!(tracks(&feed.push(Some(&[100.0]))), [Some(3)]);
    assert_eq!(feed.stats().get::<u64>("frames"), Ok(1));
    assert_eq!(feed.stats().get::<u64>("tracks"), Ok(1));
}

#[test]
fn properties_act_while_playing() {
    let mut feed = Feed::new();
    let element = feed.harness.element().unwrap();
    element.set_property("class-confidence-threshold", 0.9f32);
    assert_eq!(tracks(&feed.push(Some(&[100.0]))), [None], "not sure enough to start a track");
    element.set_property("class-confidence-threshold", 0.5f32);
    assert_eq!(tracks(&feed.push(Some(&[100.0]))), [None], "seen once");
    element.set_property("min-frame-count-for-new-track", 2u32);
    assert_eq!(tracks(&feed.push(Some(&[100.0]))), [Some(1)]);
    element.set_property("min-frame-count-for-lost-track", 2u32);
    for _ in 0..4 {
        feed.push(Some(&[]));
    }
    assert_eq!(feed.stats().get::<u64>("active"), Ok(0));
}

#[test]
fn buffers_are_otherwise_untouched() {
    let mut feed = Feed::new();
    feed.push(Some(&[100.0]));
    for ran in [true, false] {
        let pixels: Vec<u8> = (0..320 * 240).map(|i| (i % 251) as u8).collect();
        let mut buffer = gst::Buffer::from_slice(pixels.clone());
        let writable = buffer.get_mut().unwrap();
        writable.set_pts(feed.time);
        writable.set_dts(gst::ClockTime::from_mseconds(7));
        writable.set_duration(PERIOD);
        writable.set_offset(42);
        writable.set_flags(gst::BufferFlags::MARKER | gst::BufferFlags::DISCONT);
        let id = gst::Caps::new_empty_simple("timestamp/x-test");
        gst::ReferenceTimestampMeta::add(writable, &id, gst::ClockTime::SECOND, gst::ClockTime::NONE);
        if ran {
            meta::set_objects(writable, &people(&[100.0]));
        }
        feed.time += PERIOD;

        // Somebody else holds the buffer too, as behind a tee: theirs must stay as it is, and pixels are still shared.
        let held = buffer.clone();
        feed.harness.push(buffer).unwrap();
        let out = feed.harness.pull().unwrap();
        assert_eq!(tracks(&meta::objects(&out)), [Some(1)]);
        assert_eq!(tracks(&meta::objects(&held)), if ran { vec![None] } else { vec![] });
        assert_eq!(out.peek_memory(0).as_ptr(), held.peek_memory(0).as_ptr(), "no pixel was copied");
        assert_eq!(out.map_readable().unwrap().as_slice(), pixels);
        assert_eq!((out.pts(), out.dts(), out.duration()), (held.pts(), held.dts(), held.duration()));
        assert_eq!((out.offset(), out.flags()), (held.offset(), held.flags()));
        let reference = out.meta::<gst::ReferenceTimestampMeta>().unwrap();
        assert_eq!(reference.timestamp(), gst::ClockTime::SECOND);
    }
}

#[test]
fn frames_in_any_memory_pass() {
    common::init();
    for caps in [
        "video/x-raw(memory:CUDAMemory),format=NV12,width=64,height=64,framerate=25/1",
        "video/x-raw(memory:DMABuf),format=DMA_DRM,drm-format=NV12,width=64,height=64,framerate=0/1",
        "video/x-raw(memory:SystemMemory,meta:GstVideoOverlayComposition),format=RGB,width=64,height=64,framerate=25/1",
        "video/x-raw,format=P010_10LE,width=64,height=64,framerate=30000/1001",
    ] {
        let mut harness = gst_check::Harness::new("torchtrack");
        harness.set_src_caps(gst::Caps::from_str(caps).unwrap());
        let mut buffer = gst::Buffer::with_size(64).unwrap();
        meta::set_objects(buffer.get_mut().unwrap(), &people(&[1.0]));
        harness.push(buffer).unwrap();
        assert_eq!(tracks(&meta::objects(&harness.pull().unwrap())), [Some(1)], "{caps}");
    }
}

#[test]
fn allocation_is_between_the_neighbours() {
    let mut feed = Feed::new();
    feed.harness.add_propose_allocation_meta(gst_video::VideoMeta::meta_api(), None);
    let caps = gst::Caps::from_str("video/x-raw,format=GRAY8,width=320,height=240,framerate=25/1").unwrap();
    let mut query = gst::query::Allocation::new(Some(&caps), true);
    let sink = feed.harness.element().unwrap().static_pad("sink").unwrap();
    assert!(sink.query(&mut query));
    assert!(query.find_allocation_meta::<gst_video::VideoMeta>().is_some());
}

#[test]
fn the_end_of_the_stream_passes() {
    common::init();
    let line = "videotestsrc num-buffers=20 ! torchtrack name=track ! fakesink";
    let pipeline = gst::parse::launch(line).unwrap().downcast::<gst::Pipeline>().unwrap();
    for _ in 0..2 {
        common::play_to_end(&pipeline);
        let stats: gst::Structure = pipeline.by_name("track").unwrap().property("stats");
        assert_eq!(stats.get::<u64>("frames"), Ok(20));
    }
}
