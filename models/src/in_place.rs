//! Steps of networks in the memory of what they begin with, where no gradient needs what was there: less memory is touched, and
//! less of it is asked for.

use tch::{TchError, Tensor};

/// `x` where it is above zero.
pub(crate) fn relu(mut x: Tensor) -> Result<Tensor, TchError> {
    if x.requires_grad() { x.f_relu() } else { x.f_relu_() }
}

/// The sum of both.
pub(crate) fn add(mut x: Tensor, y: &Tensor) -> Result<Tensor, TchError> {
    if x.requires_grad() { x.f_add(y) } else { x.f_add_(y) }
}
