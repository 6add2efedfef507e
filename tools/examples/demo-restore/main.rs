//! `make demo-restore`: what torchrestore does, to look at. A clip is spoilt in a way that each task is for, restored, and
//! shown beside what was spoilt: a video and a picture for each task.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, anyhow, bail};
use clap::Parser;
use gst::prelude::*;
use gst_torch_models::builtin;
use gst_torch_models::restore::degrade::{Darkness, Degradation, Kernel, Noise};
use gst_torch_models::restore::{Task, frames};
use gst_torch_runtime::planes::{FrameInfo, PixelFormat, Planes, PlanesMut};
use gst_video::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;

#[derive(Parser)]
struct Args {
    /// A video file
    clip: PathBuf,
    /// Folder for restore-TASK.mp4 and restore-TASK.png
    #[arg(long, default_value = "demo")]
    out: PathBuf,
    /// Only this task; else all, super-resolution twice
    #[arg(long)]
    task: Option<Task>,
    /// So many frames of the clip
    #[arg(long, default_value_t = 90)]
    frames: u32,
}

/// Size of the clip as shown, a half of the picture.
const SIZE: (i32, i32) = (640, 360);

fn main() -> ExitCode {
    match demo(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo-restore: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn demo(args: &Args) -> Result<()> {
    gst::init()?;
    gsttorch::plugin_register_static()?;
    if !args.clip.is_file() {
        bail!("{} is not a file", args.clip.display());
    }
    std::fs::create_dir_all(&args.out).with_context(|| format!("cannot make the folder {}", args.out.display()))?;
    for task in Task::ALL.into_iter().filter(|task| args.task.is_none_or(|wanted| wanted == *task)) {
        let scales: &[i32] = if task == Task::SuperResolution { &[2, 4] } else { &[1] };
        for &scale in scales {
            let model = task.model(scale.into());
            if builtin::MODELS.iter().any(|built_in| built_in.name == model) {
                show(args, task, scale)?;
            } else {
                println!("{model:<20} has no built-in model yet");
            }
        }
    }
    Ok(())
}

/// How the clip is spoilt, and in words. What is to become larger is made small by videoscale.
fn damage(task: Task, scale: i32) -> (Option<Degradation>, String) {
    match task {
        Task::Denoise => (Some(Degradation::Noise(Noise::gaussian(25.0))), "noise, sigma 25".into()),
        Task::Deblock => (Some(Degradation::Jpeg(20)), "JPEG, quality 20".into()),
        Task::Deblur => {
            let kernel = Kernel::Motion { length: 7.0, angle: 0.4 };
            (Some(Degradation::Blur(kernel, Noise::gaussian(1.0))), "motion blur, 7 pixels".into())
        }
        Task::SuperResolution => (None, format!("enlarged {scale} times, bilinear")),
        Task::LowLight => {
            let dark = Darkness { gamma: 2.0, gain: 0.6, noise: Noise::gaussian(2.0) };
            (Some(Degradation::Dark(dark)), "darkened".into())
        }
    }
}

fn show(args: &Args, task: Task, scale: i32) -> Result<()> {
    let name = if scale > 1 { format!("{task}-x{scale}") } else { task.to_string() };
    let (video, picture) = (args.out.join(format!("restore-{name}.mp4")), args.out.join(format!("restore-{name}.png")));
    let (degradation, words) = damage(task, scale);
    let pipeline = build(args, task, scale, &words)?;
    let element = |name: &str| pipeline.by_name(name).with_context(|| format!("{name} has a name"));
    element("source")?.set_property("location", &args.clip);
    element("file")?.set_property("location", &video);
    if let Some(degradation) = degradation {
        spoil(&element("damage")?, degradation)?;
    }
    let kept = keep(&element("shown")?, args.frames / 2)?;
    run(&pipeline)?;
    let stats = element("restore")?.property::<gst::Structure>("stats");
    pipeline.set_state(gst::State::Null)?;

    let sample = kept.lock().map_err(|_| anyhow!("a probe failed"))?.take();
    write_picture(&sample.with_context(|| format!("{} has too few frames", args.clip.display()))?, &picture)?;
    let engine = stats.get::<String>("engine").unwrap_or_default();
    println!("{name:<20} {}, {} ({engine})", video.display(), picture.display());
    Ok(())
}

/// The damaged clip left, the restored one right.
fn build(args: &Args, task: Task, scale: i32, words: &str) -> Result<gst::Pipeline> {
    let (width, height) = SIZE;
    let label = |text: &str| match gst::ElementFactory::find("textoverlay") {
        Some(_) => format!("textoverlay text=\"{text}\" valignment=bottom halignment=left font-desc=\"Sans 12\""),
        None => "identity".into(),
    };
    let description = format!(
        "filesrc name=source ! decodebin ! videoconvert ! videoscale method=lanczos envelope=2 add-borders=false \
         ! video/x-raw,format=I420,width={},height={},pixel-aspect-ratio=1/1 ! identity name=damage eos-after={} \
         ! tee name=both \
         both. ! queue max-size-buffers=0 max-size-bytes=0 max-size-time=0 \
         ! videoscale ! video/x-raw,width={width},height={height} ! {} ! wall.sink_0 \
         both. ! queue ! torchrestore name=restore task={task} scale={} ! {} ! wall.sink_1 \
         compositor name=wall background=black sink_1::xpos={width} ! videoconvert ! video/x-raw,format=I420 \
         ! identity name=shown ! x264enc speed-preset=veryfast quantizer=21 pass=quant ! h264parse ! mp4mux \
         ! filesink name=file",
        width / scale,
        height / scale,
        args.frames,
        label(words),
        scale.max(2),
        label(&format!("restored: {task}")),
    );
    gst::parse::launch(&description)
        .map_err(|error| anyhow!("{}: `make setup` installs what is missing", error.message()))?
        .downcast::<gst::Pipeline>()
        .map_err(|_| anyhow!("the description is a pipeline"))
}

/// Spoils every frame that leaves an element, the same way each time the demo runs.
fn spoil(element: &gst::Element, degradation: Degradation) -> Result<()> {
    let pad = element.static_pad("src").context("it has a source pad")?;
    let rng = Mutex::new(StdRng::seed_from_u64(1));
    pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        let caps = pad.current_caps();
        let video = caps.as_ref().and_then(|caps| gst_video::VideoInfo::from_caps(caps).ok());
        if let (Some(video), Some(buffer), Ok(mut rng)) = (video, info.buffer_mut(), rng.lock())
            && let Err(error) = spoil_frame(buffer.make_mut(), &video, &degradation, &mut rng)
        {
            eprintln!("demo-restore: a frame stays as it is: {error:#}");
        }
        gst::PadProbeReturn::Ok
    });
    Ok(())
}

