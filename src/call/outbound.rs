//! Outside numbers that regulators dial: what their role allows, how often, and what of it looks like toll fraud.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::consult::Partner;
use super::signal::Unserved;
use super::switch::{Order, Switch};
use crate::model::outbound::{CALLS_PER_HOUR_MAX, FraudRules, OutboundPolicy};
use crate::model::{Alarm, Centre, E164, Moment, Now, Redacted, RegulatorId, RegulatorState, TrunkId};

/// What a role's `calls_per_hour` looks back on.
const HOUR: Duration = Duration::from_secs(3600);

/// What was dialled lately.
#[derive(Debug, Default)]
pub struct Outward {
    /// By everybody of the configuration who dialled outside; so it is bounded.
    people: BTreeMap<RegulatorId, Recent>,
    /// By all together.
    all: Times,
    /// When it was last told that all together dial too much.
    told: Option<Moment>,
}

/// What one person dialled lately.
#[derive(Debug, Default)]
struct Recent {
    placed: Times,
    refused: Times,
    abroad: Times,
    /// When each pattern was last told.
    told: BTreeMap<Pattern, Moment>,
}

/// Moments within a window, the oldest first; no more of them than any rule counts to.
#[derive(Debug, Default)]
struct Times(VecDeque<Moment>);

/// The most moments kept of one kind: more than any rule counts to.
const TIMES_MAX: usize = 10_000;

/// What looks like toll fraud.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Pattern {
    Refused,
    Abroad,
}

/// Why a number may not be dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    Number,
    Hour,
    Rate,
}

impl Times {
    /// Adds one, and how many there are now within the window.
    fn add(&mut self, now: Moment, window: Duration) -> u32 {
        self.0.push_back(now);
        if self.0.len() > TIMES_MAX {
            self.0.pop_front();
        }
        self.count(now, window)
    }

    fn count(&mut self, now: Moment, window: Duration) -> u32 {
        while self.0.front().is_some_and(|at| now.since(*at) > window) {
            self.0.pop_front();
        }
        self.0.len() as u32
    }
}

impl Switch {
    /// Who is meant by what a regulator dials, when that may be dialled now.
    pub(super) fn partner_for(
        &mut self,
        by: &RegulatorId,
        text: &str,
        now: Now,
        out: &mut Vec<Order>,
    ) -> Result<Partner, Unserved> {
        let found = self.find_partner(text);
        let refused = match &found {
            Ok(Partner::Regulator { .. }) => return found,
            Ok(Partner::Number { trunk, number }) => {
                let verdict = self.outward.weigh(&self.centre, (by, trunk, number), now);
                verdict.err().map(|why| if why == Refusal::Rate { Unserved::Overloaded } else { Unserved::Forbidden })
            }
            // A number that no trunk may dial is as good a sign of fraud; a name that nobody has is a slip.
            Err(why) => Some(*why).filter(|_| is_number(text)),
        };
        let alarm = match (&found, &refused) {
            (_, Some(_)) => self.outward.note_refused(by, text, &self.centre.outbound.fraud, now.moment),
            (Ok(Partner::Number { trunk, number }), None) => {
                self.outward.note_placed(&self.centre, (by, trunk, number), now.moment)
            }
            (Ok(Partner::Regulator { .. }) | Err(_), None) => None,
        };
        out.extend(alarm.map(|text| Order::Alarm(Alarm { kind: "toll-fraud".into(), call: None, text })));
        refused.map_or(found, Err)
    }

    /// The number that whoever is called back sees: that of the association whose caller the regulator talks with, else
    /// of the regulator's own.
    pub(super) fn number_shown(&self, by: &RegulatorId) -> Option<E164> {
        let talked = match self.room.state_of(by) {
            Some(RegulatorState::Talking { call }) => self.calls.get(call).map(|call| &call.record.association),
            Some(_) | None => None,
        };
        let own = self.centre.regulators.get(by).map(|person| &person.association);
        let shown = |association: &_| self.centre.associations.get(association)?.number_shown.clone();
        talked.and_then(shown).or_else(|| own.and_then(shown))
    }
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or(text);
    digits.len() >= 2 && digits.bytes().all(|b| b.is_ascii_digit())
}

