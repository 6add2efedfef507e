//! Integration tests over everything: one binary, since linking libtorch takes time.

mod common;
mod layouts;
mod jsonl;
mod meta;
mod overlay;
mod house;
mod meson;
mod pipelines;
mod track;
mod detect;
mod hostile;
mod live;
mod scripted;
