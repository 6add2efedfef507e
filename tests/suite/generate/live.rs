//! Live sources, caps that change, ends, flushes and states.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::*;
use crate::scripted;

/// When buffers leave a live source, after its start, and their timestamps; in milliseconds.
fn departures(source: &str, after: &str, count: usize) -> Vec<(f64, f64)> {
    let pipeline = launch(&format!("{source} name=source is-live=true ! {after} ! fakesink name=sink sync=false"));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (notes, whole) = (Arc::clone(&seen), pipeline.clone());
    let pad = pipeline.by_name("source").unwrap().static_pad("src").unwrap();
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let now = whole.current_running_time().unwrap_or_default();
        let pts = info.buffer().unwrap().pts().unwrap();
        notes.lock().unwrap().push((now.nseconds() as f64 / 1e6, pts.nseconds() as f64 / 1e6));
        gst::PadProbeReturn::Ok
    });
    assert_eq!(pipeline.set_state(gst::State::Paused).unwrap(), gst::StateChangeSuccess::NoPreroll);
    pipeline.set_state(gst::State::Playing).unwrap();
    let start = Instant::now();
    while seen.lock().unwrap().len() < count && start.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(5));
    }
    pipeline.set_state(gst::State::Null).unwrap();
    let seen = seen.lock().unwrap().clone();
    assert!(seen.len() >= count, "{} frames", seen.len());
    seen
}

/// How late most frames leave, in milliseconds.
fn lateness(left: &[(f64, f64)]) -> f64 {
    let mut late: Vec<f64> = left.iter().skip(5).map(|(at, pts)| at - pts).collect();
    late.sort_by(f64::total_cmp);
    late[late.len() / 2]
}

#[test]
fn live_frames_leave_at_their_times() {
    let folder = tempfile::tempdir().unwrap();
    let path = scripted::mixture(folder.path(), "mixture.pt");
    let caps = "video/x-raw,width=64,height=48,framerate=50/1";
    let mut seen = Vec::new();
    // Other tests share the machine, and the workers that networks run on: one quiet second in ten is enough.
    for _ in 0..10 {
        // Beside a source that computes next to nothing.
        let plain = std::thread::spawn(move || departures("videotestsrc", caps, 60));
        let left = departures(&format!("torchsrc {} late-policy=block", model(&path)), caps, 60);
        let plain = plain.join().unwrap();
        // What the start took is added to all timestamps, as the base class does for every live source.
        let first = left[0].1;
        for (number, (at, pts)) in left.iter().enumerate() {
            assert!((pts - first - 20.0 * number as f64).abs() < 0.01, "frame {number}: nothing is left out");
            assert!(*at > pts - 1.0, "frame {number} leaves at {at}, before its time {pts}");
        }
        seen.push((lateness(&left), lateness(&plain)));
        if lateness(&left) < 3.0 * lateness(&plain) + 2.0 {
            return;
        }
    }
    panic!("frames are late, compared with another source: {seen:?} ms");
}

#[test]
fn a_live_source_reports_a_frame_of_latency_and_others_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = scripted::mixture(folder.path(), "mixture.pt");
    for (settings, expected) in [("is-live=true", (true, 40)), ("", (false, 0))] {
        let source = Source::play(&format!("{} {settings}", model(&path)), "video/x-raw,framerate=25/1");
        source.frames(2);
        let mut query = gst::query::Latency::new();
        assert!(source.element.query(&mut query));
        let (live, least, _) = query.result();
        assert_eq!((live, least.mseconds()), expected);
    }
}

#[test]
fn a_live_source_leaves_out_what_it_has_no_time_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = scripted::slow_mixture(folder.path(), "slow.pt", 40);
    let left = departures(&format!("torchsrc {}", model(&path)), "video/x-raw,framerate=100/1", 40);
    let numbers: Vec<f64> = left.iter().map(|(_, pts)| (pts - left[0].1) / 10.0).collect();
    assert!(numbers.windows(2).all(|pair| pair[1] > pair[0]));
    assert!(numbers[39] > 45.0, "frames are left out: {}", numbers[39]);
    let behind = left[39].0 - left[39].1;
    assert!(behind < 1000.0, "it keeps up, {behind} ms late");
    // With late-policy=block every frame is made.
    let left = departures(&format!("torchsrc {} late-policy=block", model(&path)), "video/x-raw,framerate=100/1", 20);
    let first = left[0].1;
    assert!(left.iter().enumerate().all(|(number, (_, pts))| ((pts - first) / 10.0 - number as f64).abs() < 0.01));
}

