//! The engine picks itself: for a model, device and shape, each plan is timed once, the fastest within the error bound
//! is kept, and what was found is remembered on disk.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::device::{self, Device, Precision, PrecisionSpec};
use crate::error::{Error, Result};
use crate::executor::{Executor, Width};
use crate::program::{Graph, Outputs, Plan, Program, Source, relative_error};
use crate::sample::Sample;
use crate::shape::Shape;

/// What was picked, and the measurements it stands on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    pub plan: Plan,
    /// Milliseconds a picture alone with all cores.
    pub wide_ms: f64,
    /// Milliseconds a picture on one core.
    pub narrow_ms: f64,
    /// Against fp32 as saved, relative root mean square.
    pub error: f64,
    /// All that was timed: words, milliseconds (wide), error.
    pub tried: Vec<(String, f64, f64)>,
}

impl Choice {
    /// Whether one picture a core, side by side, gives more pictures a second than one at a time with all cores.
    pub(crate) fn narrow_is_faster(&self, lanes: usize) -> bool {
        lanes > 1 && self.narrow_ms / (lanes as f64) < self.wide_ms
    }
}

/// What a choice is made for.
#[derive(Clone)]
pub(crate) struct Question {
    pub model: String,
    pub sha256: String,
    pub source: Source,
    pub device: Device,
    pub precision: PrecisionSpec,
    pub shape: Shape,
    pub sample: Sample,
    pub max_error: f64,
    /// Whether the same input must give the same bits in every process: then nothing is left to what was measured.
    pub repeatable: bool,
    /// The plan is given; how fast it is has to be found out.
    pub only: Option<Plan>,
}

impl Question {
    fn admits(&self, plan: Plan) -> bool {
        self.only.is_none_or(|only| only == plan)
    }
}

/// A plan slower than this many times the best so far after its first timed run is not timed further.
const HOPELESS: f64 = 2.0;
const TIMED_RUNS: usize = 7;
const TIMING_BUDGET: Duration = Duration::from_millis(600);

/// Held while graphs are rewritten: libtorch's graph passes are one list for the whole process.
pub(crate) fn compiler() -> MutexGuard<'static, ()> {
    static COMPILER: Mutex<()> = Mutex::new(());
    COMPILER.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// The remembered choice, or a fresh one.
pub(crate) fn choose(question: &Question) -> Result<Choice> {
    let file = memory_file(question);
    if let Some(choice) =
        file.as_ref().and_then(|f| std::fs::read(f).ok()).and_then(|b| serde_json::from_slice(&b).ok())
    {
        return Ok(choice);
    }
    let choice = if question.repeatable { first_allowed(question)? } else { measure(question)? };
    if let Some(file) = file {
        remember(&file, &choice);
    }
    Ok(choice)
}

/// The plan that is best for inputs of the shape `like`, with its times for those of the question; where one of the two cannot
/// be had, what [`choose`] gives.
pub(crate) fn choose_like(question: &Question, like: Shape) -> Result<Choice> {
    let own = || choose(question);
    if like == question.shape {
        return own();
    }
    let Ok(best) = choose(&Question { shape: like, ..question.clone() }) else { return own() };
    choose(&Question { only: Some(best.plan), ..question.clone() }).or_else(|_| own())
}

