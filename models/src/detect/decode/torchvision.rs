//! The dictionaries of torchvision's detectors. Resizing, suppression and mapping back happen inside the network; what is
//! left to do is to apply the threshold.

use super::{Candidate, Params, Result};
use crate::detect::outputs::{Outputs, Table};

/// `boxes (N, 4)`, corners in pixels of the picture that the network was given; `labels (N)`; `scores (N)`.
pub fn decode(outputs: &Outputs, params: &Params) -> Result<Option<Vec<Candidate>>> {
    let (Some(boxes), Some(labels), Some(scores)) =
        (outputs.named("boxes"), outputs.named("labels"), outputs.named("scores"))
    else {
        return Ok(None);
    };
    // One column each, whatever leading dimension a wrapper has added.
    if !(boxes.defined() && labels.defined() && scores.defined()) {
        return Ok(None);
    }
    let column = |tensor: &tch::Tensor| Table::read(&tensor.f_reshape([-1, 1])?);
    let (Some(boxes), Some(labels), Some(scores)) = (Table::read(boxes)?, column(labels)?, column(scores)?) else {
        return Ok(None);
    };
    if boxes.columns != 4 || labels.rows != boxes.rows || scores.rows != boxes.rows {
        return Ok(None);
    }
    let entries = boxes.iter().zip(labels.values().iter().zip(scores.values()));
    let found = entries.filter(|(_, (label, score))| **score > params.confidence && **label >= 0.0);
    Ok(Some(
        found
            .map(|(b, (label, score))| Candidate {
                corners: [b[0], b[1], b[2], b[3]],
                // Exact up to 2^24 classes.
                class: *label as usize,
                score: *score,
            })
            .collect(),
    ))
}
