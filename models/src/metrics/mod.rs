//! Quality figures.

pub mod ap;
pub mod bd;
pub mod features;
pub mod frechet;
pub mod mot;
pub mod psnr;
pub mod ssim;
