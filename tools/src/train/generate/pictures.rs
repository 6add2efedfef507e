//! Pictures to learn from, in memory as 8-bit RGB, each at least as large as the network's; in the order of their clips.

use std::ops::ControlFlow;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use gst_torch_models::data::picture::Picture;
use indicatif::{ProgressBar, ProgressStyle};
use rand::Rng;
use tch::{Device, Kind, Tensor};

use super::super::footage::Source;
use super::args::Flip;
use crate::media;

/// The frames of a file that follow each other.
pub struct Clip {
    pub frames: Vec<Picture>,
    /// How often each frame is drawn against those of other clips.
    weight: f64,
    pub class: Option<usize>,
}

impl Clip {
    pub fn weight(&self) -> f64 {
        self.weight
    }
}

/// What is cut out of a frame, and how it is turned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct View {
    /// From the left and from the top, 0 to 1 of what there is to spare.
    place: [f64; 2],
    mirrored: bool,
    upside_down: bool,
    /// Rows become columns; for square pictures.
    transposed: bool,
}

impl View {
    pub const MIDDLE: View = View { place: [0.5, 0.5], mirrored: false, upside_down: false, transposed: false };

    pub fn random(rng: &mut impl Rng, flip: Flip, square: bool) -> Self {
        View {
            place: [rng.random(), rng.random()],
            mirrored: flip != Flip::None && rng.random(),
            upside_down: flip == Flip::Any && rng.random(),
            transposed: flip == Flip::Any && square && rng.random(),
        }
    }

    /// The pixels, planes one after the other, 0 to 255.
    fn cut(&self, frame: &Picture, [width, height]: [usize; 2], colours: usize) -> Vec<u8> {
        let place = |at: f64, spare: usize| (at * (spare + 1) as f64).min(spare as f64) as usize;
        let (left, top) = (place(self.place[0], frame.width() - width), place(self.place[1], frame.height() - height));
        let mut pixels = Vec::with_capacity(colours * width * height);
        for colour in 0..colours {
            for row in 0..height {
                for column in 0..width {
                    let (mut x, mut y) = if self.transposed { (row, column) } else { (column, row) };
                    x = if self.mirrored { width - 1 - x } else { x };
                    y = if self.upside_down { height - 1 - y } else { y };
                    let at = ((top + y) * frame.width() + left + x) * 3;
                    let rgb = &frame.rgb()[at..at + 3];
                    pixels.push(if colours == 3 { rgb[colour] } else { luma(rgb) });
                }
            }
        }
        pixels
    }
}

fn luma(rgb: &[u8]) -> u8 {
    ((u32::from(rgb[0]) * 299 + u32::from(rgb[1]) * 587 + u32::from(rgb[2]) * 114 + 500) / 1000) as u8
}

/// All that there is to learn from.
pub struct Pictures {
    clips: Vec<Clip>,
    size: [usize; 2],
    colours: usize,
    device: Device,
}

impl Pictures {
    /// Reads all sources, scaled so that a picture of `size` just fits in, or as a source says. Files that cannot be decoded
    /// or are too small are named and left out. At most `limit` bytes are kept.
    pub fn read(sources: &[Source], size: [i64; 2], colours: i64, labels: &[String], limit: usize) -> Result<Self> {
        let (size, colours) = (size.map(|s| s as usize), colours as usize);
        let mut pictures = Pictures { clips: Vec::new(), size, colours, device: Device::Cpu };
        let mut bytes = 0;
        for source in sources {
            let class = match (source.class(), labels) {
                (None, []) => None,
                (Some(class), labels) => {
                    let index = labels.iter().position(|label| label == class);
                    Some(index.with_context(|| format!("{source}: class={class} is not one of --labels"))?)
                }
                (None, _) => anyhow::bail!("{source}: with --labels, say which it is of with class=LABEL"),
            };
            let files = source.files()?;
            let bar = ProgressBar::new(files.len() as u64);
            bar.set_style(ProgressStyle::with_template("reading {wide_bar} {pos}/{len} {msg}")?);
            let (mut count, mut left_out) = (0, 0);
            for path in files {
                bar.set_message(path.file_name().unwrap_or_default().to_string_lossy().into_owned());
                bar.inc(1);
                match read_file(&path, source, pictures.size) {
                    Ok(frames) if !frames.is_empty() => {
                        count += frames.len();
                        bytes += frames.iter().map(|frame| frame.rgb().len()).sum::<usize>();
                        pictures.clips.push(Clip { frames, weight: source.weight(), class });
                    }
                    Ok(_) => {
                        left_out += 1;
                        bar.suspend(|| println!("left out, no frame of {}x{}: {}", size[0], size[1], path.display()));
                    }
                    Err(error) => {
                        left_out += 1;
                        bar.suspend(|| println!("left out: {error:#}"));
                    }
                }
                ensure!(bytes <= limit, "more than {} MiB of frames; name fewer, or a smaller size", limit >> 20);
            }
            bar.finish_and_clear();
            println!("{count:6} pictures, {left_out} files left out: {source}");
        }
        Ok(pictures)
    }

