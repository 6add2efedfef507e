//! One network, made ready to run one shape in one way: what the engine chooses between.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::device::{Device, Precision};
use crate::error::{Error, Result};
use crate::planes::channels_last;
use crate::shape::Shape;
use crate::shim::{Fuser, Module, Thrown};

/// A network whose code is ours: traced to TorchScript when it is wanted.
pub trait Network: Send + Sync {
    /// Bytes of the weights.
    fn bytes(&self) -> u64;

    /// A TorchScript archive whose `forward` takes one tensor of `shape`, computed in `precision`. Weights are constants
    /// of the archive, so they cannot be cast later.
    fn torchscript(&self, shape: Shape, precision: Precision) -> Result<Arc<Vec<u8>>, String>;
}

/// Where a module comes from.
#[derive(Clone)]
pub enum Source {
    File(PathBuf),
    /// The bytes of a TorchScript archive.
    Archive(Arc<Vec<u8>>),
    Network(Arc<dyn Network>),
}

/// How much of the graph is prepared before it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Graph {
    /// As it was saved.
    Plain,
    /// Weights are constants: batch norms fold, branches on training go.
    Frozen,
    /// Frozen, and chains of operations compiled by oneDNN Graph (CPU).
    Fused,
}

/// One way to run a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Plan {
    #[serde(with = "precision_word")]
    pub precision: Precision,
    pub graph: Graph,
    pub channels_last: bool,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let graph = match self.graph {
            Graph::Plain => "plain",
            Graph::Frozen => "frozen",
            Graph::Fused => "fused",
        };
        write!(f, "{graph} {}{}", self.precision, if self.channels_last { " channels-last" } else { "" })
    }
}

impl Plan {
    /// The one whose results all others are held against.
    pub const REFERENCE: Plan = Plan { precision: Precision::Fp32, graph: Graph::Plain, channels_last: false };

    /// What is worth timing on a device, per precision.
    pub fn candidates(device: Device, precisions: &[Precision]) -> Vec<Plan> {
        let mut plans = Vec::new();
        for &precision in precisions {
            let plan = |graph, channels_last| Plan { precision, graph, channels_last };
            plans.push(plan(Graph::Frozen, true));
            if device == Device::Cpu {
                plans.push(plan(Graph::Fused, true));
            }
            plans.push(plan(Graph::Frozen, false));
            plans.push(plan(Graph::Plain, false));
        }
        plans
    }

    /// The same, those first that are usually the fastest of their precision.
    pub fn candidates_in_order(device: Device, precisions: &[Precision]) -> Vec<Plan> {
        let mut plans = Self::candidates(device, precisions);
        let place = |plan: &Plan| precisions.iter().position(|precision| *precision == plan.precision);
        plans.sort_by_key(|plan| (place(plan), plan.graph != Graph::Fused));
        plans
    }
}

mod precision_word {
    use super::Precision;
    use crate::device::PrecisionSpec;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(precision: &Precision, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(precision)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Precision, D::Error> {
        match String::deserialize(d)?.parse() {
            Ok(PrecisionSpec::Exactly(precision)) => Ok(precision),
            _ => Err(D::Error::custom("no precision")),
        }
    }
}

/// The tensors a network gave, dictionary keys as names.
pub type Outputs = Vec<(String, Tensor)>;

/// A module, loaded and prepared as a plan says.
pub(crate) struct Program {
    model: String,
    device: Device,
    module: Module,
    plan: Plan,
    as_list: bool,
}

/// Runs that a graph needs until it is profiled, rewritten and compiled.
pub(crate) const WARM_UP_RUNS: usize = 3;

impl Program {
    pub fn load(model: &str, source: &Source, device: Device, plan: Plan, shape: Shape) -> Result<Program> {
        let thrown = |t: Thrown| thrown_error(model, device, t);
        let mut module = load_module(model, source, device, plan.precision, shape)?;
        let as_list = check_signature(model, &module.signature().map_err(thrown)?)?;
        let kind = (plan.precision != Precision::Fp32).then(|| plan.precision.kind());
        module.cast(kind, plan.channels_last).map_err(thrown)?;
        if plan.graph != Graph::Plain {
            module.freeze().map_err(thrown)?;
        }
        Ok(Program { model: model.to_owned(), device, module, plan, as_list })
    }

