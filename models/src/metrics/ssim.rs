//! Structural similarity (Wang, Bovik, Sheikh and Simoncelli, 2004): a Gaussian window of 11 x 11 samples with a sigma
//! of 1.5, at every position where it lies within the picture.

const WINDOW: usize = 11;
const SIGMA: f64 = 1.5;
/// (0.01 * 255)^2 and (0.03 * 255)^2: keep the quotient finite where a window is flat.
const C1: f32 = 6.5025;
const C2: f32 = 58.5225;

/// Mean SSIM, -1 to 1, of two planes of 8-bit samples with rows of `width`; `None` if a side is shorter than the
/// window.
pub fn ssim(original: &[u8], decoded: &[u8], width: usize) -> Option<f64> {
    let height = original.len().min(decoded.len()) / width.max(1);
    if width < WINDOW || height < WINDOW {
        return None;
    }
    let weights = window();
    let positions = width - WINDOW + 1;
    let mut columns: [Vec<f32>; 4] = std::array::from_fn(|_| vec![0.0; width]);
    let mut windows: [Vec<f32>; 4] = std::array::from_fn(|_| vec![0.0; positions]);
    let mut sum = 0.0;
    for top in 0..=height - WINDOW {
        let rows = top * width..(top + WINDOW) * width;
        down(&original[rows.clone()], &decoded[rows], &weights, &mut columns);
        for (column, window) in columns.iter().zip(&mut windows) {
            across(column, &weights, window);
        }
        let [a, b, squares, products] = &windows;
        let row: f32 = (0..positions).map(|x| similarity(a[x], b[x], squares[x], products[x])).sum();
        sum += f64::from(row);
    }
    Some(sum / (positions * (height - WINDOW + 1)) as f64)
}

/// SSIM on a scale on which steps at the good end are as visible as elsewhere, as x264 prints it: -10 log10(1 - SSIM).
pub fn decibels(ssim: f64) -> f64 {
    (-10.0 * (1.0 - ssim).log10()).min(super::psnr::LIMIT)
}

fn window() -> [f32; WINDOW] {
    let offset = |index: usize| index as f64 - (WINDOW / 2) as f64;
    let weight = |index: usize| (-offset(index).powi(2) / (2.0 * SIGMA * SIGMA)).exp();
    let sum: f64 = (0..WINDOW).map(weight).sum();
    std::array::from_fn(|index| (weight(index) / sum) as f32)
}

/// Weighted sums down 11 rows, column by column: of a, of b, of a^2 + b^2, and of ab.
fn down(original: &[u8], decoded: &[u8], weights: &[f32; WINDOW], sums: &mut [Vec<f32>; 4]) {
    sums.iter_mut().for_each(|sum| sum.fill(0.0));
    let [a, b, squares, products] = sums;
    let width = a.len();
    for ((original, decoded), &weight) in original.chunks(width).zip(decoded.chunks(width)).zip(weights) {
        let sums = a.iter_mut().zip(b.iter_mut()).zip(squares.iter_mut().zip(products.iter_mut()));
        for ((&o, &d), ((a, b), (square, product))) in original.iter().zip(decoded).zip(sums) {
            // About the middle of the range: variances are small differences of large numbers otherwise.
            let (o, d) = (f32::from(o) - 128.0, f32::from(d) - 128.0);
            *a += weight * o;
            *b += weight * d;
            *square += weight * (o * o + d * d);
            *product += weight * (o * d);
        }
    }
}

fn across(column: &[f32], weights: &[f32; WINDOW], sums: &mut [f32]) {
    sums.fill(0.0);
    for (offset, &weight) in weights.iter().enumerate() {
        for (sum, &value) in sums.iter_mut().zip(&column[offset..]) {
            *sum += weight * value;
        }
    }
}

