//! Videos and pictures to train on, in memory as they are coded: 8-bit 4:2:0.

use std::collections::HashSet;
use std::fmt;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use gst_torch_models::codec::picture::{Picture, Plane};
use indicatif::{ProgressBar, ProgressStyle};
use rand::Rng;

use crate::media::{self, Yuv};

/// How `--data` and `--val` are written, for their help texts.
pub const HELP: &str = "\
A video, a picture, or a folder (searched with its subfolders), then options, all separated by commas:
  size=WxH       scale videos to this size (default: to at most 540 rows)
  frames=A-B     only these frames of each video, counted from 1
  weight=W       how often each of its files is drawn, against other files (default 1)
  not=NAME       leave out files whose path has NAME in it; may be repeated
  list=FILE      only files whose names, without their endings, are lines of this text
  class=LABEL    what they show, for a generator with --labels";

/// Videos are scaled to at most this many rows: their coding artefacts shrink with them.
const ROWS: usize = 540;
/// Frames of a shot that are kept together, and shots of a video.
const SHOT: usize = 24;
const SHOTS: usize = 6;
const EXTENSIONS: [&str; 15] =
    ["mp4", "mkv", "webm", "avi", "mov", "264", "3gp", "m4v", "ts", "mpg", "ogv", "jpg", "jpeg", "png", "bmp"];

/// How large videos are read.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Size {
    /// Of at most [`ROWS`] rows.
    Limited,
    AsTheyAre,
    Exactly(usize, usize),
}

/// One `--data` or `--val`.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    text: String,
    path: PathBuf,
    size: Size,
    frames: Option<(u64, u64)>,
    weight: f64,
    not: Vec<String>,
    list: Option<PathBuf>,
    class: Option<String>,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(',');
        let path = PathBuf::from(parts.next().unwrap_or_default());
        let mut source = Source {
            text: text.to_string(),
            path,
            size: Size::Limited,
            frames: None,
            weight: 1.0,
            not: Vec::new(),
            list: None,
            class: None,
        };
        for part in parts {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            let bad = |expected: &str| format!("{key}={value}: expected {expected}");
            match key {
                "frames" => {
                    let range = value.split_once('-').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
                    source.frames = Some(range.filter(|(a, b)| a <= b).ok_or_else(|| bad("FIRST-LAST"))?)
                }
                "size" => {
                    let size = value.split_once('x').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
                    let (width, height) = size.filter(|(w, h)| *w > 0 && *h > 0).ok_or_else(|| bad("WIDTHxHEIGHT"))?;
                    source.size = Size::Exactly(width, height)
                }
                "weight" => {
                    let weight = value.parse().ok().filter(|w: &f64| w.is_finite() && *w > 0.0);
                    source.weight = weight.ok_or_else(|| bad("a number above 0"))?
                }
                "not" if !value.is_empty() => source.not.push(value.into()),
                "list" if !value.is_empty() => source.list = Some(value.into()),
                "class" if !value.is_empty() => source.class = Some(value.into()),
                _ => return Err(format!("\"{part}\" is no option of a data source")),
            }
        }
        Ok(source)
    }
}

impl Source {
    /// The same, its videos not scaled unless that was said.
    pub fn unscaled(mut self) -> Self {
        if self.size == Size::Limited {
            self.size = Size::AsTheyAre;
        }
        self
    }

    /// What it shows, where it says.
    pub fn class(&self) -> Option<&str> {
        self.class.as_deref()
    }

    pub fn weight(&self) -> f64 {
        self.weight
    }

    /// Width and height that it says frames are to have.
    pub fn exactly(&self) -> Option<(usize, usize)> {
        if let Size::Exactly(width, height) = self.size { Some((width, height)) } else { None }
    }

    /// Whether a frame, counted from 1, is one of those.
    pub fn wants(&self, number: u64) -> bool {
        self.frames.is_none_or(|(first, last)| (first..=last).contains(&number))
    }

    /// Whether no frame is wanted after this one.
    pub fn ends_at(&self, number: u64) -> bool {
        self.frames.is_some_and(|(_, last)| number >= last)
    }

    /// The videos and pictures, in order of their names.
    pub fn files(&self) -> Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        if self.path.is_dir() {
            find(&self.path, &mut files)?;
        } else {
            files.push(self.path.clone());
        }
        files.retain(|file| !self.not.iter().any(|name| file.to_string_lossy().contains(name)));
        if let Some(list) = &self.list {
            let text = std::fs::read_to_string(list).with_context(|| list.display().to_string())?;
            let names: HashSet<&str> = text.lines().map(str::trim).collect();
            files.retain(|file| file.file_stem().is_some_and(|stem| names.contains(&*stem.to_string_lossy())));
        }
        files.sort();
        ensure!(!files.is_empty(), "{} has no video or picture", self.path.display());
        Ok(files)
    }
}