fn spoil_frame(
    buffer: &mut gst::BufferRef,
    video: &gst_video::VideoInfo,
    degradation: &Degradation,
    rng: &mut StdRng,
) -> Result<()> {
    let mut mapped = gst_video::VideoFrameRef::from_buffer_ref_writable(buffer, video)?;
    let strides: [usize; 3] = std::array::from_fn(|plane| mapped.plane_stride()[plane] as usize);
    let info = FrameInfo::new(PixelFormat::I420, video.width() as usize, video.height() as usize);
    let [y, u, v, _] = mapped.planes_data_mut();
    let planes = Planes::new(info, &[(&*y, strides[0]), (&*u, strides[1]), (&*v, strides[2])])?;
    let spoilt = degradation.apply(&frames::read(&planes)?, rng);
    let mut planes = PlanesMut::new(info, [(y, strides[0]), (u, strides[1]), (v, strides[2])])?;
    Ok(frames::write(&spoilt, &mut planes)?)
}

/// The frame of a number, counted from 0, that leaves an element.
fn keep(element: &gst::Element, number: u32) -> Result<Arc<Mutex<Option<gst::Sample>>>> {
    let kept = Arc::new(Mutex::new(None));
    let (slot, seen) = (Arc::clone(&kept), std::sync::atomic::AtomicU32::new(0));
    let pad = element.static_pad("src").context("it has a source pad")?;
    pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        if seen.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == number
            && let (Some(caps), Some(buffer), Ok(mut slot)) = (pad.current_caps(), info.buffer(), slot.lock())
        {
            *slot = Some(gst::Sample::builder().buffer(buffer).caps(&caps).build());
        }
        gst::PadProbeReturn::Ok
    });
    Ok(kept)
}

fn run(pipeline: &gst::Pipeline) -> Result<()> {
    let bus = pipeline.bus().context("a pipeline has a bus")?;
    let started = pipeline.set_state(gst::State::Playing);
    let wanted = [gst::MessageType::Eos, gst::MessageType::Error];
    let wait = if started.is_ok() { None } else { Some(gst::ClockTime::SECOND) };
    let message = bus.timed_pop_filtered(wait, &wanted);
    let result = match message.as_ref().map(|message| message.view()) {
        Some(gst::MessageView::Eos(_)) => Ok(()),
        Some(gst::MessageView::Error(error)) => Err(anyhow!("{}", error.error())),
        _ => Err(anyhow!("the pipeline does not start")),
    };
    if result.is_err() {
        pipeline.set_state(gst::State::Null)?;
    }
    result
}

fn write_picture(sample: &gst::Sample, path: &Path) -> Result<()> {
    let caps = gst_video::VideoCapsBuilder::new().format(gst_video::VideoFormat::Rgb).build();
    let rgb = gst_video::convert_sample(sample, &caps, Some(gst::ClockTime::from_seconds(20)))?;
    let info = gst_video::VideoInfo::from_caps(rgb.caps().context("a sample without caps")?)?;
    let frame =
        gst_video::VideoFrameRef::from_buffer_ref_readable(rgb.buffer().context("a sample without a buffer")?, &info)?;
    let (stride, row) = (frame.plane_stride()[0] as usize, info.width() as usize * 3);
    let pixels: Vec<u8> = frame.plane_data(0)?.chunks(stride).flat_map(|line| &line[..row]).copied().collect();
    let picture =
        image::RgbImage::from_raw(info.width(), info.height(), pixels).context("the frame has all its rows")?;
    picture.save(path).with_context(|| format!("{} cannot be written", path.display()))
}
