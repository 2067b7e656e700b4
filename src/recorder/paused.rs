//! What was not recorded by somebody's wish, among the holes of a leg.

use super::place::{GAP_MIN, GapReason, Hole, Part, Placed, Placement};

impl Placement {
    /// Lists the `pauses` of a leg's part as holes of their own, and takes their time out of the others.
    pub fn mark_pauses(&mut self, pauses: &[(i64, i64)], part: Part) {
        for (from, to) in pauses.iter().map(|(from, to)| ((*from).max(part.joined), (*to).min(part.left))) {
            if from >= to {
                continue;
            }
            let holes = std::mem::take(&mut self.holes);
            self.holes = holes.into_iter().flat_map(|hole| hole.around(from, to)).collect();
            // The media plane hears of a pause some milliseconds later: what it kept until then is not in the gap.
            let middle = from + (to - from) / 2;
            let placed = || self.placed.iter().filter(|placed| placed.end() > from && placed.start < to);
            let start = placed().filter(|placed| placed.start < middle).map(Placed::end).max().unwrap_or(from);
            let end = placed().filter(|placed| placed.start >= middle).map(|placed| placed.start).min().unwrap_or(to);
            if start < end {
                self.holes.push(Hole { start, length: end - start, reason: GapReason::Paused });
            }
        }
        self.holes.sort_by_key(|hole| hole.start);
    }
}

impl Hole {
    /// What of it lies before and after a pause, as far as it would be listed by itself.
    fn around(self, from: i64, to: i64) -> impl Iterator<Item = Hole> {
        let end = self.start + self.length;
        if self.reason == GapReason::Paused || end <= from || self.start >= to {
            return [Some(self), None].into_iter().flatten();
        }
        let piece = |start: i64, end: i64| {
            (end - start > GAP_MIN).then_some(Hole { start, length: end - start, reason: self.reason })
        };
        [piece(self.start, from), piece(to, end)].into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hole(start: i64, end: i64, reason: GapReason) -> Hole {
        Hole { start, length: end - start, reason }
    }

    #[test]
    fn a_pause_is_one_hole_and_what_lies_around_it_keeps_its_reason() {
        let part = Part { joined: 0, left: 80_000, refused: 0 };
        let lost = hole(8_000, 40_000, GapReason::NetworkLoss);
        let mut placement = Placement { holes: vec![lost], ..Placement::default() };
        placement.mark_pauses(&[(16_000, 32_000), (72_000, 90_000), (100_000, 110_000)], part);
        let expected = [
            hole(8_000, 16_000, GapReason::NetworkLoss),
            hole(16_000, 32_000, GapReason::Paused),
            hole(32_000, 40_000, GapReason::NetworkLoss),
            hole(72_000, 80_000, GapReason::Paused),
        ];
        assert_eq!(placement.holes, expected);
    }
}