    /// Tensors of them are on this device.
    pub fn on(self, device: Device) -> Self {
        Pictures { device, ..self }
    }

    pub fn is_empty(&self) -> bool {
        self.clips.is_empty()
    }

    pub fn clips(&self) -> &[Clip] {
        &self.clips
    }

    /// A clip of at least `frames` frames, and the first of so many of them; every frame as likely as its weight says.
    pub fn draw(&self, rng: &mut impl Rng, frames: usize) -> Option<(&Clip, usize)> {
        let places = |clip: &Clip| (clip.frames.len() + 1).saturating_sub(frames);
        let total: f64 = self.clips.iter().map(|clip| clip.weight * places(clip) as f64).sum();
        let mut draw = rng.random::<f64>() * total;
        let clip = self.clips.iter().filter(|clip| places(clip) > 0).find(|clip| {
            draw -= clip.weight * places(clip) as f64;
            draw < 0.0
        })?;
        Some((clip, rng.random_range(0..places(clip))))
    }

    /// Frames seen one way each, `(N, colours, H, W)` of 0 to 1 in fp32.
    pub fn tensor<'a>(&self, frames: impl IntoIterator<Item = (&'a Picture, View)>) -> Result<Tensor> {
        let cuts: Vec<u8> =
            frames.into_iter().flat_map(|(frame, view)| view.cut(frame, self.size, self.colours)).collect();
        let [width, height] = self.size.map(|s| s as i64);
        let pixels = Tensor::f_from_slice(&cuts)?.f_view([-1, self.colours as i64, height, width])?;
        Ok(pixels.f_to_device(self.device)?.f_to_kind(Kind::Float)?.f_div_scalar(255.0)?)
    }

    /// Random frames, seen at random, and the class of each (0 where there are none).
    pub fn batch(&self, rng: &mut impl Rng, count: usize, flip: Flip) -> Result<(Tensor, Vec<i64>)> {
        let square = self.size[0] == self.size[1];
        let mut drawn = Vec::new();
        let mut classes = Vec::new();
        for _ in 0..count {
            let (clip, frame) = self.draw(rng, 1).context("there are no pictures")?;
            drawn.push((&clip.frames[frame], View::random(rng, flip, square)));
            classes.push(clip.class.unwrap_or(0) as i64);
        }
        Ok((self.tensor(drawn)?, classes))
    }

    /// The middles of at most `count` frames, spread evenly over all; in fp32 as [`Pictures::tensor`].
    pub fn middles(&self, count: usize) -> Result<Tensor> {
        let all: Vec<&Picture> = self.clips.iter().flat_map(|clip| &clip.frames).collect();
        let count = count.min(all.len());
        self.tensor((0..count).map(|index| (all[index * all.len() / count.max(1)], View::MIDDLE)))
    }
}

