//! `torchmeta`: what was found in a real clip, as JSON lines.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};

use gst::prelude::*;
use gst_torch_models::boxes::Rect;
use gsttorch::meta::{Object, set_objects};
use serde_json::Value;

use crate::common;

fn car(x: f32) -> Object {
    let rect = Rect { x, y: 20.5, w: 30.0, h: 40.0 };
    Object { id: 1, parent: None, label: "car".into(), confidence: 0.9f32.into(), rect, track: Some(4) }
}

fn pipeline(line: &str) -> gst::Pipeline {
    common::init();
    gst::parse::launch(line).unwrap().downcast().unwrap()
}

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The error that `line` ends with.
fn error_of(line: &str) -> (gst::glib::Error, gst::Object) {
    let pipeline = pipeline(line);
    let _ = pipeline.set_state(gst::State::Playing);
    let bus = pipeline.bus().unwrap();
    let message = bus.timed_pop_filtered(gst::ClockTime::from_seconds(30), &[gst::MessageType::Error]);
    let source = message.as_ref().and_then(|m| m.src().cloned()).unwrap();
    let error = match message.as_ref().map(|m| m.view()) {
        Some(gst::MessageView::Error(err)) => err.error(),
        _ => panic!("no error"),
    };
    pipeline.set_state(gst::State::Null).unwrap();
    (error, source)
}

#[test]
fn a_clip_gives_one_line_a_frame_with_what_was_found() {
    let Some(clip) = common::data("intel-sample-videos/bottle-detection.mp4") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.jsonl");
    let pipeline = pipeline(&format!(
        "filesrc location={} ! decodebin ! identity name=tag ! torchmeta location={} ! fakesink name=sink",
        clip.display(),
        out.display()
    ));
    let pts = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let tag = pipeline.by_name("tag").unwrap().static_pad("src").unwrap();
    tag.add_probe(gst::PadProbeType::BUFFER, {
        let pts = pts.clone();
        move |_, info| {
            let buffer = info.buffer_mut().unwrap().make_mut();
            let mut pts = pts.lock().unwrap();
            let face = Object { id: 2, parent: Some(1), track: None, ..car(5.0) };
            // Nothing on every third frame.
            match pts.len() % 3 {
                0 => {}
                1 => set_objects(buffer, &[car(pts.len() as f32)]),
                _ => set_objects(buffer, &[car(pts.len() as f32), face]),
            }
            pts.push(buffer.pts().unwrap().nseconds());
            gst::PadProbeReturn::Ok
        }
    });
    common::play_to_end(&pipeline);

    let pts = pts.lock().unwrap();
    let lines = lines(&out);
    assert_eq!(lines.len(), pts.len());
    assert!(lines.len() > 100);
    for (n, (line, pts)) in lines.iter().zip(pts.iter()).enumerate() {
        let keys: Vec<&String> = line.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["pts", "frame", "width", "height", "objects"]);
        assert_eq!((&line["pts"], &line["frame"]), (&Value::from(*pts), &Value::from(n)));
        assert_eq!((&line["width"], &line["height"]), (&Value::from(640), &Value::from(360)));
        let objects = line["objects"].as_array().unwrap();
        assert_eq!(objects.len(), n % 3);
        if let Some(first) = objects.first() {
            let keys: Vec<&String> = first.as_object().unwrap().keys().collect();
            assert_eq!(keys, ["id", "parent", "label", "confidence", "box", "track"]);
            assert_eq!(first["box"], serde_json::json!([n as f64, 20.5, 30.0, 40.0]));
            assert_eq!((&first["parent"], &first["track"]), (&Value::Null, &Value::from(4)));
            assert_eq!((&first["label"], &first["confidence"]), (&Value::from("car"), &Value::from(0.9)));
        }
        if let Some(second) = objects.get(1) {
            assert_eq!((&second["parent"], &second["track"]), (&Value::from(1), &Value::Null));
        }
    }
}

#[test]
fn buffers_pass_through_as_they_are() {
    common::init();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.jsonl");
    let mut harness = gst_check::Harness::new_parse(&format!("torchmeta location={}", out.display()));
    // Frames in a device's memory, of a format that cannot be mapped.
    harness.set_src_caps_str("video/x-raw(memory:Nowhere),format=NV12,width=64,height=32");
    let buffer = gst::Buffer::with_size(7).unwrap();
    let (address, shared) = (buffer.as_ptr(), buffer.clone());
    harness.push(buffer).unwrap();
    assert_eq!(harness.pull().unwrap().as_ptr(), address);
    drop(shared);
    // The line is there while the element still runs.
    let lines = lines(&out);
    assert_eq!(lines[0], serde_json::json!({"pts": null, "frame": 0, "width": 64, "height": 32, "objects": []}));
}

