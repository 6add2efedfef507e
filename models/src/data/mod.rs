//! Labelled pictures for training and evaluation: what the labels say, how they are read from files, and how pictures
//! become batches. Decoding of files into pixels is the caller's (tools), so that this crate needs no decoder.

pub mod augment;
pub mod labels;
pub mod picture;

use crate::boxes::Rect;

/// One labelled object, in pixels of its picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Object {
    pub rect: Rect,
    pub class: usize,
}

/// What is known about one picture: its objects, and areas that are neither background nor truth.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Truth {
    pub objects: Vec<Object>,
    pub ignore: Vec<Rect>,
}
