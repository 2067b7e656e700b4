//! Persons, not calls: whose wait is kept for their next call, and whom nobody has served yet.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use super::life::{Call, State};
use crate::model::person::{CALL_BACKS_MAX, CallBack, Closed, ClosedBy, KeptWait, SeenAgain};
use crate::model::{
    AbandonedCaller, CallId, CallRecord, Caller, CallerRules, E164, Fact, Now, Person, RegulatorId, Utc,
};

/// Waits kept at once: everybody who hangs up within the longest window of the busiest day of the whole network.
pub const KEPT_MAX: usize = 50_000;

/// Tasks open at once; beyond it nobody works through the list, and the oldest is closed as expired.
pub const TASKS_MAX: usize = 20_000;

/// How long a task stays open after the person was last heard of: whoever needed help found it or not by then.
pub const TASK_DURATION_MAX: Duration = Duration::from_secs(7 * 86_400);

/// How a caller parted unserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parting {
    /// The wait, with what was kept from earlier calls.
    pub wait: Duration,
    /// Whether it is a task when the wait was long enough; not after an answer, when only the connection broke.
    pub makes_task: bool,
    /// The person was promised a call: a task however short the wait was.
    pub is_promised: bool,
}

/// Everybody who may come back and everybody who is owed a call.
#[derive(Debug)]
pub struct Persons {
    rules: CallerRules,
    kept: HashMap<E164, KeptWait>,
    /// When each kept wait ends.
    ends: BTreeSet<(Utc, E164)>,
    /// The open ones, the oldest first.
    tasks: BTreeMap<CallId, AbandonedCaller>,
    /// The open ones by when their person was last heard of.
    last: BTreeSet<(Utc, CallId)>,
    /// The open tasks of each number.
    numbers: HashMap<E164, Vec<CallId>>,
}

impl Persons {
    /// Nobody yet.
    pub fn new(rules: CallerRules) -> Persons {
        let (kept, ends) = (HashMap::new(), BTreeSet::new());
        Persons { rules, kept, ends, tasks: BTreeMap::new(), last: BTreeSet::new(), numbers: HashMap::new() }
    }

    /// Other rules from now on; what is kept stays.
    pub fn change_rules(&mut self, rules: CallerRules) {
        self.rules = rules;
    }

    /// Takes in what storage remembered over a restart: open tasks, and waits that are still kept.
    pub fn restore(&mut self, remembered: Vec<AbandonedCaller>) {
        for task in remembered {
            if let (Some(number), Some(kept)) = (task.caller.person(), &task.kept) {
                self.keep(number.clone(), kept.clone());
            }
            if task.closed.is_none() {
                self.open(task);
            }
        }
    }

    /// The open tasks, the oldest first.
    pub fn tasks(&self) -> impl Iterator<Item = &AbandonedCaller> {
        self.tasks.values()
    }

    /// How many waits are kept.
    pub fn count_kept(&self) -> usize {
        self.kept.len().max(self.ends.len())
    }

    /// A call came: what its caller brings, and whoever is owed a call was seen again.
    pub fn arrive(&mut self, call: CallId, caller: &Caller, now: Now, out: &mut Vec<Fact>) -> Person {
        self.tidy_up(now, out);
        let Some(number) = caller.person() else { return Person::default() };
        let kept = self.take_kept(number);
        for id in self.numbers.get(number).cloned().unwrap_or_default() {
            if let Some(task) = self.tasks.get_mut(&id) {
                task.seen_again = Some(SeenAgain { at: now.utc, call });
                task.kept = None;
                out.push(Fact::Abandoned(Box::new(task.clone())));
            }
        }
        let Some(kept) = kept else { return Person::default() };
        Person {
            first_call: Some(kept.first_call),
            first_received_at: Some(kept.first_received_at),
            calls_before: kept.calls,
            kept_wait_ms: kept.wait_ms,
            ..Person::default()
        }
    }

    /// A caller is gone unserved.
    pub fn part(&mut self, record: &CallRecord, parting: Parting, now: Now, out: &mut Vec<Fact>) {
        self.tidy_up(now, out);
        let kept = (!self.rules.return_within.is_zero() && !parting.wait.is_zero())
            .then(|| KeptWait::after(record, parting.wait, now.after(self.rules.return_within).utc));
        let person = record.caller.person().cloned();
        if let (Some(number), Some(kept)) = (&person, &kept) {
            self.keep(number.clone(), kept.clone());
        }
        let is_owed = parting.is_promised || parting.wait >= self.rules.abandoned_after;
        let is_task = parting.makes_task && is_owed && !record.person.is_test;
        if !is_task {
            return;
        }
        let kept = kept.filter(|_| person.is_some());
        let made = AbandonedCaller { kept, ..AbandonedCaller::of(record, parting.wait, now.utc) };
        let known = person.as_ref().and_then(|number| self.numbers.get(number)).and_then(|ids| ids.last());
        let task = match known.and_then(|id| self.tasks.get_mut(id)) {
            Some(known) => {
                self.last.remove(&(known.last_at, known.id));
                known.add(made);
                self.last.insert((known.last_at, known.id));
                known.clone()
            }
            None => {
                self.open(made.clone());
                made
            }
        };
        out.push(Fact::Abandoned(Box::new(task)));
        while self.tasks.len() > TASKS_MAX
            && let Some((_, oldest)) = self.last.pop_first()
        {
            self.close(oldest, ClosedBy::Expired, now, out);
        }
    }

