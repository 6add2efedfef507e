//! Live streams and a model that is too slow for them; several pipelines at once, and seeking.

use gst::prelude::*;

use crate::{common, scripted};

fn launch(line: &str) -> gst::Pipeline {
    common::init();
    gst::parse::launch(line).unwrap().downcast::<gst::Pipeline>().unwrap()
}

fn stats(pipeline: &gst::Pipeline, name: &str) -> gst::Structure {
    pipeline.by_name(name).unwrap().property("stats")
}

/// Plays 60 live frames of 100 a second through a model that does far fewer; frames out, skipped.
fn overload(policy: &str) -> (u64, u64) {
    let folder = tempfile::tempdir().unwrap();
    let model = scripted::slow(folder.path(), "slow.pt", 40);
    let pipeline = launch(&format!(
        "videotestsrc is-live=true num-buffers=60 ! video/x-raw,width=64,height=64,framerate=100/1 \
         ! torchdetect name=detect model-file={} precision=fp32 late-policy={policy} ! fakesink name=sink sync=false",
        model.display()
    ));
    common::play_to_eos(&pipeline);
    let result = (common::rendered(&pipeline), stats(&pipeline, "detect").get::<u64>("skipped").unwrap());
    pipeline.set_state(gst::State::Null).unwrap();
    result
}

#[test]
fn late_policy_decides_what_becomes_of_frames_the_model_has_no_time_for() {
    assert_eq!(overload("block"), (60, 0));
    for policy in ["auto", "passthrough"] {
        let (frames, skipped) = overload(policy);
        assert_eq!(frames, 60, "{policy}: every frame arrives");
        assert!(skipped > 0, "{policy}: not every frame was looked at");
    }
    let (frames, skipped) = overload("skip");
    assert!(skipped > 0 && frames + skipped == 60, "{frames} and {skipped}");
}

#[test]
fn latency_is_answered_with_what_was_measured() {
    let pipeline = launch(
        "videotestsrc is-live=true num-buffers=30 ! video/x-raw,width=320,height=240,framerate=30/1 \
         ! torchdetect name=detect ! fakesink name=sink sync=true",
    );
    common::play_to_eos(&pipeline);
    let mut query = gst::query::Latency::new();
    assert!(pipeline.by_name("detect").unwrap().static_pad("src").unwrap().query(&mut query));
    let (live, min, _) = query.result();
    let p99 = stats(&pipeline, "detect").get::<f64>("p99").unwrap();
    let source = gst::ClockTime::from_nseconds(1_000_000_000 / 30); // videotestsrc's own
    let own = min.saturating_sub(source).useconds() as f64 / 1e3;
    assert!(live && p99 > 0.0 && (own - p99).abs() <= 1.0, "own {own} ms, p99 {p99} ms, {min}");
    pipeline.set_state(gst::State::Null).unwrap();
}

#[test]
fn a_file_adds_no_latency() {
    let pipeline = launch("videotestsrc num-buffers=3 ! torchdetect name=detect ! fakesink name=sink");
    common::play_to_eos(&pipeline);
    let detect = pipeline.by_name("detect").unwrap();
    let (mut before, mut after) = (gst::query::Latency::new(), gst::query::Latency::new());
    assert!(detect.static_pad("sink").unwrap().peer_query(&mut before));
    assert!(detect.static_pad("src").unwrap().query(&mut after));
    assert_eq!(before.result(), after.result());
    pipeline.set_state(gst::State::Null).unwrap();
}

#[test]
fn four_pipelines_in_one_process_each_get_their_frames() {
    let pipelines: Vec<_> = (0..4)
        .map(|i| {
            launch(&format!(
                "videotestsrc num-buffers={} ! video/x-raw,width=320,height=240 ! torchdetect ! fakesink name=sink",
                20 + i
            ))
        })
        .collect();
    for pipeline in &pipelines {
        pipeline.set_state(gst::State::Playing).unwrap();
    }
    for (i, pipeline) in pipelines.iter().enumerate() {
        common::play_to_eos(pipeline);
        assert_eq!(common::rendered(pipeline), 20 + i as u64);
        pipeline.set_state(gst::State::Null).unwrap();
    }
}

#[test]
fn seeking_shows_the_frames_after_the_new_place() {
    let Some(clip) = common::clip() else { return };
    let pipeline = launch(&format!(
        "filesrc location={} ! decodebin ! torchdetect ! fakesink name=sink sync=false signal-handoffs=true",
        clip.display()
    ));
    pipeline.set_state(gst::State::Paused).unwrap();
    pipeline.state(gst::ClockTime::from_seconds(60)).0.unwrap();
    for second in [20, 3, 60] {
        let place = gst::ClockTime::from_seconds(second);
        pipeline.seek_simple(gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE, place).unwrap();
        pipeline.state(gst::ClockTime::from_seconds(60)).0.unwrap();
        let sample = pipeline.by_name("sink").unwrap().property::<Option<gst::Sample>>("last-sample").unwrap();
        let pts = sample.buffer().unwrap().pts().unwrap();
        assert!(pts >= place && pts < place + gst::ClockTime::from_mseconds(200), "{pts} after a seek to {place}");
        assert!(gsttorch::meta::inference_ran(sample.buffer().unwrap()));
    }
    pipeline.set_state(gst::State::Null).unwrap();
}
