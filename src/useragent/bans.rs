//! Who failed too often: sources and accounts that are banned for a while, longer each time (decision 12).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::centre::BanRules;
use crate::model::{Alarm, BanKind, BanView, Counter, Moment, Now, RegulatorId, Utc};

use super::Effect;
use super::pace::Pace;

/// Sources or accounts whose failures are counted at once, a kind; with more, the one counted for longest is forgotten.
const SUSPECTS_MAX: usize = 8192;
/// Bans remembered at once, those in force and those over; with more, the one that would be forgotten next is lifted.
const RECORDS_MAX: usize = 4096;
/// Addresses remembered because somebody there proved a password; with more, the one seen longest ago is forgotten.
const KNOWN_MAX: usize = 4096;
/// For how long an address is remembered as one of ours: a regulator who works once a week finds the door open.
const KNOWN_FOR: Duration = Duration::from_secs(8 * 86_400);
/// How long after its end a ban makes the next one longer.
const REMEMBERED_FOR: Duration = Duration::from_secs(86_400);
/// A ban doubles at most so often, so that nothing overflows; `duration_max` ends its growth long before.
const DOUBLINGS_MAX: u32 = 20;

/// Whom a ban is on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) enum Who {
    /// Everything from this address.
    Source(IpAddr),
    /// This account, from wherever it has no device registered.
    Account(RegulatorId),
}

/// What somebody did wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// A wrong password or an unknown name, from an address that has shown that it reads what we send there.
    Failure,
    /// What anybody can send under any address: a stranger's request, an unreadable message, a name that nobody has.
    Stray,
}

/// Too much was done wrong.
#[derive(Debug)]
pub(super) struct Charge {
    who: Who,
    reason: &'static str,
    failures: u32,
}

/// The bans and what leads to them.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Bans {
    rules: BanRules,
    failing: Tally,
    straying: Tally,
    records: BTreeMap<Who, Record>,
    /// When each record's ban ends, while it is in force.
    ends: BTreeSet<(Moment, Who)>,
    known: HashMap<IpAddr, Moment>,
    /// How much each account has asked for lately. Only whose password was proved is in it: it is no longer than the
    /// centre's list of regulators.
    paces: BTreeMap<RegulatorId, Pace>,
}

/// Faults by whom, each in a window of its own.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Tally {
    counts: BTreeMap<Who, (Moment, u32)>,
    order: BTreeSet<(Moment, Who)>,
}

/// A ban, in force or over.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Record {
    /// How many bans so far.
    times: u32,
    since: Utc,
    until: Now,
    failures: u32,
    reason: String,
}

impl Tally {
    /// One more; returns how many there were in the window.
    fn add(&mut self, who: &Who, window: Duration, now: Moment) -> u32 {
        if let Some((since, count)) = self.counts.get_mut(who) {
            if now.since(*since) < window {
                *count = count.saturating_add(1);
                return *count;
            }
            self.forget(who);
        }
        while self.counts.len() >= SUSPECTS_MAX {
            let Some((_, oldest)) = self.order.pop_first() else { break };
            self.counts.remove(&oldest);
        }
        self.counts.insert(who.clone(), (now, 1));
        self.order.insert((now, who.clone()));
        1
    }

    fn forget(&mut self, who: &Who) {
        if let Some((since, _)) = self.counts.remove(who) {
            self.order.remove(&(since, who.clone()));
        }
    }
}

impl Bans {
    pub(super) fn new(rules: BanRules) -> Bans {
        Bans {
            rules,
            failing: Tally::default(),
            straying: Tally::default(),
            records: BTreeMap::new(),
            ends: BTreeSet::new(),
            known: HashMap::new(),
            paces: BTreeMap::new(),
        }
    }

    /// Takes the rules in force now.
    pub(super) fn obey(&mut self, rules: BanRules) {
        self.rules = rules;
    }

    /// Whether nothing is taken from this address, or from this account elsewhere than where it is registered.
    pub(super) fn holds(&self, who: &Who, now: Moment) -> bool {
        self.records.get(who).is_some_and(|record| now < record.until.moment)
    }

