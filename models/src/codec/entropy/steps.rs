//! Sizes of quantiser steps, to compare latents that were quantised unlike each other.

use crate::codec::symbols::CELL;

/// Step indices are below this.
pub const INDICES: usize = 128;
const STEP_MAX: i32 = 32767;

/// For each step index the steps of the latents of a cell, in sixteenths of a sample's unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Steps {
    sizes: Vec<i32>,
    /// 2^20 over each, so that nothing is divided while coding.
    inverse: Vec<i32>,
}

impl Steps {
    /// From `INDICES` rows of `CELL`. Errors say what was expected.
    pub fn new(sizes: &[i32]) -> Result<Self, String> {
        if sizes.len() != INDICES * CELL {
            return Err(format!(
                "{} step sizes where {} ({INDICES} x {CELL}) are expected",
                sizes.len(),
                INDICES * CELL
            ));
        }
        if let Some(size) = sizes.iter().find(|&&size| !(1..=STEP_MAX).contains(&size)) {
            return Err(format!("a step size of {size}, which is to be within 1 to {STEP_MAX}"));
        }
        Ok(Steps { sizes: sizes.to_vec(), inverse: sizes.iter().map(|size| (1 << 20) / size).collect() })
    }

    pub(super) fn at(&self, index: i32) -> (&[i32], &[i32]) {
        let from = index.clamp(0, INDICES as i32 - 1) as usize * CELL;
        (&self.sizes[from..from + CELL], &self.inverse[from..from + CELL])
    }
}

impl Default for Steps {
    /// The same for all latents: half a unit at index 0, doubling every 16.
    fn default() -> Self {
        let sizes: Vec<i32> = (0..INDICES).flat_map(|index| [(8 * power(index as i32) + 128) >> 8; CELL]).collect();
        let inverse = sizes.iter().map(|size| (1 << 20) / size).collect();
        Steps { sizes, inverse }
    }
}

/// 256 * 2^(n/16), the ratio of steps that are `n` indices apart.
pub fn power(n: i32) -> i32 {
    const PARTS: [i32; 16] = [256, 267, 279, 292, 304, 318, 332, 347, 362, 378, 395, 412, 431, 450, 470, 490];
    let part = PARTS[n.rem_euclid(16) as usize];
    let whole = n.div_euclid(16).clamp(-12, 12);
    if whole >= 0 { part << whole } else { part >> -whole }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_are_those_of_two() {
        for n in -60..=100 {
            let exact = 256.0 * (f64::from(n) / 16.0).exp2();
            assert!((f64::from(power(n)) - exact).abs() <= 1.0 + exact * 0.003, "{n}");
        }
    }

    #[test]
    fn bad_tables_are_refused() {
        assert!(Steps::new(&[1; 5]).unwrap_err().contains("12288"));
        assert!(Steps::new(&[0; INDICES * CELL]).unwrap_err().contains("within 1 to 32767"));
        assert_eq!(Steps::new(&Steps::default().sizes), Ok(Steps::default()));
    }
}
