//! Bjøntegaard delta rate: how many more bits a codec spends than another for the same quality, over the qualities that
//! both reach (Bjøntegaard, VCEG-M33, 2001), with the piecewise cubic interpolation of JCT-VC's common test conditions
//! (JCTVC-L1100), which is SciPy's and MATLAB's PCHIP.

/// Of the narrower of both ranges of quality, the least part that both must reach for the figure to mean anything.
const LEAST_OVERLAP: f64 = 0.25;
/// Fewer points do not make a curve.
const LEAST_POINTS: usize = 4;

/// Bits (in any unit) and the quality that they bought (in dB).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    pub rate: f64,
    pub quality: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BdRate {
    /// Below 0 where the tested codec needs fewer bits than the anchor.
    pub percent: f64,
    /// The lowest and highest quality that both reach, over which the difference was taken.
    pub overlap: [f64; 2],
}

/// `None` where either curve has fewer than 4 points of different quality, or where both have less in common than a
/// quarter of the narrower range.
pub fn bd_rate(anchor: &[Point], tested: &[Point]) -> Option<BdRate> {
    let (anchor, tested) = (Curve::through(anchor)?, Curve::through(tested)?);
    let ([a, b], [c, d]) = (anchor.range(), tested.range());
    let (low, high) = (a.max(c), b.min(d));
    // Not `high - low < ...`: a NaN must not pass.
    let enough = high - low >= LEAST_OVERLAP * (b - a).min(d - c);
    if !(enough && high > low) {
        return None;
    }
    let difference = (tested.integral(low, high) - anchor.integral(low, high)) / (high - low);
    Some(BdRate { percent: 100.0 * difference.exp_m1(), overlap: [low, high] })
}

/// The logarithm of the rate as a function of quality: a cubic between each two points, no higher or lower than both.
struct Curve {
    quality: Vec<f64>,
    log_rate: Vec<f64>,
    slope: Vec<f64>,
}

impl Curve {
    fn through(points: &[Point]) -> Option<Self> {
        let mut points: Vec<_> =
            points.iter().filter(|p| p.quality.is_finite() && p.rate.is_finite() && p.rate > 0.0).collect();
        points.sort_by(|a, b| a.quality.total_cmp(&b.quality).then(a.rate.total_cmp(&b.rate)));
        // Of points of the same quality, the cheapest is what the codec can do.
        points.dedup_by(|later, first| later.quality == first.quality);
        if points.len() < LEAST_POINTS {
            return None;
        }
        let quality: Vec<f64> = points.iter().map(|p| p.quality).collect();
        let log_rate: Vec<f64> = points.iter().map(|p| p.rate.ln()).collect();
        let slope = slopes(&quality, &log_rate);
        Some(Curve { quality, log_rate, slope })
    }

    fn range(&self) -> [f64; 2] {
        [self.quality[0], self.quality[self.quality.len() - 1]]
    }

    /// From `low` to `high`, both within the range.
    fn integral(&self, low: f64, high: f64) -> f64 {
        let piece = |i: usize| {
            let (start, end) = (self.quality[i], self.quality[i + 1]);
            let width = end - start;
            let rise = (self.log_rate[i + 1] - self.log_rate[i]) / width;
            let (first, last) = (self.slope[i], self.slope[i + 1]);
            let square = (3.0 * rise - 2.0 * first - last) / width;
            let cube = (first + last - 2.0 * rise) / (width * width);
            let area = |x: f64| {
                let t = x.clamp(start, end) - start;
                t * (self.log_rate[i] + t * (first / 2.0 + t * (square / 3.0 + t * cube / 4.0)))
            };
            area(high) - area(low)
        };
        (0..self.quality.len() - 1).map(piece).sum()
    }
}

/// Slopes at the points that keep each piece between its ends (Fritsch and Butland, 1984). At least 3 points.
fn slopes(x: &[f64], y: &[f64]) -> Vec<f64> {
    let widths: Vec<f64> = x.windows(2).map(|w| w[1] - w[0]).collect();
    let rises: Vec<f64> = y.windows(2).zip(&widths).map(|(w, width)| (w[1] - w[0]) / width).collect();
    let last = widths.len() - 1;
    let mut slopes = vec![end_slope(widths[0], widths[1], rises[0], rises[1])];
    for i in 0..last {
        let (before, after) = (rises[i], rises[i + 1]);
        slopes.push(if before * after <= 0.0 {
            0.0
        } else {
            let (w1, w2) = (2.0 * widths[i + 1] + widths[i], widths[i + 1] + 2.0 * widths[i]);
            (w1 + w2) / (w1 / before + w2 / after)
        });
    }
    slopes.push(end_slope(widths[last], widths[last - 1], rises[last], rises[last - 1]));
    slopes
}

