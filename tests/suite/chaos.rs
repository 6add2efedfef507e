//! Streams that are sought, stopped, started and changed in an order that nobody thought of: they go on, and end.

use std::time::{Duration, Instant};

use gst::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::common;

/// Properties of the element `it`, and what they are changed to.
type Changes = &'static [(&'static str, &'static [&'static str])];

const ELEMENTS: [(&str, Changes); 6] = [
    (
        "torchdetect name=it device=cpu ! torchtrack ! torchoverlay",
        &[("inference-interval", &["1", "3"]), ("model-file", &["person", "cells"])],
    ),
    (
        "torchrestore name=it device=cpu",
        &[
            ("task", &["denoise", "deblock", "deblur", "low-light", "super-resolution"]),
            ("strength", &["0", "0.5", "1"]),
            ("noise-level", &["0", "25"]),
        ],
    ),
    ("torchinterpolate name=it device=cpu", &[("latency-mode", &["zero", "one-frame"])]),
    (
        "torchenc name=it device=cpu ! torchparse ! torchdec device=cpu",
        &[("quality", &["10", "60", "100"]), ("bitrate", &["0", "200", "2000"]), ("key-int-max", &["1", "30"])],
    ),
    ("torchenc name=it device=cpu ! queue ! torchdec device=cpu", &[("quality", &["1", "50"])]),
    ("torchrestore name=it device=cpu ! torchenc device=cpu ! torchdec device=cpu ! torchinterpolate device=cpu", &[]),
];

const FORMATS: [&str; 3] = ["I420", "NV12", "GRAY8"];

fn change(pipeline: &gst::Pipeline, rng: &mut StdRng, changes: Changes) -> String {
    let of = |rng: &mut StdRng, words: &[&str]| words[rng.random_range(0..words.len())].to_string();
    // What fails posts an error, which is looked for after each change.
    let state = |state: gst::State| {
        let _ = pipeline.set_state(state).and_then(|_| pipeline.state(gst::ClockTime::from_seconds(60)).0);
        format!("{state:?} ")
    };
    match rng.random_range(0..7) {
        0 => state(gst::State::Paused),
        1 => state(gst::State::Playing),
        2 => state(gst::State::Ready) + &state(gst::State::Playing),
        3 => state(gst::State::Null) + &state(gst::State::Playing),
        4 => {
            let (width, height) = (rng.random_range(1..200), rng.random_range(1..150));
            let format = of(rng, &FORMATS);
            let caps = format!("video/x-raw,format={format},width={width},height={height},framerate=30/1");
            pipeline.by_name("caps").unwrap().set_property_from_str("caps", &caps);
            caps
        }
        5 => {
            let place = gst::ClockTime::from_mseconds(rng.random_range(0..100_000));
            // One without a flush waits for the streaming thread, which in PAUSED waits for PLAYING.
            let flush = rng.random() || pipeline.current_state() != gst::State::Playing;
            let flags = if flush { gst::SeekFlags::FLUSH } else { gst::SeekFlags::empty() } | gst::SeekFlags::KEY_UNIT;
            let sought = pipeline.seek_simple(flags, place).is_ok();
            format!("seek {place} {flags:?} {sought}")
        }
        _ => {
            let Some((name, words)) = changes.get(rng.random_range(0..changes.len().max(1))) else {
                return String::new();
            };
            let word = of(rng, words);
            pipeline.by_name("it").unwrap().set_property_from_str(name, &word);
            format!("{name}={word}")
        }
    }
}

/// Each for two seconds; `CHAOS_SECONDS` says otherwise, and `CHAOS_SEED` in which order.
#[test]
fn they_go_on_and_end() {
    common::init();
    let seconds: f64 = std::env::var("CHAOS_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(2.0);
    let first: u64 = std::env::var("CHAOS_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(0);
    for (index, (line, changes)) in ELEMENTS.into_iter().enumerate() {
        let mut rng = StdRng::seed_from_u64(first + index as u64);
        // Delayed: else frames that are made when the caps change are refused.
        let line = format!(
            "videotestsrc pattern=snow num-buffers=1000000 ! capsfilter name=caps caps-change-mode=delayed \
             caps=video/x-raw,format=I420,width=64,height=48,framerate=30/1 ! {line} ! fakesink name=sink sync=false"
        );
        println!("{line}");
        let pipeline = gst::parse::launch(&line).unwrap().downcast::<gst::Pipeline>().unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        pipeline.state(gst::ClockTime::from_seconds(60)).0.unwrap();
        let began = Instant::now();
        while began.elapsed().as_secs_f64() < seconds {
            // Shown if the test fails.
            println!("{}", change(&pipeline, &mut rng, changes));
            common::no_error(&pipeline);
            std::thread::sleep(Duration::from_millis(rng.random_range(0..60)));
        }
        pipeline.set_state(gst::State::Playing).unwrap();
        common::wait_for_frames(&pipeline, 20);
        pipeline.send_event(gst::event::Eos::new());
        let kinds = [gst::MessageType::Eos, gst::MessageType::Error];
        let last = pipeline.bus().unwrap().timed_pop_filtered(gst::ClockTime::from_seconds(60), &kinds);
        let last = last.unwrap_or_else(|| panic!("{line} does not end"));
        assert_eq!(last.type_(), gst::MessageType::Eos, "{last:?}");
        pipeline.set_state(gst::State::Null).unwrap();
    }
}
