//! Where a choice leads: into the waiting room, to a menu, a number, another line, voicemail, a call-back, the end.

use std::sync::Arc;

use super::decision::{Decision, RoomChange};
use super::forward::IfFailed;
use super::life::{Call, State};
use super::onward::{self, Unmet};
use super::{forward, ivr, messages, opening, steering, voicemail, waiting};
use crate::model::centre::{DemandChange, RecordingPolicy};
use crate::model::media::AfterSounds;
use crate::model::record::KEYS_KEPT_MAX;
use crate::model::{Destination, EventKind, KeyChosen, Line, LineId, Now, OfferEnd, SoundId, Way};
use crate::routing;

/// Who comes back to the waiting room waits for at least so long before the overflow.
const COME_BACK_MIN: std::time::Duration = std::time::Duration::from_secs(30);

/// Follows a way, and keeps in the record which key led there.
pub fn choose(call: &mut Call, key: Option<char>, way: Way, now: Now, out: &mut Vec<Decision>) {
    let menu = match &call.state {
        State::Choosing(choosing) => Some(choosing.menu.clone()),
        _ => call.line.voice.menu.clone().filter(|_| call.state == State::Greeting),
    };
    if call.record.choices.keys.len() < KEYS_KEPT_MAX {
        let chosen = KeyChosen { at: now.utc, menu, key, to: way.to.to_string() };
        call.record.choices.keys.push(chosen);
    }
    follow(call, way, now, out);
}

fn follow(call: &mut Call, way: Way, now: Now, out: &mut Vec<Decision>) {
    let Way { say, change, language, to } = way;
    apply_change(call, &change);
    if let Some(language) = language {
        call.record.language = language;
    }
    match to {
        Destination::Wait if is_waiting(call) => wait_on(call, say, change != DemandChange::default(), out),
        Destination::Wait => wait(call, say, now, out),
        Destination::Menu(menu) => {
            leave_room(call, now, out);
            ivr::begin(call, &menu, say, now, out);
        }
        Destination::Number(number) => forward::begin(call, &number, (say, IfFailed::Wait), now, out),
        Destination::Line(line) => to_line(call, &line, say, now, out),
        Destination::Voicemail => voicemail::begin(call, say, now, out),
        Destination::CallBack if is_waiting(call) => out.push(Decision::Room(RoomChange::AskCallBack)),
        Destination::CallBack => {
            // Asked first: with nobody on duty the wait is over as soon as it has begun, and the wish must be noted by then.
            let mut waiting = Vec::new();
            wait(call, say, now, &mut waiting);
            out.push(Decision::Room(RoomChange::AskCallBack));
            out.append(&mut waiting);
        }
        Destination::HangUp => {
            leave_room(call, now, out);
            ivr::hang_up(call, say, now, out);
        }
    }
}

fn apply_change(call: &mut Call, change: &DemandChange) {
    if *change != DemandChange::default() {
        call.demand = call.demand.changed_by(change);
        ask(call);
    }
}

/// The record says what the call asks now.
fn ask(call: &mut Call) {
    call.record.region = call.demand.region.clone();
    call.record.skills = call.demand.needs.levels();
    call.record.priority = call.demand.priority;
}

/// Whether the call is in the waiting room, offered or not.
pub fn is_waiting(call: &Call) -> bool {
    matches!(call.state, State::Waiting | State::Offering(_))
}

/// The caller leaves the waiting room, and nobody's phone rings for it any more.
pub fn leave_room(call: &mut Call, now: Now, out: &mut Vec<Decision>) {
    if matches!(call.state, State::Offering(_)) {
        let detail = Some("the caller chose another way".to_owned());
        waiting::end_offer(call, OfferEnd::Cancelled, detail, now, out);
    }
    out.push(Decision::Room(RoomChange::Leave));
}

