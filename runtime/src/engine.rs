//! Runs one model at one shape: requests of any number of streams wait in one queue, and lanes empty it in batches.

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use once_cell::sync::OnceCell;
use tch::{Kind, Tensor};

use crate::choice::Choice;
use crate::device::{Device, Precision};
use crate::error::{Error, Result, panic_message};
use crate::executor::{Drain, Executor, Job, Width};
use crate::program::{Outputs, Program, Source};
use crate::sample::Sample;
use crate::shape::Shape;

/// How a request wants to be batched with others that wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batching {
    /// The largest batch; 0 lets the engine decide.
    pub size: usize,
    /// The longest time to wait for a batch to fill.
    pub timeout: Duration,
}

impl Default for Batching {
    fn default() -> Self {
        Batching { size: 0, timeout: Duration::ZERO }
    }
}

/// A batch never grows beyond this, whatever is asked for.
pub const MAX_BATCH: usize = 64;

/// What an engine is made for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EngineSpec {
    /// One input: its batch is 1.
    pub shape: Shape,
    pub sample: Sample,
    /// The same input gives the same bits, in every process on a machine and whatever else runs there: no plan is picked by
    /// its speed, no batch is made, and every run has one core, beside others.
    pub repeatable: bool,
    /// Run by the plan that is best for inputs of this shape rather than its own, so that parts of a picture are computed as
    /// the whole is: plans differ in what they round. Where the network cannot run on that shape, or by that plan, its own decides.
    pub like: Option<Shape>,
}

/// What is done with the outputs of a request before they leave the device, on the worker that ran it.
pub type Finish = Arc<dyn Fn(Outputs) -> Result<Outputs, tch::TchError> + Send + Sync>;

/// A result to come.
#[derive(Debug)]
pub struct Ticket {
    receiver: Receiver<Result<Outputs>>,
    model: String,
}

impl Ticket {
    /// Waits for the outputs: on the CPU, contiguous, floating ones in fp32, leading dimension 1 where there was one.
    pub fn wait(self) -> Result<Outputs> {
        self.receiver.recv().unwrap_or_else(|_| {
            Err(Error::Panic { model: self.model, reason: "the worker dropped the request".into() })
        })
    }
}

struct Request {
    input: Tensor,
    batching: Batching,
    finish: Option<Finish>,
    arrived: Instant,
    reply: SyncSender<Result<Outputs>>,
}

type ProgramCell = Arc<OnceCell<Arc<Program>>>;

/// See the module. Made by `Model::engine`.
pub struct Engine {
    model: String,
    source: Source,
    device: Device,
    spec: EngineSpec,
    choice: Choice,
    executor: Arc<Executor>,
    /// Programs by batch size and width: oneDNN compiles for a batch size and a number of threads.
    programs: Mutex<HashMap<(usize, bool), ProgramCell>>,
    queue: Mutex<VecDeque<Request>>,
    /// Falls when memory runs out, or to 1 for a network that cannot be batched.
    largest_batch: AtomicUsize,
    /// What happened that a user should hear of, once.
    notices: Mutex<Vec<String>>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("model", &self.model).field("spec", &self.spec).finish_non_exhaustive()
    }
}

impl Engine {
    pub(crate) fn new(
        model: String,
        source: Source,
        device: Device,
        spec: EngineSpec,
        choice: Choice,
    ) -> Result<Arc<Engine>> {
        let executor = Executor::of(device);
        if spec.repeatable {
            crate::shim::avoid_chance();
        }
        let engine = Arc::new(Engine {
            model,
            source,
            device,
            spec,
            choice,
            executor,
            programs: Mutex::default(),
            queue: Mutex::default(),
            largest_batch: AtomicUsize::new(MAX_BATCH),
            notices: Mutex::default(),
        });
        // The first frame must not wait for a compiler.
        let widths: &[Width] = match engine.executor.lanes() {
            1 => &[Width::Wide],
            _ if spec.repeatable => &[Width::Narrow],
            _ => &[Width::Wide, Width::Narrow],
        };
        for &width in widths {
            let warmed = Arc::clone(&engine);
            let program = engine.executor.run(width, move || warmed.program(1, width));
            program.map_err(|reason| Error::Panic { model: engine.model.clone(), reason })??;
        }
        Ok(engine)
    }