fn measure(question: &Question) -> Result<Choice> {
    let precisions = question.precision.candidates(question.device)?;
    let executor = Executor::of(question.device);
    let reference = reference(question, &executor)?;

    let mut best: Option<Choice> = None;
    let mut tried = Vec::new();
    let mut failure = None;
    for plan in Plan::candidates(question.device, &precisions).into_iter().filter(|plan| question.admits(*plan)) {
        let limit = best.as_ref().map(|b| b.wide_ms * HOPELESS);
        let timed = time(question, &executor, plan, Width::Wide, limit);
        let (ms, outputs) = match timed {
            Ok(timed) => timed,
            // A plan that this network cannot run is no plan; the next may do.
            Err(error) => {
                failure.get_or_insert(error);
                continue;
            }
        };
        let error = relative_error(&outputs, &reference);
        tried.push((plan.to_string(), ms, error));
        let exact_wish = question.precision != PrecisionSpec::Auto;
        let allowed = exact_wish || question.only.is_some() || plan == Plan::REFERENCE || error <= question.max_error;
        if allowed && best.as_ref().is_none_or(|b| ms < b.wide_ms) {
            best = Some(Choice { plan, wide_ms: ms, narrow_ms: ms, error, tried: Vec::new() });
        }
    }
    let mut best = best.ok_or_else(|| {
        failure.unwrap_or_else(|| Error::torch(&question.model, "no way to run it gives repeatable results"))
    })?;
    if executor.lanes() > 1 {
        best.narrow_ms = time(question, &executor, best.plan, Width::Narrow, None)?.0;
    }
    best.tried = tried;
    Ok(best)
}

/// The first plan of a fixed order that runs, within the error bound and twice with the same result: 16 bits before 32 where
/// the device computes in them and the bound admits them, oneDNN's graphs before plain ones. Times are noted, and decide
/// nothing.
fn first_allowed(question: &Question) -> Result<Choice> {
    let mut precisions = question.precision.candidates(question.device)?;
    if question.device.computes_in_16_bits() {
        precisions.reverse();
    }
    let executor = Executor::of(question.device);
    let reference = reference(question, &executor)?;
    let mut tried = Vec::new();
    let mut failure = None;
    for plan in
        Plan::candidates_in_order(question.device, &precisions).into_iter().filter(|plan| question.admits(*plan))
    {
        let timed = time(question, &executor, plan, Width::Narrow, None)
            .and_then(|(ms, outputs)| Ok((ms, outputs, time(question, &executor, plan, Width::Narrow, Some(0.0))?.1)));
        let (ms, outputs, again) = match timed {
            Ok(timed) => timed,
            Err(error) => {
                failure.get_or_insert(error);
                continue;
            }
        };
        let error = relative_error(&outputs, &reference);
        tried.push((plan.to_string(), ms, error));
        let allowed = question.precision != PrecisionSpec::Auto || error <= question.max_error;
        if error.is_finite() && allowed && relative_error(&outputs, &again) == 0.0 {
            return Ok(Choice { plan, wide_ms: ms, narrow_ms: ms, error, tried });
        }
    }
    Err(failure.unwrap_or_else(|| Error::torch(&question.model, "no way to run it gives the same result twice")))
}

/// What the network gives in fp32, as it was saved.
fn reference(question: &Question, executor: &Executor) -> Result<Outputs> {
    let input = make_sample(question, tch::Kind::Float)?;
    let program = load(question, executor, Plan::REFERENCE)?;
    on_lane(executor, question, Width::Wide, move || program.run(&input))
}

fn make_sample(question: &Question, kind: tch::Kind) -> Result<tch::Tensor> {
    question.sample.make(question.shape, kind).map_err(|e| Error::torch(&question.model, e.to_string()))
}

/// On a lane, since a network of ours is run once to trace it.
fn load(question: &Question, executor: &Executor, plan: Plan) -> Result<Program> {
    let owned = question.clone();
    on_lane(executor, question, Width::Wide, move || {
        Program::load(&owned.model, &owned.source, owned.device, plan, owned.shape)
    })
}

/// Milliseconds a run, and the outputs. Each run is a job of its own, so that streams that play go on in between.
fn time(
    question: &Question,
    executor: &Executor,
    plan: Plan,
    width: Width,
    limit: Option<f64>,
) -> Result<(f64, Outputs)> {
    let program = std::sync::Arc::new(load(question, executor, plan)?);
    let input = make_sample(question, plan.precision.kind())?;
    let once = |warm_up: bool| -> Result<(Duration, Outputs)> {
        let (program, input) = (std::sync::Arc::clone(&program), input.shallow_clone());
        let device = question.device;
        on_lane(executor, question, width, move || {
            if warm_up {
                let _compiler = compiler();
                program.warm_up(&input)?;
            }
            let start = Instant::now();
            let outputs = program.run(&input)?;
            if let Device::Cuda(n) = device {
                tch::Cuda::synchronize(n as i64);
            }
            Ok((start.elapsed(), outputs))
        })
    };
    let (first, outputs) = once(true)?;
    let mut best = first;
    let start = Instant::now();
    if limit.is_none_or(|limit| millis(first) < limit) {
        for _ in 1..TIMED_RUNS {
            // The least is what the plan costs; anything above it is what else ran on the machine.
            best = best.min(once(false)?.0);
            if start.elapsed() > TIMING_BUDGET {
                break;
            }
        }
    }
    Ok((millis(best), outputs))
}

