//! `make demo`: the main job of GstTorch on one clip, from an application's side.
//!
//! Detects, tracks and draws, writes a video, JSON lines and a contact sheet, and says what was found and how fast. It is
//! the example of how to embed the elements, too: a pipeline by description, the bus, a property read at the end.

mod contact_sheet;
mod summary;

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use clap::Parser;
use gst::glib;
use gst::prelude::*;
use indicatif::{ProgressBar, ProgressStyle};

#[derive(Parser)]
struct Args {
    /// A video file, a URI, or a camera (/dev/video0)
    clip: String,
    /// Folder for out.mp4, out.jsonl and out.png
    #[arg(long, default_value = "demo")]
    out: PathBuf,
    /// Ends after so many seconds of video; a camera ends after 20 when nothing is said, a file at its end
    #[arg(long)]
    seconds: Option<u64>,
    /// A built-in model's name, a card or a model file
    #[arg(long)]
    model_file: Option<String>,
}

fn main() -> ExitCode {
    match demo(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn demo(args: Args) -> Result<()> {
    gst::init()?;
    // The elements are linked in; an application that only installs the plugin leaves this line out.
    gsttorch::plugin_register_static()?;
    std::fs::create_dir_all(&args.out).with_context(|| format!("cannot make the folder {}", args.out.display()))?;

    let (video, found) = (args.out.join("out.mp4"), args.out.join("out.jsonl"));
    let pipeline = build(&args, &video, &found)?;
    let clock = FrameClock::attach(&pipeline.by_name("overlay").context("the overlay has a name")?)?;
    run(&pipeline, args.seconds.or(is_camera(&args.clip).then_some(20)))?;

    let detect = pipeline.by_name("detect").context("the detector has a name")?;
    let stats = detect.property::<gst::Structure>("stats");
    pipeline.set_state(gst::State::Null)?;

    let (frames, elapsed) = clock.frames_and_time();
    let sheet = args.out.join("out.png");
    contact_sheet::write(&video, frames, &sheet)?;
    println!("{}", summary::Summary::read(&found)?.report(frames, elapsed, &stats));
    println!("written    {}, {}, {}", video.display(), found.display(), sheet.display());
    Ok(())
}

fn is_camera(clip: &str) -> bool {
    clip.starts_with("/dev/")
}

fn build(args: &Args, video: &Path, found: &Path) -> Result<gst::Pipeline> {
    let source = if is_camera(&args.clip) {
        format!("v4l2src device={} ! decodebin", args.clip)
    } else {
        let uri = if args.clip.contains("://") {
            args.clip.clone()
        } else {
            let path = std::path::absolute(&args.clip)?;
            if !path.is_file() {
                bail!("{} is not a file", path.display());
            }
            glib::filename_to_uri(&path, None)?.to_string()
        };
        // Only the video is decoded; the demuxer drops the rest.
        format!("uridecodebin uri=\"{uri}\" caps=\"video/x-raw(ANY)\" expose-all-streams=false")
    };
    let description = format!(
        "{source} ! queue ! torchdetect name=detect ! torchtrack ! torchmeta name=meta ! torchoverlay name=overlay \
         ! queue ! videoconvert ! video/x-raw,format=I420 ! x264enc speed-preset=veryfast ! h264parse \
         ! mp4mux faststart=true ! filesink name=file"
    );
    let pipeline = gst::parse::launch(&description)
        .map_err(|error| anyhow!("{}: `make setup` installs what is missing", error.message()))?
        .downcast::<gst::Pipeline>()
        .map_err(|_| anyhow!("the description is a pipeline"))?;
    let element = |name: &str| pipeline.by_name(name).with_context(|| format!("{name} has a name"));
    element("meta")?.set_property("location", found);
    element("file")?.set_property("location", video);
    if let Some(model) = &args.model_file {
        element("detect")?.set_property("model-file", model);
    }
    Ok(pipeline)
}

/// Plays to the end or to the given length; a bar shows how far it is.
fn run(pipeline: &gst::Pipeline, seconds: Option<u64>) -> Result<()> {
    let main_loop = glib::MainLoop::new(None, false);
    let failure = Rc::new(RefCell::new(None));
    let _watch = pipeline.bus().context("a pipeline has a bus")?.add_watch_local({
        let (main_loop, failure) = (main_loop.clone(), failure.clone());
        move |_, message| {
            match message.view() {
                gst::MessageView::Eos(_) => main_loop.quit(),
                gst::MessageView::Error(error) => {
                    let name = error.src().map(|src| src.name()).unwrap_or_default();
                    *failure.borrow_mut() = Some(anyhow!("{name}: {}", error.error()));
                    main_loop.quit();
                }
                gst::MessageView::Warning(warning) => eprintln!("warning: {}", warning.error()),
                _ => {}
            }
            glib::ControlFlow::Continue
        }
    })?;

    let bar = ProgressBar::new(0).with_style(ProgressStyle::with_template("{wide_bar} {msg}")?);
    let limit = seconds.map(gst::ClockTime::from_seconds);
    glib::timeout_add_local(Duration::from_millis(100), {
        let (pipeline, bar) = (pipeline.clone(), bar.clone());
        let mut ended = false;
        move || {
            let Some(position) = pipeline.query_position::<gst::ClockTime>() else {
                return glib::ControlFlow::Continue;
            };
            let length = pipeline.query_duration::<gst::ClockTime>();
            if let Some(total) = limit.into_iter().chain(length).min() {
                bar.set_length(total.mseconds());
            }
            bar.set_position(position.mseconds());
            bar.set_message(format!("{:.1} s", position.mseconds() as f64 / 1000.0));
            if !ended && limit.is_some_and(|limit| position >= limit) {
                ended = true;
                pipeline.send_event(gst::event::Eos::new());
            }
            glib::ControlFlow::Continue
        }
    });

    pipeline.set_state(gst::State::Playing).map(drop).or_else(|error| {
        // The reason is on the bus, and the loop below tells it.
        if pipeline.bus().is_some_and(|bus| bus.have_pending()) { Ok(()) } else { Err(error) }
    })?;
    main_loop.run();
    bar.finish_and_clear();
    let failed = failure.borrow_mut().take();
    if let Some(error) = failed {
        pipeline.set_state(gst::State::Null)?;
        return Err(error);
    }
    Ok(())
}

/// Counts the frames that leave an element, and the time from the first to the last of them.
#[derive(Clone, Default)]
struct FrameClock(Arc<Mutex<Option<(u64, Instant, Instant)>>>);

impl FrameClock {
    fn attach(element: &gst::Element) -> Result<Self> {
        let clock = Self::default();
        let pad = element.static_pad("src").context("the element has a source pad")?;
        pad.add_probe(gst::PadProbeType::BUFFER, {
            let clock = clock.clone();
            move |_, _| {
                let now = Instant::now();
                let mut seen = clock.0.lock().expect("nothing panics under this lock");
                let (count, first, _) = seen.unwrap_or((0, now, now));
                *seen = Some((count + 1, first, now));
                gst::PadProbeReturn::Ok
            }
        });
        Ok(clock)
    }

    fn frames_and_time(&self) -> (u64, Duration) {
        let seen = *self.0.lock().expect("nothing panics under this lock");
        seen.map_or((0, Duration::ZERO), |(count, first, last)| (count, last - first))
    }
}
