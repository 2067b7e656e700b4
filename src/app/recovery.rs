//! What a start does about calls that a killed run left behind: their audio is sealed, their records are ended and told.

use std::collections::HashSet;
use std::time::Duration;

use super::AppError;
use crate::clock;
use crate::model::centre::RecordingPolicy;
use crate::model::person::KeptWait;
use crate::model::{
    AbandonedCaller, CallId, CallRecord, CallerRules, Chance, EndedBy, Event, EventId, EventKind, Fact, OfferEnd,
    Outcome, SealedRecording, Subject, Utc,
};
use crate::recorder;
use crate::storage::{self, Storage, Writer};

/// Seals what was being recorded and ends the records of the calls that were live; how many recordings were finished.
pub async fn finish_what_was_interrupted(
    parts: &recorder::Parts,
    (storage, writer): (&Storage, &Writer),
    rules: CallerRules,
    chance: &mut Chance,
) -> Result<usize, AppError> {
    let open = storage::calls::open_calls(storage).await?;
    let mut sealed = recorder::recover(parts, &open)?;
    sealed.extend(sealed_but_untold(parts, storage).await?);
    let mut tasks = storage::abandoned::open_tasks(storage).await?;
    let recovered: HashSet<CallId> = sealed.iter().map(|recording| recording.call).collect();
    for record in open.into_iter().filter(|record| !recovered.contains(&record.id)) {
        let mut story = Story::resume(storage, record.id).await?;
        if record.stands_in_line() && record.caller.person().is_some() {
            writer.remember(story.keep_in_line(record, chance));
            continue;
        }
        story.leave_task(&record, rules, &mut tasks);
        writer.remember(story.end(record, chance));
    }
    remember_sealed(&sealed, (storage, writer), chance).await?;
    writer.flush().await?;
    if !sealed.is_empty() {
        tracing::warn!(recordings = sealed.len(), "recordings of an interrupted run were finished and sealed");
    }
    Ok(sealed.len())
}

/// Stores and tells recordings that were sealed after their calls were over; those that are known are left.
pub(super) async fn remember_sealed(
    sealed: &[SealedRecording],
    (storage, writer): (&Storage, &Writer),
    chance: &mut Chance,
) -> Result<(), AppError> {
    let mut is_stored = HashSet::new();
    for recording in sealed {
        if is_stored.contains(&recording.call) {
            continue;
        }
        is_stored.insert(recording.call);
        if storage::recordings::one(storage, recording.call).await?.is_some_and(|known| known.seal == recording.seal) {
            // Sealed and told by the killed run, which only had not noted that.
            continue;
        }
        let story = Story::resume(storage, recording.call).await?;
        let known = storage::calls::one(storage, recording.call).await?;
        writer.remember(story.seal(known, recording, chance));
    }
    Ok(())
}

/// Recordings that a killed run had sealed, but whose facts it could not store any more: the seal log knows them, the
/// database knows their calls and not them.
async fn sealed_but_untold(parts: &recorder::Parts, storage: &Storage) -> Result<Vec<SealedRecording>, AppError> {
    let folder = &parts.settings.folder;
    let last = recorder::seal_log::last_calls(folder, &parts.node)
        .map_err(|source| AppError::System { act: "read the end of the seal log", source })?;
    let mut untold = Vec::new();
    for call in last {
        let is_told = storage::recordings::one(storage, call).await?.is_some();
        if is_told || storage::calls::one(storage, call).await?.is_none() {
            continue;
        }
        untold.extend(recorder::sealed_there(folder, call).map_err(recorder::RecorderError::from)?);
    }
    Ok(untold)
}

/// A call's events, continued where the killed run left them.
struct Story {
    call: CallId,
    next: u32,
    at: Utc,
    facts: Vec<Fact>,
}

impl Story {
    async fn resume(storage: &Storage, call: CallId) -> Result<Story, AppError> {
        let next = storage::events::next_sequence(storage, call).await?;
        Ok(Story { call, next, at: clock::utc(), facts: Vec::new() })
    }

    fn tell(&mut self, kind: EventKind, chance: &mut Chance) {
        let event = Event {
            id: EventId::new(self.at, chance),
            subject: Subject::Call(self.call),
            sequence: self.next,
            at: self.at,
            kind,
        };
        self.next += 1;
        self.facts.push(Fact::Event(Box::new(event)));
    }

    fn end(mut self, record: CallRecord, chance: &mut Chance) -> Vec<Fact> {
        let record = self.interrupt(record, chance);
        let is_owed = record.answered_at.is_some() && record.recording == RecordingPolicy::Always;
        self.end_record(record, chance);
        if is_owed {
            let reason = "Vigie was stopped before sound of this call was kept, or what was kept is not sealed yet";
            self.facts.push(Fact::RecordingFailed { call: self.call, at: self.at, reason: reason.to_owned() });
            self.tell(EventKind::RecordingFailed { reason: reason.to_owned() }, chance);
        }
        self.facts
    }

    /// A call-back whose caller was not reached yet stays open: it stands in line again, in its place.
    fn keep_in_line(mut self, mut record: CallRecord, chance: &mut Chance) -> Vec<Fact> {
        self.cancel_offers(&mut record, chance);
        self.facts.push(Fact::Call(Box::new(record)));
        self.facts
    }

    /// The record of a call that was live when Vigie was killed.
    fn interrupt(&mut self, mut record: CallRecord, chance: &mut Chance) -> CallRecord {
        record.ended_at = Some(self.at);
        record.outcome = Some(Outcome::Interrupted);
        record.ended_by = Some(EndedBy::Fault);
        record.detail = Some("Vigie was stopped in mid-call".into());
        self.cancel_offers(&mut record, chance);
        record
    }

