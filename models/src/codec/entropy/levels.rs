//! The latents of one square: Y, U or V of a cell.
//!
//! First comes where the last latent is, then the latents from there down to the lowest: so the higher frequencies are
//! known when the lower ones, which cost the most, are coded. A latent is zero or not, then its magnitude, then its sign.

use super::edges::Edges;
use super::mean;
use super::mixing::{Site, Visitor};
use super::near::{CLASSES, LEANS, LEVEL, Near, STEPS, class, lean, sign};
use super::range::Bits;
use super::scan::{CHROMA, LUMA, PADDED, SAME, STRIDE, Scan, ZONES, zone};

/// Magnitudes from this on are a number of bits, and these bits.
const UNARY: usize = 5;
const EXPONENTS: usize = 11;
/// Decisions about a magnitude.
const SIZES: usize = UNARY - 1 + EXPONENTS;
/// Classes of how many latents came before, and of how far the last is.
const COUNTS: usize = 8;
const AWAYS: usize = 4;

/// Models of Y, or of U and V, in blocks that are predicted in one way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Models {
    /// Whether blocks are predicted from nothing, so that their means are large and go on from cell to cell.
    flat: bool,
    any: Site<6>,
    end: Site<6>,
    zero: Site<6>,
    size: Site<5>,
    sign: Site<5>,
    mantissa: Site<1>,
    mean: mean::Models,
}

/// What is known of a latent before it is coded.
struct Place {
    index: usize,
    end: usize,
    /// Latents other than zero so far.
    count: usize,
    /// Magnitudes of the higher latents next to it, weighted.
    template: u32,
}

impl Models {
    pub fn new(luma: bool, flat: bool) -> Self {
        // Squares of U and V have 16 latents each.
        let spots = if luma { 64 } else { 32 };
        let wide = CLASSES;
        Models {
            flat,
            any: Site::new([3 * 64, 3 * wide * wide, 3 * 36, 3 * wide * wide, 3 * 4 * STEPS, 3 * 64], 3),
            end: Site::new([64 * wide, 64 * wide, 64 * wide, 64 * 36, 64 * 2 * STEPS, 64 * wide], 64),
            zero: Site::new(
                [
                    spots * 36,
                    spots * COUNTS * AWAYS,
                    wide * wide * ZONES,
                    spots * LEANS * 3,
                    spots * wide,
                    LEANS * wide * ZONES * 3,
                ],
                4 * AWAYS * ZONES,
            ),
            size: Site::new(
                [SIZES * wide * ZONES, SIZES * spots, SIZES * LEANS * 3, SIZES * wide * wide, SIZES * LEANS * wide * 3],
                SIZES * 4,
            ),
            sign: Site::new([spots * LEANS, spots * 9, LEANS * LEANS * 4, spots * 9, spots * 3], spots),
            mantissa: Site::new([256], 1),
            mean: mean::Models::new(),
        }
    }

    pub fn visit(&mut self, visitor: &mut dyn Visitor) {
        self.any.visit(visitor);
        self.end.visit(visitor);
        self.zero.visit(visitor);
        self.size.visit(visitor);
        self.sign.visit(visitor);
        self.mantissa.visit(visitor);
        self.mean.visit(visitor);
    }

    /// Codes `levels`; returns where they end, and by how much the mean missed its prediction. Where bits are read,
    /// `levels` are zero before.
    pub fn code<B: Bits>(&mut self, bits: &mut B, levels: &mut [i16], near: &Near, edges: &mut Edges) -> (u8, i32) {
        let scan = if near.part == 0 { &LUMA } else { &CHROMA };
        let first = usize::from(self.flat);
        let end = self.end(bits, levels, near, scan, first);
        let mut mags = [0u16; PADDED];
        let mut place = Place { index: end, end, count: 0, template: 0 };
        while place.index > first {
            place.index -= 1;
            let (u, v) = (usize::from(scan.at[place.index].0), usize::from(scan.at[place.index].1));
            let mag = |offset: usize| u32::from(mags[v * STRIDE + u + offset]);
            place.template = 2 * (mag(1) + mag(STRIDE)) + mag(STRIDE + 1) + mag(2) + mag(2 * STRIDE);
            let level = self.level(bits, levels[place.index], &place, near, edges, scan);
            if level != 0 {
                levels[place.index] = level;
                mags[v * STRIDE + u] = level.unsigned_abs();
                place.count += 1;
                if self.flat {
                    edges.add(scan.size, u, v, i32::from(level) * near.steps[place.index]);
                }
            }
        }
        let miss = if self.flat { self.mean.code(bits, &mut levels[0], near, edges, scan.size, end) } else { 0 };
        (end as u8, miss)
    }

