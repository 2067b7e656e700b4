//! Whether sound goes both ways: whose far end sends nothing while the other side speaks, or hears nothing of ours.

use std::time::Duration;

use super::leg::Leg;
use super::tally::{Tally, count};
use crate::model::{Direction, MediaReport, Moment, OneWay};

/// So long one side may speak to another that sends nothing: within 5 s somebody knows, and no phone takes so long to begin.
const ONE_WAY_AFTER: Duration = Duration::from_secs(4);
/// The same after comfort noise (RFC 3389): a phone that stops sending in pauses says so by that, and then sends nothing for
/// as long as its user is silent.
const ONE_WAY_AFTER_NOISE: Duration = Duration::from_secs(20);
/// A side from which nothing came for this long does not speak now.
const SPEAKS_WITHIN: Duration = Duration::from_secs(1);
/// Packets sent between two reports of a far end, of which at least one must have arrived there: two seconds' worth, so
/// that a report which was under way when sound began accuses nobody.
const PACKETS_UNHEARD_MIN: u64 = 100;

/// What is known of a leg's two directions.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Listening {
    /// Since when both sides may send, by the newest SDP.
    open_since: Option<Moment>,
    /// Since when it has been bridged.
    bridged_since: Option<Moment>,
    /// When something came last, and since when without a pause.
    spoke: Option<Spoke>,
    reports: Reports,
    state: State,
    times: u32,
    total: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Spoke {
    since: Moment,
    last: Moment,
    /// The last one was comfort noise.
    noise: bool,
}

/// What the far end's RTCP says that it hears.
#[derive(Clone, Copy, Debug, Default)]
struct Reports {
    highest: Option<u32>,
    /// What we had sent when the report before came.
    sent: u64,
    hears_nothing: bool,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    BothWays,
    OneWay {
        way: OneWay,
        since: Moment,
    },
}

impl Listening {
    /// Takes who may send from now on.
    pub(super) fn aim_at(&mut self, direction: Direction, now: Moment) {
        match direction {
            Direction::Both => {
                self.open_since.get_or_insert(now);
            }
            Direction::SendOnly | Direction::ReceiveOnly | Direction::Inactive => {
                self.open_since = None;
                self.reports = Reports::default();
            }
        }
    }

    /// Something of the far end's came.
    pub(super) fn take(&mut self, noise: bool, now: Moment) {
        self.spoke = Some(match self.spoke {
            Some(spoke) if now.since(spoke.last) <= SPEAKS_WITHIN => Spoke { last: now, noise, ..spoke },
            Some(_) | None => Spoke { since: now, last: now, noise },
        });
    }

    /// Takes the highest sequence of ours that the far end's report names, if any, when `sent` packets were sent.
    pub(super) fn take_report(&mut self, highest: Option<u32>, sent: u64) {
        let is_telling = sent.saturating_sub(self.reports.sent) >= PACKETS_UNHEARD_MIN;
        let hears = highest.is_some() && highest != self.reports.highest;
        let hears_nothing = !hears && (is_telling || self.reports.hears_nothing);
        // What was sent goes on being counted over reports that come too soon to tell.
        let sent = if hears || is_telling { sent } else { self.reports.sent };
        self.reports = Reports { highest: highest.or(self.reports.highest), sent, hears_nothing };
    }

    /// In which way sound goes one way only now.
    pub(super) fn one_way(&self) -> Option<OneWay> {
        match self.state {
            State::BothWays => None,
            State::OneWay { way, .. } => Some(way),
        }
    }

    /// Times that sound went one way only.
    pub(super) fn times(&self) -> u32 {
        self.times
    }

    /// How long in all.
    pub(super) fn total(&self, now: Moment) -> Duration {
        match self.state {
            State::BothWays => self.total,
            State::OneWay { since, .. } => self.total + now.since(since),
        }
    }

    /// Looks again; what has changed, and whether it is over. `other` is the listening of the leg that it is bridged to.
    fn look(&mut self, other: Option<&Listening>, now: Moment) -> Option<(OneWay, bool)> {
        match other {
            Some(_) => {
                self.bridged_since.get_or_insert(now);
            }
            None => self.bridged_since = None,
        }
        let found = if other.is_some_and(|other| self.sends_nothing_to(other, now)) {
            Some(OneWay::SendsNothing)
        } else if self.open_since.is_some() && self.reports.hears_nothing {
            Some(OneWay::HearsNothing)
        } else {
            None
        };
        match (self.state, found) {
            (State::BothWays, None) | (State::OneWay { .. }, Some(_)) => None,
            (State::BothWays, Some(way)) => {
                self.state = State::OneWay { way, since: now };
                self.times = self.times.saturating_add(1);
                Some((way, false))
            }
            (State::OneWay { way, since }, None) => {
                self.state = State::BothWays;
                self.total += now.since(since);
                Some((way, true))
            }
        }
    }

    /// Nothing came for too long from a side that may send, while the other one may and does.
    fn sends_nothing_to(&self, other: &Listening, now: Moment) -> bool {
        let Some(spoken) = other.spoke.filter(|spoke| now.since(spoke.last) <= SPEAKS_WITHIN) else { return false };
        let (Some(open), Some(bridged), Some(other_open)) = (self.open_since, self.bridged_since, other.open_since)
        else {
            return false;
        };
        let since = [open, bridged, other_open, spoken.since].into_iter().max().unwrap_or(now);
        let since = self.spoke.map_or(since, |spoke| spoke.last.max(since));
        let patience = if self.spoke.is_some_and(|spoke| spoke.noise) { ONE_WAY_AFTER_NOISE } else { ONE_WAY_AFTER };
        now.since(since) >= patience
    }
}

