//! One call: its state, its legs, its record. Each state's own file says what happens in it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::callback::Recall;
use super::callback::Recalling;
use super::calling_out::CallingOut;
use super::decision::{CallInput, Decision, RoomChange};
use super::ending::Ending;
use super::forward::Forward;
use super::guests::Guest;
use super::ivr::Choosing;
use super::leg::{Leg, LegState};
use super::messages::Hearing;
use super::offer::LiveOffer;
use super::orders::Brings;
use super::pausing::{self, Pause};
use super::signal::{Dial, DialManner, Gone, Incoming, LegOrder, Party, RefusalKind};
use super::transfer::{self, Handover, Taking};
use super::voicemail::Message;
use super::{callback, calling_out, ending, forward, ivr, messages, opening, steering, talking, voicemail, waiting};
use crate::model::centre::{Demand, DemandChange, RecordingPolicy};
use crate::model::media::AfterSounds;
use crate::model::{
    CallId, CallRecord, Caller, Centre, Codec, E164, EndedBy, EventKind, LegId, LegQuality, Line, MediaCommand, Moment,
    Names, Now, OfferEnd, Outcome, Person, RecorderCommand, RecordingRule, RegulatorId, RemoteMedia, Side, SoundId,
    TrunkId,
};

/// Legs that one call may have in its life; one more offer than this allows ends the call with its overflow message.
pub const LEGS_MAX: u16 = 2000;

/// How long the media plane may take to open or close a port.
pub const MEDIA_ANSWER_MAX: Duration = Duration::from_secs(5);

/// How long a sound may play before the call goes on without it.
pub const SOUND_DURATION_MAX: Duration = Duration::from_secs(120);

/// How long the recorder may take to seal before the call is told to have failed.
pub const SEAL_WAIT_MAX: Duration = Duration::from_secs(1800);

/// Where a call is in its life.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    /// The caller's port is being opened.
    Opening {
        /// What the caller's SDP offered.
        remote: RemoteMedia,
        /// Whether the line is open at this hour.
        open: bool,
    },
    /// Accepted; the greeting is heard.
    Greeting,
    /// Waits; no offer is live.
    Waiting,
    /// Waits, and rings at a regulator.
    Offering(LiveOffer),
    /// Talks with a regulator.
    Talking {
        /// Over this leg.
        leg: LegId,
    },
    /// A regulator hands the caller on: the caller hears music, and it rings at the other party.
    Transferring(Box<Handover>),
    /// In a menu.
    Choosing(Box<Choosing>),
    /// It rings at an outside number, without a regulator.
    Forwarding(Box<Forward>),
    /// Leaves a message.
    Voicemail(Message),
    /// A call-back whose time has not come.
    Postponed,
    /// A call-back: a regulator has picked up, and it rings at the caller's.
    Recalling(Box<Recalling>),
    /// A regulator calls out: it rings at his own phones first, or at the number.
    CallingOut(Box<CallingOut>),
    /// A last message is heard; then the call ends.
    Farewell {
        /// Like this.
        outcome: Outcome,
        /// In words.
        detail: String,
    },
    /// Over; the ports are being closed.
    Ending,
    /// Over and told; the recording is being sealed.
    Sealing,
}