/// Whether a number begins with this: a short one only with a short beginning.
fn begins(number: &str, prefix: &str) -> bool {
    number.starts_with('+') == prefix.starts_with('+') && number.starts_with(prefix)
}

/// Emergency numbers are these and no longer ones.
fn is_always_allowed(centre: &Centre, number: &str) -> bool {
    centre.outbound.always.iter().any(|one| if one.starts_with('+') { begins(number, one) } else { number == one })
}

impl OutboundPolicy {
    fn allows(&self, number: &str) -> bool {
        let any = |prefixes: &[String]| prefixes.iter().any(|prefix| begins(number, prefix));
        (self.prefixes.is_empty() || any(&self.prefixes)) && !any(&self.except)
    }
}

impl Outward {
    fn weigh(
        &mut self,
        centre: &Centre,
        (by, _, number): (&RegulatorId, &TrunkId, &str),
        now: Now,
    ) -> Result<(), Refusal> {
        if is_always_allowed(centre, number) {
            return Ok(());
        }
        let role = centre.regulators.get(by).map(|person| person.terms.role.as_str());
        let Some(policy) = role.and_then(|role| centre.outbound.roles.get(role)) else { return Ok(()) };
        if !policy.allows(number) {
            return Err(Refusal::Number);
        }
        let local = now.utc.timestamp().to_zoned(centre.zone.clone()).datetime();
        if policy.hours.as_ref().is_some_and(|hours| !hours.contains(local)) {
            return Err(Refusal::Hour);
        }
        let placed = self.people.entry(by.clone()).or_default().placed.count(now.moment, HOUR);
        if placed >= policy.calls_per_hour.min(CALLS_PER_HOUR_MAX) { Err(Refusal::Rate) } else { Ok(()) }
    }

    fn note_placed(
        &mut self,
        centre: &Centre,
        (by, trunk, number): (&RegulatorId, &TrunkId, &str),
        now: Moment,
    ) -> Option<String> {
        let rules = centre.outbound.fraud;
        if is_always_allowed(centre, number) {
            return None;
        }
        let recent = self.people.entry(by.clone()).or_default();
        recent.placed.add(now, HOUR);
        let home = centre.trunks.get(trunk).map_or_else(String::new, |trunk| format!("+{}", trunk.numbers.country));
        let is_abroad = number.starts_with('+') && !number.starts_with(&home);
        let abroad = if is_abroad { recent.abroad.add(now, rules.window) } else { 0 };
        let all = self.all.add(now, rules.window);
        if abroad >= rules.abroad_max && recent.is_news(Pattern::Abroad, &rules, now) {
            return Some(tell(by, abroad, "numbers abroad", number, &rules));
        }
        let is_news = self.told.is_none_or(|told| now.since(told) > rules.window);
        if all < rules.calls_max || !is_news {
            return None;
        }
        self.told = Some(now);
        Some(format!(
            "All regulators together dialled {all} outside numbers within {} min. If that is not an exceptional day, \
             an account may be in foreign hands: look at GET /api/v1/regulators, change passwords (`vigie password ID`).",
            rules.window.as_secs().div_ceil(60)
        ))
    }

    fn note_refused(&mut self, by: &RegulatorId, number: &str, rules: &FraudRules, now: Moment) -> Option<String> {
        let recent = self.people.entry(by.clone()).or_default();
        let refused = recent.refused.add(now, rules.window);
        let is_told = refused >= rules.refused_max && recent.is_news(Pattern::Refused, rules, now);
        is_told.then(|| tell(by, refused, "numbers that may not be dialled", number, rules))
    }
}

impl Recent {
    /// Once a window is enough.
    fn is_news(&mut self, pattern: Pattern, rules: &FraudRules, now: Moment) -> bool {
        let is_news = self.told.get(&pattern).is_none_or(|told| now.since(*told) > rules.window);
        if is_news {
            self.told.insert(pattern, now);
        }
        is_news
    }
}