/// Of one window, from the weighted means about 128 of a, b, a^2 + b^2 and ab.
fn similarity(a: f32, b: f32, squares: f32, products: f32) -> f32 {
    let variances = squares - a * a - b * b;
    let covariance = products - a * b;
    let (a, b) = (a + 128.0, b + 128.0);
    (2.0 * a * b + C1) * (2.0 * covariance + C2) / ((a * a + b * b + C1) * (variances + C2))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ramp that wraps, and the same with a regular error of -11 to 11.
    fn planes(width: usize, height: usize) -> (Vec<u8>, Vec<u8>) {
        let places = || (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        let original: Vec<u8> = places().map(|(x, y)| ((x * 7 + y * 13 + x * y / 5) % 256) as u8).collect();
        let error = places().map(|(x, y)| ((x * 31 + y * 17) % 23) as i32 - 11);
        let decoded = original.iter().zip(error).map(|(&o, error)| (i32::from(o) + error).clamp(0, 255) as u8);
        let decoded = decoded.collect();
        (original, decoded)
    }

    /// By the definition, in 64 bits, window by window.
    fn slow(original: &[u8], decoded: &[u8], width: usize, height: usize) -> f64 {
        let weight = |x: usize, y: usize| {
            let squares = (x as f64 - 5.0).powi(2) + (y as f64 - 5.0).powi(2);
            (-squares / (2.0 * SIGMA * SIGMA)).exp()
        };
        let inside = || (0..WINDOW).flat_map(|y| (0..WINDOW).map(move |x| (x, y)));
        let total: f64 = inside().map(|(x, y)| weight(x, y)).sum();
        let mut values = Vec::new();
        for top in 0..=height - WINDOW {
            for left in 0..=width - WINDOW {
                let mean = |of: &dyn Fn(f64, f64) -> f64| -> f64 {
                    let at = |plane: &[u8], x, y| f64::from(plane[(top + y) * width + left + x]);
                    let sum: f64 =
                        inside().map(|(x, y)| weight(x, y) * of(at(original, x, y), at(decoded, x, y))).sum();
                    sum / total
                };
                let (a, b) = (mean(&|o, _| o), mean(&|_, d| d));
                let (aa, bb) = (mean(&|o, _| (o - a).powi(2)), mean(&|_, d| (d - b).powi(2)));
                let ab = mean(&|o, d| (o - a) * (d - b));
                let (c1, c2) = (f64::from(C1), f64::from(C2));
                values.push((2.0 * a * b + c1) * (2.0 * ab + c2) / ((a * a + b * b + c1) * (aa + bb + c2)));
            }
        }
        values.iter().sum::<f64>() / values.len() as f64
    }

    #[test]
    fn it_is_what_the_definition_says() {
        for (width, height) in [(37, 29), (11, 40), (64, 11), (11, 11)] {
            let (original, decoded) = planes(width, height);
            let (fast, slow) = (ssim(&original, &decoded, width).unwrap(), slow(&original, &decoded, width, height));
            assert!((fast - slow).abs() < 2e-5, "{width}x{height}: {fast} for {slow}");
        }
    }

    /// scikit-image 0.26; see tests/reference/rate_distortion.py.
    #[test]
    fn it_is_what_scikit_image_says() {
        let (original, decoded) = planes(37, 29);
        let value = ssim(&original, &decoded, 37).unwrap();
        assert!((value - 0.985_276_3).abs() < 2e-5, "{value}");
    }

    #[test]
    fn equal_planes_score_one_and_inverted_ones_below_nought() {
        let (original, _) = planes(40, 30);
        assert!((ssim(&original, &original, 40).unwrap() - 1.0).abs() < 1e-6);
        let inverted: Vec<u8> = original.iter().map(|v| 255 - v).collect();
        assert!(ssim(&original, &inverted, 40).unwrap() < 0.0);
    }

    #[test]
    fn a_plane_smaller_than_the_window_has_no_ssim() {
        let (original, decoded) = planes(40, 30);
        assert_eq!(ssim(&original[..400], &decoded[..400], 40), None);
        assert_eq!(ssim(&original, &decoded, 10), None);
        assert_eq!(ssim(&[], &[], 0), None);
    }

    #[test]
    fn decibels_have_an_end() {
        assert!((decibels(0.99) - 20.0).abs() < 1e-9);
        assert_eq!(decibels(1.0), 100.0);
    }
}
