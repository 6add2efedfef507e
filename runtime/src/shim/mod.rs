//! The C++ shim, made safe: TorchScript modules that can be frozen and fused, with errors as values.

use std::ffi::{CStr, CString, c_char, c_int, c_uint};
use std::path::Path;
use std::ptr;

use tch::{Kind, Tensor};
use torch_sys::C_tensor;

#[repr(C)]
struct RawModule {
    _private: [u8; 0],
}

#[repr(C)]
struct RawOutputs {
    _private: [u8; 0],
}

unsafe extern "C" {
    fn gt_free(text: *mut c_char);
    fn gt_set_threads(threads: c_int);
    fn gt_at_exit(handler: extern "C" fn()) -> c_int;
    fn gt_avoid_chance();
    fn gt_module_load(
        path: *const c_char,
        data: *const u8,
        size: usize,
        device: *const c_char,
        out: *mut *mut RawModule,
        error: *mut *mut c_char,
    ) -> c_int;
    fn gt_module_call(
        path: *const c_char,
        expression: *const c_char,
        data: *mut *mut c_char,
        size: *mut usize,
        error: *mut *mut c_char,
    ) -> c_int;
    fn gt_module_free(module: *mut RawModule);
    fn gt_module_cast(module: *mut RawModule, kind: c_int, channels_last: c_int, error: *mut *mut c_char) -> c_int;
    fn gt_module_freeze(module: *mut RawModule, error: *mut *mut c_char) -> c_int;
    fn gt_module_bytes(module: *mut RawModule, bytes: *mut i64, error: *mut *mut c_char) -> c_int;
    fn gt_module_signature(module: *mut RawModule, text: *mut *mut c_char, error: *mut *mut c_char) -> c_int;
    fn gt_module_forward(
        module: *mut RawModule,
        input: *mut C_tensor,
        as_list: c_int,
        out: *mut *mut RawOutputs,
        peak: *mut i64,
        error: *mut *mut c_char,
    ) -> c_int;
    fn gt_outputs_len(outputs: *const RawOutputs) -> usize;
    fn gt_outputs_name(outputs: *const RawOutputs, i: usize) -> *const c_char;
    fn gt_outputs_tensor(outputs: *const RawOutputs, i: usize) -> *mut C_tensor;
    fn gt_outputs_free(outputs: *mut RawOutputs);
    fn gt_trace_begin(input: *mut C_tensor, out: *mut *mut RawModule, error: *mut *mut c_char) -> c_int;
    fn gt_trace_abandon();
    fn gt_trace_end(
        module: *mut RawModule,
        outputs: *const *mut C_tensor,
        count: usize,
        data: *mut *mut c_char,
        size: *mut usize,
        error: *mut *mut c_char,
    ) -> c_int;
    fn gt_fuser_begin() -> c_uint;
    fn gt_fuser_end(pass: c_uint);
    fn gt_version() -> *const c_char;
}

/// What libtorch threw.
#[derive(Debug)]
pub(crate) struct Thrown {
    pub message: String,
    pub out_of_memory: bool,
}

fn check(status: c_int, error: *mut c_char) -> Result<(), Thrown> {
    if status == 0 {
        return Ok(());
    }
    let message = if error.is_null() {
        "no message".to_owned()
    } else {
        // SAFETY: the shim hands over a NUL-terminated copy that is ours to free, once.
        unsafe {
            let text = CStr::from_ptr(error).to_string_lossy().into_owned();
            gt_free(error);
            text
        }
    };
    Err(Thrown { message, out_of_memory: status == 2 })
}

/// A TorchScript module in evaluation mode. Running it from several threads at once is fine; changing it is not, which
/// `&mut self` says.
pub(crate) struct Module(*mut RawModule);

// SAFETY: torch::jit::Module may move between threads, and its `forward` may run in several at once.
unsafe impl Send for Module {}
// SAFETY: as above; whatever changes a module takes `&mut self`.
unsafe impl Sync for Module {}

impl Drop for Module {
    fn drop(&mut self) {
        // SAFETY: the pointer came from gt_module_load and is freed once.
        unsafe { gt_module_free(self.0) }
    }
}

impl Module {
    pub fn load_file(path: &Path, device: &str) -> Result<Self, Thrown> {
        Self::load(text(&path.to_string_lossy())?.as_ptr(), &[], device)
    }

