//! Streams that are flushed, sought, changed and cut: no frame too many, none too few, none across the cut.

use super::*;

fn segment(start: u64) -> gst::Event {
    let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
    segment.set_start(gst::ClockTime::from_mseconds(start));
    segment.set_time(gst::ClockTime::from_mseconds(start));
    gst::event::Segment::new(&segment)
}

#[test]
fn a_flush_forgets_what_came_before() {
    let mut run = plain("");
    run.push_all(&[(0.0, 0), (1.0, 40)]);
    run.push_marked(2.0, 80, gst::BufferFlags::CORRUPTED);
    assert_eq!(run.times().len(), 2);
    assert!(run.harness.push_event(gst::event::FlushStart::new()));
    assert!(run.harness.push_event(gst::event::FlushStop::new(true)));
    assert!(run.harness.push_event(segment(10_000)));
    run.push_all(&[(9.0, 10_000), (10.0, 10_040)]);
    assert_eq!(run.times(), [10_000, 10_040].map(|ms| at(ms * MS, 40 * MS)), "nothing of before, nothing between");
}

#[test]
fn a_new_segment_lets_out_what_waits_and_starts_anew() {
    let mut run = plain("");
    run.push_all(&[(0.0, 0)]);
    run.push_marked(2.0, 40, gst::BufferFlags::CORRUPTED);
    assert!(run.harness.push_event(segment(500)));
    run.push_all(&[(3.0, 500), (5.0, 580)]);
    assert_eq!(run.times(), [0, 40, 500, 540, 580].map(|ms| at(ms * MS, 40 * MS)));
    assert_eq!((run.stat("held"), run.stat("made")), (1, 1));
}

#[test]
fn the_same_segment_again_changes_nothing() {
    let mut run = plain("");
    assert!(run.harness.push_event(segment(0)));
    run.push_all(&[(0.0, 0)]);
    run.push_marked(2.0, 40, gst::BufferFlags::CORRUPTED);
    assert!(run.harness.push_event(segment(0)));
    run.push_all(&[(2.0, 80)]);
    assert_eq!(run.times(), [0, 40, 80].map(|ms| at(ms * MS, 40 * MS)));
    assert_eq!(run.stat("made"), 1);
}

#[test]
fn the_end_lets_out_what_waits() {
    let mut run = plain("");
    run.push_all(&[(0.0, 0)]);
    run.push_marked(2.0, 40, gst::BufferFlags::CORRUPTED);
    run.end();
    assert_eq!(run.times(), [0, 40].map(|ms| at(ms * MS, 40 * MS)));
    assert!(run.harness.push(run.frame(3.0, 80 * MS)).is_err(), "after the end");
}

#[test]
fn caps_may_change_in_between() {
    let mut run = plain("");
    run.push_all(&[(0.0, 0)]);
    run.push_marked(2.0, 40, gst::BufferFlags::CORRUPTED);
    run.info = info(VideoFormat::I420, (64, 48), (25, 1));
    run.harness.set_sink_caps(run.info.to_caps().unwrap());
    run.harness.set_src_caps(run.info.to_caps().unwrap());
    run.push_all(&[(3.0, 80), (5.0, 160)]);
    let left = run.left();
    assert_eq!(left.iter().map(times).collect::<Vec<_>>(), [0, 40, 80, 120, 160].map(|ms| at(ms * MS, 40 * MS)));
    let sizes: Vec<_> = left.iter().map(|buffer| buffer.size()).collect();
    assert_eq!(sizes, [9216, 9216, 4608, 4608, 4608]);
}

#[test]
fn events_stay_between_the_frames_that_they_came_between() {
    let mut run = plain("");
    run.push_all(&[(0.0, 0)]);
    run.push_marked(2.0, 40, gst::BufferFlags::CORRUPTED);
    while run.harness.try_pull_event().is_some() {}
    let mark = gst::event::CustomDownstream::new(gst::Structure::new_empty("mark"));
    assert!(run.harness.push_event(mark));
    assert!(run.harness.try_pull_event().is_none(), "it does not overtake the frame that waits");
    run.push_all(&[(2.0, 80)]);
    assert_eq!(run.times().len(), 3);
    assert_eq!(run.harness.try_pull_event().unwrap().type_(), gst::EventType::CustomDownstream);
}

