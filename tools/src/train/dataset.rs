//! Which pictures and labels to train on or to score against, as named on the command line.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, ensure};
use gst_torch_models::data::labels::{self, ClassMap, IgnoreSpan, Labelled};
use gst_torch_models::data::picture::Picture;
use gst_torch_models::data::{Object, Truth};
use rand::Rng;

use crate::media;

/// How `--data` and `--val` are written, for their help texts.
pub const HELP: &str = "\
A video or a folder of pictures, then options, all separated by commas:
  labels=PATH    video: MOTChallenge text; pictures: folder with YOLO .txt or VOC .xml of the same names (default: the
                 folder itself), or MOTChallenge text, the pictures being frames in order of their names
  background     there are no objects in it
  ignore=PATH    MOTChallenge: frames or areas that say nothing (default: LABELS.ignore.txt, if there)
  frames=A-B     only these frames or pictures, counted from 1
  every=N        each Nth frame or picture only
  list=PATH      pictures: only those named in this text file, one a line, extension optional
  class=A:B      class A of the labels is label B; may be repeated, classes not named are background
  weight=W       how often it is drawn, against the others (default 1)";

/// One `--data` or `--val`.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    text: String,
    path: PathBuf,
    labels: Option<PathBuf>,
    background: bool,
    ignore: Option<PathBuf>,
    frames: Option<(u32, u32)>,
    every: u32,
    list: Option<PathBuf>,
    classes: Vec<(String, String)>,
    weight: f64,
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
            labels: None,
            background: false,
            ignore: None,
            frames: None,
            every: 1,
            list: None,
            classes: Vec::new(),
            weight: 1.0,
        };
        for part in parts {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            let bad = |expected: &str| format!("{key}={value}: expected {expected}");
            match key {
                "labels" => source.labels = Some(value.into()),
                "ignore" => source.ignore = Some(value.into()),
                "list" => source.list = Some(value.into()),
                "background" => source.background = true,
                "every" => {
                    source.every = value.parse().ok().filter(|&n| n > 0).ok_or_else(|| bad("a whole number above 0"))?
                }
                "weight" => {
                    let weight = value.parse().ok().filter(|w: &f64| w.is_finite() && *w > 0.0);
                    source.weight = weight.ok_or_else(|| bad("a number above 0"))?
                }
                "frames" => {
                    let range = value.split_once('-').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
                    source.frames = Some(range.filter(|(a, b)| a <= b).ok_or_else(|| bad("FIRST-LAST"))?)
                }
                "class" => {
                    let (from, to) = value.split_once(':').ok_or_else(|| bad("CLASS:LABEL"))?;
                    source.classes.push((from.into(), to.into()))
                }
                _ => return Err(format!("\"{key}\" is no option of a data source")),
            }
        }
        Ok(source)
    }
}

/// One picture and what is true of it.
pub struct Sample {
    pub picture: Picture,
    pub truth: Truth,
}

/// Pictures in memory, grouped by where they came from.
pub struct Dataset {
    pub samples: Vec<Sample>,
    /// End of each source's samples, and the sum of weights up to there.
    groups: Vec<(usize, f64)>,
}

impl Dataset {
    /// Reads all sources. Frames stay as 8-bit RGB in memory, at most `limit` bytes of them.
    pub fn read(sources: &[Source], names: &[String], limit: usize) -> Result<Self> {
        let mut dataset = Dataset { samples: Vec::new(), groups: Vec::new() };
        let mut bytes = 0;
        for source in sources {
            let before = dataset.samples.len();
            source
                .each(names, |sample| {
                    bytes += sample.picture.rgb().len();
                    ensure!(bytes <= limit, "more than {} MiB of pictures; name fewer frames", limit >> 20);
                    dataset.samples.push(sample);
                    Ok(())
                })
                .with_context(|| format!("data source {source}"))?;
            let added = dataset.samples.len() - before;
            ensure!(added > 0, "data source {source} has no labelled picture");
            let weight = dataset.groups.last().map_or(0.0, |g| g.1) + source.weight;
            dataset.groups.push((dataset.samples.len(), weight));
            let objects: usize = dataset.samples[before..].iter().map(|s| s.truth.objects.len()).sum();
            println!("{added:6} pictures, {objects:6} objects: {source}");
        }
        Ok(dataset)
    }

    /// A source by weight, then any of its pictures.
    pub fn pick(&self, rng: &mut impl Rng) -> &Sample {
        let total = self.groups.last().map_or(0.0, |g| g.1);
        let draw = rng.random::<f64>() * total;
        let group = self.groups.iter().position(|g| draw < g.1).unwrap_or(self.groups.len() - 1);
        let first = if group == 0 { 0 } else { self.groups[group - 1].0 };
        &self.samples[rng.random_range(first..self.groups[group].0)]
    }

