use super::super::Effort;
use super::super::compensate::compensate;
use super::*;

/// Smooth waves of several directions, moved by quarters of a luma sample.
fn waves(columns: usize, rows: usize, moved: Vector) -> Picture {
    let mut picture = Picture::grey(columns, rows);
    for (index, plane) in picture.planes.iter_mut().enumerate() {
        let scale = if index == 0 { 1.0 } else { 2.0 };
        for y in 0..plane.height {
            for x in 0..plane.width {
                let u = x as f64 * scale + f64::from(moved.x) / 4.0;
                let v = y as f64 * scale + f64::from(moved.y) / 4.0;
                let wave = (u * 0.31 + v * 0.11).sin() + (v * 0.37 - u * 0.07).sin() + (u * 0.053 + v * 0.071).cos();
                plane.row_mut(y)[x] = (128.0 + 35.0 * wave).round() as u8;
            }
        }
    }
    picture
}

fn settings(effort: Effort) -> Settings {
    Settings { effort, threads: 2, ..Settings::for_step(4.0) }
}

/// What one of a picture's blocks costs.
fn cost(current: &Picture, reference: &Reference, blocks: &[Block], index: usize) -> Cost {
    let (columns, weights) = (current.blocks().0, Weights::new(&settings(Effort::Fast)));
    let place = ((index % columns * 16) as i32, (index / columns * 16) as i32);
    let older = None;
    let search = Search { current, reference, older, weights: &weights, place, columns, index, blocks, previous: None };
    search.measure(&blocks[index])
}

#[test]
fn translations_are_found() {
    let reference = Reference::new(&waves(6, 5, Vector::default()));
    for effort in [Effort::Fast, Effort::Thorough] {
        for (x, y) in [(0, 0), (12, -8), (2, 0), (-6, 10), (1, 3), (-5, -7), (29, 2)] {
            let moved = Vector { x, y };
            let blocks = search(&waves(6, 5, moved), &reference, None, 0..5, None, &settings(effort));
            for row in 1..4 {
                for column in 2..4 {
                    let block = &blocks[row * 6 + column];
                    assert_eq!(block.vectors, [moved; CELLS], "{moved:?} in {row}, {column}: {block:?}");
                }
            }
        }
    }
}

#[test]
fn what_stands_still_is_skipped() {
    let picture = waves(4, 3, Vector { x: 3, y: 5 });
    let blocks = search(&picture, &Reference::new(&picture), None, 0..3, None, &settings(Effort::Fast));
    assert!(blocks.iter().all(|block| *block == whole(Mode::Skip, Vector::default())));
    assert_eq!(cost(&picture, &Reference::new(&picture), &blocks, 7), Cost::default());
}

#[test]
fn what_is_near_enough_is_not_sought_elsewhere() {
    let moved = Vector { x: 4, y: 0 };
    let (current, reference) = (waves(4, 3, moved), Reference::new(&waves(4, 3, Vector::default())));
    let apart = cost(&current, &reference, &[whole(Mode::Inter, Vector::default()); 12], 5).ssd as f32 / 256.0;
    let find = |enough: f32, at_rest: f32, previous: Vector| {
        let settings = Settings { enough: [enough, at_rest], ..settings(Effort::Fast) };
        let previous = [whole(Mode::Inter, previous); 12];
        search(&current, &reference, None, 0..3, Some(&previous), &settings)[5].vectors[0]
    };
    let rest = Vector::default();
    assert_eq!(find(0.0, 0.0, rest), moved);
    assert_eq!(find(1.0, 2.0 * apart, rest), rest);
    assert_eq!(find(1.0, 1.0, rest), moved);
    // What moved before has no rest to go on with.
    assert_eq!(find(1.0, 2.0 * apart, moved), moved);
    assert_eq!(find(2.0 * apart, 2.0 * apart, moved), rest);
}

#[test]
fn only_quarters_that_move_apart_are_split() {
    let (still, moved) = (waves(5, 5, Vector::default()), waves(5, 5, Vector { x: 8, y: -4 }));
    let mut current = still.clone();
    for (plane, half) in [(0, 8), (1, 4), (2, 4)] {
        // The upper left quarter of the block in the middle.
        for y in 4 * half..5 * half {
            current.planes[plane].row_mut(y)[4 * half..5 * half]
                .copy_from_slice(&moved.planes[plane].row(y)[4 * half..5 * half]);
        }
    }
    let blocks = search(&current, &Reference::new(&still), None, 0..5, None, &Settings::for_step(0.5));
    for (index, block) in blocks.iter().enumerate() {
        assert_eq!(block.mode == Mode::Split, index == 12, "{index}: {block:?}");
    }
    let rest = Vector::default();
    assert_eq!(blocks[12].vectors, [Vector { x: 8, y: -4 }, rest, rest, rest]);
}

