//! How much memory is free for networks, and what it is like to have too little of it.

use std::collections::HashMap;
use std::ffi::{c_int, c_void};
use std::sync::{Mutex, PoisonError};

use crate::device::Device;

/// Bytes that a device has free now, as far as the system tells: on the CPU what can be had without swapping, within
/// the limit of a container. `None` where nobody says.
pub fn free(device: Device) -> Option<u64> {
    match device {
        Device::Cpu => {
            let system = available(&std::fs::read_to_string("/proc/meminfo").ok()?)?;
            Some(container().map_or(system, |container| container.min(system)))
        }
        Device::Cuda(index) => cuda(index),
        Device::Mps => None,
    }
}

fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes << 10)
}

/// What the control group of this process (version 2) leaves; `None` where it sets no limit.
fn container() -> Option<u64> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let group = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let number = |file: &str| -> Option<u64> {
        let path = format!("/sys/fs/cgroup{}/{file}", group.trim_end_matches('/'));
        std::fs::read_to_string(path).ok()?.trim().parse().ok()
    };
    Some(number("memory.max")?.saturating_sub(number("memory.current")?))
}

/// Asks the CUDA runtime that libtorch has opened; libtorch itself does not hand this through.
fn cuda(index: usize) -> Option<u64> {
    type SetDevice = unsafe extern "C" fn(c_int) -> c_int;
    type MemGetInfo = unsafe extern "C" fn(*mut usize, *mut usize) -> c_int;
    crate::device::cuda_state().as_ref().ok()?;
    let index = c_int::try_from(index).ok()?;
    // SAFETY: looks names up among the libraries that are open for good; the types are those of CUDA's documentation,
    // and a pointer is called only where it was found. Status 0 is success.
    unsafe {
        let set = libc::dlsym(libc::RTLD_DEFAULT, c"cudaSetDevice".as_ptr());
        let get = libc::dlsym(libc::RTLD_DEFAULT, c"cudaMemGetInfo".as_ptr());
        if set.is_null() || get.is_null() {
            return None;
        }
        let set = std::mem::transmute::<*mut c_void, SetDevice>(set);
        let get = std::mem::transmute::<*mut c_void, MemGetInfo>(get);
        let (mut free, mut total) = (0, 0);
        (set(index) == 0 && get(&mut free, &mut total) == 0).then_some(free as u64)
    }
}

static LIMITS: Mutex<Option<HashMap<String, u64>>> = Mutex::new(None);

/// For tests: from now on a pass through the model of this name that takes more bytes than `limit` fails as if the
/// device had no more; `None` lifts that.
pub fn simulate_limit(model: &str, limit: Option<u64>) {
    let mut limits = LIMITS.lock().unwrap_or_else(PoisonError::into_inner);
    match limit {
        Some(limit) => drop(limits.get_or_insert_default().insert(model.to_owned(), limit)),
        None => drop(limits.as_mut().map(|limits| limits.remove(model))),
    }
}

/// The simulated limit of a model.
pub(crate) fn limit(model: &str) -> Option<u64> {
    LIMITS.lock().unwrap_or_else(PoisonError::into_inner).as_ref()?.get(model).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_memory_is_free_on_the_cpu() {
        let free = free(Device::Cpu).expect("Linux says how much");
        assert!(free > 16 << 20 && free < 1 << 50, "{free}");
        assert_eq!(available("MemTotal: 9 kB\nMemAvailable:   12 kB\n"), Some(12 << 10));
        assert_eq!(available("MemTotal: 9 kB\n"), None);
    }

    #[test]
    fn limits_are_those_of_one_model() {
        simulate_limit("memory-test", Some(5));
        assert_eq!((limit("memory-test"), limit("another")), (Some(5), None));
        simulate_limit("memory-test", None);
        assert_eq!(limit("memory-test"), None);
    }
}