    /// What rang then rings no more, and dispatch is told so.
    fn cancel_offers(&mut self, record: &mut CallRecord, chance: &mut Chance) {
        let end = OfferEnd::Cancelled;
        for offer in record.offers.iter_mut().filter(|offer| offer.end.is_none()) {
            offer.end = Some(end);
            offer.ended_at = Some(self.at);
            offer.detail = Some("Vigie was stopped in mid-call".into());
            let (regulator, detail) = (offer.regulator.clone(), offer.detail.clone());
            self.tell(EventKind::CallOfferEnded { offer: offer.number, regulator, end, detail }, chance);
        }
    }

    /// Whoever waited when Vigie was killed is owed a call, one for all of the person's calls, and keeps the wait until
    /// then.
    fn leave_task(&mut self, record: &CallRecord, rules: CallerRules, open: &mut Vec<AbandonedCaller>) {
        let (Some(queued), None, None) = (record.queued_at, record.answered_at, record.wait_ended_at) else { return };
        let kept = Duration::from_millis(record.person.kept_wait_ms);
        // When it was killed nobody knows: counted is the time until now, within bounds.
        let wait = self.at.since(queued).min(rules.return_within.max(rules.abandoned_after)) + kept;
        let is_owed = record.choices.is_call_back_promised || wait >= rules.abandoned_after;
        if !is_owed || record.person.is_test {
            return;
        }
        let until = Utc(self.at.0.saturating_add(rules.return_within.as_micros() as i64));
        let mut task = AbandonedCaller::of(record, wait, self.at);
        task.kept = record
            .caller
            .person()
            .filter(|_| !rules.return_within.is_zero())
            .map(|_| KeptWait::after(record, wait, until));
        let person = record.caller.person();
        let known = open.iter_mut().rev().find(|known| person.is_some() && known.caller.person() == person);
        let task = match known {
            Some(known) => {
                known.add(task);
                known.clone()
            }
            None => {
                open.push(task.clone());
                task
            }
        };
        self.facts.push(Fact::Abandoned(Box::new(task)));
    }

    fn end_record(&mut self, record: CallRecord, chance: &mut Chance) {
        let ended = EventKind::ended(&record);
        self.facts.push(Fact::Call(Box::new(record)));
        self.tell(ended, chance);
    }

    /// The recording is sealed; the call is ended first when the killed run had not done so.
    fn seal(mut self, known: Option<CallRecord>, recording: &SealedRecording, chance: &mut Chance) -> Vec<Fact> {
        let is_ended = known.as_ref().is_some_and(|record| record.ended_at.is_some());
        if !is_ended {
            let record = match known {
                Some(known) => self.interrupt(known, chance),
                None => (*recording.record).clone(),
            };
            let record = CallRecord { ended_at: recording.record.ended_at.or(record.ended_at), ..record };
            self.end_record(record, chance);
        }
        self.facts.push(Fact::Recording(Box::new(recording.clone())));
        self.tell(recording.event(), chance);
        self.facts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::sample::record;

    fn story(call: u128) -> Story {
        let at = Utc(1_795_000_061_000_000);
        Story { call: CallId(uuid::Uuid::from_u128(call)), next: 5, at, facts: Vec::new() }
    }

    /// A call of this number that waited when Vigie was killed, and the task that is left of it.
    fn left(call: u128, caller: &str, open: &mut Vec<AbandonedCaller>) -> Option<AbandonedCaller> {
        let id = CallId(uuid::Uuid::from_u128(call));
        let record = CallRecord { id, regulator: None, ..record(caller, "0233010101", "rouen", "") };
        let mut story = story(call);
        story.leave_task(&record, CallerRules::default(), open);
        story.facts.into_iter().find_map(|fact| match fact {
            Fact::Abandoned(task) => Some(*task),
            _ => None,
        })
    }

    #[test]
    fn a_person_whose_task_is_open_has_one_task_after_a_kill_and_not_two() {
        let mut open = Vec::new();
        let first = left(1, "+33600000001", &mut open).expect("a task");
        let other = left(2, "+33600000002", &mut open).expect("a task");
        assert_ne!(first.id, other.id, "another person's is another");
        let again = left(3, "+33600000001", &mut open).expect("a task");
        assert_eq!((again.id, again.times, again.last_call), (first.id, 2, CallId(uuid::Uuid::from_u128(3))));
        assert_eq!(open.len(), 2);
        // Who cannot be known again is a person each time.
        let nameless = [left(4, "anonymous", &mut open), left(5, "anonymous", &mut open)];
        assert_eq!(nameless.map(|task| task.map(|task| task.times)), [Some(1), Some(1)]);
        assert_eq!(open.len(), 4);
    }

    #[test]
    fn who_was_promised_a_call_when_it_was_killed_is_owed_it_however_short_the_wait_was() {
        let mut record = record("+33600000001", "0233010101", "rouen", "");
        let (mut story, mut open) = (story(1), Vec::new());
        record.queued_at = Some(story.at);
        story.leave_task(&record, CallerRules::default(), &mut open);
        assert!(open.is_empty(), "nobody waited");
        record.choices.is_call_back_promised = true;
        story.leave_task(&record, CallerRules::default(), &mut open);
        assert_eq!(open.len(), 1);
    }

    #[test]
    fn who_talked_with_an_outside_number_when_it_was_killed_is_owed_nothing() {
        let mut record = record("+33600000001", "0233010101", "rouen", "");
        record.wait_ended_at = record.queued_at;
        let (mut story, mut open) = (story(1), Vec::new());
        story.leave_task(&record, CallerRules::default(), &mut open);
        assert!(open.is_empty() && story.facts.is_empty());
    }
}
