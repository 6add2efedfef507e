//! Adaptive binary prediction: counters in several contexts, mixed in the logistic domain.
//!
//! The method is that of PAQ (Mahoney, "Adaptive weighing of context models for lossless data compression", 2005): each
//! context has a counter that estimates how likely the next bit is set; the estimates go through ln(p / (1 - p)), are
//! weighted and summed, and come back. The weights follow the gradient of the coding cost. All of it is integer arithmetic,
//! since encoder and decoder must agree to the last bit on every machine.
//!
//! A final stage that corrects the mixed estimate by what came of it (APM, SSE) gained 0.2 % here, two sets of weights at a
//! time 0.5 %; neither was worth its time.

use super::range::Bits;

/// Log odds are in 1/256, within plus and minus this: a chance of 1 in 60,000, about the finest that 16 bits can say.
pub const ODDS_MAX: i32 = 2815;
/// 2^62 * exp(-1/256).
const DECAY: u128 = 4_593_706_758_521_714_574;
/// Counters follow about the last so many bits: of pictures, which change, and of what stays as it is.
const LIMITS: [u32; 2] = [128, 1000];
/// Weights are in 1/65536.
const ONE: i32 = 1 << 16;
/// How fast weights move in either case, and how much faster at first.
const RATES: [i32; 2] = [20, 6];
const HURRY: i32 = 40;
/// Weights stay within this, so that sums cannot overflow whatever is coded.
const WEIGHT_MAX: i32 = 1 << 22;

/// Chance in 1/65536 for log odds from -ODDS_MAX to ODDS_MAX.
static SQUASH: [u16; 2 * ODDS_MAX as usize + 1] = squash_table();
/// Log odds for a chance in 1/4096, taken at the middle of each step.
static STRETCH: [i16; 4096] = stretch_table();

const fn squash_table() -> [u16; 2 * ODDS_MAX as usize + 1] {
    let mut table = [0; 2 * ODDS_MAX as usize + 1];
    let one = 1u128 << 62;
    let mut power = one;
    let mut index = 0;
    while index <= ODDS_MAX as usize {
        // 1 / (1 + exp(-x)), for x from 0 upwards.
        let chance = (((one << 16) + (one + power) / 2) / (one + power)) as u32;
        table[ODDS_MAX as usize + index] = if chance > 65535 { 65535 } else { chance as u16 };
        table[ODDS_MAX as usize - index] = if chance > 65535 { 1 } else { (65536 - chance) as u16 };
        power = (power * DECAY) >> 62;
        index += 1;
    }
    table
}

const fn stretch_table() -> [i16; 4096] {
    let squash = squash_table();
    let mut table = [0; 4096];
    let mut at = 0;
    let mut index = 0;
    while index < 4096 {
        let middle = index as u32 * 16 + 8;
        while at + 1 < squash.len() && (squash[at + 1] as u32) <= middle {
            at += 1;
        }
        table[index] = (at as i32 - ODDS_MAX) as i16;
        index += 1;
    }
    table
}

/// The chance in 1/65536, from 1 to 65535, that log odds stand for.
pub fn squash(odds: i32) -> u32 {
    u32::from(SQUASH[(odds.clamp(-ODDS_MAX, ODDS_MAX) + ODDS_MAX) as usize])
}

/// Log odds of a chance in 1/65536.
pub fn stretch(chance: u32) -> i32 {
    i32::from(STRETCH[(chance >> 4).min(4095) as usize])
}

/// How fast a counter moves after some bits, in 1/65536: as the mean of what was seen, with half a bit of doubt.
static STEPS: [u16; 1024] = steps();
/// How much of a counter's log odds goes into the mix after some bits, in 1/256: little while it may be chance.
static TRUST: [u16; 256] = trust();

const fn steps() -> [u16; 1024] {
    let mut table = [0; 1024];
    let mut count = 0;
    while count < 1024 {
        table[count] = (2 * 65536 / (2 * count as u32 + 3)) as u16;
        count += 1;
    }
    table
}

const fn trust() -> [u16; 256] {
    let mut table = [0; 256];
    let mut count = 0;
    while count < 256 {
        table[count] = (256 * (5 * count + 2) / (5 * count + 10)) as u16;
        count += 1;
    }
    table
}

/// The chance of a set bit in the upper 22 bits; how many bits it has seen, up to a limit, in the lower 10.
pub type Counter = u32;
const EVEN: Counter = 1 << 31;

