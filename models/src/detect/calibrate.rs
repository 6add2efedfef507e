//! Makes confidences mean what they say: after training, a score of 0.7 should be right seven times in ten.
//!
//! Detectors trained with a focal loss rank boxes well but are timid: their scores lie far below the fraction of boxes
//! that are right, and thresholds of elements are in confidences. Platt scaling (Platt 1999, "Probabilistic outputs for
//! support vector machines") fits a line through the logits; it is folded into the last convolution, so it costs nothing
//! and changes no ranking.

/// `logit' = slope * logit + shift`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scaling {
    pub slope: f64,
    pub shift: f64,
}

/// Fewer hits or misses than this say nothing about the rest.
const LEAST: usize = 20;

/// The scaling under which the scores (0 to 1, and whether the box was right) are most likely: logistic regression on the
/// logits by Newton's method, with Platt's softened targets. `None` where there is too little to go by, or no rising line.
pub fn fit(judged: &[(f32, bool)]) -> Option<Scaling> {
    let hits = judged.iter().filter(|(_, hit)| *hit).count();
    let misses = judged.len() - hits;
    if hits < LEAST || misses < LEAST {
        return None;
    }
    let (high, low) = ((hits as f64 + 1.0) / (hits as f64 + 2.0), 1.0 / (misses as f64 + 2.0));
    let points: Vec<(f64, f64)> = judged
        .iter()
        .map(|&(score, hit)| {
            let score = f64::from(score).clamp(1e-6, 1.0 - 1e-6);
            ((score / (1.0 - score)).ln(), if hit { high } else { low })
        })
        .collect();
    let (mut slope, mut shift) = (1.0, 0.0);
    for _ in 0..100 {
        let (mut g0, mut g1, mut h00, mut h01, mut h11) = (0.0, 0.0, 1e-9, 0.0, 1e-9);
        for &(x, target) in &points {
            let p = 1.0 / (1.0 + (-(slope * x + shift)).exp());
            let (d, w) = (p - target, p * (1.0 - p));
            (g0, g1) = (g0 + d * x, g1 + d);
            (h00, h01, h11) = (h00 + w * x * x, h01 + w * x, h11 + w);
        }
        let determinant = h00 * h11 - h01 * h01;
        if determinant.abs() < 1e-12 {
            return None;
        }
        let step = ((h11 * g0 - h01 * g1) / determinant, (h00 * g1 - h01 * g0) / determinant);
        // Halved where Newton would leap out of the valley.
        let damping = (2.0 / step.0.abs().max(step.1.abs()).max(2.0)).min(1.0);
        (slope, shift) = (slope - damping * step.0, shift - damping * step.1);
        if step.0.abs() + step.1.abs() < 1e-9 {
            break;
        }
    }
    (slope.is_finite() && shift.is_finite() && slope > 0.0).then_some(Scaling { slope, shift })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timid_scores_become_the_fraction_that_is_right() {
        // Score s is right with probability sigmoid(2 logit(s) + 1): a thousand of each of nine scores.
        let (slope, shift) = (2.0, 1.0);
        let mut judged = Vec::new();
        for tenth in 1..10 {
            let score = tenth as f32 / 10.0;
            let logit = f64::from(score / (1.0 - score)).ln();
            let right = (1000.0 / (1.0 + (-(slope * logit + shift)).exp())).round() as usize;
            judged.extend((0..1000).map(|i| (score, i < right)));
        }
        let fitted = fit(&judged).unwrap();
        assert!((fitted.slope - slope).abs() < 0.05 && (fitted.shift - shift).abs() < 0.05, "{fitted:?}");
    }

    #[test]
    fn too_little_or_no_order_gives_no_scaling() {
        assert_eq!(fit(&[]), None);
        assert_eq!(fit(&vec![(0.5, true); 1000]), None);
        let upside_down: Vec<_> = (0..200).map(|i| (i as f32 / 200.0, i < 100)).collect();
        assert_eq!(fit(&upside_down), None);
    }
}