    /// Whether any ban is in force: the cheap question before [`Bans::holds`].
    pub(super) fn is_idle(&self) -> bool {
        self.ends.is_empty()
    }

    /// Somebody at this address has proved a password.
    pub(super) fn welcome(&mut self, source: IpAddr, now: Moment) {
        let source = source.to_canonical();
        if self.known.len() >= KNOWN_MAX && !self.known.contains_key(&source) {
            let oldest = self.known.iter().min_by_key(|(address, at)| (**at, **address)).map(|(address, _)| *address);
            if let Some(oldest) = oldest {
                self.known.remove(&oldest);
            }
        }
        self.known.insert(source, now);
    }

    /// Whether an account asks for more than `rate_max` a second; nobody is banned for it.
    pub(super) fn is_hasty(&mut self, account: &RegulatorId, rate_max: u32, now: Moment) -> bool {
        !self.paces.entry(account.clone()).or_default().take(rate_max, now)
    }

    /// Counts what a source did wrong; when that is too much, the charge, and its count begins again. Whether it may be
    /// banned at all (no registered device there) is the caller's to know.
    pub(super) fn blame_source(&mut self, source: IpAddr, wrong: Wrong, now: Moment) -> Option<Charge> {
        let source = source.to_canonical();
        if self.rules.never.iter().any(|block| block.contains(source)) {
            return None;
        }
        let is_known = self.known.get(&source).is_some_and(|at| now.since(*at) < KNOWN_FOR);
        let who = Who::Source(source);
        let (failures, limit, reason) = match wrong {
            // Anybody may write one of our addresses onto a datagram: only what proves itself counts against those.
            Wrong::Stray if is_known => return None,
            Wrong::Stray => {
                let count = self.straying.add(&who, self.rules.window, now);
                (count, self.rules.strays_max, "requests of a stranger, unknown names or unreadable messages")
            }
            Wrong::Failure => {
                let count = self.failing.add(&who, self.rules.window, now);
                (count, self.rules.failures_max, "wrong passwords or unknown names")
            }
        };
        (failures >= limit).then(|| self.charge(who, reason, failures))
    }

    fn charge(&mut self, who: Who, reason: &'static str, failures: u32) -> Charge {
        self.failing.forget(&who);
        self.straying.forget(&who);
        Charge { who, reason, failures }
    }

    /// Counts a wrong password against the account that it was for.
    pub(super) fn blame_account(&mut self, account: RegulatorId, now: Now, out: &mut Vec<Effect>) {
        let who = Who::Account(account);
        if self.holds(&who, now.moment) {
            return;
        }
        let failures = self.failing.add(&who, self.rules.window, now.moment);
        if failures >= self.rules.account_failures_max {
            let charge = self.charge(who, "wrong passwords for this account", failures);
            self.ban(charge, now, out);
        }
    }

    /// Bans whoever is charged, longer than the last time.
    pub(super) fn ban(&mut self, charge: Charge, now: Now, out: &mut Vec<Effect>) {
        let Charge { who, reason, failures } = charge;
        self.make_room(&who, now, out);
        let past = self.records.remove(&who);
        if let Some(past) = &past {
            self.ends.remove(&(past.until.moment, who.clone()));
        }
        let is_remembered = |past: &Record| now.moment.since(past.until.moment) < REMEMBERED_FOR;
        let times = past.filter(is_remembered).map_or(0, |past| past.times).saturating_add(1);
        let grown = self.rules.duration.saturating_mul(1 << (times - 1).min(DOUBLINGS_MAX));
        let length = grown.min(self.rules.duration_max.max(self.rules.duration));
        let until = now.after(length);
        let record = Record { times, since: now.utc, until, failures, reason: reason.to_owned() };
        self.ends.insert((until.moment, who.clone()));
        out.push(Effect::Count(Counter::SipBanned));
        let minutes = length.as_secs().div_ceil(60);
        let (whom, cure) = match &who {
            Who::Source(source) => {
                out.push(Effect::Ban { source: *source, until: Some(until.moment) });
                let cure = "if it is your carrier's, write it into `peers`; if a phone's, mend its password and \
                     DELETE /api/v1/sip/bans/ADDRESS";
                (format!("the address {source}"), cure)
            }
            Who::Account(account) => {
                let cure = "its registered phones go on; a new phone of it must wait, or \
                     DELETE /api/v1/sip/bans/ACCOUNT";
                (format!("the account `{account}`"), cure)
            }
        };
        let text = format!("{whom} is banned for {minutes} min after {failures} {reason}: {cure}");
        out.push(Effect::Alarm(Alarm { kind: "sip-ban".to_owned(), call: None, text }));
        self.records.insert(who, record);
    }

