//! Sums over the square window about each place of a plane. Windows end at the border.

use std::ops::Range;

/// The places of a row or column of `count` that a window about `at` has, which reaches so far to each side.
#[inline(always)]
pub fn about(at: usize, reach: usize, count: usize) -> Range<usize> {
    at.saturating_sub(reach)..(at + reach + 1).min(count)
}

/// Of `values`, in rows of `width`, the sums over the windows that reach so far to each side. What all of a row and what all of
/// a window have must fit into `i32`.
#[inline(always)]
pub fn sums(values: &[i32], width: usize, reach: usize) -> Vec<i32> {
    let height = values.len() / width;
    // Of each row, the sums of the windows across; of each column, the sum of the rows that the window has now.
    let mut across = Vec::with_capacity(values.len());
    let mut upto = vec![0; width + 1];
    for row in values.chunks_exact(width) {
        for (x, value) in row.iter().enumerate() {
            upto[x + 1] = upto[x] + value;
        }
        across.extend((0..width).map(|x| about(x, reach, width)).map(|window| upto[window.end] - upto[window.start]));
    }
    let row = |y: usize| &across[y * width..][..width];
    let mut window = vec![0; width];
    for y in 0..reach.min(height) {
        window.iter_mut().zip(row(y)).for_each(|(sum, new)| *sum += new);
    }
    let mut sums = Vec::with_capacity(values.len());
    for y in 0..height {
        if y + reach < height {
            window.iter_mut().zip(row(y + reach)).for_each(|(sum, new)| *sum += new);
        }
        if y > reach {
            window.iter_mut().zip(row(y - reach - 1)).for_each(|(sum, old)| *sum -= old);
        }
        sums.extend_from_slice(&window);
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sum_is_of_what_lies_in_its_window() {
        for (width, height) in [(1, 1), (9, 4), (5, 30), (40, 3)] {
            let values: Vec<i32> = (0..width * height).map(|i| (i * 37 % 251) as i32 - 100).collect();
            for reach in [0, 1, 4, 50] {
                let sums = sums(&values, width, reach);
                assert_eq!(sums.len(), values.len());
                for (at, sum) in sums.into_iter().enumerate() {
                    let inside = |i: &usize| {
                        (i % width).abs_diff(at % width) <= reach && (i / width).abs_diff(at / width) <= reach
                    };
                    let expected: i32 = (0..values.len()).filter(inside).map(|i| values[i]).sum();
                    assert_eq!(sum, expected, "{width}x{height}, {reach} about {at}");
                }
            }
        }
    }
}
