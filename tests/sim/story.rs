//! Inputs and actions in a line each, for whoever has to find out what went wrong.

use vigie::model::{Action, EventKind, Fact, Input};

use crate::wire::Text;

/// One input.
pub fn input(input: &Input) -> String {
    match input {
        Input::Sip { path, bytes } => format!("SIP from {}: {}", path.peer, sip(bytes)),
        Input::Cut { path, why } => format!("cut {}: {why}", path.peer),
        Input::Resolved { trunk, .. } => format!("resolved {trunk}"),
        Input::Media(report) => format!("{report:?}"),
        Input::Recorder(report) => cut(&format!("{report:?}")),
        Input::Command { command, .. } => format!("{command:?}"),
        Input::Remembered(_) => "Remembered".to_owned(),
        Input::Tick => "Tick".to_owned(),
    }
}

/// One action.
pub fn action(action: &Action) -> String {
    match action {
        Action::Send { path, bytes } => format!("SIP to {}: {}", path.peer, sip(bytes)),
        Action::Resolve { trunk } => format!("resolve {trunk}"),
        Action::Ban { source, .. } => format!("ban {source}"),
        Action::Media(command) => cut(&format!("{command:?}")),
        Action::Recorder(command) => cut(&format!("{command:?}")),
        Action::Store(facts) => {
            let words: Vec<String> = facts.iter().map(fact).collect();
            format!("Store: {}", words.join("; "))
        }
        Action::Reply { reply, .. } => cut(&format!("{reply:?}")),
        Action::Alarm(alarm) => format!("Alarm {}: {}", alarm.kind, alarm.text),
        Action::Notice(text) => text.clone(),
        Action::Count(counter) => format!("{counter:?}"),
    }
}

fn sip(bytes: &[u8]) -> String {
    match Text::read(bytes) {
        Some(text) => {
            let (number, method) = text.cseq();
            format!("{} ({number} {method}, {}, {})", text.start, text.header("call-id"), text.branch())
        }
        None => cut(&format!("{:?}", String::from_utf8_lossy(bytes))),
    }
}

fn fact(fact: &Fact) -> String {
    match fact {
        Fact::Call(record) => format!("call {} {:?}", record.id, record.outcome),
        Fact::Offer { offer, .. } => format!("offer {} to {} {:?}", offer.number.0, offer.regulator, offer.end),
        Fact::Event(event) => format!("{} #{} {}", event.kind.name(), event.sequence, detail(&event.kind)),
        Fact::Recording(sealed) => format!("recording of {}", sealed.call),
        Fact::RecordingFailed { call, reason, .. } => format!("no recording of {call}: {reason}"),
        Fact::Binding(binding) => format!("binding of {} at {}", binding.regulator, binding.contact),
        Fact::BindingGone { regulator, .. } => format!("binding gone of {regulator}"),
        Fact::Regulator { regulator, state, .. } => format!("{regulator} is {state}"),
        Fact::SipMessage(_) => "ladder".to_owned(),
        Fact::Ordered(order) => format!("order {}", order.key()),
        Fact::Withdrawn(key) => format!("no order {key}"),
        Fact::Deed(deed) => format!("{} did {} {}", deed.by, deed.act, deed.detail),
        Fact::Abandoned(task) => format!("task {} {:?}", task.id, task.closed),
        Fact::Routing { call, note } => format!("note {} of {call}: {:?}", note.number, note.turn),
        Fact::Forecast(day) => format!("forecasts of {day:?}"),
    }
}

fn detail(kind: &EventKind) -> String {
    match kind {
        EventKind::CallOfferEnded { regulator, end, detail, .. } => format!("{regulator} {end:?} {detail:?}"),
        EventKind::CallEnded { outcome, ended_by, detail, .. } => format!("{outcome:?} by {ended_by:?} {detail:?}"),
        EventKind::RegulatorState { regulator, state, was } => format!("{regulator} {was} → {state}"),
        EventKind::CallOffered { regulator, .. } | EventKind::CallAnswered { regulator, .. } => regulator.to_string(),
        EventKind::CallDialled { by, .. } | EventKind::CallReached { by, .. } => by.to_string(),
        EventKind::CallReceived { .. }
        | EventKind::CallQueued { .. }
        | EventKind::CallHeld { .. }
        | EventKind::CallResumed { .. }
        | EventKind::CallTransferred { .. }
        | EventKind::CallForwarded { .. }
        | EventKind::CallJoined { .. }
        | EventKind::CallJoinFailed { .. }
        | EventKind::CallLeft { .. }
        | EventKind::CallHandedToSamu(_)
        | EventKind::CallSupervised { .. }
        | EventKind::CallDemandChanged { .. }
        | EventKind::CallOneWayAudio { .. }
        | EventKind::CallAbandoned { .. }
        | EventKind::RecordingSealed { .. }
        | EventKind::RecordingPaused { .. }
        | EventKind::RecordingResumed { .. }
        | EventKind::RecordingFailed { .. } => String::new(),
    }
}

fn cut(text: &str) -> String {
    text.chars().take(200).collect()
}
