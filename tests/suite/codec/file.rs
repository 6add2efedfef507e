//! `.tvc` files: typefinding, seeking, duration.

use gst::prelude::*;

use super::{collect, decoded, encoded, launch, times, write};

/// 40 pictures at 30 a second, with a key frame every 10.
fn file() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), &encoded(40, "key-int-max=10"));
    (folder, path)
}

fn grid(n: u64) -> u64 {
    n * 1_000_000_000 / 30
}

fn paused(line: &str) -> gst::Pipeline {
    let pipeline = launch(line);
    pipeline.set_state(gst::State::Paused).unwrap();
    settle(&pipeline);
    pipeline
}

fn settle(pipeline: &gst::Pipeline) {
    let (result, ..) = pipeline.state(gst::ClockTime::from_seconds(30));
    assert_eq!(result, Ok(gst::StateChangeSuccess::Success), "{:?}", pipeline.bus().unwrap().pop());
}

fn shown(pipeline: &gst::Pipeline) -> u64 {
    let sample: Option<gst::Sample> = pipeline.by_name("sink").unwrap().property("last-sample");
    sample.unwrap().buffer().unwrap().pts().unwrap().nseconds()
}

#[test]
fn a_file_is_known_by_its_content_and_played_with_nothing_said() {
    let (_folder, path) = file();
    let nameless = path.with_extension("");
    std::fs::copy(&path, &nameless).unwrap();
    for path in [path, nameless] {
        let pieces = collect(&format!("filesrc location={} ! decodebin ! appsink name=out sync=false", path.display()));
        assert_eq!(times(&pieces), (0..40).map(grid).collect::<Vec<_>>());
    }
}

#[test]
fn playbin_plays_a_file() {
    let (_folder, path) = file();
    let pipeline = launch(&format!(
        "playbin uri=file://{} video-sink=\"fakesink name=sink sync=false\" audio-sink=fakesink",
        path.display()
    ));
    crate::common::play_to_eos(&pipeline);
    let stats: gst::Structure = pipeline.by_name("sink").unwrap().property("stats");
    assert_eq!(stats.get::<u64>("rendered"), Ok(40));
    pipeline.set_state(gst::State::Null).unwrap();
}

#[test]
fn duration_and_key_frames_are_known_from_the_start() {
    let (_folder, path) = file();
    let pipeline =
        paused(&format!("filesrc location={} ! torchparse ! torchdec ! fakesink name=sink sync=false", path.display()));
    let duration = pipeline.query_duration::<gst::ClockTime>().unwrap();
    assert_eq!(duration.nseconds(), grid(40));
    let seek = |flags: gst::SeekFlags, n: u64| {
        pipeline.seek_simple(gst::SeekFlags::FLUSH | flags, gst::ClockTime::from_nseconds(grid(n) + 1000)).unwrap();
        settle(&pipeline);
        shown(&pipeline)
    };
    for n in [37, 3, 25, 10, 9, 0] {
        assert_eq!(seek(gst::SeekFlags::KEY_UNIT, n), grid(n / 10 * 10), "the key frame at or before {n}");
        // What began before the target is shown from there on.
        assert_eq!(seek(gst::SeekFlags::ACCURATE, n), grid(n) + 1000, "picture {n}");
        assert_eq!(seek(gst::SeekFlags::empty(), n), grid(n) + 1000, "picture {n}");
    }
    pipeline.set_state(gst::State::Null).unwrap();
}

#[test]
fn after_a_seek_the_same_pictures_come() {
    let (_folder, path) = file();
    let all = decoded(&path);
    let pipeline =
        launch(&format!("filesrc location={} ! torchparse ! torchdec ! appsink name=out sync=false", path.display()));
    pipeline.set_state(gst::State::Paused).unwrap();
    settle(&pipeline);
    let place = gst::ClockTime::from_nseconds(grid(20));
    pipeline.seek_simple(gst::SeekFlags::FLUSH | gst::SeekFlags::KEY_UNIT, place).unwrap();
    let rest = super::try_collect(&pipeline).unwrap();
    assert_eq!(rest, all[20..]);
}

#[test]
fn files_can_be_cut_and_joined() {
    let folder = tempfile::tempdir().unwrap();
    let pieces = encoded(20, "key-int-max=5");
    let cut = write(folder.path(), &pieces[10..]);
    // Two roundings of a third of a nanosecond may differ by one.
    let micros = |times: Vec<u64>| times.into_iter().map(|ns| (ns + 500) / 1000).collect::<Vec<_>>();
    assert_eq!(micros(times(&decoded(&cut))), micros((0..10).map(grid).collect()));
    let joined = write(folder.path(), &[&pieces[..], &pieces[5..15]].concat());
    let shown = decoded(&joined);
    assert_eq!(shown.len(), 30);
    assert!(!shown.iter().any(|piece| piece.corrupted));
    assert_eq!(micros(times(&shown)), micros((0..30).map(grid).collect()));
}

#[test]
fn chunks_of_any_size_are_parsed() {
    let (_folder, path) = file();
    let all = collect(&format!("filesrc location={} ! torchparse ! appsink name=out sync=false", path.display()));
    assert_eq!(all.iter().filter(|piece| piece.key).count(), 4);
    for size in [1, 13, 4000] {
        // A queue makes it push.
        let line = format!(
            "filesrc location={} blocksize={size} ! queue ! torchparse ! appsink name=out sync=false",
            path.display()
        );
        assert_eq!(collect(&line), all, "{size}");
    }
}

#[test]
fn playing_backwards_shows_every_picture_in_reverse() {
    let (_folder, path) = file();
    let pipeline =
        launch(&format!("filesrc location={} ! torchparse ! torchdec ! appsink name=out sync=false", path.display()));
    pipeline.set_state(gst::State::Paused).unwrap();
    settle(&pipeline);
    let (start, stop) = (gst::ClockTime::ZERO, gst::ClockTime::from_nseconds(grid(40)));
    pipeline.seek(-1.0, gst::SeekFlags::FLUSH, gst::SeekType::Set, start, gst::SeekType::Set, stop).unwrap();
    let shown = super::try_collect(&pipeline).unwrap();
    assert_eq!(times(&shown), (0..40).rev().map(grid).collect::<Vec<_>>());
}
