//! The encoder while it plays: rate, key frames, regions of interest, late frames, statistics.

use gst::prelude::*;

use super::{Piece, encoded, launch, try_collect};

fn bits(pieces: &[Piece]) -> f64 {
    pieces.iter().map(|piece| piece.bytes.len() as f64 * 8.0).sum()
}

/// Encodes, and lets `at` act before each frame leaves the source.
fn watched(line: &str, at: impl Fn(&gst::Pipeline, usize) + Send + Sync + 'static) -> Vec<Piece> {
    let pipeline = launch(line);
    let pad = pipeline.by_name("enc").unwrap().static_pad("sink").unwrap();
    let (count, weak) = (std::sync::atomic::AtomicUsize::new(0), pipeline.downgrade());
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        let n = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        at(&weak.upgrade().unwrap(), n);
        gst::PadProbeReturn::Ok
    });
    try_collect(&pipeline).unwrap()
}

const SOURCE: &str = "videotestsrc pattern=zone-plate kx2=20 ky2=20 kt=3 num-buffers=150 \
                      ! video/x-raw,format=I420,width=128,height=96,framerate=30/1";

#[test]
fn the_mean_rate_is_held_and_may_change_while_playing() {
    let source = SOURCE.replace("=150", "=210");
    let line = format!("{source} ! torchenc name=enc bitrate=200 key-int-max=60 ! appsink name=out sync=false");
    let pieces = watched(&line, |pipeline, n| {
        if n == 90 {
            pipeline.by_name("enc").unwrap().set_property("bitrate", 100u32);
        }
    });
    assert_eq!(pieces.len(), 210);
    // Any two seconds after the first, and after the change.
    for (range, rate) in [(30..90, 200e3), (120..180, 100e3), (125..185, 100e3), (150..210, 100e3)] {
        let mean = bits(&pieces[range.clone()]) / 2.0;
        assert!((mean / rate - 1.0).abs() < 0.05, "{mean:.0} bit/s in {range:?}; {rate} were asked for");
    }
}

#[test]
fn quality_and_key_interval_change_while_playing() {
    let line = format!("{SOURCE} ! torchenc name=enc quality=20 key-int-max=0 ! appsink name=out sync=false");
    let pieces = watched(&line, |pipeline, n| {
        let encoder = pipeline.by_name("enc").unwrap();
        match n {
            50 => encoder.set_property("quality", 80.0),
            100 => encoder.set_property("key-int-max", 10u32),
            _ => {}
        }
    });
    let (low, high) = (bits(&pieces[10..50]), bits(&pieces[60..100]));
    assert!(high > 1.5 * low, "{low} bits, then {high}");
    let keys: Vec<_> = (0..150).filter(|n| pieces[*n].key).collect();
    assert_eq!(keys, [0, 100, 110, 120, 130, 140]);
}

#[test]
fn key_frames_are_made_on_request_from_either_side() {
    let line = format!("{SOURCE} ! torchenc name=enc key-int-max=0 ! appsink name=out sync=false");
    let pieces = watched(&line, |pipeline, n| {
        let encoder = pipeline.by_name("enc").unwrap();
        if n == 40 {
            let event = gst_video::UpstreamForceKeyUnitEvent::builder().all_headers(true).build();
            encoder.static_pad("src").unwrap().send_event(event);
        } else if n == 80 {
            let event = gst_video::DownstreamForceKeyUnitEvent::builder().all_headers(true).build();
            encoder.static_pad("sink").unwrap().send_event(event);
        }
    });
    let keys: Vec<_> = (0..150).filter(|n| pieces[*n].key).collect();
    assert_eq!(keys, [0, 40, 80]);
}

/// Squared error of luma, mean over all frames, inside a box of 128x96 frames and outside it.
fn errors(good: &[Piece], decoded: &[Piece], [x, y, width, height]: [usize; 4]) -> [f64; 2] {
    let (mut sums, mut counts) = ([0.0; 2], [0.0; 2]);
    for (good, decoded) in good.iter().zip(decoded) {
        for (place, (a, b)) in good.bytes[..128 * 96].iter().zip(&decoded.bytes).enumerate() {
            let inside = (x..x + width).contains(&(place % 128)) && (y..y + height).contains(&(place / 128));
            sums[usize::from(!inside)] += (f64::from(*a) - f64::from(*b)).powi(2);
            counts[usize::from(!inside)] += 1.0;
        }
    }
    [sums[0] / counts[0], sums[1] / counts[1]]
}

#[test]
fn regions_of_interest_are_better_and_the_rest_stays_as_it_was() {
    let good = super::collect(&format!("{SOURCE} ! appsink name=out sync=false"));
    let coded = |roi: &str| {
        let coder = format!("torchenc name=enc quality=40 key-int-max=30 roi-quality={roi}");
        let pipeline = launch(&format!("{SOURCE} ! {coder} ! torchdec ! appsink name=out sync=false"));
        let pad = pipeline.by_name("enc").unwrap().static_pad("sink").unwrap();
        pad.add_probe(gst::PadProbeType::BUFFER, |_, info| {
            let buffer = info.buffer_mut().unwrap().make_mut();
            gst_video::VideoRegionOfInterestMeta::add(buffer, "person", (32, 32, 48, 48));
            gst::PadProbeReturn::Ok
        });
        errors(&good, &try_collect(&pipeline).unwrap(), [32, 32, 48, 48])
    };
    let (before, after) = (coded("0"), coded("20"));
    let gain = |part: usize| 10.0 * (before[part] / after[part]).log10();
    assert!(gain(0) > 2.0, "inside, mean squared errors of {} and {}: {:.2} dB", before[0], after[0], gain(0));
    assert!(gain(1).abs() < 0.5, "outside, mean squared errors of {} and {}: {:.2} dB", before[1], after[1], gain(1));
}

