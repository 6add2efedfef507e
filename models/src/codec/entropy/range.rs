//! The binary range coder: bits with known probabilities into bytes, and back.
//!
//! It is our own. `constriction` 0.5, a general range coder, made as many bytes, but took 1.7 times as long (encoder and
//! decoder of two million bits; the decoder alone 2.9 times), since a coder of any alphabet divides when it decodes.

/// One side of the coding. Models are written once against this, so that both sides do the same.
pub trait Bits {
    /// Codes one bit, where `one` of 65536 is the chance that it is set (1 to 65535). The encoder takes `bit` and hands it
    /// back; the decoder ignores it and returns the bit that was coded.
    fn bit(&mut self, bit: bool, one: u32) -> bool;

    /// Whether more was read than can have been written.
    fn starved(&self) -> bool {
        false
    }

    /// Whether values come from here rather than from the caller.
    const READS: bool;
}

/// Below this the range is widened by a byte, so that it always has at least 24 bits.
const NARROW: u32 = 1 << 24;

/// The part of the range that belongs to a set bit. The product is taken in full, so that nothing of the range is lost.
fn split(range: u32, one: u32) -> u32 {
    ((u64::from(range) * u64::from(one)) >> 16) as u32
}

#[derive(Debug)]
pub struct Encoder {
    low: u64,
    range: u32,
    /// The last byte that a carry may still change, and the bytes of 255 after it, which it would run through.
    held: u8,
    runs: usize,
    begun: bool,
    bytes: Vec<u8>,
}

impl Encoder {
    pub fn new() -> Self {
        Encoder { low: 0, range: u32::MAX, held: 0, runs: 0, begun: false, bytes: Vec::new() }
    }

    fn shift(&mut self) {
        if self.low < 0xff00_0000 || self.low > 0xffff_ffff {
            let carry = (self.low >> 32) as u8;
            if self.begun {
                self.bytes.push(self.held.wrapping_add(carry));
            }
            for _ in 0..self.runs {
                self.bytes.push(255u8.wrapping_add(carry));
            }
            self.runs = 0;
            self.held = (self.low >> 24) as u8;
            self.begun = true;
        } else {
            self.runs += 1;
        }
        self.low = (self.low & 0x00ff_ffff) << 8;
    }

    /// The bytes of all bits. Zeros at their end are left out, since the decoder reads zeros past the end.
    pub fn finish(mut self) -> Vec<u8> {
        // The value in the range with the most zeros at its end is the shortest to write.
        let last = self.low + u64::from(self.range) - 1;
        let round = |zeros: u32| (self.low + (1 << zeros) - 1) >> zeros << zeros;
        let zeros = (0..=32).rev().find(|&zeros| round(zeros) <= last).unwrap_or(0);
        self.low = round(zeros);
        for _ in 0..5 {
            self.shift();
        }
        while self.bytes.last() == Some(&0) {
            self.bytes.pop();
        }
        self.bytes
    }
}

impl Bits for Encoder {
    const READS: bool = false;

    #[inline(always)]
    fn bit(&mut self, bit: bool, one: u32) -> bool {
        let part = split(self.range, one);
        if bit {
            self.range = part;
        } else {
            self.low += u64::from(part);
            self.range -= part;
        }
        while self.range < NARROW {
            self.range <<= 8;
            self.shift();
        }
        bit
    }
}

#[derive(Debug)]
pub struct Decoder<'a> {
    code: u32,
    range: u32,
    bytes: &'a [u8],
    next: usize,
}

/// The encoder leaves out zeros at the end, of which there are four at most beyond what it must write anyway; a decoder
/// that wants more than this past the end follows damaged bytes.
const SLACK: usize = 8;

impl<'a> Decoder<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        let mut decoder = Decoder { code: 0, range: u32::MAX, bytes, next: 0 };
        for _ in 0..4 {
            decoder.code = decoder.code << 8 | decoder.byte();
        }
        decoder
    }

    #[inline(always)]
    fn byte(&mut self) -> u32 {
        let byte = self.bytes.get(self.next).copied().unwrap_or(0);
        self.next += 1;
        u32::from(byte)
    }
}

impl Bits for Decoder<'_> {
    const READS: bool = true;

    fn starved(&self) -> bool {
        self.next > self.bytes.len() + SLACK
    }

    #[inline(always)]
    fn bit(&mut self, _: bool, one: u32) -> bool {
        let part = split(self.range, one);
        let bit = self.code < part;
        if bit {
            self.range = part;
        } else {
            self.code -= part;
            self.range -= part;
        }
        while self.range < NARROW {
            self.range <<= 8;
            self.code = self.code << 8 | self.byte();
        }
        bit
    }
}
