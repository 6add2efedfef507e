//! What the runtime says, told to the application.

use gst::prelude::*;
use gst_torch_runtime::{Engine, Error, Model, Result, Stats};

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

/// The structure of the property `stats`, as far as elements share it.
pub fn stats(stats: &Stats, model: Option<&Model>, engine: Option<&Engine>) -> gst::structure::Builder {
    let ms = |p| stats.percentile(p).map_or(0.0, |d| d.as_secs_f64() * 1e3);
    gst::Structure::builder("stats")
        .field("frames", stats.frames)
        .field("skipped", stats.skipped)
        .field("p50", ms(0.5))
        .field("p99", ms(0.99))
        .field_if_some("model", model.map(|model| &model.info().name))
        .field_if_some("device", model.map(|model| model.device().to_string()))
        .field_if_some("memory", model.map(Model::memory))
        .field_if_some("precision", engine.map(|engine| engine.choice().plan.precision.to_string()))
        .field_if_some("engine", engine.map(Engine::describe))
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