/// One caller's story while it lives.
#[derive(Clone, Debug)]
pub struct Call {
    /// Its id.
    pub id: CallId,
    /// Where it is in its life.
    pub state: State,
    /// The line that it came in on, as it was when it came.
    pub line: Arc<Line>,
    /// What a list changes of every line's demand.
    pub listed: DemandChange,
    /// How often a line that could not serve it has led it on.
    pub led_on: u8,
    /// What is said before the wait, while its region is overrun.
    pub surge: Option<SoundId>,
    /// What it needs: the line's demand, until a choice of the caller or somebody else changes it.
    pub demand: Demand,
    /// The centre as it was when the call came.
    pub centre: Arc<Centre>,
    /// What is known of it; complete at its end.
    pub record: CallRecord,
    /// Every leg; number 0 is the caller's.
    pub legs: Vec<Leg>,
    /// When it wants to be told that time has passed.
    pub deadline: Option<Moment>,
    /// When it entered the waiting room for the first time; meaningful from then on.
    pub queued: Now,
    /// When its wait is over; meaningful while it waits.
    pub waits_until: Moment,
    /// The number of its last event.
    pub sequence: u32,
    /// The number of the last note of its wait.
    pub notes: u16,
    /// How it is recorded, as its line said when it came.
    pub rule: RecordingRule,
    /// The pause of its recording, while there is one.
    pub pause: Option<Pause>,
    /// How often its recording was paused.
    pub pauses: u16,
    /// Whether the recorder has begun.
    pub recording: bool,
    /// Whether it was told that the recording failed.
    pub has_failed_recording: bool,
    /// The legs whose far end holds.
    pub held: Vec<LegId>,
    /// Phones whose caller was handed on, and when they are hung up if they do not do it themselves.
    pub leaving: Vec<(LegId, Moment)>,
    /// A phone that takes the place of the one that talks, while its port is being opened.
    pub taking: Option<Taking>,
    /// The caller's RTP socket while it hears us without being accepted ([`Accept::Answered`](crate::model::centre::Accept)).
    pub early: Option<SocketAddr>,
    /// Further parties of the conversation, in the order in which they were asked.
    pub guests: Vec<Guest>,
    /// Whether we play music to the caller while the others talk on.
    pub on_hold: bool,
    /// The codecs that legs were offered in mid-call, so that the other side's was kept without transcoding.
    pub offered: Vec<(LegId, Codec)>,
    /// What it has heard and pressed.
    pub hears: Hearing,
    /// What makes it a call-back; without it the caller called.
    pub recall: Option<Recall>,
    /// A fault that a test has planted.
    #[cfg(test)]
    pub(super) faulty: bool,
}

/// The call that an INVITE begins, with what routing found.
pub struct Begin {
    /// What the trunk brought.
    pub incoming: Incoming,
    /// What is known of the caller.
    pub brings: Brings,
    /// The DDI, normalised.
    pub ddi: Option<E164>,
    /// Whether no line knew it.
    pub fallback: bool,
    /// Whether the line is open at this hour.
    pub open: bool,
    /// The line.
    pub line: Arc<Line>,
    /// The centre.
    pub centre: Arc<Centre>,
    /// The software's name and version.
    pub software: String,
}

/// The leg that the INVITE begins; its port is being opened.
fn leg_of_caller(incoming: &Incoming, now: Now) -> Leg {
    let mut leg = Leg::new(incoming.leg, Side::Caller, now);
    leg.sip_call_id.clone_from(&incoming.sip_call_id);
    leg
}

/// What things were called when the call came.
fn names_of(line: &Line, centre: &Centre) -> Names {
    let association = centre.associations.get(&line.association).map(|one| one.name.clone()).unwrap_or_default();
    Names { line: line.name.clone(), association, regulators: BTreeMap::new() }
}

/// The record of a call of a line that has just begun.
pub(super) fn record_of(
    (id, trunk, caller): (CallId, TrunkId, Caller),
    (line, centre): (&Line, &Centre),
    software: String,
    now: Now,
) -> CallRecord {
    CallRecord {
        id,
        trunk,
        line: line.id.clone(),
        association: line.association.clone(),
        names: names_of(line, centre),
        region: line.demand.region.clone(),
        language: line.language.clone(),
        ddi_raw: String::new(),
        ddi: None,
        fallback: false,
        caller,
        context: Box::default(),
        skills: line.demand.needs.levels(),
        priority: line.demand.priority,
        received_at: now.utc,
        accepted_at: None,
        queued_at: None,
        answered_at: None,
        wait_ended_at: None,
        ended_at: None,
        regulator: None,
        outcome: None,
        ended_by: None,
        detail: None,
        offers: Vec::new(),
        legs: Vec::new(),
        recording: line.recording_rule(now.utc, &centre.zone).policy,
        choices: Box::default(),
        software,
        person: Person::default(),
        dialled_by: None,
    }
}

impl Call {
    /// A call that has just come in; its first decisions ask for a port.
    pub fn begin(begin: Begin, now: Now, out: &mut Vec<Decision>) -> Call {
        let Begin { incoming, brings, ddi, fallback, open, line, centre, software } = begin;
        let caller_leg = leg_of_caller(&incoming, now);
        let demand = line.demand.changed_by(&brings.change);
        let who = (incoming.leg.call, incoming.trunk, incoming.caller);
        let record = CallRecord {
            region: demand.region.clone(),
            ddi_raw: incoming.ddi,
            ddi,
            fallback,
            context: incoming.context,
            skills: demand.needs.levels(),
            priority: demand.priority,
            person: brings.person,
            ..record_of(who, (&line, &centre), software, now)
        };
        let state = State::Opening { remote: incoming.remote, open };
        let of_line = Call::of(record, caller_leg, state, (line, centre), now);
        let mut call = Call {
            demand,
            surge: brings.surge,
            listed: brings.change,
            deadline: Some(now.moment + MEDIA_ANSWER_MAX),
            ..of_line
        };
        opening::begin(&mut call, brings.blocked, now, out);
        call
    }