    /// One more than the index of the last latent other than zero, 0 if there is none. The mean does not count where it is
    /// coded on its own.
    fn end<B: Bits>(&mut self, bits: &mut B, levels: &[i16], near: &Near, scan: &Scan, first: usize) -> usize {
        let last = if B::READS { None } else { levels.iter().rposition(|&level| level != 0) };
        let end = last.map_or(0, |last| if last < first { 0 } else { last + 1 });
        // Ends of U and V on the scale of those of Y.
        let shift = u32::from(near.part > 0);
        let [left, above, corner, right, before] = near.ends.map(|end| u32::from(end) << shift);
        let some = |end: u32| usize::from(end > 0);
        let rough = |end: u32| class(end) / 2;
        let sides = class((left + above + 1) >> 1);
        let other = class(u32::from(near.other_end));
        let pattern = some(left) + 2 * some(above) + 4 * some(corner) + 8 * some(right);
        let part = near.part;
        let any = self.any.code(
            bits,
            [
                (pattern * 4 + near.mode) * 3 + part,
                (class(before) * CLASSES + sides) * 3 + part,
                (rough(left) * 6 + rough(above)) * 3 + part,
                (sides * CLASSES + other) * 3 + part,
                (near.step * 4 + near.mode) * 3 + part,
                (pattern * 4 + some(before) * 2 + usize::from(other > 0)) * 3 + part,
            ],
            part,
            end > 0,
        );
        if !any {
            return 0;
        }
        let around = class((left + above + corner + right + 2) >> 2);
        let width = if scan.size == 8 { 6 } else { 4 };
        // From the highest bit down; `node` is what is known of the number, with a one before it.
        let mut node = 1;
        for bit in (0..width).rev() {
            let one = self.end.code(
                bits,
                [
                    node * CLASSES + sides,
                    node * CLASSES + class(before),
                    node * CLASSES + around,
                    node * 36 + rough(left) * 6 + rough(above),
                    (node * 2 + usize::from(part == 2)) * STEPS + near.step,
                    node * CLASSES + other,
                ],
                node,
                end.wrapping_sub(1) >> bit & 1 == 1,
            );
            node = node * 2 + usize::from(one);
        }
        node + 1 - (1 << width)
    }