#[test]
fn what_was_nowhere_is_flat() {
    let mut current = Picture::grey(4, 4);
    let mut before = waves(4, 4, Vector::default());
    for plane in &mut before.planes {
        plane.data.iter_mut().for_each(|sample| *sample = 255 - *sample / 2);
    }
    current.planes[0].data.iter_mut().enumerate().for_each(|(at, sample)| *sample = 120 + (at % 7) as u8);
    let blocks = search(&current, &Reference::new(&before), None, 0..4, None, &settings(Effort::Fast));
    assert!(blocks.iter().all(|block| *block == Block::default()), "{blocks:?}");
}

#[test]
fn colour_alone_is_reason_enough_not_to_skip() {
    let before = waves(2, 2, Vector::default());
    let mut current = before.clone();
    current.planes[2].data.iter_mut().for_each(|sample| *sample = sample.saturating_add(40));
    let reference = Reference::new(&before);
    let blocks = search(&current, &reference, None, 0..2, None, &settings(Effort::Fast));
    assert!(blocks.iter().all(|block| block.mode != Mode::Skip));
    let skipped = cost(&current, &reference, &[whole(Mode::Skip, Vector::default()); 4], 3);
    assert!(skipped.excess > 0 && skipped.ssd > 64 * 30 * 30);
}

#[test]
fn slices_are_independent_and_their_costs_are_those_of_compensation() {
    let (before, mut current) = (waves(5, 6, Vector::default()), waves(5, 6, Vector { x: 7, y: 9 }));
    current.planes[0].data.iter_mut().enumerate().for_each(|(at, sample)| *sample ^= (at * at % 11) as u8);
    let reference = Reference::new(&before);
    let settings = settings(Effort::Fast);
    let all = search(&current, &reference, None, 0..6, None, &settings);
    assert_eq!(search(&current, &reference, None, 0..2, None, &settings), all[..10]);

    let blocks = search(&current, &reference, None, 2..5, Some(&all[10..25]), &settings);
    assert_eq!(blocks, search(&current, &reference, None, 2..5, Some(&all[10..25]), &settings));
    let mut out = Picture::grey(5, 3);
    compensate(&reference, None, &blocks, 5, 2, &mut out);
    for (index, block) in blocks.iter().enumerate() {
        if block.mode == Mode::Skip {
            assert_eq!(block.vectors, [predict_vector(&blocks, 5, index); CELLS]);
        }
        let mut squares = 0;
        for (plane, size) in [(0, 16), (1, 8), (2, 8)] {
            for (y, x) in (0..size * size).map(|at| (index / 5 * size + at / size, index % 5 * size + at % size)) {
                let sample = current.planes[plane].row(2 * size + y)[x];
                squares += u32::from(sample.abs_diff(out.planes[plane].row(y)[x])).pow(2);
            }
        }
        let placed: Vec<Block> = [&all[..10], &blocks].concat();
        assert_eq!(cost(&current, &reference, &placed, 10 + index).ssd, squares);
    }
}

/// What differs from picture to picture is halved by the mean of two.
#[test]
fn two_noisy_pictures_foretell_better_than_one() {
    let current = waves(6, 5, Vector::default());
    let mut state = 1u32;
    let mut noisy = || {
        let mut picture = current.clone();
        for sample in &mut picture.planes[0].data {
            state = state.wrapping_mul(1664525).wrapping_add(1013904223);
            *sample = sample.saturating_add_signed((state >> 27) as i8 - 16);
        }
        Reference::new(&picture)
    };
    let (last, older) = (noisy(), noisy());
    let error = |older: Option<&Reference>| {
        let blocks = search(&current, &last, older, 0..5, None, &Settings::for_step(1.0));
        let mut out = Picture::grey(6, 5);
        compensate(&last, older, &blocks, 6, 0, &mut out);
        let pairs = out.planes[0].data.iter().zip(&current.planes[0].data);
        let seconds = blocks.iter().filter(|block| block.second.is_some()).count();
        (seconds, pairs.map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2)).sum::<u64>())
    };
    let ((none, one), (seconds, both)) = (error(None), error(Some(&older)));
    assert_eq!(none, 0);
    assert!(seconds > 20 && both * 10 < one * 6, "{seconds} of 30 blocks; {both} where one picture leaves {one}");
}

#[test]
fn one_block_is_enough_for_a_picture() {
    for (x, range) in [(0, 0), (6, 0), (40, 511)] {
        for step in [0.0, 1.0, 1e9, f32::NAN] {
            let current = waves(1, 1, Vector { x, y: x });
            let reference = Reference::new(&waves(1, 1, Vector::default()));
            let wild = [whole(Mode::Inter, Vector { x: i16::MIN, y: i16::MAX })];
            let settings = Settings { range, effort: Effort::Thorough, ..Settings::for_step(step) };
            assert_eq!(search(&current, &reference, None, 0..1, Some(&wild), &settings).len(), 1);
            assert_eq!(search(&current, &reference, None, 1..1, None, &settings), []);
        }
    }
}