    /// Somebody talks with the person: a regulator who answered, or who has called out, or an outside number.
    pub(super) fn served(&mut self, call: &Call, now: Now, out: &mut Vec<Fact>) {
        let record = &call.record;
        let outside = match &call.state {
            State::Talking { leg } => call.leg(*leg).and_then(|leg| leg.dialled.clone()),
            _ => None,
        };
        match (&record.dialled_by, outside) {
            (Some(by), _) => self.dialled(&record.caller.raw, by, true, now, out),
            (None, Some(to)) => self.put_through(record, to, now, out),
            (None, None) => self.serve(record, now, out),
        }
    }

    /// The person talks with an outside number: nobody need call back.
    fn put_through(&mut self, record: &CallRecord, to: String, now: Now, out: &mut Vec<Fact>) {
        let Some(number) = record.caller.person().cloned() else { return };
        self.take_kept(&number);
        for task in self.numbers.get(&number).cloned().unwrap_or_default() {
            self.close(task, ClosedBy::PutThrough { call: record.id, to: to.clone() }, now, out);
        }
    }

    /// The open task of this id.
    pub(super) fn task(&self, id: CallId) -> Option<&AbandonedCaller> {
        self.tasks.get(&id)
    }

    /// A regulator answered: whoever the person is owed nothing any more.
    pub fn serve(&mut self, record: &CallRecord, now: Now, out: &mut Vec<Fact>) {
        let (Some(number), Some(regulator)) = (record.caller.person().cloned(), record.regulator.clone()) else {
            return;
        };
        self.take_kept(&number);
        for task in self.numbers.get(&number).cloned().unwrap_or_default() {
            let by = ClosedBy::Answered { call: record.id, regulator: regulator.clone() };
            self.close(task, by, now, out);
        }
    }

    /// A regulator has dialled this number; whoever is owed a call at it is called back, and served once they talk.
    pub fn dialled(&mut self, number: &str, by: &RegulatorId, reached: bool, now: Now, out: &mut Vec<Fact>) {
        let Some(number) = E164::parse(number) else { return };
        for task in self.numbers.get(&number).cloned().unwrap_or_default() {
            let is_open = self.note(task, CallBack { at: now.utc, by: by.to_string(), reached }, out);
            if reached && is_open {
                self.close(task, ClosedBy::CalledBack { regulator: by.clone() }, now, out);
            }
        }
        if reached {
            self.take_kept(&number);
        }
    }

    /// Notes that somebody calls back. `false`: no such task is open.
    #[must_use]
    pub fn note(&mut self, task: CallId, call_back: CallBack, out: &mut Vec<Fact>) -> bool {
        let Some(task) = self.tasks.get_mut(&task) else { return false };
        // An attempt that then reaches the person is one attempt.
        match task.call_backs.last_mut().filter(|last| call_back.reached && !last.reached && last.by == call_back.by) {
            Some(last) => last.reached = true,
            None => task.call_backs.push(call_back),
        }
        if task.call_backs.len() > CALL_BACKS_MAX {
            task.call_backs.remove(0);
        }
        out.push(Fact::Abandoned(Box::new(task.clone())));
        true
    }

    /// Closes a task. `false`: no such task is open.
    pub fn close(&mut self, task: CallId, by: ClosedBy, now: Now, out: &mut Vec<Fact>) -> bool {
        let Some(mut task) = self.tasks.remove(&task) else { return false };
        self.last.remove(&(task.last_at, task.id));
        if let Some(number) = task.caller.person()
            && let Some(ids) = self.numbers.get_mut(number)
        {
            ids.retain(|id| *id != task.id);
            if ids.is_empty() {
                self.numbers.remove(number);
            }
        }
        if !matches!(by, ClosedBy::Operator { .. } | ClosedBy::Expired) {
            task.kept = None;
        }
        task.closed = Some(Closed { at: now.utc, by });
        out.push(Fact::Abandoned(Box::new(task)));
        true
    }

    fn open(&mut self, task: AbandonedCaller) {
        if let Some(number) = task.caller.person() {
            self.numbers.entry(number.clone()).or_default().push(task.id);
        }
        self.last.insert((task.last_at, task.id));
        self.tasks.insert(task.id, task);
    }

    /// Of two calls of one number the longer wait counts.
    fn keep(&mut self, number: E164, kept: KeptWait) {
        let longer = match self.take_kept(&number) {
            Some(other) if other.wait_ms > kept.wait_ms => KeptWait { until: kept.until.max(other.until), ..other },
            Some(_) | None => kept,
        };
        self.ends.insert((longer.until, number.clone()));
        self.kept.insert(number, longer);
        while self.kept.len() > KEPT_MAX
            && let Some((_, number)) = self.ends.pop_first()
        {
            self.kept.remove(&number);
        }
    }

    fn take_kept(&mut self, number: &E164) -> Option<KeptWait> {
        let kept = self.kept.remove(number)?;
        self.ends.remove(&(kept.until, number.clone()));
        Some(kept)
    }

    /// Forgets waits that came to their end and closes tasks that are of no use any more.
    fn tidy_up(&mut self, now: Now, out: &mut Vec<Fact>) {
        while let Some((until, number)) = self.ends.first().cloned()
            && until < now.utc
        {
            self.ends.remove(&(until, number.clone()));
            self.kept.remove(&number);
        }
        while let Some((last_at, id)) = self.last.first().copied()
            && now.utc.since(last_at) > TASK_DURATION_MAX
        {
            self.last.remove(&(last_at, id));
            self.close(id, ClosedBy::Expired, now, out);
        }
    }
}