fn read_file(path: &Path, source: &Source, [width, height]: [usize; 2]) -> Result<Vec<Picture>> {
    let scaled = match source.exactly() {
        Some(size) => size,
        None => {
            let mut size = (0, 0);
            media::each_rgb(path, None, |frame| {
                size = (frame.width(), frame.height());
                Ok(ControlFlow::Break(()))
            })?;
            cover(size, (width, height))
        }
    };
    if scaled.0 < width || scaled.1 < height {
        return Ok(Vec::new());
    }
    let (mut frames, mut number) = (Vec::new(), 0);
    media::each_rgb(path, Some(scaled), |frame| {
        number += 1;
        if source.wants(number) {
            frames.push(frame);
        }
        Ok(if source.ends_at(number) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    Ok(frames)
}

/// The smallest size of the shape of `size` that `inner` fits into, even each way.
fn cover(size: (usize, usize), inner: (usize, usize)) -> (usize, usize) {
    let (width, height) = (size.0.max(1) as f64, size.1.max(1) as f64);
    let scale = (inner.0 as f64 / width).max(inner.1 as f64 / height);
    let side = |length: f64, least: usize| ((length * scale).round() as usize).next_multiple_of(2).max(least);
    (side(width, inner.0), side(height, inner.1))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    /// Red counts columns, green rows.
    fn frame(width: usize, height: usize) -> Picture {
        let rgb = (0..height).flat_map(|y| (0..width).flat_map(move |x| [x as u8, y as u8, 9])).collect();
        Picture::new(width, height, rgb).unwrap()
    }

    fn pictures(clips: &[(usize, f64)]) -> Pictures {
        let clip = |&(frames, weight): &(usize, f64)| Clip { frames: vec![frame(20, 18); frames], weight, class: None };
        Pictures { clips: clips.iter().map(clip).collect(), size: [16, 16], colours: 3, device: Device::Cpu }
    }

    #[test]
    fn a_view_turns_all_planes_alike() {
        let pictures = pictures(&[(1, 1.0)]);
        let seen = |view: View| {
            let pixels = (pictures.tensor([(&frame(20, 18), view)]).unwrap() * 255.0).round();
            move |colour: i64, y: i64, x: i64| pixels.double_value(&[0, colour, y, x])
        };
        let plain = seen(View::MIDDLE);
        assert_eq!(
            [plain(0, 0, 0), plain(1, 0, 0), plain(0, 3, 5), plain(1, 3, 5), plain(2, 0, 0)],
            [2.0, 1.0, 7.0, 4.0, 9.0]
        );
        let turned = seen(View { mirrored: true, ..View::MIDDLE });
        assert_eq!([turned(0, 3, 15), turned(1, 3, 15)], [2.0, 4.0]);
        let over = seen(View { upside_down: true, ..View::MIDDLE });
        assert_eq!([over(0, 15, 5), over(1, 15, 5)], [7.0, 1.0]);
        let across = seen(View { transposed: true, ..View::MIDDLE });
        assert_eq!([across(0, 3, 5), across(1, 3, 5)], [2.0 + 3.0, 1.0 + 5.0]);
    }

    #[test]
    fn clips_are_drawn_by_weight_and_length() {
        let pictures = pictures(&[(30, 1.0), (10, 3.0), (2, 100.0)]);
        let mut rng = StdRng::seed_from_u64(1);
        let mut counts = [0; 2];
        for _ in 0..2000 {
            let (clip, first) = pictures.draw(&mut rng, 5).unwrap();
            assert!(first + 5 <= clip.frames.len());
            counts[usize::from(clip.weight == 3.0)] += 1;
        }
        // 26 places against 6 of threefold weight.
        let share = f64::from(counts[0]) / 2000.0;
        assert!((share - 26.0 / 44.0).abs() < 0.04, "{share}");
        assert!(pictures.draw(&mut rng, 31).is_none());
    }

    #[test]
    fn frames_are_scaled_to_cover_the_network() {
        assert_eq!(cover((960, 540), (128, 72)), (128, 72));
        assert_eq!(cover((640, 480), (64, 64)), (86, 64));
        assert_eq!(cover((30, 100), (64, 64)), (64, 214));
    }
}