    pub fn load_bytes(data: &[u8], device: &str) -> Result<Self, Thrown> {
        Self::load(ptr::null(), data, device)
    }

    fn load(path: *const c_char, data: &[u8], device: &str) -> Result<Self, Thrown> {
        let device = CString::new(device).unwrap_or_default();
        let (mut module, mut error) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: all pointers live over the call; `data` is read only where `path` is null.
        let status =
            unsafe { gt_module_load(path, data.as_ptr(), data.len(), device.as_ptr(), &mut module, &mut error) };
        check(status, error).map(|()| Module(module))
    }

    pub fn cast(&mut self, kind: Option<Kind>, channels_last: bool) -> Result<(), Thrown> {
        let kind = kind.map_or(-1, scalar_type);
        let mut error = ptr::null_mut();
        // SAFETY: the module is alive and borrowed exclusively.
        let status = unsafe { gt_module_cast(self.0, kind, c_int::from(channels_last), &mut error) };
        check(status, error)
    }

    pub fn freeze(&mut self) -> Result<(), Thrown> {
        let mut error = ptr::null_mut();
        // SAFETY: the module is alive and borrowed exclusively.
        let status = unsafe { gt_module_freeze(self.0, &mut error) };
        check(status, error)
    }

    /// Bytes of parameters and buffers; of use before freezing, which turns them into constants.
    pub fn bytes(&self) -> Result<u64, Thrown> {
        let (mut bytes, mut error) = (0, ptr::null_mut());
        // SAFETY: the module is alive.
        let status = unsafe { gt_module_bytes(self.0, &mut bytes, &mut error) };
        check(status, error).map(|()| bytes.max(0) as u64)
    }

    /// The type names of `forward`'s arguments; optional ones end in `?`.
    pub fn signature(&self) -> Result<Vec<String>, Thrown> {
        let (mut text, mut error) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: the module is alive; the text is ours to free.
        unsafe {
            let status = gt_module_signature(self.0, &mut text, &mut error);
            check(status, error)?;
            let lines = CStr::from_ptr(text).to_string_lossy().lines().map(str::to_owned).collect();
            gt_free(text);
            Ok(lines)
        }
    }

    /// Runs `forward`; `as_list` hands a batch over as a list of its items. The outputs are flattened: dictionary keys
    /// name their tensors, others have an empty name.
    pub fn forward(&self, input: &Tensor, as_list: bool) -> Result<Vec<(String, Tensor)>, Thrown> {
        self.forward_into(input, as_list, None)
    }

    /// As `forward`, and the most bytes that were allocated for it at one time, its outputs included.
    pub fn forward_metered(&self, input: &Tensor, as_list: bool) -> Result<(Vec<(String, Tensor)>, u64), Thrown> {
        let mut peak = 0;
        let outputs = self.forward_into(input, as_list, Some(&mut peak))?;
        Ok((outputs, peak.max(0) as u64))
    }

    fn forward_into(
        &self,
        input: &Tensor,
        as_list: bool,
        peak: Option<&mut i64>,
    ) -> Result<Vec<(String, Tensor)>, Thrown> {
        let (mut outputs, mut error) = (ptr::null_mut(), ptr::null_mut());
        let peak = peak.map_or(ptr::null_mut(), ptr::from_mut);
        // SAFETY: tch's C_tensor is a torch::Tensor; the outputs are ours to free, each tensor is a new handle.
        unsafe {
            let input = input.as_ptr().cast_mut();
            let status = gt_module_forward(self.0, input, c_int::from(as_list), &mut outputs, peak, &mut error);
            check(status, error)?;
            let items = (0..gt_outputs_len(outputs))
                .map(|i| {
                    let name = CStr::from_ptr(gt_outputs_name(outputs, i)).to_string_lossy().into_owned();
                    (name, Tensor::from_ptr(gt_outputs_tensor(outputs, i)))
                })
                .collect();
            gt_outputs_free(outputs);
            Ok(items)
        }
    }
}

/// The archive of a module whose `forward` is an expression in TorchScript: of its input, `x`, and of the module in a file,
/// `model`.
pub(crate) fn call(path: &Path, expression: &str) -> Result<Vec<u8>, Thrown> {
    let (path, expression) = (text(&path.to_string_lossy())?, text(expression)?);
    let (mut data, mut size, mut error) = (ptr::null_mut(), 0, ptr::null_mut());
    // SAFETY: both texts live over the call; the bytes are copied and freed.
    unsafe {
        check(gt_module_call(path.as_ptr(), expression.as_ptr(), &mut data, &mut size, &mut error), error)?;
        Ok(take(data, size))
    }
}