#[test]
fn another_frame_rate_and_size_take_effect_while_playing() {
    let folder = tempfile::tempdir().unwrap();
    let path = scripted::mixture(folder.path(), "mixture.pt");
    let source = Source::play(&model(&path), "capsfilter name=caps caps=video/x-raw,format=GRAY8,framerate=30/1");
    let mut end = gst::ClockTime::ZERO;
    let mut follow = |sample: &gst::Sample| {
        let buffer = sample.buffer().unwrap();
        assert_eq!(buffer.pts(), Some(end), "no gap and no jump");
        end += buffer.duration().unwrap();
    };
    (0..10).for_each(|_| follow(&source.pull()));
    let filter = source.pipeline.by_name("caps").unwrap();
    let caps: gst::Caps = "video/x-raw,format=GRAY8,framerate=10/1,width=50,height=40".parse().unwrap();
    filter.set_property("caps", &caps);
    let mut changed = None;
    for _ in 0..40 {
        let sample = source.pull();
        follow(&sample);
        if pixels(&sample).len() == 50 * 40 {
            assert_eq!(sample.buffer().unwrap().duration(), Some(gst::ClockTime::from_mseconds(100)));
            changed = changed.or(Some(sample.buffer().unwrap().pts().unwrap()));
        }
    }
    // The walk goes by time, not by frames: what is shown then does not depend on the rates before.
    let changed = changed.expect("the new caps take effect");
    let again = Source::play(&model(&path), "video/x-raw,format=GRAY8,framerate=10/1,width=50,height=40");
    let milliseconds = (changed + gst::ClockTime::from_mseconds(1000)).mseconds();
    again.pull();
    again.seek(milliseconds);
    let sought = again.pull();
    source.seek(milliseconds);
    let here = source.pull();
    assert_eq!(here.buffer().unwrap().offset(), sought.buffer().unwrap().offset());
    assert!(pixels(&here) == pixels(&sought));
}

#[test]
fn duration_position_and_end_are_known() {
    let folder = tempfile::tempdir().unwrap();
    let path = scripted::mixture(folder.path(), "mixture.pt");
    let source = Source::play(&format!("{} num-buffers=25", model(&path)), "video/x-raw,framerate=50/1");
    source.pull();
    assert_eq!(source.pipeline.query_duration::<gst::ClockTime>(), Some(gst::ClockTime::from_mseconds(500)));
    source.frames(24);
    assert!(source.sink.try_pull_sample(gst::ClockTime::from_seconds(10)).is_none() && source.sink.is_eos());
    let position = source.element.query_position::<gst::ClockTime>().unwrap();
    assert!(position >= gst::ClockTime::from_mseconds(480), "{position}");

    let endless = Source::play(&model(&path), "video/x-raw,framerate=50/1");
    endless.frames(3);
    assert_eq!(endless.element.query_duration::<gst::ClockTime>(), None);
    // A stop ends it.
    let (ms, flags) = (gst::ClockTime::from_mseconds, gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE);
    endless.pipeline.seek(1.0, flags, gst::SeekType::Set, ms(100), gst::SeekType::Set, ms(300)).unwrap();
    let mut numbers = Vec::new();
    while let Some(sample) = endless.sink.try_pull_sample(gst::ClockTime::from_seconds(10)) {
        numbers.push(sample.buffer().unwrap().offset());
    }
    assert_eq!(numbers, (5..15).collect::<Vec<_>>());
}

#[test]
fn a_still_picture_is_one_frame() {
    let folder = tempfile::tempdir().unwrap();
    let path = scripted::mixture(folder.path(), "mixture.pt");
    let source = Source::play(&model(&path), "video/x-raw,framerate=0/1");
    source.pull();
    assert!(source.sink.try_pull_sample(gst::ClockTime::from_seconds(10)).is_none() && source.sink.is_eos());
}

#[test]
fn states_and_flushes_come_and_go() {
    let folder = tempfile::tempdir().unwrap();
    let path = scripted::mixture(folder.path(), "mixture.pt");
    let source = Source::play(&model(&path), "video/x-raw,format=GRAY8,framerate=30/1");
    let first = source.frames(5);
    // Looked at where they leave: an appsink keeps a buffer from before it was stopped.
    let left = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&left);
    source.element.static_pad("src").unwrap().add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let buffer = info.buffer().unwrap();
        seen.lock().unwrap().push((buffer.offset(), buffer.map_readable().unwrap().to_vec()));
        gst::PadProbeReturn::Ok
    });
    for state in [gst::State::Paused, gst::State::Ready, gst::State::Null] {
        for _ in 0..4 {
            source.pipeline.set_state(state).unwrap();
            source.pipeline.state(gst::ClockTime::from_seconds(10)).0.unwrap();
            left.lock().unwrap().clear();
            source.pipeline.set_state(gst::State::Playing).unwrap();
            source.pipeline.state(gst::ClockTime::from_seconds(10)).0.unwrap();
            source.frames(3);
            let left = left.lock().unwrap();
            let again = left[0].0 == 0 && left[0].1 == first[0];
            assert!(state == gst::State::Paused || again, "{state:?}: it begins with frame {}", left[0].0);
        }
    }
    for number in 0..30 {
        source.seek(number * 7);
        if number % 3 == 0 {
            source.pull();
        }
    }
    source.seek(0);
    assert!(source.frames(5) == first);
    assert!(source.stats().get::<u64>("frames").unwrap() > 0);
}
