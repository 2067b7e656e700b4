//! Which packets of one far end never came, in which order the others did, and how the losses lie: bursts and gaps.

/// RFC 3611 §4.7.2: so many packets received in a row between two losses end a burst ("Gmin").
const GAP_PACKETS_MIN: u64 = 16;
/// Packets that one may come behind the newest and still fill its place: more than a second of the usual 20 ms, and the
/// bits of one word.
const WINDOW: u64 = u64::BITS as u64;

/// The losses of one leg, over all the sources that its far end used.
#[derive(Clone, Copy, Debug, Default)]
pub struct Losses {
    /// The newest packet's place, counted on over the wraps; 0 before any.
    newest: u64,
    /// The first place of this source.
    first: u64,
    /// Bit n: the packet n places before the newest has come.
    came: u64,
    /// Lost packets in a row, up to the last place decided.
    run: u64,
    /// Losses that lie so close together that they may be a burst.
    cluster: Option<Cluster>,
    pattern: Pattern,
}

/// How the losses lie (RFC 3611 §4.7.2: a burst begins and ends with a loss and has fewer than 16 packets received in a row
/// within; everything else is gap).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pattern {
    /// Places decided: come or lost.
    pub decided: u64,
    /// Of these, lost.
    pub lost: u64,
    /// Packets that came once more.
    pub repeated: u64,
    /// Packets that came behind a later one.
    pub reordered: u64,
    /// Times that one or more packets in a row were lost.
    pub runs: u64,
    /// The most packets lost in a row.
    pub run_longest: u64,
    /// Bursts: two losses or more.
    pub bursts: u64,
    /// Packets of all bursts, lost or not.
    pub burst_packets: u64,
    /// Packets lost in bursts.
    pub burst_lost: u64,
}

#[derive(Clone, Copy, Debug)]
struct Cluster {
    first: u64,
    last: u64,
    lost: u64,
}

impl Pattern {
    /// The mean length of the losses in a row, over what it would be were they random (G.107 §7.5: BurstR); 1 without loss.
    pub fn burst_ratio(&self) -> f64 {
        if self.runs == 0 || self.decided == 0 {
            return 1.0;
        }
        let loss = self.lost as f64 / self.decided as f64;
        (self.lost as f64 / self.runs as f64) * (1.0 - loss)
    }

    /// The fraction lost within bursts, 0.0–1.0.
    pub fn burst_loss(&self) -> f64 {
        fraction(self.burst_lost, self.burst_packets)
    }

    /// The fraction lost between bursts, 0.0–1.0.
    pub fn gap_loss(&self) -> f64 {
        fraction(self.lost.saturating_sub(self.burst_lost), self.decided.saturating_sub(self.burst_packets))
    }
}

