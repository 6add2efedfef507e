//! The same settings give the same frames: over runs, threads, formats and seeks.

use super::*;
use crate::scripted;

const RATE: &str = "video/x-raw,format=GRAY8,framerate=30/1";

#[test]
fn the_same_seed_gives_the_same_frames_in_every_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = scripted::mixture(folder.path(), "mixture.pt");
    for mode in ["walk", "walk walk=slerp", "noise", "fixed"] {
        let settings = format!("{} mode={mode} seed=5", model(&path));
        let once = frames(&settings, RATE, 40);
        assert_eq!(once, frames(&settings, RATE, 40), "{mode}");
        let other = frames(&format!("{} mode={mode} seed=6", model(&path)), RATE, 40);
        assert!(once.iter().zip(&other).all(|(a, b)| a != b), "{mode}");
        let changes = once.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert!(if mode == "fixed" { changes == 0 } else { changes >= 38 }, "{mode}: {changes}");
    }
}

#[test]
fn several_sources_side_by_side_disturb_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = scripted::mixture(folder.path(), "mixture.pt");
    let settings = model(&path);
    let alone = frames(&settings, RATE, 30);
    let threads: Vec<_> = (0..6)
        .map(|_| {
            let settings = settings.clone();
            std::thread::spawn(move || frames(&settings, RATE, 30))
        })
        .collect();
    for thread in threads {
        assert_eq!(thread.join().unwrap(), alone);
    }
}

#[test]
fn seeking_shows_what_playing_would() {
    let folder = tempfile::tempdir().unwrap();
    let path = scripted::mixture(folder.path(), "mixture.pt");
    for mode in ["walk", "noise"] {
        let source = Source::play(&format!("{} mode={mode}", model(&path)), RATE);
        let played = source.frames(60);
        // Times within frames 45, 3, 0 and 58.
        for (milliseconds, frame) in [(1510, 45), (120, 3), (0, 0), (1950, 58)] {
            source.seek(milliseconds);
            let sample = source.pull();
            assert_eq!(sample.buffer().unwrap().offset(), frame, "{mode}");
            assert!(pixels(&sample) == played[frame as usize], "{mode}: frame {frame} after a seek");
            assert!(
                pixels(&source.pull()) == played.get(frame as usize + 1).cloned().unwrap_or_else(|| unreachable!())
            );
        }
    }
}

#[test]
fn frames_run_backwards() {
    let folder = tempfile::tempdir().unwrap();
    let path = scripted::mixture(folder.path(), "mixture.pt");
    let source = Source::play(&model(&path), RATE);
    let played = source.frames(20);
    let ms = gst::ClockTime::from_mseconds;
    let flags = gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE;
    source.pipeline.seek(-1.0, flags, gst::SeekType::Set, ms(0), gst::SeekType::Set, ms(500)).unwrap();
    let mut backwards = Vec::new();
    while let Some(sample) = source.sink.try_pull_sample(gst::ClockTime::from_seconds(20)) {
        backwards.push((sample.buffer().unwrap().offset(), pixels(&sample)));
    }
    assert!(source.sink.is_eos());
    let numbers: Vec<u64> = backwards.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (0..15).rev().collect::<Vec<_>>());
    assert!(backwards.iter().all(|(number, frame)| *frame == played[*number as usize]));
}

#[test]
fn every_format_shows_the_same_picture_at_every_size() {
    let folder = tempfile::tempdir().unwrap();
    let path = scripted::mixture(folder.path(), "mixture.pt");
    let settings = format!("{} mode=fixed watermark=false num-buffers=1", model(&path));
    let natural = frames(&settings, "video/x-raw,format=GRAY8", 1).remove(0);
    assert_eq!(natural.len(), 32 * 24);
    for format in ["RGB", "RGBA", "I420", "NV12", "BGR", "BGRA", "RGBx", "BGRx", "YUY2"] {
        // To RGB: from 4:2:0 to grey GStreamer copies luma, whatever its range.
        let caps = format!("video/x-raw,format={format} ! videoconvert ! video/x-raw,format=RGB");
        let got: Vec<u8> = frames(&settings, &caps, 1).remove(0).chunks(3).map(|pixel| pixel[1]).collect();
        assert!(largest_difference(&got, &natural) <= 4, "{format}: {}", largest_difference(&got, &natural));
    }
    for (width, height) in [(1, 1), (33, 17), (64, 48), (1280, 720), (8, 2000)] {
        let caps = format!("video/x-raw,format=GRAY8,width={width},height={height}");
        let got = frames(&settings, &caps, 1).remove(0);
        assert_eq!(got.len(), width * height);
        let mean = |frame: &[u8]| frame.iter().map(|v| f64::from(*v)).sum::<f64>() / frame.len() as f64;
        assert!((mean(&got) - mean(&natural)).abs() < 3.0, "{width}x{height}");
    }
}

#[test]
fn each_frame_has_its_time_and_says_what_made_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = scripted::mixture(folder.path(), "mixture.pt");
    let source = Source::play(&format!("{} seed=9 num-buffers=5", model(&path)), "video/x-raw,framerate=30000/1001");
    let mut end = gst::ClockTime::ZERO;
    for number in 0..5 {
        let sample = source.pull();
        let buffer = sample.buffer().unwrap();
        assert_eq!((buffer.pts(), buffer.offset(), buffer.offset_end()), (Some(end), number, number + 1));
        end += buffer.duration().unwrap();
        let made_by = gsttorch::provenance::get(buffer).unwrap();
        assert_eq!((made_by.seed, made_by.frame, made_by.watermark), (9, number, true));
        assert!(made_by.model.ends_with("mixture.pt") && made_by.sha256.len() == 64);

        // The latent that is said makes the frame again.
        let again = Source::paused(&format!("{} mode=fixed", model(&path)), "video/x-raw,format=RGB");
        again.element.set_property("latent", gst::Array::new(made_by.latent.iter().map(|v| f64::from(*v))));
        again.seek(0);
        assert!(pixels(&again.sink.try_pull_preroll(gst::ClockTime::from_seconds(20)).unwrap()) == pixels(&sample));
    }
    assert!(source.sink.try_pull_sample(gst::ClockTime::from_seconds(20)).is_none() && source.sink.is_eos());
}
