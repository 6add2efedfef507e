//! The report as text.

use std::fmt::Write;

use super::report::{ClipReport, Difference, Report};

/// Characters of a clip's name above a column.
const COLUMN: usize = 12;

/// The points of all codecs on a clip.
pub fn points(clip: &ClipReport) -> String {
    let ClipReport { width, height, frames, frames_per_second: rate, .. } = clip;
    let mut text = format!("{}: {width}x{height}, {frames} frames at {rate:.4} a second\n", clip.clip);
    text += "codec                 quality     kbit/s bit/pixel  PSNR dB    SSIM  encode  decode (frames/s)\n";
    for curve in &clip.curves {
        for point in &curve.points {
            let speed = |speed: Option<f64>| speed.map_or("-".into(), |speed| format!("{speed:.0}"));
            let ssim = point.ssim.map_or("-".into(), |ssim| format!("{ssim:.4}"));
            let _ = writeln!(
                text,
                "{:20} {:>8} {:10.1} {:9.4} {:8.2} {ssim:>7} {:>7} {:>7}",
                curve.codec,
                point.quality,
                point.kbit_per_second,
                point.bits_per_pixel,
                point.psnr,
                speed(point.encode_speed),
                speed(point.decode_speed),
            );
        }
    }
    text
}

/// BD-rates against `anchor`: a column a clip, and under each figure the PSNRs between which it was taken.
pub fn bd_rates(report: &Report, anchor: &str) -> String {
    let mut text = format!("BD-rate in percent against {anchor}, by PSNR (below: from and to how many dB)\n{:20}", "");
    for clip in &report.clips {
        let _ = write!(text, " {:>COLUMN$}", shortened(&clip.clip));
    }
    text += "         mean mean by SSIM\n";
    let compared: Vec<_> = report.bd_rates.iter().filter(|comparison| comparison.anchor == anchor).collect();
    let mut codecs: Vec<&str> = Vec::new();
    for comparison in &compared {
        if !codecs.contains(&comparison.codec.as_str()) {
            codecs.push(&comparison.codec);
        }
    }
    for codec in codecs {
        let of = |clip: &ClipReport| {
            let found = compared.iter().find(|c| c.codec == codec && c.clip == clip.clip);
            found.map_or((None, None), |c| (c.by_psnr, c.by_ssim))
        };
        let (by_psnr, by_ssim): (Vec<_>, Vec<_>) = report.clips.iter().map(of).unzip();
        let percents = by_psnr.iter().map(|d| d.map_or("-".into(), |d| format!("{:+.1}", d.percent)));
        let overlaps =
            by_psnr.iter().map(|d| d.map_or(String::new(), |d| format!("{:.1}-{:.1}", d.overlap[0], d.overlap[1])));
        let _ = writeln!(text, "{codec:20}{} {:>COLUMN$} {:>COLUMN$}", row(percents), mean(&by_psnr), mean(&by_ssim));
        let _ = writeln!(text, "{:20}{}", "", row(overlaps));
    }
    text
}

fn row(cells: impl Iterator<Item = String>) -> String {
    cells.map(|cell| format!(" {cell:>COLUMN$}")).collect()
}

/// Over the clips that have a figure, and of how many there are if not all do.
fn mean(differences: &[Option<Difference>]) -> String {
    let known: Vec<f64> = differences.iter().flatten().map(|d| d.percent).collect();
    if known.is_empty() {
        return "-".into();
    }
    let mean = known.iter().sum::<f64>() / known.len() as f64;
    if known.len() == differences.len() {
        format!("{mean:+.1}")
    } else {
        format!("{mean:+.1} ({}/{})", known.len(), differences.len())
    }
}

fn shortened(name: &str) -> String {
    if name.chars().count() <= COLUMN {
        return name.into();
    }
    name.chars().take(COLUMN - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::{curve, report};
    use super::*;

    #[test]
    fn every_point_has_a_line() {
        let text = points(&report(vec![curve("a", 1e6), curve("b", 2e6)]).clips[0]);
        assert_eq!(text.lines().count(), 2 + 10, "{text}");
        assert!(text.starts_with("a clip: 64x48, 9 frames at 12.5000 a second"), "{text}");
        let line = text.lines().nth(2).unwrap();
        let words: Vec<_> = line.split_whitespace().collect();
        assert_eq!(words, ["a", "0", "1000.0", "1.0000", "30.00", "0.9684", "100", "-"]);
    }

    #[test]
    fn means_are_over_the_clips_that_have_a_figure() {
        let mut report = report(vec![curve("a", 1e6), curve("b", 0.5e6)]);
        let mut second = report.clips[0].clone();
        second.clip = "another clip, and a long name".into();
        second.curves[1] = curve("b", 1.25e6);
        let mut third = second.clone();
        third.clip = "third".into();
        third.curves[1].points.truncate(3);
        report.clips.extend([second, third]);
        report.compare(&["a".into()]);
        let text = bd_rates(&report, "a");
        let lines: Vec<Vec<_>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[1], ["a", "clip", "another", "cli…", "third", "mean", "mean", "by", "SSIM"]);
        assert_eq!(lines[2], ["b", "-50.0", "+25.0", "-", "-12.5", "(2/3)", "-12.5", "(2/3)"]);
        assert_eq!(lines[3], ["30.0-46.0", "30.0-46.0"]);
        assert_eq!(lines.len(), 4);
    }
}
