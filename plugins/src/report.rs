//! What the runtime says, told to the application.

use gst::prelude::*;
use gst_torch_runtime::{Error, Result};

/// An error as a message for the bus: its domain and code say what kind it is.
pub fn message(error: &Error) -> gst::ErrorMessage {
    match error {
        Error::NotFound { .. } => gst::error_msg!(gst::ResourceError::NotFound, ["{error}"]),
        Error::BadFile { .. } | Error::BadPicture { .. } | Error::WrongTask { .. } => {
            gst::error_msg!(gst::ResourceError::OpenRead, ["{error}"])
        }
        Error::Unavailable { .. } | Error::BadWord { .. } => {
            gst::error_msg!(gst::LibraryError::Settings, ["{error}"])
        }
        Error::OutOfMemory { .. } => gst::error_msg!(gst::ResourceError::NoSpaceLeft, ["{error}"]),
        _ => gst::error_msg!(gst::StreamError::Failed, ["{error}"]),
    }
}

/// Tells the application that something takes its time.
pub fn progress<T>(
    element: &(impl IsA<gst::Element> + IsA<gst::Object>),
    code: &str,
    text: &str,
    work: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let post = |kind, text: &str| {
        let message = gst::message::Progress::builder(kind, code, text).src(element).build();
        let _ = element.post_message(message);
    };
    post(gst::ProgressType::Start, text);
    let result = work();
    match &result {
        Ok(_) => post(gst::ProgressType::Complete, text),
        Err(error) => post(gst::ProgressType::Error, &error.to_string()),
    }
    result
}