    /// A call of a line with this record, to which nothing has happened yet; `leg` is leg 0.
    pub(super) fn of(
        record: CallRecord,
        leg: Leg,
        state: State,
        (line, centre): (Arc<Line>, Arc<Centre>),
        now: Now,
    ) -> Call {
        let rule = line.recording_rule(now.utc, &centre.zone);
        Call {
            id: record.id,
            state,
            demand: line.demand.clone(),
            surge: None,
            listed: DemandChange::default(),
            led_on: 0,
            line,
            centre,
            record,
            legs: vec![leg],
            deadline: None,
            queued: now,
            waits_until: now.moment,
            sequence: 0,
            notes: 0,
            rule,
            pause: None,
            pauses: 0,
            recording: false,
            has_failed_recording: false,
            held: Vec::new(),
            leaving: Vec::new(),
            taking: None,
            guests: Vec::new(),
            on_hold: false,
            early: None,
            offered: Vec::new(),
            hears: Hearing::default(),
            recall: None,
            #[cfg(test)]
            faulty: false,
        }
    }

    /// One input; what follows from it is pushed to `out`.
    pub fn step(&mut self, input: CallInput, now: Now, out: &mut Vec<Decision>) {
        #[cfg(test)]
        assert!(!self.faulty, "the planted fault");
        self.note(&input, now, out);
        if let CallInput::Chosen(choice) = &input
            && self.state != State::Waiting
        {
            // Whatever led to a choice for a call that does not wait: the regulator must not go on ringing for it.
            let (regulator, end) = (choice.regulator.clone(), OfferEnd::Cancelled);
            return out.push(Decision::Room(RoomChange::OfferEnded { regulator, end }));
        }
        let Some(input) = transfer::turn_away(self, input, now, out) else { return };
        let Some(input) = steering::steer(self, input, now, out) else { return };
        if let Some(input) = messages::take(self, input, now, out) {
            self.advance(input, now, out);
        }
        messages::set_deadline(self, now);
    }

    fn advance(&mut self, input: CallInput, now: Now, out: &mut Vec<Decision>) {
        match &self.state {
            State::Opening { .. } => opening::step(self, input, now, out),
            State::Greeting => opening::greeting(self, input, now, out),
            State::Waiting => waiting::step(self, input, now, out),
            State::Offering(_) => waiting::offering(self, input, now, out),
            State::Talking { leg } => talking::step(self, *leg, input, now, out),
            State::Transferring(_) => transfer::step(self, input, now, out),
            State::Choosing(_) => ivr::step(self, input, now, out),
            State::Forwarding(_) => forward::step(self, input, now, out),
            State::Voicemail(message) => voicemail::step(self, *message, input, now, out),
            State::Postponed => callback::postponed(self, input, now, out),
            State::Recalling(_) => callback::step(self, input, now, out),
            State::CallingOut(_) => calling_out::step(self, input, now, out),
            State::Farewell { .. } => ending::farewell(self, input, now, out),
            State::Ending => ending::step(self, input, now, out),
            State::Sealing => ending::sealing(self, input, out),
        }
    }