    /// What the user called the model.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// What runs, in words: `fused bf16 channels-last`.
    pub fn describe(&self) -> String {
        self.choice.plan.to_string()
    }

    pub fn choice(&self) -> &Choice {
        &self.choice
    }

    pub fn device(&self) -> Device {
        self.device
    }

    /// The kind that inputs should have, so that nothing is converted on the way.
    pub fn input_kind(&self) -> Kind {
        self.choice.plan.precision.kind()
    }

    /// How many requests can run at the same time; one more keeps all lanes busy.
    pub fn parallel(&self) -> usize {
        self.executor.lanes()
    }

    /// Takes what a user should hear of since the last call.
    pub fn take_notices(&self) -> Vec<String> {
        std::mem::take(&mut self.notices.lock().unwrap())
    }

    /// Hands over one picture, 1,C,H,W, for the next free lane.
    pub fn submit(self: &Arc<Self>, input: Tensor, batching: Batching) -> Ticket {
        self.enqueue(input, batching, None)
    }

    /// As `submit`, and has the worker finish the outputs where they are.
    pub fn submit_with(self: &Arc<Self>, input: Tensor, batching: Batching, finish: Finish) -> Ticket {
        self.enqueue(input, batching, Some(finish))
    }

    fn enqueue(self: &Arc<Self>, input: Tensor, batching: Batching, finish: Option<Finish>) -> Ticket {
        let (reply, receiver) = sync_channel(1);
        self.queue.lock().unwrap().push_back(Request { input, batching, finish, arrived: Instant::now(), reply });
        self.executor.post(Job::Drain(Arc::clone(self) as Arc<dyn Drain>));
        Ticket { receiver, model: self.model.clone() }
    }

    /// For benchmarks: how long `runs` passes take with nothing around them, on grey; with all cores a pass, or with one
    /// core a pass and as many passes side by side as there are cores. `finish` is what each pass ends with, if anything.
    pub fn time_bare(self: &Arc<Self>, runs: usize, side_by_side: bool, finish: Option<&Finish>) -> Result<Duration> {
        let lanes = if side_by_side { self.executor.lanes() } else { 1 };
        let width = if lanes > 1 { Width::Narrow } else { Width::Wide };
        let start = Instant::now();
        std::thread::scope(|scope| {
            let loops: Vec<_> = (0..lanes)
                .map(|_| {
                    let (engine, finish) = (Arc::clone(self), finish.cloned());
                    scope.spawn(move || {
                        let executor = Arc::clone(&engine.executor);
                        executor.run(width, move || engine.bare_loop(runs / lanes, width, finish.as_ref()))
                    })
                })
                .collect();
            loops.into_iter().try_for_each(|l| {
                let panicked = |reason| Error::Panic { model: self.model.clone(), reason };
                l.join().map_err(|p| panicked(panic_message(&*p)))?.map_err(panicked)?
            })
        })?;
        Ok(start.elapsed())
    }

    fn bare_loop(&self, runs: usize, width: Width, finish: Option<&Finish>) -> Result<()> {
        let program = self.program(1, width)?;
        let input = self.sample(1)?;
        let torch = |e: tch::TchError| Error::torch(&self.model, e.to_string());
        for _ in 0..runs {
            let mut outputs = program.run(&input)?;
            if let Some(finish) = finish {
                outputs = finish(outputs).map_err(torch)?;
            }
            // Results are read, as anybody would: on a GPU that waits for them.
            host_all(&outputs).map_err(torch)?;
        }
        Ok(())
    }

    /// The TorchScript archive that runs, fp32.
    pub fn export(&self) -> Result<Vec<u8>> {
        match &self.source {
            Source::File(path) => {
                std::fs::read(path).map_err(|e| Error::NotFound { path: path.clone(), reason: e.to_string() })
            }
            Source::Archive(archive) => Ok(archive.to_vec()),
            Source::Network(network) => network
                .torchscript(self.spec.shape, Precision::Fp32)
                .map(|archive| archive.to_vec())
                .map_err(|reason| Error::torch(&self.model, reason)),
        }
    }

