//! Other frame rates: times to the nanosecond, without gaps.

use super::*;

/// The beginning of frame `k`, in ns.
fn time(k: u64, rate: (i32, i32)) -> u64 {
    k * 1_000_000_000 * rate.1 as u64 / rate.0 as u64
}

/// What leaves of so many frames whose times are rounded to `rounding` ns.
fn convert(properties: &str, from: (i32, i32), to: (i32, i32), count: u64, rounding: u64) -> Vec<Left> {
    let mut run = start(properties, &info(VideoFormat::I420, SIZE, from), Some(to));
    for k in 0..count {
        let rounded = |k| (time(k, from) + rounding / 2) / rounding * rounding;
        let mut buffer = run.frame(k as f64 * 0.3, rounded(k));
        buffer.make_mut().set_duration(gst::ClockTime::from_nseconds(rounded(k + 1) - rounded(k)));
        run.push(buffer);
    }
    run.end();
    run.times()
}

#[test]
fn rates_change_by_any_rational_with_exact_times_and_no_gaps() {
    for (from, to) in [
        ((25, 1), (50, 1)),
        ((30, 1), (60, 1)),
        ((30_000, 1001), (60_000, 1001)),
        ((24, 1), (60, 1)),
        ((25, 1), (30, 1)),
        ((15, 1), (25, 1)),
        ((50, 1), (20, 1)),
        ((30_000, 1001), (60, 1)),
        ((30_000, 1001), (30, 1)),
        ((24_000, 1001), (24, 1)),
        ((24, 1), (30_000, 1001)),
    ] {
        for properties in ["", "latency-mode=zero"] {
            // Long enough for rates that are nearly the same to drift apart by more than timestamps are rounded.
            let count = 3 * from.0 as u64 / from.1 as u64;
            let left = convert(properties, from, to, count, 1);
            let expected: Vec<_> =
                (0..left.len() as u64).map(|k| at(time(k, to), time(k + 1, to) - time(k, to))).collect();
            assert_eq!(left, expected, "{from:?} to {to:?} {properties}");
            let end = left.last().map(|last| last.pts + last.duration.unwrap()).unwrap();
            let (came, picture) = (time(count, from), time(1, to));
            assert!(end.abs_diff(came) <= picture, "{from:?} to {to:?} {properties}: {end}, not {came}");
        }
    }
}

/// As Matroska rounds them.
#[test]
fn times_in_milliseconds_give_no_gaps_either() {
    for (from, to) in [((30, 1), (60, 1)), ((30, 1), (25, 1)), ((24, 1), (60, 1)), ((30_000, 1001), (60, 1))] {
        let left = convert("", from, to, 90, MS);
        for pair in left.windows(2) {
            assert_eq!(pair[0].pts + pair[0].duration.unwrap(), pair[1].pts, "{from:?} to {to:?}: {pair:?}");
        }
    }
}

#[test]
fn at_the_same_rate_frames_keep_their_own_times() {
    let mut run = start("", &info(VideoFormat::I420, SIZE, (25, 1)), Some((50, 2)));
    let came = [0, 40_300_000, 79_900_000, 120_000_001];
    for (n, pts) in (0..).map(f64::from).zip(came) {
        run.push(run.frame(n, pts));
    }
    assert_eq!(run.times(), came.map(|pts| at(pts, 40 * MS)));
}