fn text(text: &str) -> Result<CString, Thrown> {
    CString::new(text).map_err(|_| Thrown { message: format!("{text:?} has a NUL byte"), out_of_memory: false })
}

/// Copies and frees bytes that the shim handed out.
///
/// # Safety
/// `data` is what the shim gave, `size` bytes long, and not used any more.
unsafe fn take(data: *mut c_char, size: usize) -> Vec<u8> {
    // SAFETY: as said above.
    unsafe {
        let bytes = std::slice::from_raw_parts(data.cast::<u8>(), size).to_vec();
        gt_free(data);
        bytes
    }
}

/// Runs `forward` on `input` and writes down what it does, as the bytes of a TorchScript archive. Tensors that it uses
/// become constants, so they may not want gradients.
pub fn trace(
    input: &Tensor,
    forward: impl FnOnce(&Tensor) -> Result<Vec<Tensor>, tch::TchError>,
) -> Result<Vec<u8>, String> {
    /// Ends the tracing of this thread whatever happens in `forward`.
    struct Abandon;
    impl Drop for Abandon {
        fn drop(&mut self) {
            // SAFETY: resets a thread-local; harmless when it is reset already.
            unsafe { gt_trace_abandon() }
        }
    }
    let (mut module, mut error) = (ptr::null_mut(), ptr::null_mut());
    // SAFETY: the input outlives the tracing; what is handed out is ours to free.
    let status = unsafe { gt_trace_begin(input.as_ptr().cast_mut(), &mut module, &mut error) };
    check(status, error).map_err(|thrown| thrown.message)?;
    let (_abandon, module) = (Abandon, Module(module));
    let outputs = forward(input).map_err(|e| e.to_string())?;
    let pointers: Vec<*mut C_tensor> = outputs.iter().map(|t| t.as_ptr().cast_mut()).collect();
    let (mut data, mut size, mut error) = (ptr::null_mut(), 0, ptr::null_mut());
    // SAFETY: the outputs live over the call; the bytes are copied and freed.
    unsafe {
        let status = gt_trace_end(module.0, pointers.as_ptr(), pointers.len(), &mut data, &mut size, &mut error);
        check(status, error).map_err(|thrown| thrown.message)?;
        Ok(take(data, size))
    }
}

/// The c10::ScalarType value of a floating-point kind; -1 (keep) for any other, which no cast asks for.
fn scalar_type(kind: Kind) -> c_int {
    match kind {
        Kind::Half => 5,
        Kind::Float => 6,
        Kind::Double => 7,
        Kind::BFloat16 => 15,
        _ => -1,
    }
}

/// While it lives, graphs that are optimised are handed to the oneDNN Graph fuser first.
pub(crate) struct Fuser(c_uint);

impl Fuser {
    pub fn enable() -> Self {
        // SAFETY: registers a pass; no precondition.
        Fuser(unsafe { gt_fuser_begin() })
    }
}

impl Drop for Fuser {
    fn drop(&mut self) {
        // SAFETY: the id came from gt_fuser_begin and is ended once.
        unsafe { gt_fuser_end(self.0) }
    }
}

/// Sets the number of cores that libtorch uses in the calling thread.
pub(crate) fn set_threads(threads: usize) {
    // SAFETY: takes a positive number.
    unsafe { gt_set_threads(threads.max(1) as c_int) }
}

/// Has `handler` called when the process exits, before what was set up so far is taken down.
pub(crate) fn at_exit(handler: extern "C" fn()) {
    // SAFETY: the handler is a function of this library, which GStreamer never unloads.
    let _ = unsafe { gt_at_exit(handler) };
}

/// From now on cuDNN takes only algorithms that give the same bits each time, in the whole process. No effect on a CPU.
pub(crate) fn avoid_chance() {
    // SAFETY: sets a flag of libtorch's global context.
    unsafe { gt_avoid_chance() }
}

/// The version of libtorch that the shim was built against, `2.13.0`.
pub fn libtorch_version() -> String {
    // SAFETY: returns a static string.
    unsafe { CStr::from_ptr(gt_version()).to_string_lossy().into_owned() }
}