    pub fn truths(&self) -> Vec<Truth> {
        self.samples.iter().map(|s| s.truth.clone()).collect()
    }
}

impl Source {
    /// Reads the source picture by picture.
    pub fn each(&self, names: &[String], mut each: impl FnMut(Sample) -> Result<()>) -> Result<()> {
        ensure!(self.path.exists(), "{} is not there", self.path.display());
        let map = ClassMap::new(names, &self.classes)?;
        if self.path.is_dir() { self.each_picture(&map, &mut each) } else { self.each_frame(&map, &mut each) }
    }

    fn each_frame(&self, map: &ClassMap, each: &mut impl FnMut(Sample) -> Result<()>) -> Result<()> {
        ensure!(self.labels.is_some() || self.background, "a video needs either labels=PATH or background");
        let frames = Frames::read(self)?;
        let (first, last) = self.frames.unwrap_or((1, u32::MAX));
        let wanted = |n: u32| n >= first && (n - first).is_multiple_of(self.every) && !frames.silent(n);
        media::each_frame(
            &self.path,
            |n| n > last || wanted(n),
            |number, picture| {
                if number > last {
                    return Ok(ControlFlow::Break(()));
                }
                each(sample(picture, frames.truth(number, map)))?;
                Ok(ControlFlow::Continue(()))
            },
        )
    }

    fn each_picture(&self, map: &ClassMap, each: &mut impl FnMut(Sample) -> Result<()>) -> Result<()> {
        // MOTChallenge keeps the frames of a video as numbered pictures.
        let frames = match &self.labels {
            Some(path) if path.is_file() => Some(Frames::read(self)?),
            _ => None,
        };
        let (first, last) = self.frames.unwrap_or((1, u32::MAX));
        let numbered = (1..).zip(self.pictures()?);
        let chosen = numbered.filter(|(number, _)| (first..=last).contains(number)).step_by(self.every as usize);
        for (number, path) in chosen {
            if frames.as_ref().is_some_and(|frames| frames.silent(number)) {
                continue;
            }
            let picture = media::read_picture(&path)?;
            let truth = match &frames {
                Some(frames) => frames.truth(number, map),
                None if self.background => Truth::default(),
                None => self.truth_beside(&path, &picture, map)?,
            };
            each(sample(picture, truth))?;
        }
        Ok(())
    }

    /// The pictures of the folder, in order of their names; of those, the ones listed.
    fn pictures(&self) -> Result<Vec<PathBuf>> {
        let listed = self.list.as_ref().map(|path| read_text(path)).transpose()?;
        let listed: Option<Vec<&str>> = listed.as_ref().map(|text| text.lines().map(|l| stem(l.trim())).collect());
        let mut paths = Vec::new();
        for entry in self.path.read_dir().with_context(|| self.path.display().to_string())? {
            let path = entry?.path();
            let name = path.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
            if media::is_picture(&path) && listed.as_ref().is_none_or(|names| names.contains(&name)) {
                paths.push(path);
            }
        }
        paths.sort();
        Ok(paths)
    }

    /// From the label file with the picture's name. A picture without one has no objects, as YOLO sets have it.
    fn truth_beside(&self, path: &Path, picture: &Picture, map: &ClassMap) -> Result<Truth> {
        let folder = self.labels.as_deref().unwrap_or(&self.path);
        let beside = folder.join(path.file_name().unwrap_or_default());
        let (xml, txt) = (beside.with_extension("xml"), beside.with_extension("txt"));
        let labelled = if xml.exists() {
            parse(&xml, labels::voc)?
        } else if txt.exists() {
            parse(&txt, |text| labels::yolo(text, picture.width(), picture.height()))?
        } else {
            ensure!(folder.is_dir(), "labels={} is not there", folder.display());
            Vec::new()
        };
        Ok(map.truth(&labelled))
    }
}

/// What a MOTChallenge text and the ignore file beside it say about the frames of a video.
struct Frames {
    boxes: BTreeMap<u32, Vec<Labelled>>,
    spans: Vec<IgnoreSpan>,
}

impl Frames {
    fn read(source: &Source) -> Result<Self> {
        let boxes = match &source.labels {
            Some(path) if !source.background => parse(path, labels::mot)?,
            _ => BTreeMap::new(),
        };
        let beside = || source.labels.as_ref().map(|l| l.with_extension("ignore.txt")).filter(|p| p.exists());
        let spans = match source.ignore.clone().or_else(beside) {
            Some(path) => parse(&path, labels::ignore_spans)?,
            None => Vec::new(),
        };
        Ok(Frames { boxes, spans })
    }