fn on_lane<T: Send + 'static>(
    executor: &Executor,
    question: &Question,
    width: Width,
    f: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    executor.run(width, f).unwrap_or_else(|reason| Err(Error::Panic { model: question.model.clone(), reason }))
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// The one folder that GstTorch writes into unasked: `GST_TORCH_CACHE`, else `$XDG_CACHE_HOME/gst-torch`, else
/// `~/.cache/gst-torch`.
pub fn cache_folder() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    set("GST_TORCH_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|p| p.join("gst-torch")))
        .or_else(|| set("HOME").map(|p| p.join(".cache/gst-torch")))
}

/// Shapes of about as many pixels share what was found for one of them: which plan is fastest goes by how much there is to
/// compute. So a stream of another size, or a tile, starts without measuring. Other inputs stand for themselves.
fn size_class(shape: Shape) -> Vec<i64> {
    match *shape.dims() {
        [n, c, h, w] => vec![n, c, ((h * w).max(1) as f64).log2().round() as i64],
        ref dims => dims.to_vec(),
    }
}

fn memory_file(question: &Question) -> Option<PathBuf> {
    // Bumped when plans or their meaning change.
    const VERSION: u32 = 2;
    let key = format!(
        "{VERSION} {} {} {} {:?} {} {} {} {}{}{}",
        question.sha256,
        machine(question.device),
        question.precision,
        size_class(question.shape),
        question.max_error,
        crate::shim::libtorch_version(),
        device::cores(),
        env!("CARGO_PKG_VERSION"),
        match question.sample {
            Sample::Picture { .. } if !question.repeatable => String::new(),
            sample => format!(" {sample:?} {:?} {}", question.shape, question.repeatable),
        },
        question.only.map_or_else(String::new, |plan| format!(" {plan}")),
    );
    let name = hex(&Sha256::digest(key.as_bytes()))[..32].to_owned();
    Some(cache_folder()?.join("engines").join(format!("{name}.json")))
}

/// A file of its own for each question, put in place in one step: processes that start together do not disturb
/// each other. Where nothing can be written, the next start measures again.
fn remember(file: &std::path::Path, choice: &Choice) {
    let write = || -> std::io::Result<()> {
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let draft = file.with_extension(format!("{}.tmp", std::process::id()));
        std::fs::write(&draft, serde_json::to_vec_pretty(choice)?)?;
        std::fs::rename(&draft, file)
    };
    let _ = write();
}

fn machine(device: Device) -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|l| l.strip_prefix("model name")).unwrap_or("").trim_matches([' ', '\t', ':']);
    format!("{device} {model}")
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// For tests and benchmarks: a choice that is not measured.
impl Choice {
    pub fn fixed(precision: Precision, graph: Graph, channels_last: bool) -> Choice {
        let plan = Plan { precision, graph, channels_last };
        Choice { plan, wide_ms: 1.0, narrow_ms: 1.0, error: 0.0, tried: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_near_each_other_share_a_choice_and_others_do_not() {
        let class = |shape: [i64; 4]| size_class(shape.into());
        assert_eq!(class([1, 3, 360, 640]), class([1, 3, 368, 640]));
        assert_eq!(class([1, 3, 1, 1]), [1, 3, 0]);
        assert_ne!(class([1, 3, 360, 640]), class([1, 3, 720, 1280]));
        assert_ne!(class([1, 3, 360, 640]), class([1, 13, 360, 640]));
    }
}
