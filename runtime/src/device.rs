//! Devices and precisions, as asked for and as they are.
//!
//! What was asked for and is not there is an error that lists what is: nothing falls back. CUDA's libraries are opened
//! when a device other than the CPU is first wanted, so that one build serves machines with and without it.

use std::ffi::CStr;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::OnceLock;

use tch::Kind;

use crate::error::{Error, Result};

/// A device as a user writes it: `auto`, `cpu`, `cuda`, `cuda:1`, `mps`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum DeviceSpec {
    /// The first GPU where there is one, else the CPU.
    #[default]
    Auto,
    Cpu,
    Cuda(usize),
    Mps,
}

impl FromStr for DeviceSpec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.trim().to_ascii_lowercase().as_str() {
            "auto" => Ok(DeviceSpec::Auto),
            "cpu" => Ok(DeviceSpec::Cpu),
            "cuda" => Ok(DeviceSpec::Cuda(0)),
            "mps" => Ok(DeviceSpec::Mps),
            other => other.strip_prefix("cuda:").and_then(|n| n.parse().ok()).map(DeviceSpec::Cuda).ok_or_else(|| {
                Error::BadWord { what: "device", value: text.into(), expected: "auto, cpu, cuda, cuda:N or mps".into() }
            }),
        }
    }
}

impl fmt::Display for DeviceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceSpec::Auto => f.write_str("auto"),
            DeviceSpec::Cpu => f.write_str("cpu"),
            DeviceSpec::Cuda(n) => write!(f, "cuda:{n}"),
            DeviceSpec::Mps => f.write_str("mps"),
        }
    }
}

/// A device that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Device {
    Cpu,
    Cuda(usize),
    Mps,
}

impl Device {
    pub fn torch(self) -> tch::Device {
        match self {
            Device::Cpu => tch::Device::Cpu,
            Device::Cuda(n) => tch::Device::Cuda(n),
            Device::Mps => tch::Device::Mps,
        }
    }

    /// The precisions that make sense on it.
    pub fn precisions(self) -> &'static [Precision] {
        match self {
            Device::Cpu => &[Precision::Fp32, Precision::Bf16],
            Device::Cuda(_) => &[Precision::Fp32, Precision::Fp16, Precision::Bf16],
            Device::Mps => &[Precision::Fp32, Precision::Fp16],
        }
    }

    /// Whether it computes in 16 bits at all, and does not only store them.
    pub(crate) fn computes_in_16_bits(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Device::Cpu => std::arch::is_x86_feature_detected!("avx512bf16"),
            #[cfg(not(target_arch = "x86_64"))]
            Device::Cpu => false,
            Device::Cuda(_) | Device::Mps => true,
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Device::Cpu => f.write_str("cpu"),
            Device::Cuda(n) => write!(f, "cuda:{n}"),
            Device::Mps => f.write_str("mps"),
        }
    }
}

impl DeviceSpec {
    /// The device that is meant, or an error that lists those that are there.
    pub fn resolve(self) -> Result<Device> {
        let unavailable = || Error::Unavailable { asked: format!("device '{self}'"), available: available_list() };
        match self {
            DeviceSpec::Cpu => Ok(Device::Cpu),
            DeviceSpec::Auto if cuda_count() > 0 => Ok(Device::Cuda(0)),
            DeviceSpec::Auto => Ok(Device::Cpu),
            DeviceSpec::Cuda(n) if n < cuda_count() => Ok(Device::Cuda(n)),
            DeviceSpec::Mps if tch::utils::has_mps() => Ok(Device::Mps),
            DeviceSpec::Cuda(_) | DeviceSpec::Mps => Err(unavailable()),
        }
    }
}

/// Every device of this machine.
pub fn available() -> Vec<Device> {
    let mut devices = vec![Device::Cpu];
    devices.extend((0..cuda_count()).map(Device::Cuda));
    if tch::utils::has_mps() {
        devices.push(Device::Mps);
    }
    devices
}

fn available_list() -> String {
    let list = available().iter().map(Device::to_string).collect::<Vec<_>>().join(", ");
    match cuda_state() {
        Err(reason) => format!("{list} (no CUDA: {reason})"),
        Ok(_) => list,
    }
}

fn cuda_count() -> usize {
    cuda_state().as_ref().copied().unwrap_or(0)
}

/// The number of CUDA devices, or why there are none. Asked once: libtorch remembers its first answer, so its CUDA
/// half has to be open before it is asked anything about CUDA.
pub fn cuda_state() -> &'static Result<usize, String> {
    static STATE: OnceLock<Result<usize, String>> = OnceLock::new();
    STATE.get_or_init(|| {
        // Without a driver there is no GPU to find; opening half a gigabyte to learn that would cost every CPU user.
        open_library(c"libcuda.so.1")?;
        let folder = libtorch_folder().ok_or("the folder of libtorch_cpu.so is not known")?;
        let library = folder.join("libtorch_cuda.so");
        if !library.exists() {
            return Err(format!(
                "{} is absent: this libtorch is the CPU set; `make setup CUDA=1` or LIBTORCH=<a full libtorch>",
                library.display()
            ));
        }
        let path = std::ffi::CString::new(library.to_string_lossy().as_bytes()).map_err(|e| e.to_string())?;
        open_library(&path)?;
        match tch::Cuda::device_count() {
            n if n > 0 => Ok(n as usize),
            _ => Err("the driver reports no device".into()),
        }
    })
}

