//! What regulators may dial, how often, and what of it looks like toll fraud; and when an account is good.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::centre::WeeklyHours;
use super::time::Utc;

/// The role of regulators who have none of their own.
pub const ROLE_USUAL: &str = "regulator";

/// The most outside calls an hour that a role may be allowed: the length of what is remembered of one person.
pub const CALLS_PER_HOUR_MAX: u32 = 1000;

/// Which outside numbers regulators may dial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outbound {
    /// Beginnings of numbers that everybody may dial at any hour and as often as need be: the emergency numbers.
    pub always: Vec<String>,
    /// What each role may dial; a role that is not here may dial whatever a trunk dials.
    pub roles: BTreeMap<String, OutboundPolicy>,
    /// When an alarm is raised.
    pub fraud: FraudRules,
}

/// What the people of one role may dial, within what the trunks dial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboundPolicy {
    /// Numbers begin with one of these; empty: all that the trunks dial.
    pub prefixes: Vec<String>,
    /// But with none of these.
    pub except: Vec<String>,
    /// When; `None` is always.
    pub hours: Option<WeeklyHours>,
    /// At most so many by one person within an hour.
    pub calls_per_hour: u32,
}

/// What looks like toll fraud, counted within a window that slides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FraudRules {
    /// Numbers dialled by one person that the policy or every trunk refuses.
    pub refused_max: u32,
    /// Numbers abroad dialled by one person.
    pub abroad_max: u32,
    /// Outside numbers dialled by all together.
    pub calls_max: u32,
    /// How far back is counted.
    pub window: Duration,
}

impl Default for Outbound {
    fn default() -> Outbound {
        // The emergency numbers of France, and 112; 116117 is the number of out-of-hours care.
        let always = ["15", "17", "18", "112", "114", "115", "116117", "119", "191", "196", "197"];
        let always = always.iter().map(|number| (*number).to_owned()).collect();
        Outbound { always, roles: BTreeMap::new(), fraud: FraudRules::default() }
    }
}

impl Default for FraudRules {
    fn default() -> FraudRules {
        FraudRules { refused_max: 5, abroad_max: 5, calls_max: 200, window: Duration::from_secs(600) }
    }
}

/// A time in which an account is good; an end that is not given is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Period {
    /// From this time on.
    pub from: Option<Utc>,
    /// Before this time.
    pub until: Option<Utc>,
}

/// Whether an account is good at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// It is, and without an end.
    Always,
    /// It is, for so long.
    For(Duration),
    /// It is not.
    Not,
}

impl Period {
    /// Whether it holds this moment.
    pub fn contains(&self, at: Utc) -> bool {
        self.from.is_none_or(|from| from <= at) && self.until.is_none_or(|until| at < until)
    }
}

impl Validity {
    /// What these periods say of this moment: periods that touch or overlap are one. Without any an account is good.
    pub fn of(periods: &[Period], now: Utc) -> Validity {
        if periods.is_empty() {
            return Validity::Always;
        }
        let mut at = now;
        // Each turn passes the end of at least one period, so there are no more turns than periods.
        for _ in 0..=periods.len() {
            let holding = periods.iter().filter(|period| period.contains(at));
            let Some(end) = holding.map(|period| period.until.unwrap_or(Utc(i64::MAX))).max() else { break };
            at = end;
        }
        match at {
            at if at == now => Validity::Not,
            Utc(i64::MAX) => Validity::Always,
            at => Validity::For(at.since(now)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn period(from: Option<i64>, until: Option<i64>) -> Period {
        Period { from: from.map(Utc), until: until.map(Utc) }
    }

    #[test]
    fn an_account_is_good_within_its_periods_and_to_the_end_of_those_that_touch() {
        let weeks = [period(Some(10), Some(20)), period(Some(20), Some(30)), period(Some(40), None)];
        let of = |at| Validity::of(&weeks, Utc(at));
        assert_eq!([of(9), of(30), of(39)], [Validity::Not; 3]);
        assert_eq!(of(10), Validity::For(Duration::from_micros(20)));
        assert_eq!(of(29), Validity::For(Duration::from_micros(1)));
        assert_eq!(of(40), Validity::Always);
        assert_eq!(Validity::of(&[], Utc(0)), Validity::Always);
        assert_eq!(Validity::of(&[period(None, Some(5))], Utc(5)), Validity::Not);
    }
}
