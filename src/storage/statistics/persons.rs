//! Persons, not calls: whoever comes back is one, and has waited since the first time.

use std::collections::BTreeMap;

use crate::model::CallId;

use super::tally::{CallSeen, Figures};

/// The persons of one row, each by the first of the calls that belong together.
#[derive(Clone, Debug, Default)]
pub(super) struct Persons {
    /// The shortest wait after which a regulator answered, which is that of the first answer; `None`: not yet.
    answered: BTreeMap<CallId, Option<u64>>,
}

impl Persons {
    pub(super) fn add(&mut self, call: &CallSeen) {
        let person = call.first_call.or(call.callback_of).unwrap_or(call.id);
        let wait = call.is_answered.then(|| call.wait_ms.unwrap_or_default().saturating_add(call.kept_wait_ms));
        let known = self.answered.entry(person).or_default();
        *known = known.iter().chain(&wait).min().copied();
    }

    pub(super) fn count(&self, figures: &mut Figures) {
        let within = |limit: u64| self.answered.values().flatten().filter(|wait| **wait <= limit).count() as u64;
        figures.persons = self.answered.len() as u64;
        figures.persons_answered = within(u64::MAX);
        figures.persons_answered_within_15s = within(15_000);
        figures.persons_answered_within_30s = within(30_000);
        figures.persons_answered_within_60s = within(60_000);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Outcome, Utc};

    fn call(id: u128, first: Option<u128>, (wait_ms, kept_wait_ms): (u64, u64), is_answered: bool) -> CallSeen {
        let id_of = |id: u128| CallId(uuid::Uuid::from_u128(id));
        CallSeen {
            id: id_of(id),
            received_at: Utc(0),
            is_answered,
            ended_at: None,
            line: "rouen".into(),
            association: "sos-rouen".into(),
            region: "rouen".into(),
            skills: Vec::new(),
            outcome: Some(if is_answered { Outcome::Answered } else { Outcome::Abandoned }),
            wait_ms: Some(wait_ms),
            callback_of: None,
            first_call: first.map(id_of),
            kept_wait_ms,
        }
    }

    #[test]
    fn who_comes_back_is_one_person_whose_wait_is_that_of_all_calls_together() {
        let mut persons = Persons::default();
        // 20 s, then 12 s more: 12 s of wait for the call, 32 s for the person.
        persons.add(&call(1, None, (20_000, 0), false));
        persons.add(&call(2, Some(1), (12_000, 20_000), true));
        // Cut off in conversation and back again: answered at first after 5 s.
        persons.add(&call(3, None, (5_000, 0), true));
        persons.add(&call(4, Some(3), (50_000, 5_000), true));
        // Somebody who gave up.
        persons.add(&call(5, None, (90_000, 0), false));
        let mut figures = Figures::default();
        persons.count(&mut figures);
        assert_eq!((figures.persons, figures.persons_answered), (3, 2));
        let within = [
            figures.persons_answered_within_15s,
            figures.persons_answered_within_30s,
            figures.persons_answered_within_60s,
        ];
        assert_eq!(within, [1, 1, 2]);
    }
}