    /// What an input says of a leg holds in every state of the call.
    fn note(&mut self, input: &CallInput, now: Now, out: &mut Vec<Decision>) {
        match input {
            CallInput::Ended { leg, by, detail } => {
                let ended_by = self.ended_by(*leg, *by);
                self.leg_is_gone(*leg, ended_by, detail.clone(), now, out);
            }
            CallInput::Refused { leg, refusal } => {
                let ended_by = match refusal.kind {
                    RefusalKind::Busy | RefusalKind::Declined => EndedBy::Refused,
                    RefusalKind::Unreachable => EndedBy::DeviceLost,
                };
                self.leg_is_gone(*leg, ended_by, Some(refusal.detail.clone()), now, out);
            }
            CallInput::OpenFailed { leg, why } => {
                if let Some(leg) = self.leg_mut(*leg) {
                    leg.end(EndedBy::Fault, Some(why.clone()), now);
                    leg.state = LegState::Closed;
                }
            }
            CallInput::Closed { leg, quality } => {
                if let Some(leg) = self.leg_mut(*leg) {
                    leg.end(EndedBy::Fault, None, now);
                    leg.close(LegQuality::clone(quality));
                }
            }
            CallInput::Reoffered { leg, remote } => {
                let is_early = self.early.is_some();
                if let Some(leg) = self.leg_mut(*leg).filter(|leg| leg.remote().is_some()) {
                    leg.hear(remote.clone());
                    out.push(Decision::Media(MediaCommand::Aim { leg: leg.id, remote: remote.clone() }));
                    // Nobody need speak before the call is accepted.
                    let watched = !remote.direction.is_held() && !is_early;
                    out.push(Decision::Media(MediaCommand::Watch { leg: leg.id, on: watched }));
                }
            }
            CallInput::RecordingFailed(reason) => ending::fail_recording(self, reason.clone(), out),
            CallInput::Opened { .. }
            | CallInput::Played { .. }
            | CallInput::Dtmf { .. }
            | CallInput::Silent { .. }
            | CallInput::Ringing { .. }
            | CallInput::Accepted { .. }
            | CallInput::Confirmed { .. }
            | CallInput::Chosen(_)
            | CallInput::HandOn(_)
            | CallInput::HandedOver(_)
            | CallInput::TakeOver(_)
            | CallInput::Voice(_)
            | CallInput::Steer(_)
            | CallInput::Nobody
            | CallInput::DevicesGone
            | CallInput::End(_)
            | CallInput::Sealed(_)
            | CallInput::Due => {}
        }
    }

    /// Who ended a leg that its far end left like this.
    pub fn ended_by(&self, leg: LegId, by: Gone) -> EndedBy {
        match by {
            Gone::HungUp | Gone::Cancelled if leg.number == 0 => EndedBy::Caller,
            Gone::HungUp | Gone::Cancelled => EndedBy::Regulator,
            Gone::NoAck => EndedBy::NoAck,
            Gone::Lost => EndedBy::DeviceLost,
        }
    }

    /// The far end is gone by itself: nothing is sent to it, its port is closed.
    fn leg_is_gone(&mut self, leg: LegId, by: EndedBy, detail: Option<String>, now: Now, out: &mut Vec<Decision>) {
        if let Some(leg) = self.leg_mut(leg).filter(|leg| leg.is_alive()) {
            leg.end(by, detail, now);
            out.push(Decision::Media(MediaCommand::Close { leg: leg.id }));
        }
    }

    /// The leg of this name.
    pub fn leg(&self, leg: LegId) -> Option<&Leg> {
        self.legs.get(leg.number as usize)
    }

    /// The leg of this name, to be changed.
    pub fn leg_mut(&mut self, leg: LegId) -> Option<&mut Leg> {
        self.legs.get_mut(leg.number as usize)
    }

    /// Gives a leg of another call a place in this one; its name here. `None`: the call has as many as it may.
    pub fn adopt(&mut self, leg: Leg, now: Now) -> Option<LegId> {
        let number = u16::try_from(self.legs.len()).ok().filter(|number| *number < LEGS_MAX)?;
        let id = LegId { call: self.id, number };
        self.legs.push(leg.moved(id, now));
        Some(id)
    }

    /// Counts somebody to whom the caller is offered or handed on among those named in the record.
    pub fn name_regulator(&mut self, regulator: &RegulatorId) {
        if let Some(person) = self.centre.regulators.get(regulator) {
            self.record.names.regulators.insert(regulator.clone(), person.name.clone());
        }
    }

    /// The caller's leg.
    pub fn caller_leg(&self) -> LegId {
        LegId { call: self.id, number: 0 }
    }

    /// Whether the server may stop without it: a recording that failed to be sealed in time is still tried, and the next
    /// start tries again; a call-back that rests stands in line again then.
    pub fn is_settled(&self) -> bool {
        let rests = self.state == State::Postponed && self.deadline.is_none();
        rests || (self.state == State::Sealing && self.has_failed_recording)
    }

    /// Accepts a caller who has only heard us so far: from now on the call is charged.
    pub fn accept_caller(&mut self, now: Now, out: &mut Vec<Decision>) {
        let Some(local) = self.early.take() else { return };
        let leg = self.caller_leg();
        self.record.accepted_at = Some(now.utc);
        if let Some(caller) = self.leg_mut(leg) {
            caller.accept(now);
        }
        out.push(Decision::Leg(LegOrder::Accept { leg, local }));
    }