/// By a parabola through the last three points, held back where it would overshoot.
fn end_slope(width: f64, next_width: f64, rise: f64, next_rise: f64) -> f64 {
    let slope = ((2.0 * width + next_width) * rise - width * next_rise) / (width + next_width);
    if slope * rise <= 0.0 {
        0.0
    } else if rise * next_rise <= 0.0 && slope.abs() > 3.0 * rise.abs() {
        3.0 * rise
    } else {
        slope
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(points: &[(f64, f64)]) -> Vec<Point> {
        points.iter().map(|&(rate, quality)| Point { rate, quality }).collect()
    }

    fn some_curve() -> Vec<Point> {
        curve(&[(85.95, 31.42), (157.11, 34.24), (309.58, 37.18), (686.76, 40.28)])
    }

    fn times(points: &[Point], factor: f64) -> Vec<Point> {
        points.iter().map(|p| Point { rate: factor * p.rate, ..*p }).collect()
    }

    #[test]
    fn a_curve_against_itself_is_nought_and_half_the_rate_is_minus_fifty() {
        let anchor = some_curve();
        assert_eq!(bd_rate(&anchor, &anchor).unwrap(), BdRate { percent: 0.0, overlap: [31.42, 40.28] });
        assert!((bd_rate(&anchor, &times(&anchor, 0.5)).unwrap().percent + 50.0).abs() < 1e-9);
        assert!((bd_rate(&anchor, &times(&anchor, 3.0)).unwrap().percent - 200.0).abs() < 1e-9);
    }

    /// The package bjontegaard 1.3.0, which gives the figures of JVET's spreadsheet; see
    /// tests/reference/rate_distortion.py. The data are those of two widely copied examples.
    #[test]
    fn it_is_what_the_spreadsheet_says() {
        let tested = curve(&[(893.34, 40.39), (407.8, 37.21), (204.93, 34.17), (112.75, 31.24)]);
        let found = bd_rate(&some_curve(), &tested).unwrap();
        assert!((found.percent - 31.379_878_202_397_627).abs() < 1e-9, "{found:?}");
        assert_eq!(found.overlap, [31.42, 40.28]);

        let anchor = curve(&[(9487.76, 40.037), (4593.60, 38.615), (2486.44, 36.845), (1358.24, 34.851)]);
        let tested = curve(&[(9787.80, 40.121), (4469.00, 38.651), (2451.52, 36.970), (1356.24, 34.987)]);
        let found = bd_rate(&anchor, &tested).unwrap();
        assert!((found.percent + 4.417_485_350_589_045).abs() < 1e-9, "{found:?}");
    }

    /// Straight lines in log rate stay straight: ln rate = q / 4 against q / 4 + (q - 30) / 40 from 30 to 38 dB, so the
    /// mean difference is 4 / 40.
    #[test]
    fn straight_lines_are_integrated_over_what_they_share() {
        let line = |from: i32, to: i32, at: fn(f64) -> f64| -> Vec<Point> {
            (from..=to).step_by(2).map(f64::from).map(|q| Point { rate: at(q).exp(), quality: q }).collect()
        };
        let anchor = line(24, 38, |q| q / 4.0);
        let tested = line(30, 44, |q| q / 4.0 + (q - 30.0) / 40.0);
        let found = bd_rate(&anchor, &tested).unwrap();
        assert!((found.percent - 100.0 * 0.1f64.exp_m1()).abs() < 1e-9, "{found:?}");
        assert_eq!(found.overlap, [30.0, 38.0]);
    }

    #[test]
    fn too_little_in_common_is_no_figure() {
        let anchor = some_curve();
        let shifted =
            |by: f64| -> Vec<Point> { anchor.iter().map(|p| Point { quality: p.quality + by, ..*p }).collect() };
        assert!(bd_rate(&anchor, &shifted(6.6)).is_some());
        assert_eq!(bd_rate(&anchor, &shifted(6.7)), None);
        assert_eq!(bd_rate(&anchor, &shifted(20.0)), None);
        assert_eq!(bd_rate(&anchor[..3], &anchor), None);
        assert_eq!(bd_rate(&anchor, &[anchor[0]; 6]), None);
    }

    #[test]
    fn order_does_not_matter_and_a_point_without_bits_is_none() {
        let anchor = some_curve();
        let mut tested = times(&anchor, 0.5);
        tested.reverse();
        tested.push(Point { rate: 0.0, quality: 20.0 });
        tested.push(Point { rate: f64::NAN, quality: 50.0 });
        tested.push(Point { rate: 5000.0, quality: 40.28 });
        let found = bd_rate(&anchor, &tested).unwrap();
        assert!((found.percent + 50.0).abs() < 1e-9, "{found:?}");
    }
}