fn find(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let known = |e: &std::ffi::OsStr| EXTENSIONS.iter().any(|known| e.eq_ignore_ascii_case(known));
        if path.is_dir() {
            find(&path, files)?;
        } else if path.extension().is_some_and(known) {
            files.push(path);
        }
    }
    Ok(())
}

/// Frames that follow each other; a picture is a shot of one.
pub type Shot = Arc<Vec<Yuv>>;

/// Shots, grouped by the files they came from.
pub struct Footage {
    files: Vec<(f64, Vec<Shot>)>,
}

impl Footage {
    /// Reads all sources; files that cannot be decoded, or are smaller than `smallest`, are named and left out. At most
    /// `limit` bytes are kept.
    pub fn read(sources: &[Source], smallest: usize, limit: usize) -> Result<Self> {
        let mut footage = Footage { files: Vec::new() };
        let mut bytes = 0;
        for source in sources {
            let files = source.files()?;
            let bar = ProgressBar::new(files.len() as u64);
            bar.set_style(ProgressStyle::with_template("reading {wide_bar} {pos}/{len} {msg}")?);
            let (mut shots, mut frames, mut left_out) = (0, 0, 0);
            for path in files {
                bar.set_message(path.file_name().unwrap_or_default().to_string_lossy().into_owned());
                let read = match read_file(&path, source, smallest) {
                    Ok(read) if !read.is_empty() => read,
                    Ok(_) => {
                        left_out += 1;
                        bar.suspend(|| println!("left out, smaller than {smallest}x{smallest}: {}", path.display()));
                        continue;
                    }
                    Err(error) => {
                        left_out += 1;
                        bar.suspend(|| println!("left out: {error:#}"));
                        continue;
                    }
                };
                shots += read.len();
                frames += read.iter().map(|shot| shot.len()).sum::<usize>();
                bytes += read
                    .iter()
                    .flat_map(|shot| shot.iter())
                    .map(|f| f.planes.iter().map(Vec::len).sum::<usize>())
                    .sum::<usize>();
                ensure!(bytes <= limit, "more than {} MiB of frames; name fewer", limit >> 20);
                footage.files.push((source.weight, read));
                bar.inc(1);
            }
            bar.finish_and_clear();
            println!("{shots:5} shots, {frames:6} frames, {left_out} files left out: {source}");
        }
        Ok(footage)
    }

    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// A file by weight, then any of its shots of at least `frames` frames; `None` where no file has one.
    pub fn pick(&self, rng: &mut impl Rng, frames: usize) -> Option<Shot> {
        let long = |shots: &&Shot| shots.len() >= frames;
        let files: Vec<_> = self.files.iter().filter(|(_, shots)| shots.iter().any(|s| long(&s))).collect();
        let mut draw = rng.random::<f64>() * files.iter().map(|f| f.0).sum::<f64>();
        let (_, shots) = files.iter().find(|file| {
            draw -= file.0;
            draw < 0.0
        })?;
        let shots: Vec<&Shot> = shots.iter().filter(long).collect();
        shots.get(rng.random_range(0..shots.len())).map(|shot| Arc::clone(shot))
    }

    /// Every shot, in order.
    pub fn shots(&self) -> impl Iterator<Item = &Shot> {
        self.files.iter().flat_map(|(_, shots)| shots)
    }
}

