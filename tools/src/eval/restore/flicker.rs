//! How restless a clip is where nothing moves.

/// Side of the squares that are still or not.
const SQUARE: usize = 8;
/// A square is still if its variance over time in the good clip is at most this, in squared levels: what sensors and codecs
/// leave of a wall.
const STILL: f64 = 9.0;

/// What is still in a clip.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Still {
    /// Mean over its samples, over time, in squared levels.
    pub variance: f64,
    /// Of all samples.
    pub share: f64,
}

/// Of `clip`, the samples that lie in squares that are still in `good`; rows of `width`. `None` if nothing is, or there are not
/// two frames.
pub fn still(clip: &[&[u8]], good: &[&[u8]], width: usize) -> Option<Still> {
    if clip.len() < 2 || clip.len() != good.len() {
        return None;
    }
    let (of_good, of_clip) = (variances(good), variances(clip));
    let rows = of_good.len() / width.max(1);
    let (mut sum, mut count) = (0.0, 0usize);
    for (top, left) in (0..rows).step_by(SQUARE).flat_map(|y| (0..width).step_by(SQUARE).map(move |x| (y, x))) {
        let square = |of: &[f64]| -> (f64, usize) {
            let across = SQUARE.min(width - left);
            let rows = (top..rows.min(top + SQUARE)).map(|y| of[y * width + left..][..across].iter().sum::<f64>());
            let samples = across * (rows.len());
            (rows.sum(), samples)
        };
        let (restless, samples) = square(&of_good);
        if restless <= STILL * samples as f64 {
            sum += square(&of_clip).0;
            count += samples;
        }
    }
    let share = count as f64 / of_good.len().max(1) as f64;
    (count > 0).then(|| Still { variance: sum / count as f64, share })
}

/// Of each sample over the frames.
fn variances(frames: &[&[u8]]) -> Vec<f64> {
    let samples = frames.iter().map(|f| f.len()).min().unwrap_or(0);
    let mut sums = vec![(0u32, 0u32); samples];
    for frame in frames {
        for ((sum, squares), &v) in sums.iter_mut().zip(*frame) {
            *sum += u32::from(v);
            *squares += u32::from(v) * u32::from(v);
        }
    }
    let count = frames.len() as f64;
    sums.iter().map(|&(sum, squares)| f64::from(squares) / count - (f64::from(sum) / count).powi(2)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_still_in_the_good_clip_counts() {
        // Two squares beside each other; the right one moves, the left one flickers by 2 in the other clip.
        let frame =
            |left: u8, right: u8| -> Vec<u8> { (0..16 * 8).map(|i| if i % 16 < 8 { left } else { right }).collect() };
        let good = [frame(50, 0), frame(50, 200), frame(50, 0), frame(50, 200)];
        let clip = [frame(52, 9), frame(48, 0), frame(52, 90), frame(48, 7)];
        let of = |frames: &[Vec<u8>]| {
            still(&frames.iter().map(|f| &f[..]).collect::<Vec<_>>(), &good.each_ref().map(|f| &f[..]), 16)
        };
        assert_eq!(of(&good), Some(Still { variance: 0.0, share: 0.5 }));
        assert_eq!(of(&clip), Some(Still { variance: 4.0, share: 0.5 }));
        assert_eq!(of(&good[..1]), None);
    }
}
