//! How blocks are predicted: modes, vectors and step changes.

use super::mixing::{Site, Visitor};
use super::near::{CLASSES, STEPS, class, sign};
use super::range::Bits;
use crate::codec::symbols::{Block, CELLS, Mode, Vector, predict_second, predict_vector};

/// Numbers of bits that part of a vector difference can have.
const LENGTHS: usize = 13;
/// Step changes from one block to the next are at most this.
const CHANGE_MAX: usize = 62;
const MODES: [Mode; 4] = [Mode::Skip, Mode::Inter, Mode::Split, Mode::Flat];
/// What lies outside.
pub(super) const NONE: Block =
    Block { mode: Mode::Skip, vectors: [Vector { x: 0, y: 0 }; CELLS], second: None, step: 0 };

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Models {
    mode: Site<5>,
    second: Site<4>,
    length: Site<5>,
    mantissa: Site<2>,
    sign: Site<3>,
    step: Site<2>,
    change: Site<1>,
}

/// What is known about a vector from around its block.
struct Hints {
    /// Classes of how far the vectors of left and above are apart, across and down.
    spread: [usize; 2],
    /// Classes of how far that of the picture before is from the prediction, and which way.
    past: [usize; 2],
    toward: [usize; 2],
    /// 0 for the vector of a block, 1 for those of quarters, 2 for second ones.
    which: usize,
}

impl Models {
    pub fn new() -> Self {
        let wide = CLASSES;
        Models {
            mode: Site::new([3 * 256, 3 * 256, 3 * 64, 3 * wide * 4, 3 * STEPS * 4], 3),
            second: Site::new([2 * 27, 2 * wide * 3, 2 * STEPS * 3, wide * 3], 2),
            length: Site::new([wide * 2, wide * 6, wide * wide, 6, wide * 2].map(|size| size * LENGTHS), LENGTHS),
            mantissa: Site::new([16 * 16 * 2, 16 * 16], 1),
            sign: Site::new([2 * 3, 2 * 9, 2 * 9], 1),
            step: Site::new([8, 6], 1),
            change: Site::new([CHANGE_MAX + 1], 1),
        }
    }

    pub fn visit(&mut self, visitor: &mut dyn Visitor) {
        self.mode.visit(visitor);
        self.second.visit(visitor);
        self.length.visit(visitor);
        self.mantissa.visit(visitor);
        self.sign.visit(visitor);
        self.step.visit(visitor);
        self.change.visit(visitor);
    }

    /// Codes block `index`, in sight of all of `blocks` before it. `before` is the same block of the picture before, `step`
    /// a class of the picture's step. Pictures that refer to nothing have but one mode.
    pub fn code<B: Bits>(
        &mut self,
        bits: &mut B,
        blocks: &mut [Block],
        columns: usize,
        index: usize,
        before: &Block,
        intra: bool,
        step: usize,
    ) {
        let (row, column) = (index / columns, index % columns);
        let at = |there: bool, back: usize| if there { blocks[index - back] } else { NONE };
        let left = at(column > 0, 1);
        let above = at(row > 0, columns);
        let corner = at(row > 0 && column > 0, columns + 1);
        let right = at(row > 0 && column + 1 < columns, columns.wrapping_sub(1));
        let mut block = blocks[index];
        let guess = predict_vector(blocks, columns, index);
        if intra {
            block.mode = Mode::Flat;
        } else {
            let [l, a, c, r, b] = [left, above, corner, right, *before].map(|block| block.mode as usize);
            let moves = class(motion(&left) + motion(&above));
            let mut mode = 0;
            while mode < 3 {
                let contexts = [
                    ((mode * 4 + l) * 4 + a) * 16 + c * 4 + r,
                    ((mode * 4 + l) * 4 + a) * 16 + b * 4 + column.min(1) * 2 + row.min(1),
                    ((mode * 4 + b) * 4 + l.max(a)) * 4 + r,
                    (mode * CLASSES + moves) * 4 + b,
                    (mode * STEPS + step) * 4 + l,
                ];
                if !self.mode.code(bits, contexts, mode, block.mode as usize > mode) {
                    break;
                }
                mode += 1;
            }
            block.mode = MODES[mode];
        }
        let apart = |a: i16, b: i16| class(u32::from(a.abs_diff(b)));
        let hints = |left: Vector, above: Vector, past: Vector, guess: Vector, which: usize| Hints {
            spread: [apart(left.x, above.x), apart(left.y, above.y)],
            past: [apart(past.x, guess.x), apart(past.y, guess.y)],
            toward: [sign(i32::from(past.x) - i32::from(guess.x)), sign(i32::from(past.y) - i32::from(guess.y))],
            which,
        };
        let split = usize::from(block.mode == Mode::Split);
        let own = hints(left.vectors[1], above.vectors[2], before.vectors[0], guess, split);
        match block.mode {
            Mode::Flat => block.vectors = Default::default(),
            Mode::Skip => block.vectors = [guess; CELLS],
            Mode::Inter => block.vectors = [self.vector(bits, block.vectors[0], guess, &own); CELLS],
            Mode::Split => {
                for quarter in 0..CELLS {
                    // Each is like the one before it, but the third like the one above it.
                    let guess = match quarter {
                        0 => guess,
                        2 => block.vectors[0],
                        _ => block.vectors[quarter - 1],
                    };
                    block.vectors[quarter] = self.vector(bits, block.vectors[quarter], guess, &own);
                }
            }
        }
        block.second = match block.mode {
            Mode::Inter | Mode::Split => {
                // Of blocks that could not have one, more is known than that they have none.
                let [l, a, b] = [left, above, *before].map(|block| match (block.second, block.mode) {
                    (Some(_), _) => 2,
                    (None, Mode::Inter | Mode::Split) => 1,
                    _ => 0,
                });
                let moves = class(motion(&block));
                let contexts = [
                    ((split * 3 + l) * 3 + a) * 3 + b,
                    (split * CLASSES + moves) * 3 + l.max(a),
                    (split * STEPS + step) * 3 + l.max(a),
                    own.spread[0].max(own.spread[1]) * 3 + b,
                ];
                let guess = predict_second(blocks, columns, index, block.vectors[0]);
                let of = |block: &Block| block.second.unwrap_or(guess);
                let hints = hints(of(&left), of(&above), of(before), guess, 2);
                let there = self.second.code(bits, contexts, split, block.second.is_some());
                there.then(|| self.vector(bits, block.second.unwrap_or_default(), guess, &hints))
            }
            _ => None,
        };
        block.step = if block.mode == Mode::Skip { 0 } else { self.step(bits, block.step, left.step, above.step) };
        blocks[index] = block;
    }