fn fraction(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

impl Losses {
    /// Counts a packet of the source that is known. `ahead` is how far it is beyond the newest one, negative behind it.
    pub fn take(&mut self, ahead: i32) {
        if ahead > 0 {
            (0..ahead).for_each(|_| self.shift());
            self.came |= 1;
            return;
        }
        let behind = u64::from(ahead.unsigned_abs());
        if behind >= WINDOW {
            self.pattern.reordered += 1;
            return;
        }
        // Before the first one that came: its place was never waited for, but now it is one.
        self.first = self.first.min(self.newest.saturating_sub(behind));
        if self.came & (1 << behind) != 0 {
            self.pattern.repeated += 1;
        } else {
            self.pattern.reordered += 1;
            self.came |= 1 << behind;
        }
    }

    /// A new source, or one that started again: what of the old one has not come will not.
    pub fn restart(&mut self) {
        *self = Losses { newest: self.newest + WINDOW * 2, came: 1, ..self.decide_all() };
        self.first = self.newest;
    }

    /// How the losses lie, as if nothing more came.
    pub fn pattern(&self) -> Pattern {
        self.decide_all().pattern
    }

    /// One place on; the oldest in the window is decided.
    fn shift(&mut self) {
        self.newest += 1;
        let has_come = self.came & (1 << (WINDOW - 1)) != 0;
        self.came <<= 1;
        if let Some(oldest) = self.newest.checked_sub(WINDOW).filter(|oldest| *oldest >= self.first) {
            self.decide(oldest, has_come);
        }
    }

    fn decide(&mut self, place: u64, has_come: bool) {
        self.pattern.decided += 1;
        if has_come {
            self.run = 0;
            return;
        }
        self.pattern.lost += 1;
        self.pattern.runs += u64::from(self.run == 0);
        self.run += 1;
        self.pattern.run_longest = self.pattern.run_longest.max(self.run);
        match &mut self.cluster {
            Some(cluster) if place - cluster.last <= GAP_PACKETS_MIN => {
                cluster.last = place;
                cluster.lost += 1;
            }
            Some(_) | None => {
                self.end_cluster();
                self.cluster = Some(Cluster { first: place, last: place, lost: 1 });
            }
        }
    }

    /// A lone loss is part of the gap.
    fn end_cluster(&mut self) {
        if let Some(burst) = self.cluster.take().filter(|cluster| cluster.lost > 1) {
            self.pattern.bursts += 1;
            self.pattern.burst_packets += burst.last - burst.first + 1;
            self.pattern.burst_lost += burst.lost;
        }
    }

    /// As if nothing more came of this source.
    fn decide_all(mut self) -> Losses {
        for behind in (0..WINDOW).rev() {
            if let Some(place) = self.newest.checked_sub(behind).filter(|place| *place >= self.first && *place > 0) {
                self.decide(place, self.came & (1 << behind) != 0);
            }
        }
        self.end_cluster();
        self.run = 0;
        self
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What comes of these places, in this order.
    fn of(places: impl IntoIterator<Item = i32>) -> Pattern {
        let (mut losses, mut newest) = (Losses::default(), None);
        for place in places {
            match newest {
                None => losses.restart(),
                Some(newest) => losses.take(place - newest),
            }
            newest = Some(newest.map_or(place, |newest: i32| newest.max(place)));
        }
        losses.pattern()
    }

    #[test]
    fn all_that_come_in_order_are_neither_lost_nor_moved() {
        assert_eq!(of(0..1000), Pattern { decided: 1000, ..Pattern::default() });
    }

    #[test]
    fn losses_close_together_are_a_burst_and_a_lone_one_is_not() {
        // 100 alone; 200, 201 and 210 together; 227 sixteen packets behind them, so a burst with none.
        let lost = [100, 200, 201, 210, 227];
        let pattern = of((0..400).filter(|place| !lost.contains(place)));
        assert_eq!((pattern.decided, pattern.lost, pattern.runs, pattern.run_longest), (400, 5, 4, 2));
        assert_eq!((pattern.bursts, pattern.burst_packets, pattern.burst_lost), (1, 11, 3));
        assert!((pattern.burst_loss() - 3.0 / 11.0).abs() < 1e-9 && (pattern.gap_loss() - 2.0 / 389.0).abs() < 1e-9);
        assert!((pattern.burst_ratio() - 1.25 * (395.0 / 400.0)).abs() < 1e-9);
    }

    #[test]
    fn what_comes_behind_a_later_one_or_twice_is_counted_as_that_and_not_as_lost() {
        let pattern = of([0, 1, 3, 2, 4, 4, 3, 5]);
        let expected = Pattern { decided: 6, repeated: 2, reordered: 1, ..Pattern::default() };
        assert_eq!(pattern, expected);
    }

    #[test]
    fn one_that_comes_before_the_first_makes_no_loss() {
        assert_eq!(of([10, 9, 11]), Pattern { decided: 3, reordered: 1, ..Pattern::default() });
    }

    #[test]
    fn a_source_that_starts_again_keeps_the_losses_before_and_adds_none() {
        let mut losses = Losses::default();
        losses.restart();
        losses.take(3);
        losses.restart();
        losses.take(1);
        let pattern = losses.pattern();
        assert_eq!((pattern.decided, pattern.lost, pattern.run_longest), (6, 2, 2));
    }

    proptest! {
        #[test]
        fn whatever_is_lost_is_found_however_the_rest_is_shuffled(
            lost in proptest::collection::btree_set(1..499i32, 0..60), swaps in proptest::collection::vec(1..480usize, 0..40)
        ) {
            let mut places: Vec<i32> = (0..500).filter(|place| !lost.contains(place)).collect();
            for swap in swaps {
                if swap + 1 < places.len() && swap > 0 {
                    places.swap(swap, swap + 1);
                }
            }
            let newest_came = places.iter().max() == Some(&499);
            let pattern = of(places);
            prop_assert!(newest_came);
            prop_assert_eq!((pattern.decided, pattern.lost, pattern.repeated), (500, lost.len() as u64, 0));
            prop_assert!(pattern.burst_lost <= pattern.lost && pattern.burst_packets <= pattern.decided);
        }

        #[test]
        fn no_order_of_packets_panics(aheads in proptest::collection::vec(-70_000..3_000i32, 0..200)) {
            let mut losses = Losses::default();
            for ahead in aheads {
                if ahead % 97 == 0 { losses.restart() } else { losses.take(ahead) }
                let pattern = losses.pattern();
                prop_assert!(pattern.lost <= pattern.decided);
            }
        }
    }
}