    /// What is over for longest goes first, then what would be over next.
    fn make_room(&mut self, for_whom: &Who, now: Now, out: &mut Vec<Effect>) {
        if self.records.len() < RECORDS_MAX || self.records.contains_key(for_whom) {
            return;
        }
        let soonest = self.records.iter().min_by_key(|(_, record)| record.until.moment).map(|(who, _)| who.clone());
        if let Some(soonest) = soonest {
            self.lift(&soonest, now, out);
        }
    }

    /// Ends a ban, and forgets what led to it; `false` when there is none in force.
    pub(super) fn lift(&mut self, who: &Who, now: Now, out: &mut Vec<Effect>) -> bool {
        let held = self.holds(who, now.moment);
        self.failing.forget(who);
        self.straying.forget(who);
        if let Some(record) = self.records.remove(who) {
            self.ends.remove(&(record.until.moment, who.clone()));
        }
        if let Who::Source(source) = who
            && held
        {
            out.push(Effect::Ban { source: *source, until: None });
        }
        held
    }

    /// Ends what is over.
    pub(super) fn tick(&mut self, now: Moment, out: &mut Vec<Effect>) {
        while let Some((at, who)) = self.ends.first().cloned() {
            if at > now {
                return;
            }
            self.ends.pop_first();
            if let Who::Source(source) = who {
                out.push(Effect::Ban { source, until: None });
            }
        }
    }

    /// When the next ban ends.
    pub(super) fn deadline(&self) -> Option<Moment> {
        self.ends.first().map(|(at, _)| *at)
    }

    /// Those in force, the one that ends first at the head.
    pub(super) fn view(&self, now: Moment) -> Vec<BanView> {
        let in_force = self.ends.iter().filter(|(at, _)| *at > now);
        in_force.filter_map(|(_, who)| Some(view(who, self.records.get(who)?))).collect()
    }
}