/// The caller waits: for the first time, or again in the place that it had, with what it needs now.
pub fn wait(call: &mut Call, say: Vec<SoundId>, now: Now, out: &mut Vec<Decision>) {
    play_then_music(call, say, out);
    if call.record.queued_at.is_none() {
        return opening::enter(call, now, out);
    }
    leave_room(call, now, out);
    call.record.wait_ended_at = None;
    call.state = State::Waiting;
    call.waits_until = call.waits_until.max(now.moment + COME_BACK_MIN);
    call.deadline = Some(call.waits_until);
    let queued = EventKind::queued(&call.record, &call.demand.needs);
    call.tell(queued, out);
    opening::record_wait(call, now, out);
    out.push(Decision::Keep);
    out.push(Decision::Room(RoomChange::Enter { since: call.queued }));
}

/// The caller waits already: nothing is lost by a key, and a phone that rings goes on ringing.
fn wait_on(call: &mut Call, say: Vec<SoundId>, needs_else: bool, out: &mut Vec<Decision>) {
    if !say.is_empty() {
        play_then_music(call, say, out);
    }
    if needs_else {
        steering::tell_demand(call, out);
        out.push(Decision::Room(RoomChange::Redemand));
    }
}

/// These sounds, and then the line's music without end.
pub fn play_then_music(call: &Call, say: Vec<SoundId>, out: &mut Vec<Decision>) {
    let sounds = say.into_iter().chain([call.line.music.clone()]).collect();
    call.play(call.caller_leg(), sounds, AfterSounds::RepeatLast, out);
}

/// The call is one of this line from now on: its names, its messages, its longest wait. Who is of this line already has
/// waited on it so far, and goes on doing so.
pub fn change_line(call: &mut Call, line: Arc<Line>, now: Now) {
    if call.line.id == line.id {
        return;
    }
    let association = call.centre.associations.get(&line.association).map(|one| one.name.clone());
    let record = &mut call.record;
    record.names.line = line.name.clone();
    record.names.association = association.unwrap_or_default();
    (record.line, record.association) = (line.id.clone(), line.association.clone());
    call.waits_until = now.moment + line.waiting_max;
    call.line = line;
    messages::begin_anew(call);
}

/// The caller has chosen another line: the call goes on as one of it, and is recorded as it says.
pub fn to_line(call: &mut Call, id: &LineId, say: Vec<SoundId>, now: Now, out: &mut Vec<Decision>) {
    leave_room(call, now, out);
    let Some(line) = call.centre.lines.get(id).cloned() else { return wait(call, say, now, out) };
    call.rule = line.recording_rule(now.utc, &call.centre.zone);
    go_to(call, line, say, now, out);
}

/// A line that cannot serve the caller leads to another: what the first one's law asks for is not undone by whoever
/// helps out.
pub fn led_to_line(call: &mut Call, id: &LineId, say: Vec<SoundId>, now: Now, out: &mut Vec<Decision>) {
    leave_room(call, now, out);
    let Some(line) = call.centre.lines.get(id).cloned() else { return wait(call, say, now, out) };
    let rule = line.recording_rule(now.utc, &call.centre.zone);
    if (call.rule.policy, rule.policy) != (RecordingPolicy::Always, RecordingPolicy::Never) {
        call.rule = rule;
    }
    go_to(call, line, say, now, out);
}

/// With the line's demand; the wait is kept. Who has heard a greeting hears none again.
fn go_to(call: &mut Call, line: Line, say: Vec<SoundId>, now: Now, out: &mut Vec<Decision>) {
    // Who goes first on one line does so on the next.
    call.demand = line.demand.changed_by(&call.listed);
    call.record.language = line.language.clone();
    call.record.recording = call.rule.policy;
    ask(call);
    let is_open = routing::is_open(&call.centre, &line, now);
    change_line(call, Arc::new(line), now);
    if !is_open {
        return onward::lead(call, Unmet::Closed, now, out);
    }
    if opening::greet(call, &say, now, out) {
        return;
    }
    match call.line.voice.menu.clone() {
        Some(menu) => ivr::begin(call, &menu, say, now, out),
        None => wait(call, say, now, out),
    }
}
