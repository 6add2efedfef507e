pub mod path;
pub mod random;