fn view(who: &Who, record: &Record) -> BanView {
    let (who, kind) = match who {
        Who::Source(source) => (source.to_string(), BanKind::Source),
        Who::Account(account) => (account.to_string(), BanKind::Account),
    };
    BanView {
        who,
        kind,
        reason: record.reason.clone(),
        since: record.since,
        until: record.until.utc,
        failures: record.failures,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRANGER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 7));

    fn rules() -> BanRules {
        BanRules { failures_max: 3, strays_max: 5, account_failures_max: 4, ..BanRules::default() }
    }

    fn at(seconds: u64) -> Now {
        Now { moment: Moment(1), utc: Utc(0) }.after(Duration::from_secs(seconds))
    }

    fn blame(bans: &mut Bans, wrong: Wrong, times: u32, now: Now) -> Vec<Effect> {
        let mut out = Vec::new();
        for _ in 0..times {
            if let Some(charge) = bans.blame_source(STRANGER, wrong, now.moment) {
                bans.ban(charge, now, &mut out);
            }
        }
        out
    }

    fn minutes(bans: &Bans, now: Now) -> Vec<u64> {
        bans.view(now.moment).iter().map(|ban| (ban.until.0 - ban.since.0) as u64 / 60_000_000).collect()
    }

    #[test]
    fn a_ban_begins_with_the_third_failure_ends_by_itself_and_is_told_once() {
        let mut bans = Bans::new(rules());
        assert!(blame(&mut bans, Wrong::Failure, 2, at(0)).is_empty());
        let told = blame(&mut bans, Wrong::Failure, 1, at(1));
        assert!(matches!(told.get(1), Some(Effect::Ban { source: STRANGER, until: Some(_) })), "{told:?}");
        assert_eq!(told.iter().filter(|effect| matches!(effect, Effect::Alarm(_))).count(), 1);
        assert!(bans.holds(&Who::Source(STRANGER), at(600).moment));
        assert_eq!(bans.deadline(), Some(at(601).moment));
        let mut over = Vec::new();
        bans.tick(at(601).moment, &mut over);
        assert_eq!(over, [Effect::Ban { source: STRANGER, until: None }]);
        assert!(!bans.holds(&Who::Source(STRANGER), at(601).moment) && bans.deadline().is_none());
    }

    #[test]
    fn the_next_ban_is_twice_as_long_until_a_day_has_passed() {
        let mut bans = Bans::new(rules());
        let mut now = 0;
        for expected in [10, 20, 40, 80] {
            blame(&mut bans, Wrong::Failure, 3, at(now));
            assert_eq!(minutes(&bans, at(now)), [expected]);
            now += expected * 60;
            bans.tick(at(now).moment, &mut Vec::new());
        }
        blame(&mut bans, Wrong::Failure, 3, at(now + 86_400));
        assert_eq!(minutes(&bans, at(now + 86_400)), [10]);
    }

    #[test]
    fn failures_far_apart_ban_nobody() {
        let mut bans = Bans::new(rules());
        for n in 0..20 {
            assert!(blame(&mut bans, Wrong::Failure, 1, at(n * 200)).is_empty(), "{n}");
        }
    }

    #[test]
    fn what_anybody_can_forge_never_bans_an_address_where_a_password_was_proved() {
        let mut bans = Bans::new(rules());
        bans.welcome(STRANGER, at(0).moment);
        assert!(blame(&mut bans, Wrong::Stray, 1000, at(1)).is_empty());
        assert!(!blame(&mut bans, Wrong::Failure, 3, at(2)).is_empty());
        let mut bans = Bans::new(rules());
        assert!(!blame(&mut bans, Wrong::Stray, 5, at(1)).is_empty());
    }

    #[test]
    fn an_address_on_the_list_is_never_banned() {
        let never = vec![crate::model::centre::AddressBlock::parse("198.51.100.0/24").expect("a block")];
        let mut bans = Bans::new(BanRules { never, ..rules() });
        assert!(blame(&mut bans, Wrong::Failure, 100, at(0)).is_empty());
    }

    #[test]
    fn a_lifted_ban_is_gone_with_what_led_to_it() {
        let mut bans = Bans::new(rules());
        blame(&mut bans, Wrong::Failure, 3, at(0));
        let mut out = Vec::new();
        assert!(bans.lift(&Who::Source(STRANGER), at(1), &mut out));
        assert_eq!(out, [Effect::Ban { source: STRANGER, until: None }]);
        assert!(!bans.lift(&Who::Source(STRANGER), at(1), &mut out));
        assert!(blame(&mut bans, Wrong::Failure, 2, at(2)).is_empty());
    }

    #[test]
    fn no_flood_of_addresses_fills_the_tables() {
        let mut bans = Bans::new(BanRules { strays_max: 1, ..rules() });
        let mut out = Vec::new();
        for n in 0..20_000u32 {
            let now = Now { moment: Moment(u64::from(n)), utc: Utc(i64::from(n)) };
            let source = IpAddr::V4((0x0a00_0000 + n).into());
            bans.blame_source(source, Wrong::Failure, now.moment);
            let charge = bans.blame_source(source, Wrong::Stray, now.moment).expect("one is enough");
            bans.blame_source(source, Wrong::Failure, now.moment);
            bans.ban(charge, now, &mut out);
            bans.welcome(source, now.moment);
        }
        assert!(bans.records.len() <= RECORDS_MAX && bans.ends.len() <= RECORDS_MAX);
        assert!(bans.failing.counts.len() <= SUSPECTS_MAX && bans.failing.order.len() <= SUSPECTS_MAX);
        assert!(bans.known.len() <= KNOWN_MAX);
        let lifted = out.iter().filter(|effect| matches!(effect, Effect::Ban { until: None, .. })).count();
        assert!(lifted >= 20_000 - RECORDS_MAX, "whoever is forgotten is taken again: {lifted}");
    }
}