    fn sample(&self, batch: usize) -> Result<Tensor> {
        let shape = self.spec.shape.with_batch(batch as i64);
        self.spec.sample.make(shape, self.input_kind()).map_err(|e| Error::torch(&self.model, e.to_string()))
    }

    fn batch_limit(&self, asked: usize) -> usize {
        if self.spec.repeatable {
            return 1; // kernels, and so the last bits, go by the size of the batch
        }
        // On a CPU batches bring nothing that parallel lanes do not; a GPU is fed best by a few pictures at once.
        let automatic = if self.device == Device::Cpu { 1 } else { 8 };
        let asked = if asked == 0 { automatic } else { asked };
        asked.min(self.largest_batch.load(Ordering::Relaxed)).max(1)
    }

    fn take_batch(&self) -> Vec<Request> {
        let mut queue = self.queue.lock().unwrap();
        let Some(first) = queue.front() else { return Vec::new() };
        let most = self.batch_limit(first.batching.size).min(queue.len());
        // Powers of two only: a program is compiled for each batch size that occurs.
        let count = 1 << most.ilog2();
        queue.drain(..count).collect()
    }

    /// The program for a batch size, compiled when first wanted. On a lane only.
    fn program(&self, batch: usize, width: Width) -> Result<Arc<Program>> {
        let wide = width == Width::Wide;
        let cell = Arc::clone(self.programs.lock().unwrap().entry((batch, wide)).or_default());
        cell.get_or_try_init(|| {
            let program = Program::load(&self.model, &self.source, self.device, self.choice.plan, self.spec.shape)?;
            let sample = self.sample(batch)?;
            let _compiler = crate::choice::compiler();
            program.warm_up(&sample)?;
            if program.takes_list() {
                self.largest_batch.store(1, Ordering::Relaxed);
            }
            Ok(Arc::new(program))
        })
        .cloned()
    }

    fn run_batch(&self, batch: &[Request], width: Width) -> Result<Vec<Outputs>> {
        let program = self.program(batch.len(), width)?;
        let torch = |e: tch::TchError| Error::torch(&self.model, e.to_string());
        let outputs = match batch {
            [single] => vec![program.run(&single.input)?],
            several => {
                let inputs: Vec<&Tensor> = several.iter().map(|request| &request.input).collect();
                let outputs = program.run(&Tensor::f_cat(&inputs, 0).map_err(torch)?)?;
                split(&outputs, several.len()).map_err(torch)?.ok_or_else(|| Error::Mismatch {
                    model: self.model.clone(),
                    reason: format!("{NOT_BATCHED} {}", several.len()),
                })?
            }
        };
        let host = |(outputs, request): (Outputs, &Request)| match &request.finish {
            Some(finish) => host_all(&finish(outputs)?),
            None => host_all(&outputs),
        };
        outputs.into_iter().zip(batch).map(host).collect::<Result<_, _>>().map_err(torch)
    }

    /// Runs what was taken; on out-of-memory in halves, and from then on in smaller batches.
    fn run_requests(&self, requests: Vec<Request>, width: Width) {
        let results = halving(requests.len(), &mut |range| {
            let batch = &requests[range];
            let run = catch_unwind(AssertUnwindSafe(|| self.run_batch(batch, width)));
            let result =
                run.unwrap_or_else(|p| Err(Error::Panic { model: self.model.clone(), reason: panic_message(&*p) }));
            if let Err(error) = &result
                && batch.len() > 1
                && retry_in_halves(error)
            {
                let half = batch.len() / 2;
                self.largest_batch.fetch_min(half, Ordering::Relaxed);
                self.notices.lock().unwrap().push(format!("{error}; the batch goes on at {half}"));
            }
            result
        });
        for (request, result) in requests.into_iter().zip(results) {
            // The element may be gone by now; then nobody waits.
            let _ = request.reply.send(result);
        }
    }
}

const NOT_BATCHED: &str = "its outputs do not have a leading dimension of the batch size";

fn retry_in_halves(error: &Error) -> bool {
    match error {
        Error::OutOfMemory { .. } => true,
        Error::Mismatch { reason, .. } => reason.starts_with(NOT_BATCHED),
        _ => false,
    }
}

