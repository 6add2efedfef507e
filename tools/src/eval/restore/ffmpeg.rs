//! FFmpeg's filters, as a program beside.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::media::Yuv;

/// Whether there is one.
pub fn is_there() -> bool {
    Command::new("ffmpeg")
        .arg("-version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|s| s.success())
}

/// Frames through a filter, which may change their size, on one thread; and how many a second, start-up included.
pub fn filter(frames: &[Yuv], filter: &str) -> Result<(Vec<Yuv>, f64)> {
    let (filtered, speed) = rated(frames, filter)?;
    ensure!(filtered.len() == frames.len(), "ffmpeg -vf {filter} gave {} of {} frames", filtered.len(), frames.len());
    Ok((filtered, speed))
}

/// The same with a filter that may change how many there are: 25 a second come, and speed is of those that leave.
pub fn rated(frames: &[Yuv], filter: &str) -> Result<(Vec<Yuv>, f64)> {
    let first = frames.first().context("there is no frame")?;
    let size = format!("{}x{}", first.width, first.height);
    let began = Instant::now();
    let mut child = Command::new("ffmpeg")
        .args(["-v", "error", "-filter_threads", "1", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", &size, "-r", "25"])
        .args(["-i", "-", "-vf", filter, "-pix_fmt", "yuv420p", "-f", "yuv4mpegpipe", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("ffmpeg does not start")?;
    let mut input = child.stdin.take().context("ffmpeg has an input")?;
    let mut output = child.stdout.take().context("ffmpeg has an output")?;
    let mut bytes = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // An input that is closed early shows as frames that are missing.
            let _ = frames.iter().flat_map(|f| &f.planes).try_for_each(|plane| input.write_all(plane));
        });
        output.read_to_end(&mut bytes)
    })?;
    let mut complaint = String::new();
    child.stderr.take().context("ffmpeg has an error output")?.read_to_string(&mut complaint)?;
    ensure!(child.wait()?.success(), "ffmpeg -vf {filter}: {}", complaint.trim());
    let filtered = parse(&bytes).with_context(|| format!("ffmpeg -vf {filter}"))?;
    let speed = filtered.len() as f64 / began.elapsed().as_secs_f64();
    Ok((filtered, speed))
}

/// The frames of a YUV4MPEG2 stream of 4:2:0.
fn parse(bytes: &[u8]) -> Result<Vec<Yuv>> {
    let end = bytes.iter().position(|b| *b == b'\n').context("no header came")?;
    let header = std::str::from_utf8(&bytes[..end])?;
    let side = |key: char| header.split(' ').find_map(|word| word.strip_prefix(key)?.parse::<usize>().ok());
    let (width, height) = side('W').zip(side('H')).with_context(|| format!("no size in \"{header}\""))?;
    let (half_width, half_height) = (width.div_ceil(2), height.div_ceil(2));
    let (luma, chroma) = (width * height, half_width * half_height);
    let mut frames = Vec::new();
    let mut rest = &bytes[end + 1..];
    while !rest.is_empty() {
        let start = rest.iter().position(|b| *b == b'\n').context("a frame has no header")? + 1;
        let samples = rest.get(start..start + luma + 2 * chroma).context("the last frame is cut off")?;
        let (y, uv) = samples.split_at(luma);
        let (u, v) = uv.split_at(chroma);
        frames.push(Yuv { width, height, planes: [y.to_vec(), u.to_vec(), v.to_vec()] });
        rest = &rest[start + samples.len()..];
    }
    Ok(frames)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_as_they_follow_each_other() {
        let mut bytes = b"YUV4MPEG2 W3 H2 F25:1 Ip C420jpeg\n".to_vec();
        for start in [0u8, 100] {
            bytes.extend(b"FRAME\n");
            bytes.extend(start..start + 10);
        }
        let frames = parse(&bytes).unwrap();
        assert_eq!(frames.len(), 2);
        assert_eq!(frames[1].planes, [vec![100, 101, 102, 103, 104, 105], vec![106, 107], vec![108, 109]]);
        assert!(parse(&bytes[..bytes.len() - 1]).is_err());
        assert!(parse(b"").is_err() && parse(b"YUV4MPEG2 W3\n").is_err());
    }
}