    /// Runs until nothing is left to be compiled. To be called on a lane, and nowhere else at the same time.
    pub fn warm_up(&self, sample: &Tensor) -> Result<()> {
        let _fuser = (self.plan.graph == Graph::Fused).then(Fuser::enable);
        for _ in 0..WARM_UP_RUNS {
            self.run(sample)?;
        }
        Ok(())
    }

    /// `input` starts with the batch, on any device, in any memory format; whole numbers stay what they are. Returns once the result is there, on the CPU where
    /// `device` is one.
    pub fn run(&self, input: &Tensor) -> Result<Outputs> {
        if let Some(limit) = crate::memory::limit(&self.model) {
            let (outputs, peak) = self.run_metered(input)?;
            return if peak <= limit { Ok(outputs) } else { Err(self.over_limit(peak, limit)) };
        }
        let prepared = self.place(input).map_err(|e| Error::torch(&self.model, e.to_string()))?;
        self.module.forward(&prepared, self.as_list).map_err(|thrown| thrown_error(&self.model, self.device, thrown))
    }

    /// As `run`, and the most bytes that were allocated at one time.
    pub fn run_metered(&self, input: &Tensor) -> Result<(Outputs, u64)> {
        let prepared = self.place(input).map_err(|e| Error::torch(&self.model, e.to_string()))?;
        let metered = self.module.forward_metered(&prepared, self.as_list);
        metered.map_err(|thrown| thrown_error(&self.model, self.device, thrown))
    }

    fn over_limit(&self, peak: u64, limit: u64) -> Error {
        let reason = format!("{peak} bytes were needed, the simulated limit is {limit}");
        Error::OutOfMemory { model: self.model.clone(), device: self.device.to_string(), reason }
    }

    fn place(&self, input: &Tensor) -> Result<Tensor, tch::TchError> {
        let kind = if input.kind() == Kind::Int64 { Kind::Int64 } else { self.plan.precision.kind() };
        let device = self.device.torch();
        let placed = if input.kind() != kind || input.device() != device {
            input.f_to_device(device)?.f_to_kind(kind)?
        } else {
            input.shallow_clone()
        };
        // A frame comes as a plan was timed, or it is turned here: else libtorch turns what each convolution gives, and graphs that
        // were compiled for the one layout are left for slower ones in the other.
        if self.plan.channels_last && placed.dim() == 4 { channels_last(&placed) } else { placed.f_contiguous() }
    }

