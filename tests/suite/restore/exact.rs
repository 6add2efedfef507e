//! Every frame that comes leaves, with all that it carried, whatever happens in between.

use std::sync::{Arc, Mutex};

use super::*;
use crate::{common, scripted};

/// Pushes frames and pulls as many; they have to carry what they came with.
fn pass(harness: &mut gst_check::Harness, caps: &gst::Caps, numbers: std::ops::Range<u64>) -> Vec<gst::Buffer> {
    let sent: Vec<_> = numbers.map(|number| frame(caps, number)).collect();
    let labels: Vec<_> = sent.iter().map(|buffer| label(buffer)).collect();
    sent.into_iter().for_each(|buffer| assert!(harness.push(buffer).is_ok()));
    let got: Vec<_> = labels.iter().map(|_| harness.pull().unwrap()).collect();
    assert_eq!(got.iter().map(|buffer| label(buffer)).collect::<Vec<_>>(), labels, "{caps}");
    got
}

#[test]
fn every_format_and_odd_size_is_restored_in_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let model = scripted::halves(folder.path(), "halves.pt");
    // Held, so that it is loaded once.
    let _held = gst_torch_models::builtin::open(model.to_str().unwrap())
        .and_then(|file| file.load("auto".parse().unwrap(), "fp32".parse().unwrap()));
    for (width, height) in [(1, 1), (17, 31), (4097, 3), (64, 48)] {
        for format in FORMATS {
            let caps = caps(format, width, height);
            let mut harness = with_model(&model, "");
            harness.set_src_caps(caps.clone());
            let before = bytes(&frame(&caps, 1));
            let got = pass(&mut harness, &caps, 0..3);
            let info = gst_video::VideoInfo::from_caps(&caps).unwrap();
            let (was, is) = (before[0], bytes(&got[1])[0]);
            let black = if info.is_yuv() && info.colorimetry().range() == gst_video::VideoColorRange::Range16_235 {
                16
            } else {
                0
            };
            let expected = (f64::from(was) - f64::from(black)) / 2.0 + f64::from(black);
            // YUV of these shapes may lie outside RGB, where the network does not see it.
            let lenience = if info.is_yuv() && info.n_components() > 1 { 12.0 } else { 1.0 };
            assert!((f64::from(is) - expected).abs() <= lenience, "{format} {width}x{height}: {was} became {is}");
            if info.has_alpha() {
                assert_eq!(bytes(&got[1])[3], before[3], "{format}: alpha stays");
            }
        }
    }
}

#[test]
fn the_built_in_denoiser_takes_every_format_and_odd_size() {
    let _held = gst_torch_models::builtin::open("denoise")
        .and_then(|file| file.load("auto".parse().unwrap(), "fp32".parse().unwrap()));
    for (width, height) in [(1, 1), (17, 31), (4097, 3)] {
        for format in FORMATS {
            let caps = caps(format, width, height);
            let mut harness = harness("noise-level=2");
            harness.set_src_caps(caps.clone());
            for (number, got) in (0..).zip(pass(&mut harness, &caps, 0..3)) {
                let (was, is) = (bytes(&frame(&caps, number)), bytes(&got));
                let mean = |v: &[u8]| v.iter().map(|v| f64::from(*v)).sum::<f64>() / v.len() as f64;
                // Of a single pixel no network knows what is noise.
                let near = width == 1 || (mean(&was) - mean(&is)).abs() < 8.0;
                assert!(near, "{format} {width}x{height}: {} and {}", mean(&was), mean(&is));
            }
        }
    }
}

#[test]
fn the_built_in_denoiser_leaves_colours_as_they_are() {
    let caps = caps("I420", 160, 96);
    let mut harness = harness("noise-level=20");
    harness.set_src_caps(caps.clone());
    let means = |all: &[u8]| {
        let [luma, chroma] = [160 * 96, 80 * 48];
        let mean = |of: &[u8]| of.iter().map(|v| f64::from(*v)).sum::<f64>() / of.len() as f64;
        [mean(&all[..luma]), mean(&all[luma..][..chroma]), mean(&all[luma + chroma..])]
    };
    let mut state = 5u64;
    for number in 0..6 {
        let mut buffer = frame(&caps, number);
        {
            // Grass, and even noise with a deviation of 20.
            let mut map = buffer.get_mut().unwrap().map_writable().unwrap();
            for (index, v) in map.iter_mut().enumerate() {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                let level = if index < 160 * 96 {
                    82
                } else if index < 160 * 96 + 80 * 48 {
                    100
                } else {
                    124
                };
                *v = (level - 35 + (state >> 40) % 71) as u8;
            }
        }
        harness.push(buffer).unwrap();
        let got = means(&bytes(&harness.pull().unwrap()));
        let apart = got.iter().zip([82.0, 100.0, 124.0]).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(apart < 3.0, "frame {number}: {got:?}");
    }
}

