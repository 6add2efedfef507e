//! What the codec's elements share: media type and caps, pictures and frames, times.

mod format;
mod frames;
mod stats;
mod timeline;

pub use format::{FORMATS, MEDIA_TYPE, caps, foreign_caps, header, header_of_caps, video_info};
pub use frames::{read, write};
pub use stats::Counters;
pub use timeline::Timeline;

/// The built-in model that encodes where none is named.
pub const DEFAULT_MODEL: &str = "codec-s";
