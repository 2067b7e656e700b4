//! Several calls and several free regulators at once: who gets whom, so that all together cost least.
//!
//! The Hungarian method, a row at a time (Kuhn 1955, Munkres 1957; rows by shortest augmenting paths as Jonker and
//! Volgenant 1987 do). A row, once matched, stays matched; so rows handed in by their order of service are served in it:
//! a later one never takes a place away from an earlier one, it only may make it change its place. Among the ways to do
//! that the sum of costs is the least. With n rows and m columns, at most n²·m steps.

/// The cost of a pair that may not be made.
pub(super) const NEVER: f64 = f64::INFINITY;

/// The column of each row of `costs`, `None` for rows that cannot be matched without leaving out an earlier one. All rows
/// have the same length.
pub(super) fn assign(costs: &[Vec<f64>]) -> Vec<Option<usize>> {
    let columns = costs.first().map_or(0, Vec::len);
    let mut work = Work {
        costs,
        row_of: vec![None; columns],
        row_price: vec![0.0; costs.len()],
        column_price: vec![0.0; columns],
    };
    for row in 0..costs.len() {
        work.add(row);
    }
    let mut matched = vec![None; costs.len()];
    for (column, row) in work.row_of.iter().enumerate() {
        if let Some(place) = row.and_then(|row| matched.get_mut(row)) {
            *place = Some(column);
        }
    }
    matched
}

struct Work<'a> {
    costs: &'a [Vec<f64>],
    row_of: Vec<Option<usize>>,
    row_price: Vec<f64>,
    column_price: Vec<f64>,
}

/// What is known of a column while a path is sought.
#[derive(Clone, Copy)]
struct Seen {
    /// The cheapest way to it so far.
    distance: f64,
    /// The column before it on that way; `None`: the new row itself.
    from: Option<usize>,
    is_done: bool,
}

impl Work<'_> {
    fn reduced(&self, row: usize, column: usize) -> f64 {
        let cost = self.costs.get(row).and_then(|row| row.get(column)).copied().unwrap_or(NEVER);
        let prices =
            self.row_price.get(row).copied().unwrap_or(0.0) + self.column_price.get(column).copied().unwrap_or(0.0);
        cost - prices
    }

    /// Matches one more row by the cheapest augmenting path, if there is any; else nothing changes.
    fn add(&mut self, new_row: usize) {
        let fresh = Seen { distance: NEVER, from: None, is_done: false };
        let mut seen = vec![fresh; self.row_of.len()];
        let (mut row, mut via, mut so_far) = (new_row, None, 0.0);
        let end = loop {
            for (column, one) in seen.iter_mut().enumerate().filter(|(_, one)| !one.is_done) {
                let distance = so_far + self.reduced(row, column);
                if distance < one.distance {
                    (one.distance, one.from) = (distance, via);
                }
            }
            let open = seen.iter().enumerate().filter(|(_, one)| !one.is_done && one.distance < NEVER);
            let Some((column, distance)) =
                open.map(|(column, one)| (column, one.distance)).min_by(|a, b| a.1.total_cmp(&b.1))
            else {
                return;
            };
            so_far = distance;
            if let Some(one) = seen.get_mut(column) {
                one.is_done = true;
            }
            match self.row_of.get(column).copied().flatten() {
                None => break column,
                Some(taken) => (row, via) = (taken, Some(column)),
            }
        };
        self.reprice(new_row, &seen, so_far);
        self.turn_path(new_row, &seen, end);
    }

    /// Keeps every reduced cost at zero or above, and zero where matched.
    fn reprice(&mut self, new_row: usize, seen: &[Seen], length: f64) {
        if let Some(price) = self.row_price.get_mut(new_row) {
            *price += length;
        }
        for (column, one) in seen.iter().enumerate().filter(|(_, one)| one.is_done) {
            let by = length - one.distance;
            if let Some(price) = self.row_of.get(column).copied().flatten().and_then(|row| self.row_price.get_mut(row))
            {
                *price += by;
            }
            if let Some(price) = self.column_price.get_mut(column) {
                *price -= by;
            }
        }
    }

    /// Along the path, each column is given to the row before it.
    fn turn_path(&mut self, new_row: usize, seen: &[Seen], end: usize) {
        let mut column = end;
        loop {
            let from = seen.get(column).and_then(|one| one.from);
            let row = match from {
                Some(before) => self.row_of.get(before).copied().flatten(),
                None => Some(new_row),
            };
            if let Some(place) = self.row_of.get_mut(column) {
                *place = row;
            }
            match from {
                Some(before) => column = before,
                None => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Chance;

    /// The sum of a matching, and which rows are in it: the proof below compares nothing else.
    fn worth(costs: &[Vec<f64>], matched: &[Option<usize>]) -> (Vec<bool>, f64) {
        let sum = matched.iter().zip(costs).filter_map(|(column, row)| column.map(|column| row[column])).sum();
        (matched.iter().map(Option::is_some).collect(), sum)
    }

    /// Every way there is: the rows served first in order, then the sum.
    fn best_of_all(costs: &[Vec<f64>]) -> (Vec<bool>, f64) {
        fn walk(costs: &[Vec<f64>], taken: &mut Vec<bool>, done: &mut Vec<Option<usize>>, best: &mut (Vec<bool>, f64)) {
            if done.len() == costs.len() {
                let one = worth(costs, done);
                if one.0 > best.0 || (one.0 == best.0 && one.1 < best.1) {
                    *best = one;
                }
                return;
            }
            for column in 0..=taken.len() {
                let place = (column < taken.len()).then_some(column);
                if place.is_some_and(|column| taken[column] || costs[done.len()][column] == NEVER) {
                    continue;
                }
                place.into_iter().for_each(|column| taken[column] = true);
                done.push(place);
                walk(costs, taken, done, best);
                done.pop();
                place.into_iter().for_each(|column| taken[column] = false);
            }
        }
        let mut best = (vec![false; costs.len()], f64::MAX);
        walk(costs, &mut vec![false; costs[0].len()], &mut Vec::new(), &mut best);
        best
    }

    #[test]
    fn the_matching_is_the_best_of_all_there_are() {
        let mut chance = Chance::from_number(5);
        for round in 0..2_000 {
            let (rows, columns) = (1 + chance.below(5) as usize, 1 + chance.below(5) as usize);
            let mut draw = || if chance.below(4) == 0 { NEVER } else { chance.below(12) as f64 - 3.0 };
            let costs: Vec<Vec<f64>> = (0..rows).map(|_| (0..columns).map(|_| draw()).collect()).collect();
            let matched = assign(&costs);
            let mut used: Vec<usize> = matched.iter().flatten().copied().collect();
            used.sort_unstable();
            used.dedup();
            assert_eq!(used.len(), matched.iter().flatten().count(), "a column twice: {costs:?}");
            let (found, best) = (worth(&costs, &matched), best_of_all(&costs));
            assert_eq!(found.0, best.0, "round {round}: rows out of order in {costs:?}");
            assert!(
                (found.1 - best.1).abs() < 1e-9 || best.1 == f64::MAX,
                "round {round}: {found:?} {best:?} {costs:?}"
            );
        }
    }

    #[test]
    fn two_calls_are_given_out_so_that_nobody_is_misplaced() {
        // The first alone would take the specialist for next to nothing; then the second would find nobody as good.
        assert_eq!(assign(&[vec![0.0, 1.0], vec![0.0, 30.0]]), [Some(1), Some(0)]);
        assert_eq!(assign(&[vec![0.0], vec![-5.0]]), [Some(0), None]);
        assert_eq!(assign(&[]), []);
    }
}
