//! Peak signal-to-noise ratio of 8-bit samples.

/// What equal samples score, in dB: without a limit, one such frame would make the mean of a sequence infinite.
pub const LIMIT: f64 = 100.0;

/// The mean of squared differences of two planes of the same size.
pub fn squared_error(original: &[u8], decoded: &[u8]) -> f64 {
    // The squares of 2^16 differences fit in 32 bits, which is what the compiler makes vectors of.
    let part = |(a, b): (&[u8], &[u8])| -> u64 {
        a.iter().zip(b).map(|(&a, &b)| u32::from(a.abs_diff(b)).pow(2)).sum::<u32>().into()
    };
    let error: u64 = original.chunks(1 << 16).zip(decoded.chunks(1 << 16)).map(part).sum();
    error as f64 / original.len() as f64
}

/// PSNR in dB, 0 to `LIMIT`, of two planes of the same size.
pub fn psnr(original: &[u8], decoded: &[u8]) -> f64 {
    let error = squared_error(original, decoded);
    if error == 0.0 { LIMIT } else { (10.0 * (255.0 * 255.0 / error).log10()).min(LIMIT) }
}

/// One figure of the PSNRs of Y, U and V, by the weights that video coding has for 4:2:0: (6 Y + U + V) / 8.
pub fn weighted(yuv: [f64; 3]) -> f64 {
    (6.0 * yuv[0] + yuv[1] + yuv[2]) / 8.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_everywhere_has_the_psnr_of_its_square() {
        let original = vec![100; 200_000];
        assert!((psnr(&original, &vec![101; 200_000]) - 48.1308).abs() < 1e-4);
        assert!((psnr(&original, &vec![90; 200_000]) - 28.1308).abs() < 1e-4);
        assert_eq!(psnr(&vec![0; 200_000], &vec![255; 200_000]), 0.0);
    }

    /// 4 of 65,537 samples are 255 off, the last of them beyond the part that is summed in 32 bits.
    #[test]
    fn every_sample_counts_once() {
        let original = vec![0; 65_537];
        let mut decoded = original.clone();
        for index in [0, 1000, 65_535, 65_536] {
            decoded[index] = 255;
        }
        assert!((psnr(&original, &decoded) - 10.0 * (65_537f64 / 4.0).log10()).abs() < 1e-9);
    }

    #[test]
    fn equal_samples_score_the_limit() {
        assert_eq!(psnr(&[1, 2, 3], &[1, 2, 3]), LIMIT);
    }

    #[test]
    fn luma_weighs_six_parts_of_eight() {
        assert_eq!(weighted([40.0, 32.0, 48.0]), 40.0);
        assert_eq!(weighted([32.0, 40.0, 40.0]), 34.0);
    }
}