#[test]
fn each_start_writes_the_file_anew_and_location_changes_in_ready() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = ["a.jsonl", "b.jsonl"].map(|name| folder.path().join(name));
    std::fs::write(&first, "what was there\n").unwrap();
    let pipeline = pipeline("videotestsrc num-buffers=5 ! torchmeta name=meta ! fakesink");
    let meta = pipeline.by_name("meta").unwrap();
    meta.set_property("location", first.to_str());
    for _ in 0..3 {
        common::play_to_end(&pipeline);
        let lines = lines(&first);
        assert_eq!(lines.len(), 5);
        assert_eq!(lines[0]["frame"], 0);
    }
    pipeline.set_state(gst::State::Ready).unwrap();
    meta.set_property("location", second.to_str());
    std::fs::remove_file(&first).unwrap();
    pipeline.set_state(gst::State::Paused).unwrap();
    pipeline.state(gst::ClockTime::from_seconds(10)).0.unwrap();
    // Refused while the file is open.
    meta.set_property("location", first.to_str());
    assert_eq!(meta.property::<String>("location"), second.to_str().unwrap());
    common::play_to_end(&pipeline);
    assert_eq!(lines(&second).len(), 5);
    assert!(!first.exists());
}

#[test]
fn a_flush_and_a_seek_lose_no_lines() {
    let Some(clip) = common::data("intel-sample-videos/bottle-detection.mp4") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.jsonl");
    let pipeline = pipeline(&format!(
        "filesrc location={} ! decodebin ! torchmeta location={} ! fakesink",
        clip.display(),
        out.display()
    ));
    pipeline.set_state(gst::State::Paused).unwrap();
    pipeline.state(gst::ClockTime::from_seconds(30)).0.unwrap();
    let before = lines(&out).len();
    assert!(before >= 1, "the frame that is shown while paused");
    pipeline.seek_simple(gst::SeekFlags::FLUSH | gst::SeekFlags::KEY_UNIT, gst::ClockTime::ZERO).unwrap();
    common::play_to_end(&pipeline);
    let lines = lines(&out);
    assert!(lines.len() > before + 100);
    assert!(lines.iter().enumerate().all(|(n, line)| line["frame"] == n));
}

#[test]
fn a_file_that_cannot_be_opened_is_named() {
    let (error, source) = error_of("videotestsrc ! torchmeta name=meta location=/no/such/folder/out.jsonl ! fakesink");
    assert!(error.matches(gst::ResourceError::OpenWrite));
    assert!(error.message().contains("/no/such/folder/out.jsonl"), "{}", error.message());
    assert_eq!(source.name(), "meta");
}

#[test]
fn a_full_disk_is_an_error_that_names_the_file() {
    if !Path::new("/dev/full").exists() {
        return eprintln!("skipped: no /dev/full on this system");
    }
    let (error, source) = error_of("videotestsrc ! torchmeta name=meta location=/dev/full ! fakesink");
    assert!(error.matches(gst::ResourceError::NoSpaceLeft), "{error:?}");
    assert!(error.message().contains("/dev/full"), "{}", error.message());
    assert_eq!(source.name(), "meta");
}

/// Run by the two tests below in a process of its own, whose standard output is theirs to close.
#[test]
#[ignore = "a helper of other tests"]
fn write_to_standard_output() {
    let pipeline = pipeline("videotestsrc num-buffers=20000 ! video/x-raw,width=16,height=16 ! torchmeta ! fakesink");
    common::play_to_end(&pipeline);
    eprintln!("ended in order");
}

fn standard_output_helper() -> std::process::Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    // With one thread, as on one core, the name of the test would come first on the first line.
    command.args(["--ignored", "--exact", "jsonl::write_to_standard_output", "--nocapture", "--test-threads=2"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn standard_output_is_the_default_and_gets_whole_lines() {
    let mut child = standard_output_helper();
    let drained = std::thread::spawn({
        let mut stderr = child.stderr.take().unwrap();
        move || stderr.read_to_string(&mut String::new())
    });
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let json: Vec<Value> = stdout
        .lines()
        .map(Result::unwrap)
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(&line).unwrap())
        .collect();
    assert!(child.wait().unwrap().success());
    drained.join().unwrap().unwrap();
    assert_eq!(json.len(), 20_000);
    assert_eq!(json[19_999]["frame"], 19_999);
}

#[test]
fn standard_output_that_nobody_reads_ends_the_stream_in_order() {
    let mut child = standard_output_helper();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.starts_with('{') {
        line.clear();
        assert_ne!(stdout.read_line(&mut line).unwrap(), 0, "no line came");
    }
    drop(stdout);
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    child.wait().unwrap();
    assert!(said.contains("ended in order"), "{said}");
}