    #[inline(always)]
    fn level<B: Bits>(
        &mut self,
        bits: &mut B,
        level: i16,
        place: &Place,
        near: &Near,
        edges: &Edges,
        scan: &Scan,
    ) -> i16 {
        let index = place.index;
        let (u, v) = (usize::from(scan.at[index].0), usize::from(scan.at[index].1));
        let abs = |levels: &[i16], index: usize| u32::from(levels[index].unsigned_abs());
        let [of_left, of_above, of_corner, of_right, of_before] = near.scales;
        let sides = abs(near.left, index) * of_left + abs(near.above, index) * of_above;
        let around = 2 * sides + abs(near.corner, index) * of_corner + abs(near.right, index) * of_right;
        let beside = |levels: &[i16]| scan.beside[index].iter().map(|&k| abs(levels, usize::from(k))).sum::<u32>();
        let broad = around + beside(near.left) * of_left + beside(near.above) * of_above;
        let [around, broad] = [around, broad].map(|sum| class(sum >> 6));
        let template = class(place.template);

        // In flat blocks what neighbours predict, in others what the picture before had.
        let (mut top, mut left, mut lead) = (0, 0, 0);
        let (edge, kind) = if self.flat {
            top = near.around.above.map_or(0, |above| near.in_levels(above[u] - edges.top[u], index));
            left = near.around.left.map_or(0, |left| near.in_levels(left[v] - edges.left[v], index));
            lead = match (u, v) {
                (_, 0) => top,
                (0, _) => left,
                _ => (top + left) / 3,
            };
            (lean(lead.abs()) - LEVEL, 1 + usize::from(u > 0 && v > 0))
        } else {
            (class((u32::from(near.before[index]) * 2 * of_before) >> 6), 0)
        };
        let other = match near.part {
            0 => class(place.end as u32 / 2),
            1 => 2 * near.other[usize::from(SAME[index])].unsigned_abs().min(2) as usize,
            _ => 6 + 2 * near.other[index].unsigned_abs().min(2) as usize,
        };
        let zone = zone(u, v);
        let spot = if near.part == 2 { index + 16 } else { index };
        let away = class((place.end - index) as u32 / 2).min(AWAYS - 1);

        // The last one is not zero, or it were not the last.
        let some = index + 1 == place.end
            || self.zero.code(
                bits,
                [
                    (spot * 6 + template.min(5)) * 6 + around.min(5),
                    (spot * COUNTS + place.count.min(COUNTS - 1)) * AWAYS + away,
                    (template * CLASSES + broad) * ZONES + zone,
                    (spot * LEANS + edge) * 3 + kind,
                    spot * CLASSES + other,
                    ((edge * CLASSES + if self.flat { around } else { template }) * ZONES + zone) * 3 + kind,
                ],
                (place.count.min(3) * AWAYS + away) * ZONES + zone,
                level != 0,
            );
        if !some {
            return 0;
        }
        let size = self.size(bits, usize::from(level.unsigned_abs()), |step| {
            let spots = if near.part == 0 { 64 } else { 32 };
            let contexts = [
                (step * CLASSES + template) * ZONES + zone,
                step * spots + spot,
                (step * LEANS + edge) * 3 + kind,
                (step * CLASSES + template) * CLASSES + around,
                ((step * LEANS + edge) * CLASSES + template) * 3 + kind,
            ];
            (contexts, step * 4 + zone.min(3))
        });
        let of = |levels: &[i16]| sign(i32::from(levels[index]));
        let third = if near.part == 2 { of(near.other) } else { of(near.corner) };
        let negative = self.sign.code(
            bits,
            [
                spot * LEANS + lean(lead),
                spot * 9 + of(near.left) * 3 + of(near.above),
                (lean(top) * LEANS + lean(left)) * 4 + (u & 1) * 2 + (v & 1),
                spot * 9 + third * 3 + of(near.right),
                spot * 3 + kind,
            ],
            index,
            level < 0,
        );
        if negative { -(size as i16) } else { size as i16 }
    }

    /// A magnitude from 1 up: one by one, from `UNARY` on as a number of bits and these bits. `contexts` gives those of
    /// each step, and the set of weights.
    #[inline(always)]
    fn size<B: Bits>(&mut self, bits: &mut B, size: usize, contexts: impl Fn(usize) -> ([usize; 5], usize)) -> usize {
        let mut ask = |bits: &mut B, step: usize, more: bool| {
            let (contexts, set) = contexts(step);
            self.size.code(bits, contexts, set, more)
        };
        let mut known = 1;
        while known < UNARY && ask(bits, known - 1, size > known) {
            known += 1;
        }
        if known < UNARY {
            return known;
        }
        let rest = (size + 1).saturating_sub(UNARY).max(1);
        let mut length = 0;
        while length < EXPONENTS && ask(bits, UNARY - 1 + length, rest.ilog2() as usize > length) {
            length += 1;
        }
        let mut number = 1;
        for bit in (0..length).rev() {
            number = number * 2 + usize::from(self.mantissa.code(bits, [length * 16 + bit], 0, rest >> bit & 1 == 1));
        }
        number + UNARY - 1
    }
}
