//! Flushes while events and frames are on their way: nothing that holds for the stream is lost, and nothing ends it.

use std::time::Duration;

use gst::prelude::*;
use gst_check::Harness;

use crate::common::{self, grey};

/// A harness around `line`, and where what it says is read.
fn harness(line: &str) -> (Harness, gst::Bus) {
    common::init();
    let harness = Harness::with_element(&gst::parse::launch(line).unwrap(), Some("sink"), Some("src"));
    let bus = gst::Bus::new();
    harness.element().unwrap().set_bus(Some(&bus));
    (harness, bus)
}

fn caps(width: i32) -> gst::Caps {
    format!("video/x-raw,format=I420,width={width},height=48,framerate=25/1").parse().unwrap()
}

/// The caps and the one frame that the codec makes of a frame of `caps`.
fn coded(caps: &gst::Caps) -> (gst::Caps, gst::Buffer) {
    let (mut encoder, _bus) = harness("torchenc device=cpu");
    encoder.set_src_caps(caps.clone());
    encoder.push(grey(caps)).unwrap();
    let buffer = encoder.pull().unwrap();
    (encoder.sinkpad().unwrap().current_caps().unwrap(), buffer)
}

#[test]
fn caps_that_meet_a_flush_are_told_after_it() {
    common::init();
    let raw = [64, 80].map(|width| (caps(width), grey(&caps(width))));
    let coded = [64, 80].map(|width| coded(&caps(width)));
    for (line, stream) in [
        ("torchdetect device=cpu", &raw),
        ("torchrestore device=cpu", &raw),
        ("torchenc device=cpu", &raw),
        ("torchparse", &coded),
        ("torchdec device=cpu", &coded),
    ] {
        let (mut harness, bus) = harness(line);
        let [(before, first), (after, next)] = stream;
        harness.set_src_caps(before.clone());
        harness.push(first.clone()).unwrap();
        harness.pull().unwrap();
        let size = |harness: &Harness| harness.sinkpad().unwrap().current_caps().unwrap().to_string();
        assert!(size(&harness).contains("width=(int)64"), "{line}");

        // The flush is downstream already, and not yet here.
        let src = harness.element().unwrap().static_pad("src").unwrap();
        src.push_event(gst::event::FlushStart::new());
        assert!(harness.push_event(gst::event::Caps::new(after)), "{line}");
        // An element with a thread of its own hears of it a little later.
        let flow = (0..1000).find_map(|_| {
            std::thread::sleep(Duration::from_millis(1));
            harness.push(next.clone()).err()
        });
        assert_eq!(flow, Some(gst::FlowError::Flushing), "{line}");
        let error = bus.pop_filtered(&[gst::MessageType::Error]);
        assert!(error.is_none(), "{line}: {error:?}");

        src.push_event(gst::event::FlushStop::new(true));
        common::flush(&mut harness);
        harness.push(next.clone()).unwrap_or_else(|flow| panic!("{line}: {flow:?}"));
        harness.pull().unwrap();
        assert!(size(&harness).contains("width=(int)80"), "{line}: {}", size(&harness));
    }
}

#[test]
fn events_for_an_element_that_rests_are_no_error() {
    for line in ["torchdetect device=cpu", "torchrestore device=cpu"] {
        let (mut harness, bus) = harness(line);
        // As on the way to READY, where an element comes to rest before what feeds it.
        harness.element().unwrap().static_pad("src").unwrap().set_active(false).unwrap();
        harness.set_src_caps(caps(64));
        assert_eq!(harness.push(grey(&caps(64))), Err(gst::FlowError::Flushing), "{line}");
        assert!(bus.pop_filtered(&[gst::MessageType::Error]).is_none());
    }
}

#[test]
fn what_waits_in_an_element_outlives_a_flush() {
    // Two of them have a queue, which is held up here; the third keeps back what comes behind a frame that waits.
    for line in ["torchdetect device=cpu", "torchrestore device=cpu", "torchinterpolate device=cpu"] {
        let (mut harness, bus) = harness(line);
        let interpolates = line.starts_with("torchinterpolate");
        let src = harness.element().unwrap().static_pad("src").unwrap();
        let hold = || src.add_probe(gst::PadProbeType::BLOCK_DOWNSTREAM, |_, _| gst::PadProbeReturn::Ok).unwrap();
        let held = (!interpolates).then(hold);
        harness.set_src_caps(caps(64));
        if interpolates {
            harness.push(grey(&caps(64))).unwrap();
            let mut bad = grey(&caps(64));
            bad.get_mut().unwrap().set_pts(40 * gst::ClockTime::MSECOND);
            bad.get_mut().unwrap().set_flags(gst::BufferFlags::CORRUPTED);
            harness.push(bad).unwrap();
        }
        let mut tags = gst::TagList::new();
        tags.get_mut().unwrap().add::<gst::tags::Title>(&"kept", gst::TagMergeMode::Replace);
        assert!(harness.push_event(gst::event::Tag::new(tags)));
        assert_eq!(title(&src), None, "{line} keeps nothing back");
        common::flush(&mut harness);
        held.into_iter().for_each(|probe| src.remove_probe(probe));
        harness.push(grey(&caps(64))).unwrap();
        harness.push_event(gst::event::Eos::new());
        harness.pull().unwrap();

        let pad = harness.sinkpad().unwrap();
        assert!(pad.sticky_event::<gst::event::StreamStart>(0).is_some(), "{line}");
        assert!(pad.current_caps().is_some_and(|now| now.is_subset(&caps(64))), "{line}: {:?}", pad.current_caps());
        assert_eq!(title(&pad).as_deref(), Some("kept"), "{line}");
        assert!(bus.pop_filtered(&[gst::MessageType::Error]).is_none());
    }
}

/// The title that a pad's stream has.
fn title(pad: &gst::Pad) -> Option<String> {
    let event = pad.sticky_event::<gst::event::Tag>(0)?;
    event.tag().get::<gst::tags::Title>().map(|title| title.get().to_string())
}
