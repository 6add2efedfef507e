//! Which row goes with which column, so that the sum of what the pairs are worth is largest.

use pathfinding::kuhn_munkres::kuhn_munkres;
use pathfinding::matrix::Matrix;

/// Pairs rows with columns, each used once at most, for the largest total worth (Kuhn, 1955; Munkres, 1957).
///
/// `worth(row, column)` is at least 1 for a pair that may be made, or `None`. Rows and columns may stay alone: a pair
/// is worth more than none, but two poor pairs may be worth less than one good one. Pairs come sorted by row.
pub fn assign(rows: usize, columns: usize, worth: impl Fn(usize, usize) -> Option<i64>) -> Vec<(usize, usize)> {
    if rows == 0 || columns == 0 {
        return Vec::new();
    }
    // The solver leaves no row alone and wants no more rows than columns. A pair that may not be made is worth nothing,
    // so it displaces none that may, and is taken out again below.
    let swapped = rows > columns;
    let (short, long) = if swapped { (columns, rows) } else { (rows, columns) };
    let at = |s: usize, l: usize| if swapped { worth(l, s) } else { worth(s, l) };
    let weights = Matrix::from_fn(short, long, |(s, l)| at(s, l).unwrap_or(0).max(0));
    let (_, chosen) = kuhn_munkres(&weights);

    let mut pairs: Vec<(usize, usize)> = chosen
        .into_iter()
        .enumerate()
        .filter(|&(s, l)| weights[(s, l)] > 0)
        .map(|(s, l)| if swapped { (l, s) } else { (s, l) })
        .collect();
    pairs.sort_unstable();
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_table(table: &[&[i64]]) -> Vec<(usize, usize)> {
        let columns = table.first().map_or(0, |row| row.len());
        assign(table.len(), columns, |r, c| (table[r][c] > 0).then_some(table[r][c]))
    }

    #[test]
    fn the_best_total_beats_the_best_single_pair() {
        assert_eq!(by_table(&[&[10, 9], &[9, 1]]), [(0, 1), (1, 0)]);
    }

    #[test]
    fn more_rows_than_columns_leave_a_row_alone() {
        assert_eq!(by_table(&[&[1], &[7], &[3]]), [(1, 0)]);
    }

    #[test]
    fn forbidden_pairs_are_never_made() {
        assert_eq!(by_table(&[&[0, 5], &[0, 6]]), [(1, 1)]);
        assert_eq!(by_table(&[&[0, 0], &[0, 0]]), []);
    }

    #[test]
    fn empty_sides_give_no_pairs() {
        assert_eq!(assign(0, 3, |_, _| Some(1)), []);
        assert_eq!(assign(3, 0, |_, _| Some(1)), []);
    }

    /// Every table of worths 0 to 2 with 2 rows and 3 columns, against trying all ways to pair them.
    #[test]
    fn no_way_to_pair_is_worth_more() {
        for code in 0..3i64.pow(6) {
            let worth = |r: usize, c: usize| code / 3i64.pow((r * 3 + c) as u32) % 3;
            let found: i64 =
                assign(2, 3, |r, c| Some(worth(r, c)).filter(|w| *w > 0)).iter().map(|&(r, c)| worth(r, c)).sum();
            let best = (0..3).flat_map(|a| (0..3).map(move |b| (a, b))).filter(|(a, b)| a != b);
            let best = best.map(|(a, b)| worth(0, a) + worth(1, b)).max().unwrap();
            assert_eq!(found, best, "table {code}");
        }
    }
}
