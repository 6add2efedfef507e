//! When each picture is shown, also where a stream was cut, joined or damaged, and after a jump.

use gst_torch_models::codec::stream::{Header, PictureUnit};
use gst_torch_models::codec::symbols::Kind;

use crate::codec::Timeline;

/// What a picture unit says of its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Picture {
    pub kind: Kind,
    pub number: u8,
    pub time: Option<u64>,
}

impl Picture {
    /// Reads the beginning of a payload.
    pub fn read(kind: Kind, payload: &[u8]) -> Option<Picture> {
        let PictureUnit { number, time, .. } = PictureUnit::read_head(kind, payload).ok()?;
        Some(Picture { kind, number, time })
    }
}

/// From here on, times of key frames count from another begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Epoch {
    offset: u64,
    /// To be taken off.
    begin: i128,
}

/// No stream is joined of so many that it matters, and memory stays bounded.
const EPOCHS_MAX: usize = 10_000;

/// Gives pictures their times. Zero is where the stream begins, even if it was cut out of another.
#[derive(Debug, Clone)]
pub struct Placer {
    timeline: Timeline,
    /// Of the last picture; `None` where its place is not known.
    number: Option<u8>,
    epochs: Vec<Epoch>,
}

impl Placer {
    pub fn new() -> Self {
        Placer { timeline: Timeline::new((0, 1)), number: None, epochs: Vec::new() }
    }

    /// What comes next is not what follows.
    pub fn jump(&mut self) {
        self.number = None;
    }

    /// Takes over what another has learned of the parts of the stream.
    pub fn learn(&mut self, other: &Placer) {
        if other.epochs.len() > self.epochs.len() {
            self.epochs.clone_from(&other.epochs);
        }
    }

    /// The time of the picture at an offset, in nanoseconds; `None` where only a key frame can tell it.
    pub fn place(&mut self, offset: u64, header: &Header, picture: Picture) -> Option<u64> {
        self.timeline.set_rate(header.rate);
        let time = match (picture.kind, self.number) {
            (Kind::Intra, before) => self.place_key(offset, before.is_some(), picture.time),
            (Kind::Inter, None) => return None,
            (Kind::Inter, Some(before)) => match picture.time {
                Some(time) => self.timeline.set(self.timeline.now().saturating_add(time)),
                None => {
                    // Pictures that are missing are gaps; a number that goes back is another stream.
                    let missing = picture.number.wrapping_sub(before).wrapping_sub(1);
                    self.timeline.follow(if missing < 128 { 1 + u64::from(missing) } else { 1 })
                }
            },
        };
        self.number = Some(picture.number);
        Some(time)
    }

    fn place_key(&mut self, offset: u64, follows: bool, time: Option<u64>) -> u64 {
        let foretold = if follows { self.timeline.after(1) } else { 0 };
        // One that does not say is the first of its stream.
        let own = i128::from(time.unwrap_or(0));
        let epoch = match time {
            Some(_) => self.epochs.iter().rev().find(|epoch| epoch.offset <= offset),
            None => self.epochs.iter().find(|epoch| epoch.offset == offset),
        };
        let at = epoch.and_then(|epoch| u64::try_from(own - epoch.begin).ok());
        match at.filter(|at| !follows || *at > self.timeline.now()) {
            Some(at) => self.timeline.set(at),
            None => {
                // The first of all, or one that goes back: streams were joined here.
                self.begin(Epoch { offset, begin: own - i128::from(foretold) });
                self.timeline.set(foretold)
            }
        }
    }

    fn begin(&mut self, epoch: Epoch) {
        let place = self.epochs.partition_point(|known| known.offset < epoch.offset);
        if let Some(known) = self.epochs.get_mut(place).filter(|known| known.offset == epoch.offset) {
            *known = epoch;
        } else if self.epochs.len() < EPOCHS_MAX {
            self.epochs.insert(place, epoch);
        }
    }

    /// How long the last picture is shown, if nothing else is said.
    pub fn duration(&self) -> u64 {
        self.timeline.after(1) - self.timeline.now()
    }

    /// Where the last picture ends.
    pub fn end(&self) -> u64 {
        self.timeline.after(1)
    }
}