#[test]
fn caps_changes_flushes_gaps_and_eos_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let model = scripted::halves(folder.path(), "halves.pt");
    for settings in [format!("model-file={}", model.display()), "task=denoise".into()] {
        let mut harness = harness(&settings);
        for (round, format) in FORMATS.iter().cycle().take(6).enumerate() {
            let caps = caps(format, 64 + 2 * (round as i32 / 2), 48);
            harness.set_src_caps(caps.clone());
            pass(&mut harness, &caps, 0..7);
            if round % 2 == 0 {
                common::flush(&mut harness);
                pass(&mut harness, &caps, 100..103);
            }
            let gap = gst::event::Gap::builder(gst::ClockTime::SECOND).build();
            assert!(harness.push_event(gap));
            pass(&mut harness, &caps, 50..52);
        }
        let caps = caps("I420", 64, 64);
        harness.set_src_caps(caps.clone());
        (0..7).for_each(|number| assert!(harness.push(frame(&caps, number)).is_ok()));
        assert!(harness.push_event(gst::event::Eos::new()));
        let labels: Vec<_> = (0..7).map(|_| label(&harness.pull().unwrap())).collect();
        assert_eq!(labels, (0..7).map(|number| label(&frame(&caps, number))).collect::<Vec<_>>());
        let mut events = Vec::new();
        while events.last() != Some(&gst::EventType::Eos) {
            events.push(harness.pull_event().unwrap().type_());
        }
        assert_eq!(events.iter().filter(|kind| **kind == gst::EventType::Gap).count(), 6);
    }
}

#[test]
fn a_frame_that_fails_leaves_as_it_came() {
    let folder = tempfile::tempdir().unwrap();
    // Bright pictures make libtorch throw.
    let model = scripted::restorer(folder.path(), "throws.pt", 3, "", |x| {
        let index = (x.mean(tch::Kind::Float).view([1]) * 1.4).to_kind(tch::Kind::Int64);
        vec![x * 0.5 + x.index_select(0, &index).mean(tch::Kind::Float) * 0.0]
    });
    let caps = caps("GRAY8", 64, 48);
    let mut harness = with_model(&model, "input-colour=rgb");
    let bus = gst::Bus::new();
    harness.element().unwrap().set_bus(Some(&bus));
    harness.set_src_caps(caps.clone());
    for (number, level) in [(0, 100), (1, 230), (2, 100)] {
        let mut buffer = frame(&caps, number);
        buffer.get_mut().unwrap().map_writable().unwrap().fill(level);
        let expected = label(&buffer);
        harness.push(buffer).unwrap();
        let got = harness.pull().unwrap();
        assert_eq!(label(&got), expected);
        let is = bytes(&got)[0];
        assert!(if level == 230 { is == 230 } else { is.abs_diff(50) <= 1 }, "{level} became {is}");
    }
    let warnings = std::iter::from_fn(|| bus.pop_filtered(&[gst::MessageType::Warning])).count();
    assert_eq!(warnings, 1);
}

/// The PTS that pass a pad, since the last flush.
fn watch(pad: &gst::Pad) -> Arc<Mutex<Vec<Option<u64>>>> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let list = Arc::clone(&seen);
    pad.add_probe(gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_FLUSH, move |_, info| {
        match &info.data {
            Some(gst::PadProbeData::Buffer(buffer)) => {
                list.lock().unwrap().push(buffer.pts().map(gst::ClockTime::nseconds));
            }
            Some(gst::PadProbeData::Event(event)) if event.type_() == gst::EventType::FlushStop => {
                list.lock().unwrap().clear();
            }
            _ => {}
        }
        gst::PadProbeReturn::Ok
    });
    seen
}

