//! The watermark: found in what was generated, after x264 too, and nowhere else.

use gst_torch_models::generate::watermark::{Detector, Finding};

use super::*;
use crate::scripted;

/// What is found in the luma of the frames that a pipeline makes.
fn find(line: &str, count: usize) -> Finding {
    let pipeline = launch(&format!("{line} ! videoconvert ! video/x-raw,format=I420 ! appsink name=sink sync=false"));
    let sink = pipeline.by_name("sink").unwrap().downcast::<gst_app::AppSink>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let mut detector = Detector::default();
    for _ in 0..count {
        let Some(sample) = sink.try_pull_sample(gst::ClockTime::from_seconds(60)) else { break };
        let info = gst_video::VideoInfo::from_caps(sample.caps().unwrap()).unwrap();
        let map = sample.buffer().unwrap().map_readable().unwrap();
        detector.add(&map, info.stride()[0] as usize, info.width() as usize, info.height() as usize);
    }
    pipeline.set_state(gst::State::Null).unwrap();
    detector.finding()
}

#[test]
fn generated_video_is_known_after_x264() {
    let folder = tempfile::tempdir().unwrap();
    let path = scripted::mixture(folder.path(), "mixture.pt");
    let coded = "videoconvert ! x264enc pass=quant quantizer=23 speed-preset=medium ! avdec_h264";
    if gst::init().is_ok() && gst::ElementFactory::find("avdec_h264").is_none() {
        eprintln!("skipped: gst-libav is absent");
        return;
    }
    for caps in ["width=64,height=64", "width=320,height=180", "width=640,height=360"] {
        for (settings, marked) in [("", true), ("watermark=false", false)] {
            let line = format!("torchsrc {} {settings} num-buffers=50 ! video/x-raw,{caps} ! {coded}", model(&path));
            let found = find(&line, 50);
            assert_eq!((found.frames, found.is_marked()), (50, marked), "{caps} {settings}: {found:?}");
        }
    }
}

#[test]
fn real_footage_carries_no_watermark() {
    let Some(clip) = common::clip() else { return };
    let found = find(&format!("filesrc location={} ! decodebin", clip.display()), 60);
    assert!(found.frames == 60 && !found.is_marked(), "{found:?}");
}