    pub fn takes_list(&self) -> bool {
        self.as_list
    }
}

fn load_module(model: &str, source: &Source, device: Device, precision: Precision, shape: Shape) -> Result<Module> {
    let device_name = device.to_string();
    match source {
        Source::File(path) => Module::load_file(path, &device_name).map_err(|t| {
            Error::bad_file(path, format!("not loadable as TorchScript: {}", crate::error::first_line(&t.message)))
        }),
        Source::Archive(archive) => {
            Module::load_bytes(archive, &device_name).map_err(|t| thrown_error(model, device, t))
        }
        Source::Network(network) => {
            let archive = network.torchscript(shape, precision).map_err(|reason| Error::torch(model, reason))?;
            Module::load_bytes(&archive, &device_name).map_err(|t| thrown_error(model, device, t))
        }
    }
}

/// Bytes of the weights, and whether `forward` wants a list of pictures; an error where it wants something else.
pub(crate) fn examine(model: &str, source: &Source) -> Result<(u64, bool)> {
    let path = match source {
        Source::File(_) | Source::Archive(_) => source,
        Source::Network(network) => return Ok((network.bytes(), false)),
    };
    let module = load_module(model, path, Device::Cpu, Precision::Fp32, [1, 3, 64, 64].into())?;
    let thrown = |t: Thrown| thrown_error(model, Device::Cpu, t);
    let takes_list = check_signature(model, &module.signature().map_err(thrown)?)?;
    Ok((module.bytes().map_err(thrown)?, takes_list))
}

fn check_signature(model: &str, arguments: &[String]) -> Result<bool> {
    let needed: Vec<&str> = arguments.iter().map(String::as_str).filter(|a| !a.ends_with('?')).collect();
    match needed[..] {
        ["Tensor"] => Ok(false),
        ["List[Tensor]"] => Ok(true),
        [] if arguments.first().is_some_and(|a| a == "Tensor?") => Ok(false),
        _ => Err(Error::Mismatch {
            model: model.to_owned(),
            reason: format!(
                "its forward takes ({}); expected one picture tensor, or one list of them (call = \"...\" in a card can \
                 run it in another way)",
                arguments.join(", ")
            ),
        }),
    }
}

fn thrown_error(model: &str, device: Device, thrown: Thrown) -> Error {
    if thrown.out_of_memory {
        Error::OutOfMemory {
            model: model.to_owned(),
            device: device.to_string(),
            reason: crate::error::first_line(&thrown.message),
        }
    } else {
        Error::torch(model, thrown.message)
    }
}

/// Relative root mean square of the difference; infinite where the outputs do not even have the same shapes.
pub(crate) fn relative_error(outputs: &Outputs, reference: &Outputs) -> f64 {
    let try_error = || -> Result<f64, tch::TchError> {
        if outputs.len() != reference.len() {
            return Ok(f64::INFINITY);
        }
        let (mut difference, mut energy) = (0.0, 0.0);
        for ((_, a), (_, b)) in outputs.iter().zip(reference) {
            if a.size() != b.size() {
                return Ok(f64::INFINITY);
            }
            let a = a.f_to_device(tch::Device::Cpu)?.f_to_kind(Kind::Double)?;
            let b = b.f_to_device(tch::Device::Cpu)?.f_to_kind(Kind::Double)?;
            difference += f64::try_from(a.f_sub(&b)?.f_square()?.f_sum(Kind::Double)?)?;
            energy += f64::try_from(b.f_square()?.f_sum(Kind::Double)?)?;
        }
        Ok(if energy > 0.0 { (difference / energy).sqrt() } else { difference.sqrt() })
    };
    match try_error() {
        Ok(error) if error.is_finite() => error,
        _ => f64::INFINITY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Doubles;

    impl Network for Doubles {
        fn bytes(&self) -> u64 {
            0
        }

        fn torchscript(&self, shape: Shape, precision: Precision) -> Result<Arc<Vec<u8>>, String> {
            let x = Tensor::zeros(shape.dims(), (precision.kind(), tch::Device::Cpu));
            crate::trace(&x, |x| Ok(vec![x.f_add(x)?])).map(Arc::new)
        }
    }

    #[test]
    fn networks_get_the_layout_that_their_plan_was_timed_in() {
        let source = Source::Network(Arc::new(Doubles));
        let planar = Tensor::ones([1, 3, 4, 5], (Kind::Float, tch::Device::Cpu));
        for (given, channels_last) in [(planar.shallow_clone(), true), (channels_last(&planar).unwrap(), false)] {
            let plan = Plan { channels_last, ..Plan::REFERENCE };
            let program = Program::load("doubles", &source, Device::Cpu, plan, [1, 3, 4, 5].into()).unwrap();
            let (_, output) = program.run(&given).unwrap().remove(0);
            assert_eq!(output.stride(), if channels_last { [60, 1, 15, 3] } else { [60, 20, 5, 1] });
            assert_eq!(output, &planar * 2.0);
        }
    }
}