#[test]
fn seeking_in_a_real_clip_loses_no_frame() {
    let Some(clip) = common::data("torchcodec/test/resources/nasa_13013.mp4").or_else(common::clip) else { return };
    let pipeline = launch(&format!(
        "filesrc location={} ! decodebin ! videoconvert ! videoscale ! video/x-raw,format=I420,width=160,height=90 \
         ! torchrestore name=restore ! fakesink sync=false",
        clip.display()
    ));
    let restore = pipeline.by_name("restore").unwrap();
    let came = watch(&restore.static_pad("sink").unwrap());
    let left = watch(&restore.static_pad("src").unwrap());
    pipeline.set_state(gst::State::Paused).unwrap();
    pipeline.state(gst::ClockTime::from_seconds(60)).0.unwrap();
    for (start, flags) in [(2, gst::SeekFlags::FLUSH), (5, gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE)] {
        let (from, to) = (gst::ClockTime::from_seconds(start), gst::ClockTime::from_seconds(start + 2));
        pipeline.seek(1.0, flags, gst::SeekType::Set, from, gst::SeekType::Set, to).unwrap();
        common::play_to_eos(&pipeline);
        let (came, left) = (came.lock().unwrap().clone(), left.lock().unwrap().clone());
        assert!(came.len() >= 10, "{}", came.len());
        assert_eq!(came, left);
        pipeline.set_state(gst::State::Paused).unwrap();
    }
    pipeline.set_state(gst::State::Null).unwrap();
}

/// PTS and durations of both streams of a clip, with `element` in the video's way.
fn streams(clip: &Path, element: &str) -> [Vec<(Option<u64>, Option<u64>)>; 2] {
    let pipeline = launch(&format!(
        "filesrc location={} ! decodebin name=d ! queue ! videoconvert ! videoscale ! video/x-raw,width=160,height=120 \
         ! {element} ! appsink name=video sync=false \
         d. ! queue max-size-time=0 max-size-buffers=0 max-size-bytes=0 ! audioconvert ! appsink name=audio sync=false",
        clip.display()
    ));
    let lists = ["video", "audio"].map(|name| {
        let list = Arc::new(Mutex::new(Vec::new()));
        let sink = pipeline.by_name(name).unwrap().downcast::<gst_app::AppSink>().unwrap();
        let seen = Arc::clone(&list);
        let ns = |time: Option<gst::ClockTime>| time.map(gst::ClockTime::nseconds);
        let note = move |sink: &gst_app::AppSink| {
            let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
            let buffer = sample.buffer().unwrap();
            seen.lock().unwrap().push((ns(buffer.pts()), ns(buffer.duration())));
            Ok(gst::FlowSuccess::Ok)
        };
        sink.set_callbacks(gst_app::AppSinkCallbacks::builder().new_sample(note).build());
        list
    });
    common::play_to_end(&pipeline);
    lists.map(|list| std::mem::take(&mut *list.lock().unwrap()))
}

#[test]
fn audio_stays_in_sync() {
    let Some(clip) = common::data("gstreamer/subprojects/gst-plugins-bad/tests/files/mse.mp4") else { return };
    let [video, audio] = streams(&clip, "identity");
    assert!(video.len() > 20 && audio.len() > 20, "{} and {}", video.len(), audio.len());
    assert_eq!(streams(&clip, "torchrestore"), [video, audio]);
}

#[test]
fn the_recurrent_denoiser_gives_the_same_whatever_the_pace() {
    // Frames under way beside each other would see another past.
    let run = |pause: bool| -> Vec<Vec<u8>> {
        let caps = caps("I420", 96, 64);
        let mut harness = harness("noise-level=10");
        harness.set_src_caps(caps.clone());
        let mut got = Vec::new();
        for number in 0..8 {
            harness.push(frame(&caps, number)).unwrap();
            if pause {
                got.push(bytes(&harness.pull().unwrap()));
            }
        }
        (got.len()..8).for_each(|_| got.push(bytes(&harness.pull().unwrap())));
        got
    };
    assert_eq!(run(true), run(false));
}

#[test]
fn state_cycles_begin_afresh() {
    let folder = tempfile::tempdir().unwrap();
    let model = scripted::halves(folder.path(), "halves.pt");
    for settings in [format!("model-file={}", model.display()), "noise-level=5".into()] {
        let pipeline = launch(&format!(
            "videotestsrc num-buffers=6 ! video/x-raw,format=I420,width=64,height=48 ! torchrestore name=r {settings} \
             ! fakesink name=sink"
        ));
        for round in 0..4 {
            common::play_to_eos(&pipeline);
            assert_eq!(stats(&pipeline.by_name("r").unwrap()).get::<u64>("frames").unwrap(), 6);
            pipeline.set_state([gst::State::Ready, gst::State::Null][round % 2]).unwrap();
        }
        pipeline.set_state(gst::State::Null).unwrap();
    }
}