fn tell(by: &RegulatorId, count: u32, what: &str, number: &str, rules: &FraudRules) -> String {
    format!(
        "{by} dialled {count} {what} within {} min, the last beginning with {}. Ask {by}; if it was somebody else, \
         change the password (`vigie password {by}`) and log the phones out (POST /api/v1/regulators/{by}/log-out).",
        rules.window.as_secs().div_ceil(60),
        Redacted(number)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Utc;
    use crate::model::centre::WeeklyHours;
    use crate::routing::sample;

    /// A centre whose regulators may dial France but not its premium numbers, on Sundays, thrice an hour.
    fn centre() -> Centre {
        let mut centre = sample::centre(vec![sample::regulator("anne", &[], &[])], Vec::new());
        let midnight = jiff::civil::Time::midnight();
        let hours = Some(WeeklyHours { spans: vec![(jiff::civil::Weekday::Sunday, midnight, midnight)] });
        let (prefixes, except) = (vec!["+33".to_owned(), "30".to_owned()], vec!["+338".to_owned()]);
        let policy = OutboundPolicy { prefixes, except, hours, calls_per_hour: 3 };
        centre.outbound.roles.insert("regulator".to_owned(), policy);
        centre.trunks.insert("carrier".into(), sample::trunk("line"));
        centre
    }

    /// 2026-11-22 is a Sunday.
    fn sunday(minutes: u64) -> Now {
        let noon: jiff::Timestamp = "2026-11-22T12:00:00Z".parse().expect("a time");
        Now { moment: Moment(0), utc: Utc(noon.as_microsecond()) }.after(Duration::from_secs(minutes * 60))
    }

    fn dial(outward: &mut Outward, centre: &Centre, number: &str, now: Now) -> (Result<(), Refusal>, Option<String>) {
        let (by, trunk) = ("anne".into(), "carrier".into());
        let asked = (&by, &trunk, number);
        let verdict = outward.weigh(centre, asked, now);
        let alarm = match verdict {
            Ok(()) => outward.note_placed(centre, asked, now.moment),
            Err(_) => outward.note_refused(&by, number, &centre.outbound.fraud, now.moment),
        };
        (verdict, alarm)
    }

    #[test]
    fn a_role_dials_what_its_policy_names_at_its_hours_and_so_often() {
        let (centre, mut outward) = (centre(), Outward::default());
        let mut weigh = |number: &str, minutes| dial(&mut outward, &centre, number, sunday(minutes)).0;
        assert_eq!(weigh("+33612345678", 0), Ok(()));
        assert_eq!(weigh("3010", 0), Ok(()));
        for number in ["+33899123456", "+441632960960", "118", "+3"] {
            assert_eq!(weigh(number, 0), Err(Refusal::Number), "{number}");
        }
        assert_eq!(weigh("+33612345678", 24 * 60), Err(Refusal::Hour), "on a Monday");
        assert_eq!(weigh("+33612345679", 30), Ok(()));
        assert_eq!(weigh("+33612345678", 59), Err(Refusal::Rate), "the fourth within an hour");
        assert_eq!(weigh("+33612345678", 61), Ok(()));
        // The SAMU is never out of reach.
        for minutes in [59, 24 * 60] {
            assert_eq!(weigh("15", minutes), Ok(()));
        }
        assert_eq!(weigh("1555", 0), Err(Refusal::Number), "an emergency number is no beginning");
    }

    #[test]
    fn numbers_refused_and_numbers_abroad_are_told_as_fraud_once_a_window() {
        let (mut centre, mut outward) = (centre(), Outward::default());
        let told: Vec<bool> =
            (0..12).map(|n| dial(&mut outward, &centre, "+33899123456", sunday(n)).1.is_some()).collect();
        let expected: Vec<bool> = (0..12).map(|n| n == 4).collect();
        assert_eq!(told, expected, "five within ten minutes, and then silence for ten minutes");

        centre.outbound.roles.clear();
        let mut outward = Outward::default();
        let alarms: Vec<String> =
            (0..20).filter_map(|n| dial(&mut outward, &centre, "+441632960960", sunday(n / 4)).1).collect();
        assert_eq!(alarms.len(), 1);
        assert!(alarms[0].contains("anne dialled 5 numbers abroad within 10 min") && !alarms[0].contains("960960"));
        let home = (0..20).any(|_| dial(&mut Outward::default(), &centre, "+33612345678", sunday(0)).1.is_some());
        assert!(!home, "numbers of the trunk's own country are none abroad");
    }
}
