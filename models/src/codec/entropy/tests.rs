//! Properties of the whole coder on made-up symbols.

use std::sync::Arc;

use super::latents::Latents;
use super::range::{Bits, Decoder, Encoder};
use super::{Coder, Damage, Prior, Steps};
use crate::codec::symbols::{Block, CELL, CHROMA, Kind, LEVEL_MAX, Mode, Symbols, VECTOR_MAX, Vector, predict_vector};

/// A generator of our own, so that pinned bytes depend on nothing else (Numerical Recipes' constants).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (((self.0 >> 32) * u64::from(limit)) >> 32) as u32
    }

    /// Small numbers mostly.
    fn around_zero(&mut self, reach: i32) -> i32 {
        let size = (0..self.below(reach as u32 + 1)).take_while(|_| self.below(3) > 0).count() as i32;
        if self.below(2) == 0 { size } else { -size }
    }
}

fn vector(dice: &mut Dice, extreme: bool) -> Vector {
    let mut part = || match extreme {
        true => [-VECTOR_MAX, 0, VECTOR_MAX][dice.below(3) as usize],
        false => dice.around_zero(60) as i16,
    };
    Vector { x: part(), y: part() }
}

fn symbols(dice: &mut Dice, kind: Kind, colour: bool, columns: usize, rows: usize, extreme: bool) -> Symbols {
    let step = if extreme { [0, 127][dice.below(2) as usize] } else { 60 + dice.below(4) as u8 };
    let mut symbols = Symbols::new(kind, colour, step, columns, rows);
    for index in 0..columns * rows {
        let mode = match kind {
            Kind::Intra => Mode::Flat,
            Kind::Inter => [Mode::Skip, Mode::Skip, Mode::Inter, Mode::Split, Mode::Flat][dice.below(5) as usize],
        };
        let vectors = match mode {
            Mode::Flat => Default::default(),
            Mode::Skip => [predict_vector(&symbols.blocks, columns, index); 4],
            Mode::Inter => [vector(dice, extreme); 4],
            Mode::Split => [(); 4].map(|()| vector(dice, extreme)),
        };
        let step = match (mode, extreme) {
            (Mode::Skip, _) => 0,
            (_, true) => [-31, 0, 31][dice.below(3) as usize],
            (_, false) => dice.around_zero(2) as i8,
        };
        let second = matches!(mode, Mode::Inter | Mode::Split) && dice.below(3) == 0;
        let second = second.then(|| vector(dice, extreme));
        symbols.blocks[index] = Block { mode, vectors, second, step };
        if mode == Mode::Skip {
            continue;
        }
        for cell in 0..4 {
            let end = dice.below(CELL as u32 + 1) as usize;
            for (at, level) in symbols.cell_mut(index, cell)[..end].iter_mut().enumerate() {
                if colour || at < CHROMA[0] {
                    *level = match extreme {
                        true => [-LEVEL_MAX, 0, LEVEL_MAX][dice.below(3) as usize],
                        false => dice.around_zero(40 / (at as i32 + 1)) as i16,
                    };
                }
            }
        }
    }
    symbols
}

fn coder(columns: usize, rows: usize) -> Coder {
    Coder::new(columns, rows, &Prior::default(), Arc::new(Steps::default()))
}

#[test]
fn symbols_come_back_and_states_agree() {
    let dice = &mut Dice(1);
    for (columns, rows, colour, extreme) in
        [(5, 3, true, false), (1, 4, true, true), (4, 2, true, true), (3, 1, false, false)]
    {
        let (mut encoder, mut decoder) = (coder(columns, rows), coder(columns, rows));
        for picture in 0..12 {
            let kind = if picture % 6 == 0 { Kind::Intra } else { Kind::Inter };
            if picture == 6 {
                encoder.reset();
                decoder.reset();
                assert_eq!(encoder, coder(columns, rows));
            }
            let symbols = symbols(dice, kind, colour, columns, rows, extreme);
            let bytes = encoder.encode(&symbols).unwrap();
            let decoded = decoder.decode(kind, colour, symbols.step, &bytes).unwrap();
            assert!(decoded == symbols, "picture {picture} of {columns}x{rows}");
            assert!(encoder == decoder, "states after picture {picture}");
        }
    }
}