#[test]
fn strength_follows_its_property_down_to_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let model = scripted::halves(folder.path(), "halves.pt");
    for format in FORMATS {
        let caps = caps(format, 34, 22);
        let mut harness = with_model(&model, "");
        harness.set_src_caps(caps.clone());
        let mut levels = Vec::new();
        for strength in [0.0f32, 0.5, 1.0] {
            harness.element().unwrap().set_property("strength", strength);
            harness.push(frame(&caps, 4)).unwrap();
            levels.push(bytes(&harness.pull().unwrap()));
        }
        let sent = bytes(&frame(&caps, 4));
        assert_eq!(levels[0], sent, "{format}: nothing is nothing");
        let middle: Vec<u8> = sent.iter().zip(&levels[2]).map(|(a, b)| a.midpoint(*b)).collect();
        assert!(largest_difference(&levels[1], &middle) <= 1, "{format}");
    }
}

#[test]
fn strength_follows_a_controller_frame_by_frame() {
    use gst::glib::translate::{ToGlibPtr, from_glib_none};

    // GStreamer's control sources have no binding among this workspace's crates.
    #[link(name = "gstcontroller-1.0")]
    unsafe extern "C" {
        fn gst_interpolation_control_source_new() -> *mut gst::ffi::GstControlSource;
        fn gst_timed_value_control_source_set(
            source: *mut gst::ffi::GstControlSource,
            time: gst::ffi::GstClockTime,
            value: f64,
        ) -> gst::glib::ffi::gboolean;
        fn gst_direct_control_binding_new(
            object: *mut gst::ffi::GstObject,
            property: *const std::ffi::c_char,
            source: *mut gst::ffi::GstControlSource,
        ) -> *mut gst::ffi::GstControlBinding;
    }

    let folder = tempfile::tempdir().unwrap();
    let model = scripted::halves(folder.path(), "halves.pt");
    let caps = caps("GRAY8", 64, 48);
    let mut harness = with_model(&model, "");
    let element = harness.element().unwrap();
    harness.set_src_caps(caps.clone());
    // SAFETY: both are new and floating; the names and the element live over the calls.
    let binding: gst::ControlBinding = unsafe {
        let source: gst::ControlSource = from_glib_none(gst_interpolation_control_source_new());
        source.set_property_from_str("mode", "linear");
        let second = gst::ClockTime::SECOND.nseconds();
        assert_ne!(gst_timed_value_control_source_set(source.to_glib_none().0, 0, 0.0), 0);
        assert_ne!(gst_timed_value_control_source_set(source.to_glib_none().0, second, 1.0), 0);
        let object: &gst::Object = element.upcast_ref();
        from_glib_none(gst_direct_control_binding_new(
            object.to_glib_none().0,
            c"strength".as_ptr(),
            source.to_glib_none().0,
        ))
    };
    element.add_control_binding(&binding).unwrap();
    for number in [0u64, 5, 12, 24, 40] {
        harness.push(frame(&caps, number)).unwrap();
        let (was, is) = (f64::from(bytes(&frame(&caps, number))[0]), f64::from(bytes(&harness.pull().unwrap())[0]));
        let strength = ((40 * number + 7) as f64 / 1000.0).min(1.0);
        assert!((was * (1.0 - strength / 2.0) - is).abs() <= 1.5, "frame {number}: {was} became {is}");
    }
}

#[test]
fn a_frame_that_others_hold_is_not_written_to() {
    let folder = tempfile::tempdir().unwrap();
    let model = scripted::halves(folder.path(), "halves.pt");
    let pipeline = launch(&format!(
        "videotestsrc num-buffers=5 pattern=white ! video/x-raw,format=GRAY8,width=64,height=48 ! tee name=t \
         t. ! queue ! appsink name=plain sync=false \
         t. ! queue ! torchrestore model-file={} ! appsink name=restored sync=false",
        model.display()
    ));
    pipeline.set_state(gst::State::Playing).unwrap();
    for (name, levels) in [("restored", 110..=130), ("plain", 230..=255)] {
        let sink = pipeline.by_name(name).unwrap().downcast::<gst_app::AppSink>().unwrap();
        let mut count = 0;
        while let Ok(sample) = sink.pull_sample() {
            assert!(bytes(sample.buffer().unwrap()).iter().all(|v| levels.contains(v)), "{name}");
            count += 1;
        }
        assert_eq!(count, 5, "{name}");
    }
    pipeline.set_state(gst::State::Null).unwrap();
}