/// Runs `count` items as one batch; where that fails for want of memory, each half by itself. One result an item.
fn halving<T>(count: usize, run: &mut dyn FnMut(std::ops::Range<usize>) -> Result<Vec<T>>) -> Vec<Result<T>> {
    fn go<T>(
        range: std::ops::Range<usize>,
        run: &mut dyn FnMut(std::ops::Range<usize>) -> Result<Vec<T>>,
        out: &mut Vec<Result<T>>,
    ) {
        match run(range.clone()) {
            Ok(items) => out.extend(items.into_iter().map(Ok)),
            Err(error) if range.len() > 1 && retry_in_halves(&error) => {
                let middle = range.start + range.len() / 2;
                go(range.start..middle, run, out);
                go(middle..range.end, run, out);
            }
            Err(error) => out.extend(range.map(|_| Err(error.clone()))),
        }
    }
    let mut out = Vec::with_capacity(count);
    go(0..count, run, &mut out);
    out
}

fn to_host(tensor: &Tensor) -> Result<Tensor, tch::TchError> {
    let tensor = tensor.f_to_device(tch::Device::Cpu)?;
    let tensor = match tensor.kind() {
        Kind::Half | Kind::BFloat16 | Kind::Double => tensor.f_to_kind(Kind::Float)?,
        _ => tensor,
    };
    tensor.f_contiguous()
}

pub(crate) fn host_all(outputs: &Outputs) -> Result<Outputs, tch::TchError> {
    outputs.iter().map(|(name, tensor)| Ok((name.clone(), to_host(tensor)?))).collect()
}

/// One set of outputs a picture; `None` where a tensor has no leading dimension of `count`.
fn split(outputs: &Outputs, count: usize) -> Result<Option<Vec<Outputs>>, tch::TchError> {
    if outputs.iter().any(|(_, t)| t.size().first() != Some(&(count as i64))) {
        return Ok(None);
    }
    (0..count as i64)
        .map(|i| outputs.iter().map(|(n, t)| Ok((n.clone(), t.f_narrow(0, i, 1)?))).collect())
        .collect::<Result<Vec<Outputs>, _>>()
        .map(Some)
}

impl Drain for Engine {
    fn due(&self) -> Option<Instant> {
        let queue = self.queue.lock().unwrap();
        let first = queue.front()?;
        let full = queue.len() >= self.batch_limit(first.batching.size);
        (!full && !first.batching.timeout.is_zero()).then(|| first.arrived + first.batching.timeout)
    }

    fn prefers_wide(&self, waiting: usize) -> bool {
        !self.spec.repeatable && (waiting <= 1 || !self.choice.narrow_is_faster(self.executor.lanes()))
    }

    fn drain(&self, width: Width) {
        let requests = self.take_batch();
        if !requests.is_empty() {
            self.run_requests(requests, width);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn no_memory() -> Error {
        Error::OutOfMemory { model: "m".into(), device: "cpu".into(), reason: "simulated".into() }
    }

    #[test]
    fn a_batch_that_does_not_fit_is_done_in_halves_and_nothing_is_lost() {
        let mut sizes = Vec::new();
        let results = halving(8, &mut |range: std::ops::Range<usize>| {
            sizes.push(range.len());
            if range.len() > 2 { Err(no_memory()) } else { Ok(range.collect()) }
        });
        let items: Vec<usize> = results.into_iter().map(|r| r.unwrap()).collect();
        assert_eq!(items, (0..8).collect::<Vec<_>>());
        assert_eq!(sizes, [8, 4, 2, 2, 4, 2, 2]);
    }

    #[test]
    fn one_frame_that_does_not_fit_is_an_error_for_that_frame_only() {
        let results = halving(4, &mut |range: std::ops::Range<usize>| {
            if range.contains(&2) { Err(no_memory()) } else { Ok(range.collect()) }
        });
        let failed: Vec<bool> = results.iter().map(|r| r.is_err()).collect();
        assert_eq!(failed, [false, false, true, false]);
    }

    #[test]
    fn other_errors_are_not_tried_again() {
        let mut runs = 0;
        let results = halving::<()>(4, &mut |_| {
            runs += 1;
            Err(Error::torch("m", "wrong shape"))
        });
        assert_eq!((runs, results.len()), (1, 4));
    }
}
