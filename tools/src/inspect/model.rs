//! What the runtime knows about a model file, and where each fact came from.

use std::fmt::Display;

use gst_torch_models::builtin;
use gst_torch_models::detect::layout::{Hints, Layout};
use gst_torch_models::detect::outputs::Outputs;
use gst_torch_models::generate::decoder::Decoder;
use gst_torch_models::generate::generator::{Generator, Options};
use gst_torch_models::restore::custom::Wishes;
use gst_torch_models::restore::interface::Interface;
use gst_torch_models::restore::restorer::{self, Restorer};
use gst_torch_runtime::{DeviceSpec, Engine, Fact, ModelFile, ModelInfo, PrecisionSpec, planes};

/// Where to run it once, to see its outputs.
pub struct Where {
    pub device: DeviceSpec,
    pub precision: PrecisionSpec,
}

pub fn run(name: &str, at: &Where) -> anyhow::Result<()> {
    let file = builtin::open(name)?;
    print_facts(&file.info);
    match file.info.task.value.as_deref() {
        Some("restore") => print_restorer(&file, at),
        Some("generate") => print_generator(name, at),
        Some(_) => print_outputs(&file, at),
        // A decoder that says nothing of itself takes no pictures.
        None => print_outputs(&file, at).or_else(|error| print_generator(name, at).map_err(|_| error)),
    }
}

/// What a generator is made of, and how it runs.
fn print_generator(name: &str, at: &Where) -> anyhow::Result<()> {
    let options = Options { device: at.device, precision: at.precision, ..Options::default() };
    let generator = Generator::open(name, &options)?;
    let line = |name: &str, value: &dyn Display| println!("{name:<14} {value}");
    let Decoder { latent, layout, numbers, .. } = generator.decoder();
    let space = generator.latents().space();
    line("latent", &format!("{:?}, {:?}", latent.item(), space.distribution));
    if space.classes > 0 {
        line("classes", &space.classes);
    }
    line("picture", &format!("{}x{} of {} channel(s)", layout.width, layout.height, layout.channels));
    line("black, white", &format!("{:?}", [0.0, 1.0].map(|level| (level - numbers.shift[0]) / numbers.gain[0])));
    line("mode", &generator.modes().natural().name());
    print_engine(generator.engine());
    Ok(())
}

fn print_facts(info: &ModelInfo) {
    let line = |name: &str, value: &dyn Display, origin: &str| println!("{name:<14} {value:<44} {origin}");
    line("model", &info.name, "");
    line("kind", &info.kind, "");
    line("sha256", &info.sha256, "");
    line("bytes", &info.bytes, "");
    option("task", &info.task);
    option("description", &info.description);
    option("licence", &info.licence);
    option("call", &info.call);
    let size = info.size.value.map_or("not fixed".into(), |[w, h]| format!("{w}x{h}"));
    line("input size", &size, &from(&info.size));
    line("colour", &words(&info.colour.value), &from(&info.colour));
    line("fit", &words(&info.fit.value), &from(&info.fit));
    line("pad", &info.pad.value, &from(&info.pad));
    line("scale", &info.scale.value, &from(&info.scale));
    line("mean", &format!("{:?}", info.mean.value), &from(&info.mean));
    line("std", &format!("{:?}", info.std.value), &from(&info.std));
    line("max error", &info.max_error.value, &from(&info.max_error));
    option("layout", &info.layout);
    let labels = &info.labels.value;
    let shown = labels.iter().take(8).cloned().collect::<Vec<_>>().join(", ");
    let more = labels.len().saturating_sub(8);
    let shown = if more > 0 { format!("{shown}, and {more} more") } else { shown };
    line("labels", &format!("{} ({shown})", labels.len()), &from(&info.labels));
}

/// What a restorer takes and gives, and how it runs on frames of a usual size.
fn print_restorer(file: &ModelFile, at: &Where) -> anyhow::Result<()> {
    let model = file.load(at.device, at.precision)?;
    let frame = planes::FrameInfo::new(planes::PixelFormat::I420, 640, 360);
    let line = |name: &str, value: &dyn Display| println!("{name:<14} {value}");
    match Interface::of(&model, &frame, &Wishes::default())? {
        Interface::Samples(config) => {
            line("restores", &config.task);
            line("remembers", &if config.history { "the frame before" } else { "nothing" });
            line("scale", &config.scale);
        }
        Interface::Custom { custom, .. } => {
            line("takes", &format!("{:?} in multiples of {}", custom.colour, custom.multiple));
            line("gives", &format!("{} in output {}", custom.kind, custom.tensor));
            line("scale", &custom.scale);
        }
    }
    let restorer = Restorer::new(&model, &frame, &restorer::Options::default(), false)?;
    print_engine(restorer.engine());
    Ok(())
}

/// Runs it once on grey: the outputs are known for certain only then.
fn print_outputs(file: &ModelFile, at: &Where) -> anyhow::Result<()> {
    let model = file.load(at.device, at.precision)?;
    let spec = file.info.input_spec([640, 640]);
    let engine = model.engine(spec.channels(), spec.height, spec.width)?;
    let frame = planes::FrameInfo::new(planes::PixelFormat::Rgb, spec.width, spec.height);
    let grey = vec![128u8; spec.width * spec.height * 3];
    let input = planes::Preprocessor::new(&frame, &spec)?.run_on(
        &planes::Planes::new(frame, &[(&grey, spec.width * 3)])?,
        engine.device().torch(),
        engine.input_kind(),
        planes::Layout::ChannelsLast,
    )?;
    let outputs = Outputs(engine.submit(input, Default::default()).wait()?);
    println!("{:<14} {outputs:<44} for {}x{} on {}", "outputs", spec.width, spec.height, model.device());
    let hints = Hints {
        task: file.info.task.value.clone(),
        layout: file.info.layout.value.as_deref().and_then(|word| word.parse().ok()),
        classes: file.info.labels.value.len(),
        size: (spec.width, spec.height),
        end_to_end: file.info.end_to_end,
    };
    match Layout::recognise(&outputs, &hints) {
        Ok(layout) => println!("{:<14} {:<44} seen in its tensors", "read as", layout.word()),
        Err(error) => println!("{:<14} {error}", "read as"),
    }
    print_engine(&engine);
    Ok(())
}

fn print_engine(engine: &Engine) {
    println!("{:<14} {}", "engine", engine.describe());
    for (plan, ms, error) in &engine.choice().tried {
        println!("{:<14} {plan:<34} {ms:8.2} ms   error {error:.1e}", "");
    }
}

fn option(name: &str, fact: &Fact<Option<String>>) {
    if let Some(value) = &fact.value {
        println!("{name:<14} {value:<44} {}", from(fact));
    }
}

fn from<T>(fact: &Fact<T>) -> String {
    fact.origin.to_string()
}

/// An enum's variant as a card writes it.
fn words(value: &impl std::fmt::Debug) -> String {
    format!("{value:?}").to_lowercase()
}