#[cfg(test)]
mod tests {
    use gst_torch_models::codec::stream::{Coding, Colour, Found, Subsampling, find};
    use gst_torch_models::codec::tone::Tone;

    use super::*;

    const MS: u64 = 1_000_000;

    fn header() -> Header {
        Header {
            coding: Coding::Residual,
            model: [1; 16],
            name: "test".into(),
            width: 64,
            height: 48,
            subsampling: Subsampling::Quarter,
            interleaved: false,
            colour: Colour::default(),
            rate: (25, 1),
            aspect: (1, 1),
            slice_rows: 3,
        }
    }

    fn key(time: Option<u64>) -> Picture {
        Picture { kind: Kind::Intra, number: 0, time: time.map(|ms| ms * MS) }
    }

    fn other(number: u8, time: Option<u64>) -> Picture {
        Picture { kind: Kind::Inter, number, time: time.map(|ms| ms * MS) }
    }

    /// Times in ms of pictures at offsets 0, 100, ...
    fn places(pictures: &[Picture]) -> Vec<Option<u64>> {
        let mut placer = Placer::new();
        (0..).zip(pictures).map(|(n, p)| placer.place(n * 100, &header(), *p).map(|ns| ns / MS)).collect()
    }

    #[test]
    fn pictures_follow_or_say_when() {
        let row = [key(None), other(1, None), other(2, Some(500)), other(3, None), key(Some(2000)), other(1, None)];
        assert_eq!(places(&row), [0, 40, 540, 580, 2000, 2040].map(Some));
    }

    #[test]
    fn missing_pictures_leave_gaps() {
        assert_eq!(places(&[key(None), other(1, None), other(4, None)]), [0, 40, 160].map(Some));
        assert_eq!(places(&[key(None), other(1, None), other(1, None)]), [0, 40, 80].map(Some));
    }

    #[test]
    fn a_cut_stream_begins_at_zero_and_joined_ones_go_on() {
        let row = [other(9, None), key(Some(60_000)), other(1, None), key(Some(61_000))];
        assert_eq!(places(&row), [None, Some(0), Some(40), Some(1000)]);
        let row = [key(None), other(1, None), key(None), other(1, None), key(Some(80)), key(Some(5000)), key(Some(40))];
        assert_eq!(places(&row), [0, 40, 80, 120, 160, 5080, 5120].map(Some));
    }

    #[test]
    fn after_a_jump_key_frames_are_where_they_were() {
        let row = [key(None), other(1, None), key(Some(80)), key(None), key(Some(40)), other(1, None)];
        let mut placer = Placer::new();
        let mut place = |n: usize| placer.place(n as u64 * 100, &header(), row[n]).map(|ns| ns / MS);
        let all: Vec<_> = (0..row.len()).map(&mut place).collect();
        assert_eq!(all, [0, 40, 80, 120, 160, 200].map(Some));
        for n in [3, 0, 4, 2] {
            placer.jump();
            assert_eq!(placer.place(n as u64 * 100, &header(), row[n]).map(|ns| ns / MS), all[n], "{n}");
        }
        placer.jump();
        assert_eq!(placer.place(500, &header(), row[5]), None);
    }

    #[test]
    fn what_a_unit_says_is_read_as_it_was_written() {
        for (kind, reference) in [(Kind::Intra, None), (Kind::Inter, Some(0x1234))] {
            for time in [None, Some(0), Some(33_366_666), Some(u64::MAX)] {
                for tones in [None, Some([Tone { gain: 0x85, offset: -3 }; 3])] {
                    let slices = vec![&[1u8, 2, 3][..]];
                    let unit = PictureUnit { kind, step: 60, number: 77, reference, tones, time, slices, detail: None };
                    let bytes = unit.write();
                    let Found::Unit(found) = find(&bytes) else { panic!() };
                    assert_eq!(Picture::read(kind, found.payload), Some(Picture { kind, number: 77, time }));
                }
            }
        }
        assert_eq!(Picture::read(Kind::Inter, &[1, 0, 0, 0, 0, 0x80]), None);
        assert_eq!(Picture::read(Kind::Intra, &[0, 0]), None);
    }
}