/// One kind of decision: `N` tables of counters, and sets of weights for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site<const N: usize> {
    counters: Vec<Counter>,
    starts: [usize; N],
    weights: Vec<Weights<N>>,
    limit: u32,
    rate: i32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weights<const N: usize> {
    of: [i32; N],
    bias: i32,
    /// Bits seen, up to `SEEN`. Weights move faster at first.
    seen: i32,
}

const SEEN: i32 = 1023;

/// Everything in a site that adapts, in a fixed order.
pub trait Visitor {
    fn counter(&mut self, counter: &mut Counter);
    fn weight(&mut self, weight: &mut i32);
    fn seen(&mut self, seen: &mut i32);
}

impl<const N: usize> Site<N> {
    /// `sizes` is the number of contexts of each table, `sets` the number of weight sets.
    pub fn new(sizes: [usize; N], sets: usize) -> Self {
        let mut starts = [0; N];
        let mut total = 0;
        for (start, size) in starts.iter_mut().zip(sizes) {
            *start = total;
            total += size;
        }
        // More than a mean: contexts that agree, each from other evidence, are surer together.
        let weights = Weights { of: [ONE * 5 / 4 / N as i32; N], bias: 0, seen: 0 };
        Site { counters: vec![EVEN; total], starts, weights: vec![weights; sets], limit: LIMITS[0], rate: RATES[0] }
    }

    /// For what does not change much: slower, and closer in the end.
    pub fn steady(self) -> Self {
        Site { limit: LIMITS[1], rate: RATES[1], ..self }
    }

    /// The number of contexts of a table.
    pub fn size(&self, table: usize) -> usize {
        self.starts.get(table + 1).copied().unwrap_or(self.counters.len()) - self.starts[table]
    }

    pub fn visit(&mut self, visitor: &mut dyn Visitor) {
        self.counters.iter_mut().for_each(|counter| visitor.counter(counter));
        for weights in &mut self.weights {
            weights.of.iter_mut().for_each(|weight| visitor.weight(weight));
            visitor.weight(&mut weights.bias);
            visitor.seen(&mut weights.seen);
        }
    }

    /// Codes a bit in the contexts given, one a table, with weight set `set`.
    #[inline(always)]
    pub fn code<B: Bits>(&mut self, bits: &mut B, contexts: [usize; N], set: usize, bit: bool) -> bool {
        let mut odds = [0i32; N];
        let mut at = [0usize; N];
        for k in 0..N {
            at[k] = self.starts[k] + contexts[k];
            let counter = self.counters[at[k]];
            let trust = i32::from(TRUST[(counter & 1023).min(255) as usize]);
            odds[k] = (i32::from(STRETCH[(counter >> 20) as usize]) * trust) >> 8;
        }
        let weights = &mut self.weights[set];
        let mut sum = i64::from(weights.bias) * 256;
        for (weight, odds) in weights.of.iter().zip(odds) {
            sum += i64::from(*weight) * i64::from(odds);
        }
        let one = squash(((sum + (1 << 15)) >> 16).clamp(-9999, 9999) as i32);
        let bit = bits.bit(bit, one);

        let rate = self.rate + HURRY / (16 + weights.seen);
        weights.seen = (weights.seen + 1).min(SEEN);
        let miss = (((i32::from(bit) << 16) - one as i32) * rate) >> 4;
        for (weight, odds) in weights.of.iter_mut().zip(odds) {
            *weight = (*weight + ((odds * miss + (1 << 15)) >> 16)).clamp(-WEIGHT_MAX, WEIGHT_MAX);
        }
        weights.bias = (weights.bias + ((256 * miss + (1 << 15)) >> 16)).clamp(-WEIGHT_MAX, WEIGHT_MAX);

        let target = if bit { (1i64 << 22) - 1 } else { 0 };
        for k in at {
            let counter = &mut self.counters[k];
            let count = *counter & 1023;
            let chance = i64::from(*counter >> 10);
            let chance = chance + (((target - chance) * i64::from(STEPS[count as usize])) >> 16);
            *counter = (chance as u32) << 10 | (count + 1).min(self.limit);
        }
        bit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squash_and_stretch_are_each_others_inverse() {
        for odds in -ODDS_MAX..=ODDS_MAX {
            let exact = 65536.0 / (1.0 + (-f64::from(odds) / 256.0).exp());
            assert!((f64::from(squash(odds)) - exact).abs() <= 1.0, "{odds}: {} for {exact}", squash(odds));
        }
        for chance in (64..65472).step_by(16) {
            let exact = (f64::from(chance + 8) / f64::from(65528 - chance)).ln() * 256.0;
            assert!((f64::from(stretch(chance)) - exact).abs() <= 3.0, "{chance}: {} for {exact}", stretch(chance));
        }
    }
}