/// A live source that no encoder can follow: what is left out is counted and said.
#[test]
fn late_frames_of_a_live_source_are_left_out_and_said() {
    for (policy, may_skip) in [("auto", true), ("skip", true), ("block", false)] {
        let pipeline = launch(&format!(
            "videotestsrc is-live=true num-buffers=200 ! video/x-raw,format=I420,width=320,height=240,framerate=2000/1 \
             ! torchenc name=enc late-policy={policy} ! appsink name=out sync=false"
        ));
        let bus = pipeline.bus().unwrap();
        let said = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
        let count = std::sync::Arc::clone(&said);
        bus.set_sync_handler(move |_, message| {
            if message.type_() == gst::MessageType::Qos {
                count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            }
            gst::BusSyncReply::Pass
        });
        let pieces = try_collect_keeping(&pipeline);
        let stats: gst::Structure = pipeline.by_name("enc").unwrap().property("stats");
        pipeline.set_state(gst::State::Null).unwrap();
        let skipped = stats.get::<u64>("skipped").unwrap();
        assert_eq!(pieces as u64 + skipped, 200, "{policy}");
        assert_eq!(skipped > 0, may_skip, "{policy}");
        assert_eq!(said.load(std::sync::atomic::Ordering::SeqCst), skipped, "{policy}");
    }
}

/// As `try_collect`, but leaves the pipeline as it is; the number of buffers.
fn try_collect_keeping(pipeline: &gst::Pipeline) -> usize {
    let sink = pipeline.by_name("out").unwrap().downcast::<gst_app::AppSink>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    std::iter::from_fn(|| sink.pull_sample().ok()).count()
}

#[test]
fn statistics_say_what_was_done() {
    let pipeline = launch(
        "videotestsrc num-buffers=12 ! video/x-raw,format=I420,width=64,height=48 ! torchenc name=enc key-int-max=5 \
         ! torchdec name=dec ! appsink name=out sync=false",
    );
    assert_eq!(try_collect_keeping(&pipeline), 12);
    for name in ["enc", "dec"] {
        let stats: gst::Structure = pipeline.by_name(name).unwrap().property("stats");
        assert_eq!((stats.get::<u64>("frames"), stats.get::<u64>("keys")), (Ok(12), Ok(3)), "{stats}");
        assert!(stats.get::<f64>("p50").unwrap() > 0.0 && stats.get::<String>("model").is_ok(), "{stats}");
    }
    pipeline.set_state(gst::State::Null).unwrap();
}

#[test]
fn live_latency_is_a_frame_and_a_file_has_none() {
    for (live, expected) in [("true", 40), ("false", 0)] {
        let pipeline = launch(&format!(
            "videotestsrc is-live={live} num-buffers=5 ! video/x-raw,format=I420,width=64,height=48,framerate=25/1 \
             ! torchenc name=enc ! appsink name=out sync=false"
        ));
        try_collect_keeping(&pipeline);
        let encoder = pipeline.by_name("enc").unwrap();
        let (mut before, mut after) = (gst::query::Latency::new(), gst::query::Latency::new());
        assert!(encoder.static_pad("sink").unwrap().peer_query(&mut before));
        assert!(encoder.static_pad("src").unwrap().query(&mut after));
        assert_eq!((after.result().1 - before.result().1).mseconds(), expected, "live: {live}");
        pipeline.set_state(gst::State::Null).unwrap();
    }
    // Nothing is kept back: what goes in comes out before the next.
    assert_eq!(encoded(1, "").len(), 1);
}

/// Whatever the frame rate, the distance of key frames and the format: any two seconds after the first have the rate.
#[test]
fn the_rate_is_held_with_few_frames_and_many_key_frames() {
    for (rate, keys, format, kilobits) in
        [(5, 7, "I420", 60), (10, 1, "I420", 300), (25, 2, "I420", 300), (25, 30, "I420", 200), (20, 50, "Y444", 400)]
    {
        let caps = format!("video/x-raw,format={format},width=128,height=96,framerate={rate}/1");
        let count = rate * 6;
        let pieces = super::collect(&format!(
            "videotestsrc pattern=zone-plate kx2=20 ky2=20 kt=3 num-buffers={count} ! {caps} \
             ! torchenc bitrate={kilobits} key-int-max={keys} ! appsink name=out sync=false"
        ));
        for (first, window) in pieces[rate..].windows(2 * rate).enumerate() {
            let off = bits(window) / 2.0 / (f64::from(kilobits) * 1e3) - 1.0;
            assert!(off.abs() < 0.05, "{rate} frames/s, key-int-max={keys}, {format}: {off:.3} from picture {first}");
        }
    }
}

/// What comes from the network has timestamps but no durations, and often no frame rate.
#[test]
fn frames_without_durations_have_the_time_that_their_timestamps_say() {
    for rate in ["1/1", "0/1"] {
        let pipeline = launch(&format!(
            "videotestsrc num-buffers=8 ! video/x-raw,format=I420,width=1280,height=720,framerate=1/1 \
             ! capssetter caps=video/x-raw,framerate={rate} \
             ! torchenc name=enc late-policy=skip ! appsink name=out sync=false"
        ));
        let pad = pipeline.by_name("enc").unwrap().static_pad("sink").unwrap();
        pad.add_probe(gst::PadProbeType::BUFFER, |_, info| {
            info.buffer_mut().unwrap().make_mut().set_duration(gst::ClockTime::NONE);
            gst::PadProbeReturn::Ok
        });
        assert_eq!(try_collect_keeping(&pipeline), 8, "framerate={rate}");
        pipeline.set_state(gst::State::Null).unwrap();
    }
}
