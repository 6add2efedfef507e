//! What can go wrong when a model is found, loaded or run, in words for the person who named it.

use std::path::PathBuf;

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The file is not there, or cannot be read.
    #[error("model file '{}' cannot be read: {reason}", path.display())]
    NotFound { path: PathBuf, reason: String },
    /// The file is there, but is not what it should be.
    #[error("model file '{}': {reason}", path.display())]
    BadFile { path: PathBuf, reason: String },
    /// A picture that a model is to begin with.
    #[error("picture '{}': {reason}", path.display())]
    BadPicture { path: PathBuf, reason: String },
    /// The device or precision that was asked for is not there; nothing falls back.
    #[error("{asked} is not available here; available: {available}")]
    Unavailable { asked: String, available: String },
    /// A word that stands for none of the known values.
    #[error("'{value}' is no {what}; expected {expected}")]
    BadWord { what: &'static str, value: String, expected: String },
    /// Libtorch refused or failed. `reason` is the first line of what it said.
    #[error("model '{model}': {reason}")]
    Torch { model: String, reason: String },
    /// The device had no memory for even a single frame.
    #[error("model '{model}': out of memory on {device}: {reason}")]
    OutOfMemory { model: String, device: String, reason: String },
    /// A task was given a model made for another.
    #[error("model '{model}' is made for the task '{found}', not '{wanted}'")]
    WrongTask { model: String, found: String, wanted: String },
    /// A model's output or settings do not fit together.
    #[error("model '{model}': {reason}")]
    Mismatch { model: String, reason: String },
    #[error(transparent)]
    Planes(#[from] crate::planes::Error),
    /// A defect of ours, caught before it could leave the worker.
    #[error("internal error while running model '{model}': {reason}")]
    Panic { model: String, reason: String },
}

impl Error {
    pub fn torch(model: &str, message: impl AsRef<str>) -> Self {
        Error::Torch { model: model.to_owned(), reason: first_line(message.as_ref()) }
    }

    pub fn bad_file(path: impl Into<PathBuf>, reason: impl Into<String>) -> Self {
        Error::BadFile { path: path.into(), reason: reason.into() }
    }
}

/// The telling line of a libtorch message, whose whole can be megabytes of graph and tensor.
///
/// A message from inside TorchScript starts with a fixed preamble and a stack of source lines; what went wrong stands
/// after `RuntimeError:` at the end. After others comes the stack of the C++ functions that they came from.
pub fn first_line(message: &str) -> String {
    const LIMIT: usize = 300;
    // tch puts this before what libtorch said.
    let message = message.trim_start().trim_start_matches("Internal torch error:");
    let telling = message
        .lines()
        .rev()
        .find_map(|line| line.trim().strip_prefix("RuntimeError: "))
        .or_else(|| message.lines().map(str::trim).find(|line| !line.is_empty() && !is_stack(line)))
        .unwrap_or("no message");
    match telling.char_indices().nth(LIMIT) {
        Some((end, _)) => format!("{}...", &telling[..end]),
        None => telling.to_owned(),
    }
}

/// Of where a message came from, not of what it says.
fn is_stack(line: &str) -> bool {
    ["frame #", "Exception raised from "].iter().any(|start| line.starts_with(start))
}

/// What a caught panic carried.
pub(crate) fn panic_message(payload: &(dyn std::any::Any + Send)) -> String {
    payload
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| payload.downcast_ref::<&str>().map(|s| (*s).to_owned()))
        .unwrap_or_else(|| "panic without a message".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_telling_line_is_the_runtime_error() {
        let message = "The following operation failed in the TorchScript interpreter.\nTraceback of TorchScript\n  \
                       return torch.conv2d(x)\nRuntimeError: expected 3 channels\n";
        assert_eq!(first_line(message), "expected 3 channels");
    }

    #[test]
    fn the_stack_of_cpp_functions_is_not_the_reason() {
        let stack = "Exception raised from checkArg at function_schema_inl.h:20 (most recent call first):\n\
                     frame #0: c10::Error::Error(c10::SourceLocation, std::string) + 0x9d (0x7f in libc10.so)\n";
        let message = format!(
            "Internal torch error: forward() Expected a value of type 'List[Tensor]' for argument 'images' but instead \
             found type 'Tensor'.\nPosition: 1\n{stack}"
        );
        let telling = first_line(&message);
        assert!(telling.starts_with("forward() Expected") && telling.ends_with("found type 'Tensor'."), "{telling}");
        assert_eq!(first_line(&format!("Internal torch error: {stack}no space left\n")), "no space left");
        assert_eq!(first_line(stack), "no message");
    }

    #[test]
    fn a_megabyte_is_cut_to_a_line() {
        assert_eq!(first_line(&"é".repeat(1_000_000)).chars().count(), 303);
        assert_eq!(first_line(""), "no message");
    }
}