fn read_file(path: &Path, source: &Source, smallest: usize) -> Result<Vec<Shot>> {
    // A first look says how long it is and how large, so that the shots can be spread over it.
    let (mut count, mut size) = (0u64, (0, 0));
    let mut number = 0;
    media::each_yuv(path, None, |frame| {
        number += 1;
        size = (frame.width, frame.height);
        count += u64::from(source.wants(number));
        Ok(if source.ends_at(number) || count >= 3000 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    let scaled = match source.size {
        Size::Exactly(width, height) => (width, height),
        Size::AsTheyAre => size,
        Size::Limited => {
            let rows = size.1.min(ROWS);
            ((size.0 * rows / size.1.max(1)) & !1, rows & !1)
        }
    };
    if scaled.0 < smallest || scaled.1 < smallest || count == 0 {
        return Ok(Vec::new());
    }
    let shots = (count.div_ceil(SHOT as u64)).min(SHOTS as u64);
    let spacing = count / shots;
    let mut read: Vec<Vec<Yuv>> = Vec::new();
    let (mut number, mut index) = (0, 0);
    media::each_yuv(path, Some(scaled), |frame| {
        number += 1;
        if source.wants(number) {
            if index % spacing == 0 && (read.len() as u64) < shots {
                read.push(Vec::new());
            }
            if let Some(shot) = read.last_mut()
                && shot.len() < SHOT
            {
                shot.push(frame);
            }
            index += 1;
        }
        Ok(if index >= count { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    Ok(read.into_iter().map(Arc::new).collect())
}

/// Where a cut-out lies, and how it is turned over.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cut {
    x: usize,
    y: usize,
    side: usize,
    mirrored: bool,
    upside_down: bool,
}

impl Cut {
    /// Anywhere in `frame`, at an even place.
    pub fn random(rng: &mut impl Rng, frame: &Yuv, side: usize) -> Self {
        let x = rng.random_range(0..=(frame.width - side) / 2) * 2;
        let y = rng.random_range(0..=(frame.height - side) / 2) * 2;
        Cut { x, y, side, mirrored: rng.random(), upside_down: rng.random_bool(0.2) }
    }

    /// The middle of `frame`, as it is.
    pub fn middle(frame: &Yuv, side: usize) -> Self {
        let (x, y) = ((frame.width - side) / 4 * 2, (frame.height - side) / 4 * 2);
        Cut { x, y, side, mirrored: false, upside_down: false }
    }

    /// So many samples farther right and down, as far as `frame` goes, at an even place.
    pub fn moved(&self, frame: &Yuv, right: f64, down: f64) -> Self {
        let place = |from: usize, by: f64, size: usize| {
            ((from as f64 + by).round().max(0.0) as usize).min(size - self.side) & !1
        };
        Cut { x: place(self.x, right, frame.width), y: place(self.y, down, frame.height), ..*self }
    }

    pub fn of(&self, frame: &Yuv) -> Picture {
        let plane = |index: usize, half: usize| {
            let (width, side) = (frame.width.div_ceil(half), self.side / half);
            let mut plane = Plane::new(side, side, 0);
            for row in 0..side {
                let from = if self.upside_down { side - 1 - row } else { row } + self.y / half;
                let target = plane.row_mut(row);
                target.copy_from_slice(&frame.planes[index][from * width + self.x / half..][..side]);
                if self.mirrored {
                    target.reverse();
                }
            }
            plane
        };
        Picture { planes: [plane(0, 1), plane(1, 2), plane(2, 2)] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_read_from_text() {
        let source: Source = "clips,frames=3-9,size=64x36,weight=2.5,not=car,not=dash".parse().unwrap();
        assert_eq!((source.frames, source.size, source.weight), (Some((3, 9)), Size::Exactly(64, 36), 2.5));
        assert_eq!(source.not, ["car", "dash"]);
        for bad in ["a,frames=9-3", "a,weight=0", "a,labels=x", "a,not=", "a,class=", "a,size=64"] {
            assert!(bad.parse::<Source>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_list_names_files_without_their_endings() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.png", "b.jpg", "c.png", "a.txt"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let list = folder.path().join("list.txt");
        std::fs::write(&list, "a\nc \nmissing\n").unwrap();
        let text = format!("{},list={},class=x,frames=2-3", folder.path().display(), list.display());
        let source: Source = text.parse().unwrap();
        let names: Vec<_> = source.files().unwrap().iter().map(|f| f.file_name().unwrap().to_owned()).collect();
        assert_eq!(names, ["a.png", "c.png"]);
        assert_eq!(source.class(), Some("x"));
        assert_eq!(
            [1, 2, 3, 4].map(|n| (source.wants(n), source.ends_at(n))),
            [(false, false), (true, false), (true, true), (false, true)]
        );
    }

    #[test]
    fn a_cut_takes_the_same_place_of_all_planes() {
        let luma: Vec<u8> = (0..40 * 36).map(|i| (i % 40 + i / 40) as u8).collect();
        let chroma: Vec<u8> = (0..20 * 18).map(|i| (2 * (i % 20 + i / 20)) as u8).collect();
        let frame = Yuv { width: 40, height: 36, planes: [luma, chroma.clone(), chroma] };
        let mut cut = Cut { x: 6, y: 4, side: 16, mirrored: false, upside_down: false };
        let picture = cut.of(&frame);
        assert_eq!((picture.planes[0].row(0)[0], picture.planes[1].row(0)[0]), (10, 10));
        assert_eq!((picture.planes[0].row(2)[4], picture.planes[2].row(1)[2]), (16, 16));
        (cut.mirrored, cut.upside_down) = (true, true);
        let turned = cut.of(&frame);
        assert_eq!(turned.planes[0].row(15)[15], picture.planes[0].row(0)[0]);
    }
}