    /// Whether the frame as a whole says nothing.
    fn silent(&self, number: u32) -> bool {
        self.spans.iter().any(|span| span.area.is_none() && span.covers(number))
    }

    fn truth(&self, number: u32, map: &ClassMap) -> Truth {
        let mut truth = map.truth(self.boxes.get(&number).map_or(&[][..], Vec::as_slice));
        truth.ignore.extend(self.spans.iter().filter(|span| span.covers(number)).filter_map(|span| span.area));
        truth
    }
}

/// Clips the labels to the picture: what lies outside cannot be found.
fn sample(picture: Picture, truth: Truth) -> Sample {
    let (width, height) = (picture.width() as f32, picture.height() as f32);
    let clip = |object: &Object| Object { rect: object.rect.clip(width, height), ..*object };
    let objects = truth.objects.iter().map(clip).filter(|o| o.rect.area() >= 1.0).collect();
    Sample { picture, truth: Truth { objects, ignore: truth.ignore } }
}

fn stem(name: &str) -> &str {
    let name = name.rsplit('/').next().unwrap_or(name);
    match name.rsplit_once('.') {
        Some((stem, extension)) if extension.len() <= 4 => stem,
        _ => name,
    }
}

fn read_text(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))
}

fn parse<T>(path: &Path, parser: impl FnOnce(&str) -> Result<T, labels::Error>) -> Result<T> {
    parser(&read_text(path)?).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_a_path_and_options() {
        let source: Source = "a b.avi,labels=x.txt,frames=1-560,every=2,class=0:person,weight=0.5".parse().unwrap();
        assert_eq!((source.path.as_path(), source.labels.as_deref()), (Path::new("a b.avi"), Some(Path::new("x.txt"))));
        assert_eq!((source.frames, source.every, source.weight), (Some((1, 560)), 2, 0.5));
        assert_eq!(source.classes, [("0".to_string(), "person".to_string())]);
    }

    #[test]
    fn wrong_options_are_named() {
        for (text, part) in [
            ("a,frames=9-1", "frames=9-1"),
            ("a,every=0", "every=0"),
            ("a,clas=0:x", "\"clas\""),
            ("a,weight=x", "weight"),
        ] {
            assert!(text.parse::<Source>().unwrap_err().contains(part), "{text}");
        }
    }

    #[test]
    fn pictures_take_labels_from_a_folder_or_from_motchallenge_text() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["000001.png", "000002.png", "000003.png", "000004.png"] {
            image::RgbImage::new(40, 20).save(at(name)).unwrap();
        }
        std::fs::write(at("gt.txt"), "1,1,5,5,10,10,1,person\n3,1,30,5,20,10,1,person\n3,2,0,0,5,5,1,car\n").unwrap();
        std::fs::write(at("gt.ignore.txt"), "2,2\n3,3,0,0,8,8\n").unwrap();
        std::fs::write(at("000004.txt"), "0 0.5 0.5 0.5 0.5\n").unwrap();
        let read = |options: &str| {
            let source: Source = format!("{}{options}", folder.path().display()).parse().unwrap();
            Dataset::read(&[source], &["person".into()], usize::MAX).unwrap().truths()
        };
        let rects = |truth: &Truth| truth.objects.iter().map(|o| [o.rect.x, o.rect.w]).collect::<Vec<_>>();

        let frames = read(&format!(",labels={}", at("gt.txt").display()));
        assert_eq!(frames.iter().map(rects).collect::<Vec<_>>(), [vec![[5.0, 10.0]], vec![[30.0, 10.0]], vec![]]);
        assert_eq!(frames[1].ignore.len(), 1);
        assert_eq!(read("").iter().map(rects).collect::<Vec<_>>(), [vec![], vec![], vec![], vec![[10.0, 20.0]]]);
        assert_eq!(read(",frames=3-4").len(), 2);
        assert!(read(",background").iter().all(|truth| truth.objects.is_empty()));
    }

    #[test]
    fn weights_decide_how_often_a_source_is_drawn() {
        let one = |value| Sample { picture: Picture::grey(1, 1, value), truth: Truth::default() };
        let dataset = Dataset { samples: vec![one(0), one(1), one(1)], groups: vec![(1, 3.0), (3, 4.0)] };
        let mut rng: rand::rngs::StdRng = rand::SeedableRng::seed_from_u64(1);
        let second = (0..4000).filter(|_| dataset.pick(&mut rng).picture.rgb()[0] == 1).count();
        assert!((900..1100).contains(&second), "{second}");
    }
}
