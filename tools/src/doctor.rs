//! `gst-torch doctor`: what was found, each line good or with what to do.

use std::path::Path;

use gst_torch_models::builtin;
use gst_torch_runtime::{cache_folder, device, libtorch_version};

#[derive(clap::Args)]
pub struct Args {}

/// The elements of the plugin, in the order of the README.
const ELEMENTS: [&str; 4] = ["torchdetect", "torchtrack", "torchoverlay", "torchmeta"];

#[derive(Default)]
struct Report {
    bad: usize,
}

impl Report {
    fn good(&self, what: &str, found: impl std::fmt::Display) {
        println!("good  {what:<11} {found}");
    }

    fn bad(&mut self, what: &str, found: impl std::fmt::Display, remedy: &str) {
        self.bad += 1;
        println!("BAD   {what:<11} {found}\n                  {remedy}");
    }
}

pub fn run(_args: Args) -> anyhow::Result<()> {
    let mut report = Report::default();
    gstreamer(&mut report);
    libtorch(&mut report);
    devices(&report);
    models(&mut report);
    cache(&mut report);
    match report.bad {
        0 => Ok(()),
        1 => anyhow::bail!("1 thing to put right"),
        n => anyhow::bail!("{n} things to put right"),
    }
}

fn gstreamer(report: &mut Report) {
    if let Err(error) = gst::init() {
        return report.bad("GStreamer", error, "install libgstreamer1.0-0 and its plugins: `make setup`");
    }
    report.good("GStreamer", gst::version_string());
    let registry = gst::Registry::get();
    match registry.find_plugin("torch") {
        Some(plugin) => {
            let path = plugin.filename().unwrap_or_default();
            report.good("plugin", format!("{} {}", path.display(), plugin.version()));
        }
        None => report.bad(
            "plugin",
            "not found by GStreamer",
            "set GST_PLUGIN_PATH to the folder of libgsttorch.so; if it is set, the plugin did not load once and is \
             blacklisted: delete ~/.cache/gstreamer-1.0/registry.*.bin",
        ),
    }
    for name in ELEMENTS {
        match gst::ElementFactory::find(name) {
            Some(factory) => report.good("element", format!("{name}: {}", factory.metadata("long-name").unwrap_or(""))),
            None => report.bad("element", format!("{name} is missing"), "see the line about the plugin"),
        }
    }
    for (name, package) in [
        ("decodebin", "gstreamer1.0-plugins-base"),
        ("videoconvert", "gstreamer1.0-plugins-base"),
        ("qtdemux", "gstreamer1.0-plugins-good"),
        ("avdec_h264", "gstreamer1.0-libav"),
        ("x264enc", "gstreamer1.0-plugins-ugly"),
    ] {
        if gst::ElementFactory::find(name).is_none() {
            report.bad("element", format!("{name} is missing"), &format!("apt-get install {package}"));
        }
    }
}

fn libtorch(report: &mut Report) {
    match device::libtorch_folder() {
        Some(folder) => report.good("libtorch", format!("{} in {}", libtorch_version(), folder.display())),
        None => report.bad("libtorch", "its folder is not known", "run `make setup`"),
    }
}

fn devices(report: &Report) {
    for device in device::available() {
        let precisions: Vec<_> = device.precisions().iter().map(ToString::to_string).collect();
        let cores = if device == device::Device::Cpu { format!(", {} cores", device::cores()) } else { String::new() };
        report.good("device", format!("{device} ({}{cores})", precisions.join(", ")));
    }
    // No GPU is nothing to put right, but whoever expects one wants the reason.
    if let Err(reason) = device::cuda_state() {
        println!("note  device      no CUDA: {reason}");
    }
}

fn models(report: &mut Report) {
    for model in builtin::MODELS {
        match builtin::open(model.name) {
            Ok(file) => {
                let text = file.info.description.value.unwrap_or_default();
                report.good("model", format!("{}: {text}", model.name));
            }
            Err(error) => report.bad("model", error, "this build is broken: build it again"),
        }
    }
}

fn cache(report: &mut Report) {
    let Some(folder) = cache_folder() else {
        return report.bad(
            "cache",
            "no folder",
            "set GST_TORCH_CACHE or HOME; without it engines are timed at each start",
        );
    };
    match probe(&folder) {
        Ok(()) => report.good("cache", folder.display()),
        Err(error) => {
            report.bad("cache", format!("{}: {error}", folder.display()), "make it writable, or set GST_TORCH_CACHE")
        }
    }
}

fn probe(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let file = folder.join(format!(".doctor-{}", std::process::id()));
    std::fs::write(&file, b"")?;
    std::fs::remove_file(file)
}
