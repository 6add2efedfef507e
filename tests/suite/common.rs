//! What every test needs: GStreamer with our plugin in it, and the way to the real data.
#![allow(dead_code)]

use std::path::PathBuf;
use std::sync::Once;

/// Initialises GStreamer and registers the plugin, once.
pub fn init() {
    static INIT: Once = Once::new();
    INIT.call_once(|| {
        gst::init().expect("GStreamer starts");
        gsttorch::plugin_register_static().expect("the plugin registers");
    });
}

/// The root of the checkout, as cargo says when it runs the tests: two checkouts may share one target folder, and then
/// what `env!` says is the other's.
pub fn root() -> PathBuf {
    let tests =
        std::env::var_os("CARGO_MANIFEST_DIR").expect("the suite runs under cargo, or with CARGO_MANIFEST_DIR set");
    PathBuf::from(tests).parent().expect("tests/ has a parent").to_path_buf()
}

/// A file or folder of the shared data, `../shared/data` beside the checkout (or `GST_TORCH_DATA`). `None`, and said on
/// standard error, where it is absent: a test that needs it then returns early.
pub fn data(path: &str) -> Option<PathBuf> {
    let base = std::env::var_os("GST_TORCH_DATA").map_or_else(|| root().join("../shared/data"), PathBuf::from);
    let full = base.join(path);
    if full.exists() {
        return Some(full);
    }
    eprintln!("skipped: {} is absent", full.display());
    None
}

/// Plays `pipeline` until it ends, stops it, and panics with what it says if it fails or takes longer than two minutes.
pub fn play_to_end(pipeline: &gst::Pipeline) {
    use gst::prelude::*;

    play_to_eos(pipeline);
    pipeline.set_state(gst::State::Null).expect("the pipeline stops");
}

/// As `play_to_end`, but leaves it as it is at its end, so that it can be asked.
pub fn play_to_eos(pipeline: &gst::Pipeline) {
    use gst::prelude::*;

    pipeline.set_state(gst::State::Playing).expect("the pipeline starts");
    let wanted = [gst::MessageType::Eos, gst::MessageType::Error];
    let bus = pipeline.bus().expect("a pipeline has a bus");
    match bus.timed_pop_filtered(gst::ClockTime::from_seconds(120), &wanted).as_ref().map(|m| m.view()) {
        Some(gst::MessageView::Eos(_)) => {}
        Some(gst::MessageView::Error(err)) => panic!("{}: {:?}", err.error(), err.debug()),
        _ => panic!("the pipeline did not end within two minutes"),
    }
}

/// A grey frame of such caps, at time 0.
pub fn grey(caps: &gst::Caps) -> gst::Buffer {
    let size = gst_video::VideoInfo::from_caps(caps).expect("caps of video in memory").size();
    let mut buffer = gst::Buffer::from_mut_slice(vec![128; size]);
    buffer.get_mut().expect("it is new").set_pts(gst::ClockTime::ZERO);
    buffer
}

/// A flush, and the segment that follows one.
pub fn flush(harness: &mut gst_check::Harness) {
    assert!(harness.push_event(gst::event::FlushStart::new()));
    assert!(harness.push_event(gst::event::FlushStop::new(true)));
    assert!(harness.push_event(gst::event::Segment::new(&gst::FormattedSegment::<gst::ClockTime>::new())));
}

/// Frames that the element `sink` has shown.
pub fn rendered(pipeline: &gst::Pipeline) -> u64 {
    use gst::prelude::*;

    let stats: gst::Structure = pipeline.by_name("sink").expect("a sink").property("stats");
    stats.get("rendered").expect("a sink counts what it renders")
}

/// Panics with what the pipeline says if it has failed.
pub fn no_error(pipeline: &gst::Pipeline) {
    use gst::prelude::*;

    if let Some(error) = pipeline.bus().expect("a pipeline has a bus").pop_filtered(&[gst::MessageType::Error]) {
        panic!("{error:?}");
    }
}

/// Until the element `sink` has shown so many more frames, for a minute at most.
pub fn wait_for_frames(pipeline: &gst::Pipeline, count: u64) {
    let (goal, began) = (rendered(pipeline) + count, std::time::Instant::now());
    while rendered(pipeline) < goal {
        no_error(pipeline);
        assert!(began.elapsed().as_secs() < 60, "the stream stands still");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

/// `vtest.avi` of Debian's opencv-doc (fixed camera, pedestrians, 768x576, 795 frames), where `make demo` or `make test`
/// has put it; `None`, and said on standard error, where it is absent.
pub fn clip() -> Option<PathBuf> {
    let cache = gst_torch_runtime::cache_folder()?;
    let within = "usr/share/doc/opencv-doc/examples/data/vtest.avi";
    let found =
        [cache.join("opencv-doc"), PathBuf::from("/")].iter().map(|at| at.join(within)).find(|path| path.exists());
    if found.is_none() {
        eprintln!("skipped: vtest.avi is absent: make demo fetches it");
    }
    found
}

/// `libgsttorch.so` as cargo has just built it for this test binary.
pub fn plugin() -> PathBuf {
    let binary = std::env::current_exe().expect("a test binary has a path");
    let plugin = binary.with_file_name("libgsttorch.so");
    assert!(plugin.exists(), "{} is absent", plugin.display());
    plugin
}