#[test]
fn empty_pictures_are_nearly_free() {
    let mut coder = coder(40, 23);
    let mut symbols = Symbols::new(Kind::Inter, true, 60, 40, 23);
    symbols.blocks.fill(Block { mode: Mode::Skip, ..Block::default() });
    (0..3).for_each(|_| drop(coder.encode(&symbols).unwrap()));
    let bytes = coder.encode(&symbols).unwrap();
    assert!(bytes.len() <= 4, "{} bytes", bytes.len());
}

/// The same symbols give the same bytes on every machine and in every version of this format.
#[test]
fn bytes_are_pinned() {
    let dice = &mut Dice(2);
    let mut coder = coder(6, 4);
    let mut sum = 0xcbf2_9ce4_8422_2325u64;
    for picture in 0..10 {
        let kind = if picture == 0 { Kind::Intra } else { Kind::Inter };
        let bytes = coder.encode(&symbols(dice, kind, true, 6, 4, picture == 9)).unwrap();
        bytes.iter().for_each(|&byte| sum = (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    }
    assert_eq!(sum, 0x5cf9_8bb8_3fdf_6796, "{sum:#x}");
}

#[test]
fn damaged_bytes_never_panic() {
    let dice = &mut Dice(3);
    let mut fresh = coder(4, 3);
    let intra = fresh.encode(&symbols(dice, Kind::Intra, true, 4, 3, false)).unwrap();
    let inter = symbols(dice, Kind::Inter, true, 4, 3, false);
    let started = fresh.clone();
    let inter = (fresh.encode(&inter).unwrap(), inter.step);
    let mut damaged = 0;
    for round in 0..3000 {
        let (mut coder, kind, step) =
            if round % 2 == 0 { (coder(4, 3), Kind::Intra, 60) } else { (started.clone(), Kind::Inter, inter.1) };
        let mut bytes = if round % 2 == 0 { intra.clone() } else { inter.0.clone() };
        match round % 5 {
            0 => bytes.truncate(dice.below(bytes.len() as u32) as usize),
            1 => bytes.iter_mut().for_each(|byte| *byte = dice.below(256) as u8),
            2 => bytes.fill(if round % 4 == 0 { 255 } else { 0 }),
            _ => {
                for _ in 0..1 + dice.below(4) {
                    let at = dice.below(bytes.len() as u32) as usize;
                    bytes[at] = dice.below(256) as u8;
                }
            }
        }
        match coder.decode(kind, true, step, &bytes) {
            // What is decoded by chance is at least within the rules.
            Ok(symbols) => super::check(&symbols, 4, 3).unwrap(),
            Err(Damage) => damaged += 1,
        }
    }
    assert!(damaged > 500, "{damaged} of 3000 noticed");
    assert_eq!(coder(40, 23).decode(Kind::Intra, true, 60, &[0xff]), Err(Damage), "far too short");
}

#[test]
fn what_breaks_the_rules_is_named() {
    let good = symbols(&mut Dice(4), Kind::Inter, true, 3, 2, false);
    let mut coder = coder(3, 2);
    let before = coder.clone();
    let mut fails = |change: &dyn Fn(&mut Symbols), words: &str| {
        let mut bad = good.clone();
        change(&mut bad);
        let error = coder.encode(&bad).unwrap_err();
        assert!(error.contains(words), "{error}");
        assert!(coder == before);
    };
    fails(&|bad| bad.columns = 2, "3, 6 and 2304 are expected");
    fails(&|bad| bad.levels[0] = 2048, "block 0");
    fails(&|bad| bad.blocks[1] = Block { mode: Mode::Inter, step: 32, ..Block::default() }, "more than 31");
    fails(&|bad| bad.blocks[5] = Block { mode: Mode::Skip, step: 1, ..Block::default() }, "block 5 (Skip)");
    let far = Some(Vector { x: 0, y: VECTOR_MAX + 1 });
    fails(&|bad| bad.blocks[0] = Block { mode: Mode::Inter, second: far, ..Block::default() }, "beyond plus and minus");
    let grey = Block { second: Some(Vector::default()), ..Block::default() };
    fails(&|bad| bad.blocks[0] = grey, "block 0 (Flat) has a second vector");
    fails(&|bad| bad.kind = Kind::Intra, "refers to nothing");
    fails(&|bad| bad.step = 200, "above 127");
}

#[test]
fn a_prior_goes_through_bytes_and_helps() {
    let dice = &mut Dice(5);
    let mut trained = coder(6, 4);
    for picture in 0..20 {
        let kind = if picture % 5 == 0 { Kind::Intra } else { Kind::Inter };
        trained.encode(&symbols(dice, kind, true, 6, 4, false)).unwrap();
    }
    let prior = trained.prior();
    let bytes = prior.to_bytes();
    assert!(Prior::from_bytes(&bytes).unwrap() == prior);
    let picture = symbols(dice, Kind::Intra, true, 6, 4, false);
    let mut with = Coder::new(6, 4, &prior, Arc::new(Steps::default()));
    assert!(with.prior() == prior, "a coder's prior is what it was made with");
    let sizes = [&mut with, &mut coder(6, 4)].map(|coder| coder.encode(&picture).unwrap().len());
    assert!(sizes[0] < sizes[1] * 97 / 100, "{sizes:?}");

    for (at, words) in [(0, "\"GTEP\""), (4, "version"), (bytes.len() / 2, "checksum"), (bytes.len() - 1, "checksum")] {
        let mut bad = bytes.clone();
        bad[at] ^= 0x55;
        let error = Prior::from_bytes(&bad).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
    assert!(Prior::from_bytes(&bytes[..7]).unwrap_err().contains("expected"));
    assert!(Prior::from_bytes(&bytes[..bytes.len() - 9]).is_err());
}

/// Adds up what a model says that bits take.
struct Meter {
    encoder: Encoder,
    bits: f64,
}

impl Bits for Meter {
    const READS: bool = false;

    fn bit(&mut self, bit: bool, one: u32) -> bool {
        self.bits -= (f64::from(if bit { one } else { 65536 - one }) / 65536.0).log2();
        self.encoder.bit(bit, one)
    }
}

#[test]
fn bytes_are_within_a_hundredth_of_the_entropy() {
    let dice = &mut Dice(6);
    let mut meter = Meter { encoder: Encoder::new(), bits: 0.0 };
    let mut coder = coder(16, 12);
    for picture in 0..40 {
        let kind = if picture == 0 { Kind::Intra } else { Kind::Inter };
        let mut symbols = symbols(dice, kind, true, 16, 12, false);
        coder.code(&mut meter, kind, true, symbols.step, &mut symbols.blocks, &symbols.levels[..]).unwrap();
    }
    let (bits, bytes) = (meter.bits, meter.encoder.finish());
    assert!(bits > 1e6 && bytes.len() as f64 * 8.0 < bits * 1.0001 + 16.0, "{} bytes for {bits} bits", bytes.len());
}

#[test]
fn the_range_coder_keeps_every_bit_at_every_chance() {
    let dice = &mut Dice(7);
    let chances = [1, 2, 255, 32768, 65000, 65534, 65535];
    for length in [0, 1, 2, 7, 100, 20000] {
        let bits: Vec<(bool, u32)> = (0..length)
            .map(|_| {
                let one = chances[dice.below(7) as usize];
                // The unlikely bit too, often enough for carries to run.
                (if dice.below(50) == 0 { one < 32768 } else { one >= 32768 }, one)
            })
            .collect();
        let mut encoder = Encoder::new();
        bits.iter().for_each(|&(bit, one)| assert_eq!(encoder.bit(bit, one), bit));
        let bytes = encoder.finish();
        let mut decoder = Decoder::new(&bytes);
        assert!(bits.iter().all(|&(bit, one)| decoder.bit(false, one) == bit));
        assert!(!decoder.starved());
    }
}

fn zero_order(values: &[i32]) -> f64 {
    let mut counts = std::collections::HashMap::new();
    values.iter().for_each(|value| *counts.entry(value).or_insert(0.0) += 1.0);
    counts.values().map(|count: &f64| -count * (count / values.len() as f64).log2()).sum::<f64>() / 8.0
}

#[test]
fn latents_take_no_more_than_without_context() {
    let dice = &mut Dice(8);
    let mut laplace = |width: f64| {
        let [a, b] = [(); 2].map(|()| -(f64::from(dice.below(1 << 20) + 1) / f64::from(1 << 20)).ln());
        ((a - b) * width).round() as i32
    };
    // Independent values, small and large arrays, narrow and wide; then some of the sort that neighbours tell about.
    for (shape, width, reach) in
        [([4, 16, 32], 0.4, 20), ([4, 16, 48], 1.5, 40), ([16, 32, 32], 6.0, 127), ([3, 40, 40], 3.0, 32767)]
    {
        let values: Vec<i32> = (0..shape.iter().product()).map(|_| laplace(width).clamp(-reach, reach)).collect();
        let [size, limit] = check_latents(shape, -reach, reach, &values);
        assert!(size <= limit * 1.05 + 4.0, "{shape:?} width {width}: {size} for {limit}");
    }
    let smooth: Vec<i32> =
        (0..8 * 32 * 32).map(|i| 40 + (i % 32 + i / 32 % 32) / 3 + i / 1024 + laplace(0.5)).collect();
    let [size, limit] = check_latents([8, 32, 32], 0, 1023, &smooth);
    assert!(size <= limit, "{size} for {limit}");
    // Indices without order, some more frequent than others, half of them as on the left.
    let mut index = 0;
    let code: Vec<i32> = (0..5000)
        .map(|_| {
            if laplace(1.0) != 0 {
                index = laplace(30.0).abs().min(255) * 37 % 256;
            }
            index
        })
        .collect();
    let [size, limit] = check_latents([1, 50, 100], 0, 255, &code);
    assert!(size <= limit, "{size} for {limit}");
}

/// Sizes of the first array, coded and without context; it comes back, and costs less the second time.
fn check_latents([channels, height, width]: [usize; 3], min: i32, max: i32, values: &[i32]) -> [f64; 2] {
    let mut encoder = Latents::new(channels, height, width, min, max).unwrap();
    let mut decoder = encoder.clone();
    let bytes = encoder.encode(values).unwrap();
    assert!(decoder.decode(&bytes).unwrap() == values && encoder == decoder);
    let again = encoder.encode(values).unwrap();
    assert!(decoder.decode(&again).unwrap() == values && encoder == decoder);
    assert!(again.len() < bytes.len());
    decoder.reset();
    assert!(decoder.decode(&bytes).unwrap() == values);
    [bytes.len() as f64, zero_order(values)]
}

#[test]
fn latents_of_any_range_come_back_and_damage_does_not_panic() {
    let dice = &mut Dice(9);
    for (min, max) in
        [(0, 0), (0, 1), (-1, 0), (5, 9), (-70000, -69000), (-32768, 32767), (0, 65535), (i32::MAX - 65535, i32::MAX)]
    {
        let range = (i64::from(max) - i64::from(min) + 1) as u32;
        let values: Vec<i32> =
            (0..300).map(|i| if i < 2 { [min, max][i] } else { min + dice.below(range) as i32 }).collect();
        let mut encoder = Latents::new(3, 10, 10, min, max).unwrap();
        let fresh = encoder.clone();
        let mut bytes = encoder.encode(&values).unwrap();
        assert_eq!(fresh.clone().decode(&bytes).unwrap(), values, "{min} to {max}");
        for _ in 0..200 {
            if let Some(at) = (bytes.len() as u32).checked_sub(1) {
                bytes[dice.below(at + 1) as usize] = dice.below(256) as u8;
            }
            if let Ok(values) = fresh.clone().decode(&bytes) {
                assert!(values.iter().all(|value| (min..=max).contains(value)));
            }
        }
    }
    assert!(Latents::new(5000, 1, 1, 0, 1).unwrap_err().contains("4096"));
    assert!(Latents::new(1, usize::MAX, 2, 0, 1).unwrap_err().contains("memory"));
    assert!(Latents::new(1, 1, 1, 0, 65536).unwrap_err().contains("65535"));
    let mut latents = Latents::new(1, 1, 2, 0, 9).unwrap();
    assert!(latents.encode(&[1]).unwrap_err().contains("2 are expected"));
    assert!(latents.encode(&[1, 10]).unwrap_err().contains("0 to 9"));
}
