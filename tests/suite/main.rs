//! Integration tests over everything: one binary, since linking libtorch takes time.

mod caps;
mod chaos;
mod codec;
mod common;
mod detect;
mod flush;
mod generate;
mod hostile;
mod house;
mod interpolate;
mod jsonl;
mod layouts;
mod live;
mod meson;
mod meta;
mod overlay;
mod pipelines;
mod removal;
mod restore;
mod scripted;
mod track;