#[test]
fn frames_without_times_and_played_backwards_pass() {
    let mut run = plain("");
    run.push_all(&[(0.0, 0)]);
    run.push_marked(2.0, 40, gst::BufferFlags::CORRUPTED);
    let mut timeless = run.frame(1.0, 0);
    timeless.make_mut().set_pts(gst::ClockTime::NONE);
    run.push(timeless);
    let left = run.left();
    assert_eq!(left.len(), 3, "what waits is let out");
    assert_eq!(left[2].pts(), None);

    let mut run = plain("");
    let mut backwards = gst::FormattedSegment::<gst::ClockTime>::new();
    backwards.set_rate(-1.0);
    backwards.set_stop(gst::ClockTime::from_mseconds(400));
    assert!(run.harness.push_event(gst::event::Segment::new(&backwards)));
    run.push_all(&[(9.0, 360), (5.0, 200), (4.0, 160)]);
    assert_eq!(run.times().len(), 3);
}

#[test]
fn seeking_gives_frames_of_the_new_place() {
    common::init();
    let pipeline = gst::parse::launch(
        "videotestsrc pattern=ball num-buffers=500 ! video/x-raw,format=I420,width=96,height=64,framerate=25/1 \
         ! torchinterpolate device=cpu ! video/x-raw,framerate=50/1 ! fakesink name=sink sync=false",
    )
    .unwrap()
    .downcast::<gst::Pipeline>()
    .unwrap();
    pipeline.set_state(gst::State::Paused).unwrap();
    pipeline.state(gst::ClockTime::from_seconds(60)).0.unwrap();
    for second in [6, 1, 9] {
        let place = gst::ClockTime::from_seconds(second);
        pipeline.seek_simple(gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE, place).unwrap();
        pipeline.state(gst::ClockTime::from_seconds(60)).0.unwrap();
        let sample = pipeline.by_name("sink").unwrap().property::<Option<gst::Sample>>("last-sample").unwrap();
        assert_eq!(sample.buffer().unwrap().pts(), Some(place));
    }
    pipeline.set_state(gst::State::Null).unwrap();
}

#[test]
fn states_may_go_up_and_down() {
    let mut run = plain("");
    for _ in 0..3 {
        run.push_all(&[(0.0, 0), (2.0, 80)]);
        assert_eq!(run.times().len(), 3);
        let element = run.harness.element().unwrap();
        element.set_state(gst::State::Null).unwrap();
        element.set_state(gst::State::Playing).unwrap();
        assert!(run.harness.push_event(gst::event::StreamStart::new("again")));
        run.harness.set_src_caps(run.info.to_caps().unwrap());
        assert!(run.harness.push_event(segment(0)));
    }
}

/// Every seventh frame does not come; sound and picture are as long as each other all the same.
#[test]
fn sound_stays_beside_the_picture() {
    common::init();
    let pipeline = gst::parse::launch(
        "videotestsrc pattern=ball num-buffers=100 ! video/x-raw,format=I420,width=96,height=64,framerate=25/1 \
         ! identity name=drop ! torchinterpolate device=cpu ! video/x-raw,framerate=50/1 \
         ! fakesink name=picture sync=true \
         audiotestsrc samplesperbuffer=480 num-buffers=400 ! audio/x-raw,rate=48000 ! fakesink name=sound sync=true",
    )
    .unwrap()
    .downcast::<gst::Pipeline>()
    .unwrap();
    let number = std::sync::atomic::AtomicU32::new(1);
    let pad = pipeline.by_name("drop").unwrap().static_pad("src").unwrap();
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        if number.fetch_add(1, std::sync::atomic::Ordering::SeqCst).is_multiple_of(7) {
            gst::PadProbeReturn::Drop
        } else {
            gst::PadProbeReturn::Ok
        }
    });
    let times = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = times.clone();
    let sink = pipeline.by_name("picture").unwrap().static_pad("sink").unwrap();
    sink.add_probe(gst::PadProbeType::BUFFER, move |_, probe| {
        let buffer = probe.buffer().unwrap();
        seen.lock().unwrap().push((buffer.pts().unwrap(), buffer.duration().unwrap()));
        gst::PadProbeReturn::Ok
    });
    common::play_to_end(&pipeline);
    let times = times.lock().unwrap();
    let expected: Vec<_> = (0..200).map(|k| gst::ClockTime::from_mseconds(k * 20)).collect();
    assert_eq!(times.iter().map(|(pts, _)| *pts).collect::<Vec<_>>(), expected);
    let end = times.last().map(|(pts, duration)| *pts + *duration).unwrap();
    assert_eq!(end, gst::ClockTime::from_seconds(4), "as long as the sound");
}