/// Looks at each leg; what has changed is counted and reported.
pub(super) fn look_after(legs: &mut [Option<Box<Leg>>], tally: &Tally, report: &impl Fn(MediaReport), now: Moment) {
    for place in 0..legs.len() {
        let other = other_side(legs, place);
        let Some(leg) = legs.get_mut(place).and_then(Option::as_mut) else { continue };
        if let Some((way, is_over)) = leg.listening.look(other.as_ref(), now) {
            count(if is_over { &tally.one_way_ended } else { &tally.one_way_began });
            leg.show_soon(now);
            report(MediaReport::OneWay { leg: leg.id, way, is_over });
        }
    }
}

/// What is known of whom the leg at `place` talks with: the leg that it is bridged to, or in a mix, of those who hear it and
/// whom it hears, the one who spoke last.
fn other_side(legs: &[Option<Box<Leg>>], place: usize) -> Option<Listening> {
    let at = |place: usize| legs.get(place)?.as_deref();
    let leg = at(place)?;
    if let Some(peer) = leg.peer {
        return at(peer).map(|peer| peer.listening);
    }
    let heard = leg.mix.as_ref()?.hears.places().filter_map(at);
    let both_ways = heard.filter(|other| other.mix.as_ref().is_some_and(|mix| mix.hears.contains(place)));
    both_ways.map(|other| other.listening).max_by_key(|other| other.spoke.map(|spoke| spoke.last))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two bridged legs, looked at each 100 ms; `speaks` says who sends in which tenth of a second.
    fn run(legs: &mut [Listening; 2], tenths: std::ops::Range<u64>, speaks: impl Fn(u64) -> [bool; 2]) -> Vec<Told> {
        let mut told = Vec::new();
        for tenth in tenths {
            let now = Moment(tenth * 100_000);
            for (leg, speaks) in legs.iter_mut().zip(speaks(tenth)) {
                if speaks {
                    leg.take(false, now);
                }
            }
            let before = *legs;
            for (place, leg) in legs.iter_mut().enumerate() {
                if let Some((way, is_over)) = leg.look(before.get(1 - place), now) {
                    told.push((tenth, place, way, is_over));
                }
            }
        }
        told
    }

    type Told = (u64, usize, OneWay, bool);

    fn legs() -> [Listening; 2] {
        let mut leg = Listening::default();
        leg.aim_at(Direction::Both, Moment(0));
        [leg; 2]
    }

    #[test]
    fn a_side_that_never_sends_is_noticed_within_five_seconds_and_told_once_until_it_does() {
        let mut legs = legs();
        let told = run(&mut legs, 0..200, |tenth| [true, tenth >= 100]);
        assert_eq!(told, [(40, 1, OneWay::SendsNothing, false), (100, 1, OneWay::SendsNothing, true)]);
        assert_eq!((legs[1].times(), legs[1].total(Moment(0))), (1, Duration::from_secs(6)));
        assert_eq!(legs[0].times(), 0);
    }

    #[test]
    fn a_side_that_falls_silent_in_mid_call_is_noticed_and_again_the_second_time() {
        let mut legs = legs();
        let told = run(&mut legs, 0..300, |tenth| [!(100..150).contains(&tenth) && tenth < 250, true]);
        let begun: Vec<_> = told.iter().filter(|told| !told.3).map(|told| (told.0, told.1)).collect();
        assert_eq!(begun, [(139, 0), (289, 0)]);
        assert_eq!(legs[0].times(), 2);
    }

    #[test]
    fn two_silent_sides_are_no_one_way_and_the_first_to_speak_accuses_nobody_at_once() {
        let told = run(&mut legs(), 0..130, |tenth| [tenth >= 100, false]);
        assert_eq!(told, []);
    }

    #[test]
    fn on_hold_nobody_must_send() {
        for held in [Direction::SendOnly, Direction::ReceiveOnly, Direction::Inactive] {
            for place in 0..2 {
                let mut legs = legs();
                legs[place].aim_at(held, Moment(1));
                assert_eq!(run(&mut legs, 0..200, |_| [true, false]), []);
                legs[place].aim_at(Direction::Both, Moment(20_000_000));
                assert_eq!(run(&mut legs, 200..300, |_| [true, false]).len(), 1);
            }
        }
    }

    #[test]
    fn after_comfort_noise_silence_is_the_user_s() {
        let mut legs = legs();
        legs[1].take(true, Moment(0));
        let told = run(&mut legs, 0..250, |_| [true, false]);
        assert_eq!(told, [(200, 1, OneWay::SendsNothing, false)]);
    }

    #[test]
    fn a_far_end_whose_reports_stand_still_or_do_not_name_us_hears_nothing() {
        for (first, second) in [(None, None), (Some(7), Some(7))] {
            let mut leg = legs()[0];
            leg.take_report(first, 0);
            leg.take_report(second, 99);
            assert_eq!(leg.look(None, Moment(1)), None, "too little was sent");
            leg.take_report(second, 250);
            assert_eq!(leg.look(None, Moment(2)), Some((OneWay::HearsNothing, false)));
            leg.take_report(second, 251);
            assert_eq!(leg.look(None, Moment(3)), None);
            leg.take_report(Some(8), 252);
            assert_eq!(leg.look(None, Moment(4)), Some((OneWay::HearsNothing, true)));
        }
    }
}