/// Opens a shared library for good, its symbols global: registration of libtorch's CUDA kernels happens as it opens.
fn open_library(name: &CStr) -> Result<(), String> {
    // SAFETY: dlopen with a valid name; the handle is kept for the life of the process on purpose.
    unsafe {
        if !libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL).is_null() {
            return Ok(());
        }
        let message = libc::dlerror();
        if message.is_null() {
            return Err(format!("{} cannot be opened", name.to_string_lossy()));
        }
        Err(CStr::from_ptr(message).to_string_lossy().into_owned())
    }
}

/// The folder that holds the real libtorch_cpu.so of this process, links followed.
pub fn libtorch_folder() -> Option<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let path =
        maps.lines().filter_map(|line| line.split_whitespace().nth(5)).find(|p| p.ends_with("libtorch_cpu.so"))?;
    let real = std::fs::canonicalize(path).ok()?;
    real.parent().map(PathBuf::from)
}

/// The number of cores this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// How numbers are computed: what was asked for, and with `Auto` what the engine may choose from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum PrecisionSpec {
    /// The fastest whose results stay within the model's stated error bound.
    #[default]
    Auto,
    Exactly(Precision),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Precision {
    Fp32,
    Fp16,
    Bf16,
}

impl Precision {
    pub fn kind(self) -> Kind {
        match self {
            Precision::Fp32 => Kind::Float,
            Precision::Fp16 => Kind::Half,
            Precision::Bf16 => Kind::BFloat16,
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Precision::Fp32 => "fp32",
            Precision::Fp16 => "fp16",
            Precision::Bf16 => "bf16",
        })
    }
}

impl FromStr for PrecisionSpec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.trim().to_ascii_lowercase().as_str() {
            "auto" => Ok(PrecisionSpec::Auto),
            "fp32" => Ok(PrecisionSpec::Exactly(Precision::Fp32)),
            "fp16" => Ok(PrecisionSpec::Exactly(Precision::Fp16)),
            "bf16" => Ok(PrecisionSpec::Exactly(Precision::Bf16)),
            _ => Err(Error::BadWord {
                what: "precision",
                value: text.into(),
                expected: "auto, fp32, fp16 or bf16".into(),
            }),
        }
    }
}

impl fmt::Display for PrecisionSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PrecisionSpec::Auto => f.write_str("auto"),
            PrecisionSpec::Exactly(precision) => precision.fmt(f),
        }
    }
}

impl PrecisionSpec {
    /// The precisions to try on `device`, the exact one first.
    pub fn candidates(self, device: Device) -> Result<Vec<Precision>> {
        let there = device.precisions();
        match self {
            PrecisionSpec::Auto => Ok(there.to_vec()),
            PrecisionSpec::Exactly(precision) if there.contains(&precision) => Ok(vec![precision]),
            PrecisionSpec::Exactly(precision) => Err(Error::Unavailable {
                asked: format!("precision '{precision}' on device '{device}'"),
                available: there.iter().map(Precision::to_string).collect::<Vec<_>>().join(", "),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_read_back_as_they_print() {
        for word in ["auto", "cpu", "cuda:0", "cuda:3", "mps"] {
            assert_eq!(word.parse::<DeviceSpec>().unwrap().to_string(), word);
        }
        assert_eq!("cuda".parse::<DeviceSpec>().unwrap(), DeviceSpec::Cuda(0));
        for word in ["gpu", "cuda:", "cuda:-1", "cuda:x", ""] {
            assert!(word.parse::<DeviceSpec>().unwrap_err().to_string().contains("cuda:N"), "{word}");
        }
        for word in ["auto", "fp32", "fp16", "bf16"] {
            assert_eq!(word.parse::<PrecisionSpec>().unwrap().to_string(), word);
        }
        assert!("int8".parse::<PrecisionSpec>().is_err());
    }

    #[test]
    fn an_absent_device_is_an_error_that_lists_what_is_there() {
        let absent = DeviceSpec::Cuda(99).resolve().unwrap_err().to_string();
        assert!(absent.contains("cuda:99") && absent.contains("cpu"), "{absent}");
    }

    #[test]
    fn a_precision_that_the_device_lacks_is_an_error() {
        let error = PrecisionSpec::Exactly(Precision::Fp16).candidates(Device::Cpu).unwrap_err().to_string();
        assert!(error.contains("fp16") && error.contains("fp32, bf16"), "{error}");
    }
}