    fn vector<B: Bits>(&mut self, bits: &mut B, vector: Vector, guess: Vector, hints: &Hints) -> Vector {
        let x = self.part(bits, i32::from(vector.x) - i32::from(guess.x), 0, hints, 0);
        let first = class(x.unsigned_abs());
        let y = self.part(bits, i32::from(vector.y) - i32::from(guess.y), 1, hints, first);
        // Damaged bytes may add up to anything, which the caller sees by the range.
        let sum = |guess: i16, part: i32| (i32::from(guess) + part).clamp(-20000, 20000) as i16;
        Vector { x: sum(guess.x, x), y: sum(guess.y, y) }
    }

    /// Number of bits, the bits after the first, and the sign.
    fn part<B: Bits>(&mut self, bits: &mut B, value: i32, axis: usize, hints: &Hints, first: usize) -> i32 {
        let size = value.unsigned_abs();
        let own = (u32::BITS - size.leading_zeros()) as usize;
        let (spread, past) = (hints.spread[axis], hints.past[axis]);
        let mut length = 0;
        while length < LENGTHS {
            let contexts = [
                (length * CLASSES + spread) * 2 + axis,
                ((length * CLASSES + past) * 3 + hints.which) * 2 + axis,
                (length * CLASSES + first) * CLASSES + spread,
                (length * 2 + axis) * 3 + hints.which,
                (length * CLASSES + first) * 2 + axis,
            ];
            if !self.length.code(bits, contexts, length, own > length) {
                break;
            }
            length += 1;
        }
        if length == 0 {
            return 0;
        }
        let mut number = 1;
        for bit in (0..length - 1).rev() {
            let top = if bit + 2 == length { length * 16 } else { bit };
            let one = self.mantissa.code(bits, [(length * 16 + bit) * 2 + axis, top], 0, size >> bit & 1 == 1);
            number = number * 2 + i32::from(one);
        }
        let contexts = [axis * 3 + hints.toward[axis], axis * 9 + length.min(8), axis * 9 + first.min(8)];
        if self.sign.code(bits, contexts, 0, value < 0) { -number } else { number }
    }

    /// As a difference from the block on the left, which most often has the same.
    fn step<B: Bits>(&mut self, bits: &mut B, step: i8, left: i8, above: i8) -> i8 {
        let change = i32::from(step) - i32::from(left);
        let near = usize::from(left != 0) * 2 + usize::from(above != left);
        let pull = sign(i32::from(above) - i32::from(left));
        if !self.step.code(bits, [near, pull], 0, change != 0) {
            return left;
        }
        let negative = self.step.code(bits, [4 + near, 3 + pull], 0, change < 0);
        let mut size = 1;
        while size < CHANGE_MAX && self.change.code(bits, [size], 0, change.unsigned_abs() as usize > size) {
            size += 1;
        }
        let change = if negative { -(size as i32) } else { size as i32 };
        (i32::from(left) + change).clamp(-127, 127) as i8
    }
}

fn motion(block: &Block) -> u32 {
    u32::from(block.vectors[0].x.unsigned_abs()) + u32::from(block.vectors[0].y.unsigned_abs())
}
