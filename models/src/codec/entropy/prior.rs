//! What a coder knows before it has seen anything.

use super::coder::Models;
use super::latents::Latents;
use super::mixing::{Counter, Visitor, squash, stretch};

const MAGIC: [u8; 4] = *b"GTEP";
const VERSION: u8 = 1;
/// Counters count as having seen at most this many bits, so that they still follow a picture unlike those before.
const COUNT_MAX: u32 = 12;
const SEEN_MAX: i32 = 255;
/// Log odds are kept in 1/16, weights in 1/1024.
const ODDS_UNIT: i32 = 16;
const WEIGHT_UNIT: i32 = 64;

/// The state that coders begin with: adaptive counters and mixing weights. The default is untrained; [`super::Coder::prior`]
/// makes one of what a coder has learnt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prior {
    /// Log odds and bits seen of each counter.
    odds: Vec<i32>,
    counts: Vec<i32>,
    weights: Vec<i32>,
    /// Bits seen by each set of weights.
    seen: Vec<i32>,
}

impl Default for Prior {
    fn default() -> Self {
        Prior::of(&Models::new())
    }
}

struct Take(Prior);

impl Visitor for Take {
    fn counter(&mut self, counter: &mut Counter) {
        let count = (*counter & 1023).min(COUNT_MAX);
        let odds = stretch(*counter >> 16);
        self.0.odds.push(if count == 0 { 0 } else { (odds + ODDS_UNIT / 2).div_euclid(ODDS_UNIT) });
        self.0.counts.push(count as i32);
    }

    fn weight(&mut self, weight: &mut i32) {
        self.0.weights.push((*weight / WEIGHT_UNIT).clamp(-32767, 32767));
    }

    fn seen(&mut self, seen: &mut i32) {
        self.0.seen.push((*seen).min(SEEN_MAX));
    }
}

/// Puts a prior's numbers in their places.
struct Put<'a> {
    odds: std::slice::Iter<'a, i32>,
    counts: std::slice::Iter<'a, i32>,
    weights: std::slice::Iter<'a, i32>,
    seen: std::slice::Iter<'a, i32>,
}

impl Visitor for Put<'_> {
    fn counter(&mut self, counter: &mut Counter) {
        let (odds, count) = (self.odds.next().copied().unwrap_or(0), self.counts.next().copied().unwrap_or(0));
        *counter = squash(odds * ODDS_UNIT) << 16 | count as u32;
    }

    fn weight(&mut self, weight: &mut i32) {
        *weight = self.weights.next().copied().unwrap_or(0) * WEIGHT_UNIT;
    }

    fn seen(&mut self, seen: &mut i32) {
        *seen = self.seen.next().copied().unwrap_or(0);
    }
}

impl Prior {
    pub(super) fn of(models: &Models) -> Self {
        Self::taken(|visitor| models.clone().visit(visitor))
    }

    /// Of whatever shows its adaptive state to a visitor.
    pub(super) fn taken(visit: impl FnOnce(&mut dyn Visitor)) -> Self {
        let mut take = Take(Prior { odds: vec![], counts: vec![], weights: vec![], seen: vec![] });
        visit(&mut take);
        take.0
    }

    pub(super) fn models(&self) -> Models {
        let mut models = Models::new();
        self.put(|visitor| models.visit(visitor));
        models
    }

    /// Into what shows as much adaptive state as this was taken from.
    pub(super) fn put(&self, visit: impl FnOnce(&mut dyn Visitor)) {
        let (odds, counts) = (self.odds.iter(), self.counts.iter());
        visit(&mut Put { odds, counts, weights: self.weights.iter(), seen: self.seen.iter() });
    }

    /// For a file: a version, the four arrays (odds only of counters that have seen something), and a checksum.
    pub fn to_bytes(&self) -> Vec<u8> {
        let odds: Vec<i32> =
            self.odds.iter().zip(&self.counts).filter(|&(_, &count)| count > 0).map(|(&o, _)| o).collect();
        let mut bytes = MAGIC.to_vec();
        bytes.push(VERSION);
        for (values, [min, max]) in [&self.counts, &odds, &self.weights, &self.seen].into_iter().zip(RANGES) {
            // What visitors took is within the ranges.
            let coded = Latents::new(1, 1, values.len(), min, max).and_then(|mut latents| latents.encode(values));
            let coded = coded.unwrap_or_default();
            bytes.extend((values.len() as u32).to_le_bytes());
            bytes.extend((coded.len() as u32).to_le_bytes());
            bytes.extend(coded);
        }
        bytes.extend(checksum(&bytes).to_le_bytes());
        bytes
    }

    /// What `to_bytes` made. Errors say what was expected.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        Self::read(bytes, &Prior::default())
    }

    /// The same of a prior that is as large as `like`.
    pub(super) fn read(bytes: &[u8], like: &Prior) -> Result<Self, String> {
        let Some((body, sum)) = bytes.split_last_chunk::<4>() else {
            return Err(format!("a prior of {} bytes, where {} and more are expected", bytes.len(), MAGIC.len() + 5));
        };
        let Some(([magic @ .., version], mut rest)) = body.split_first_chunk::<5>() else {
            return Err(format!("a prior of {} bytes, where {} and more are expected", bytes.len(), MAGIC.len() + 5));
        };
        if *magic != MAGIC {
            return Err(format!("a prior begins with {MAGIC:?} (\"GTEP\"), this with {magic:?}"));
        }
        if *version != VERSION {
            return Err(format!("a prior of version {version}, where {VERSION} is expected"));
        }
        if checksum(body) != u32::from_le_bytes(*sum) {
            return Err("a prior's checksum does not match its bytes".into());
        }
        let mut arrays: [Vec<i32>; 4] = Default::default();
        let expected = [like.counts.len(), 0, like.weights.len(), like.seen.len()];
        for index in 0..4 {
            let [min, max] = RANGES[index];
            let expected = match index {
                1 => arrays[0].iter().filter(|&&count| count > 0).count(),
                _ => expected[index],
            };
            arrays[index] =
                array(&mut rest, expected, min, max).map_err(|error| format!("array {index} of a prior: {error}"))?;
        }
        if !rest.is_empty() {
            return Err(format!("{} bytes after the end of a prior", rest.len()));
        }
        let [counts, odds, weights, seen] = arrays;
        let mut odds = odds.into_iter();
        let odds = counts.iter().map(|&count| if count > 0 { odds.next().unwrap_or(0) } else { 0 }).collect();
        Ok(Prior { odds, counts, weights, seen })
    }
}

/// Of counts, odds, weights, and bits seen by weights.
const RANGES: [[i32; 2]; 4] = [[0, COUNT_MAX as i32], [-255, 255], [-32767, 32767], [0, SEEN_MAX]];

fn array(rest: &mut &[u8], expected: usize, min: i32, max: i32) -> Result<Vec<i32>, String> {
    let mut number = || {
        let (number, after) = rest.split_first_chunk::<4>().ok_or("ends early")?;
        *rest = after;
        Ok::<_, String>(u32::from_le_bytes(*number) as usize)
    };
    let (values, size) = (number()?, number()?);
    if values != expected {
        return Err(format!("{values} values, where this version's models have {expected}"));
    }
    let (coded, after) = rest.split_at_checked(size).ok_or("ends early")?;
    *rest = after;
    Latents::new(1, 1, values, min, max)?.decode(coded).map_err(|damage| damage.to_string())
}

/// FNV-1a.
fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |sum, &byte| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}