    /// Dials a leg whose port is open: the caller is shown, and the caller's codec preferred.
    pub fn dial(&mut self, leg: LegId, to: Party, local: SocketAddr, out: &mut Vec<Decision>) {
        let Some(dialled) = self.leg_mut(leg) else { return };
        dialled.state = LegState::Dialling { local };
        let prefer = self.legs.first().and_then(Leg::remote).map_or(Codec::Pcma, |remote| remote.codec);
        let (caller, context) = (self.record.caller.clone(), self.record.context.clone());
        let (manner, label, call) = (self.manner_of(&to), self.line.name.clone(), self.id);
        let dial = Dial { leg, to, local, prefer, caller, label, call, context, manner };
        out.push(Decision::Leg(LegOrder::Dial(Box::new(dial))));
    }

    /// A regulator's phone may pick callers up by itself; an outside party sees the association's number.
    pub(super) fn manner_of(&self, to: &Party) -> DialManner {
        match to {
            Party::Device { regulator, .. } => DialManner {
                auto_answer_after: self.centre.regulators.get(regulator).and_then(|one| one.terms.auto_answer_after),
                number_shown: None,
            },
            Party::Number { .. } => {
                let association = self.centre.associations.get(&self.line.association);
                let number_shown = association.and_then(|association| association.number_shown.clone());
                DialManner { auto_answer_after: None, number_shown }
            }
        }
    }

    /// Hangs up a leg and closes its port; a leg that is gone is left.
    pub fn hang_up(&mut self, leg: LegId, why: EndedBy, now: Now, out: &mut Vec<Decision>) {
        let Some(leg) = self.leg_mut(leg).filter(|leg| leg.is_alive()) else { return };
        let was_asked = leg.state != LegState::Opening || leg.id.number == 0;
        leg.end(why, None, now);
        if was_asked {
            out.push(Decision::Leg(LegOrder::Hangup { leg: leg.id, why }));
        }
        out.push(Decision::Media(MediaCommand::Close { leg: leg.id }));
    }

    /// Plays sounds once and reports, or plays the last one without end.
    pub fn play(&self, leg: LegId, sounds: Vec<SoundId>, after: AfterSounds, out: &mut Vec<Decision>) {
        out.push(Decision::Media(MediaCommand::Play { leg, sounds, after }));
    }

    /// Tells dispatch, and counts the event as this call's next.
    pub fn tell(&mut self, event: EventKind, out: &mut Vec<Decision>) {
        self.sequence += 1;
        out.push(Decision::Event(Box::new(event)));
    }

    /// Whether the line's policy records.
    pub fn is_to_be_recorded(&self) -> bool {
        match self.record.recording {
            RecordingPolicy::Always => true,
            RecordingPolicy::Never => false,
        }
    }

    /// Brings a leg into the recording, beginning the recording with the first one.
    pub fn record_leg(&mut self, leg: LegId, now: Now, out: &mut Vec<Decision>) {
        if !self.is_to_be_recorded() {
            return;
        }
        if !self.recording {
            self.recording = true;
            let so_far = Box::new(self.record_now());
            out.push(Decision::Recorder(RecorderCommand::Begin { call: self.id, at: now, so_far }));
        }
        let Some(leg) = self.leg_mut(leg).filter(|leg| !leg.recorded) else { return };
        leg.recorded = true;
        let (id, side, regulator) = (leg.id, leg.side, leg.regulator.clone());
        out.push(Decision::Recorder(RecorderCommand::Leg { leg: id, side, regulator }));
        pausing::tap(self, id, true, out);
    }

    /// The record with the legs as they are now.
    pub fn record_now(&self) -> CallRecord {
        CallRecord { legs: self.legs.iter().map(Leg::record).collect(), ..self.record.clone() }
    }

    /// Puts the call before its end: a message when there is one, then the hang-up with this outcome.
    pub fn say_farewell(
        &mut self,
        message: Option<SoundId>,
        (outcome, detail): (Outcome, String),
        now: Now,
        out: &mut Vec<Decision>,
    ) {
        match message {
            Some(message) => {
                out.push(Decision::Room(RoomChange::Leave));
                self.play(self.caller_leg(), vec![message], AfterSounds::Report, out);
                self.deadline = Some(now.moment + SOUND_DURATION_MAX);
                self.state = State::Farewell { outcome, detail };
            }
            None => ending::end(self, Ending::new(outcome, EndedBy::Message).saying(detail), now, out),
        }
    }
}
