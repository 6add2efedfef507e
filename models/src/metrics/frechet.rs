//! How far two sets of vectors are apart as wholes: the Fréchet distance between the normal distributions that fit them (Dowson
//! and Landau 1982), as Heusel et al. 2017 use it for generated pictures.

use tch::{Kind, TchError, Tensor};

/// The squared distance between sets of vectors, `(N, D)` and `(M, D)`. It grows as sets get smaller, even those of one
/// distribution: compare sets of equal sizes, and have more vectors than dimensions.
///
/// # Errors
/// When the dimensions differ, or a set has fewer than two vectors.
pub fn frechet(a: &Tensor, b: &Tensor) -> Result<f64, TchError> {
    let (mean_a, covariance_a) = moments(a)?;
    let (mean_b, covariance_b) = moments(b)?;
    let means = f64::try_from(mean_a.f_sub(&mean_b)?.f_square()?.f_sum(Kind::Double)?)?;
    let traces = f64::try_from(covariance_a.f_trace()?.f_add(&covariance_b.f_trace()?)?)?;
    // The trace of the root of A B is that of the root of the symmetric R B R, with R the root of A.
    let (values, vectors) = covariance_a.f_linalg_eigh("L")?;
    let root = vectors.f_mul(&root(&values)?)?.f_matmul(&vectors.f_transpose(0, 1)?)?;
    let inner = root.f_matmul(&covariance_b)?.f_matmul(&root)?;
    let (values, _) = inner.f_add(&inner.f_transpose(0, 1)?)?.f_mul_scalar(0.5)?.f_linalg_eigh("L")?;
    let cross = f64::try_from(self::root(&values)?.f_sum(Kind::Double)?)?;
    Ok(means + traces - 2.0 * cross)
}

/// Of eigenvalues; those that rounding made negative are none.
fn root(values: &Tensor) -> Result<Tensor, TchError> {
    values.f_clamp_min(0.0)?.f_sqrt()
}

fn moments(vectors: &Tensor) -> Result<(Tensor, Tensor), TchError> {
    let (count, _) = vectors.size2()?;
    if count < 2 {
        return Err(TchError::Shape(format!("{count} vectors have no covariance; expected two or more")));
    }
    let wide = vectors.f_to_kind(Kind::Double)?;
    let mean = wide.f_mean_dim(&[0i64][..], true, Kind::Double)?;
    let centred = wide.f_sub(&mean)?;
    let covariance = centred.f_transpose(0, 1)?.f_matmul(&centred)?.f_div_scalar((count - 1) as f64)?;
    Ok((mean.f_squeeze_dim(0)?, covariance))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two points a dimension, at the corners of a box: what the moments are is plain to see.
    fn corners(centre: [f64; 2], half: [f64; 2]) -> Tensor {
        let rows: Vec<f64> = [[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]]
            .iter()
            .flat_map(|[x, y]| [centre[0] + half[0] * x, centre[1] + half[1] * y])
            .collect();
        Tensor::from_slice(&rows).view([4, 2])
    }

    #[test]
    fn it_is_the_distance_of_means_and_of_deviations() {
        let a = corners([0.0, 0.0], [3.0, 1.0]);
        assert!(frechet(&a, &a).unwrap().abs() < 1e-9);
        assert!((frechet(&a, &corners([2.0, -1.0], [3.0, 1.0])).unwrap() - 5.0).abs() < 1e-9);
        // Deviations are half * sqrt(4 / 3): 2 and 1 apart.
        let apart = frechet(&a, &corners([0.0, 0.0], [1.0, 2.0])).unwrap();
        assert!((apart - 5.0 * 4.0 / 3.0).abs() < 1e-9, "{apart}");
    }

    #[test]
    fn turned_boxes_differ_by_what_they_do_not_share() {
        // A and B swap their axes: the root of A B is 3 on both.
        let (a, b) = (corners([0.0, 0.0], [3.0, 1.0]), corners([0.0, 0.0], [1.0, 3.0]));
        assert!((frechet(&a, &b).unwrap() - 8.0 * 4.0 / 3.0).abs() < 1e-9);
        assert!(frechet(&a, &a.narrow(0, 0, 1)).unwrap_err().to_string().contains("two or more"));
        assert!(frechet(&a, &a.narrow(1, 0, 1)).is_err());
    }
}
