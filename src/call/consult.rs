//! A regulator's own call to a colleague or an outside number: rung, bridged, never recorded, over with either side.

use std::time::Duration;

use super::bridge;
use super::decision::{CallInput, Decision, RoomChange};
use super::leg::{Leg, LegState};
use super::offer::Refusals;
use super::signal::{Dial, DialManner, Dialled, Gone, LegOrder, Party, Refusal, RefusalKind, Unserved};
use crate::model::{
    CallId, Caller, Codec, DeviceId, E164, EndedBy, LegId, MediaCommand, Moment, Now, OfferEnd, RegulatorId,
    RemoteMedia, Side, SoundId, TrunkId,
};

/// Such calls at once: no centre's people speak with each other in such numbers, and a stuck phone cannot fill memory.
pub const CONSULTS_MAX: usize = 500;
/// How long the other party may let it ring.
pub const CONSULT_RING_MAX: Duration = Duration::from_secs(60);
/// The longest that such a call lasts: nobody asks a colleague for longer, and a phone that was laid beside its hook ends.
pub const CONSULT_DURATION_MAX: Duration = Duration::from_secs(2 * 3600);
/// How long a phone whose caller was handed on may take to hang up by itself (RFC 5589 §6: it is to send the BYE).
pub const LEAVE_WITHIN: Duration = Duration::from_secs(3);

/// The other party of a regulator's call, or whoever a caller is handed on to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Partner {
    /// A colleague, on these devices.
    Regulator {
        /// Who.
        id: RegulatorId,
        /// The devices that ring.
        devices: Vec<DeviceId>,
    },
    /// An outside number.
    Number {
        /// Over this trunk.
        trunk: TrunkId,
        /// As it is dialled there.
        number: String,
    },
}

impl Partner {
    /// The legs that ring there, numbered from `first`: one a device.
    pub fn legs(&self, call: CallId, first: u16, now: Now) -> Vec<Leg> {
        match self {
            Partner::Regulator { id, devices } => {
                let numbered = devices.iter().zip(first..);
                let leg = |(device, number): (&DeviceId, u16)| {
                    let mut leg = Leg::new(LegId { call, number }, Side::Regulator, now);
                    leg.regulator = Some(id.clone());
                    leg.device = Some(*device);
                    leg
                };
                numbered.map(leg).collect()
            }
            Partner::Number { number, .. } => {
                let mut leg = Leg::new(LegId { call, number: first }, Side::Outside, now);
                leg.dialled = Some(number.clone());
                vec![leg]
            }
        }
    }

    /// Where such a leg is dialled.
    pub fn party(&self, leg: &Leg) -> Option<Party> {
        match self {
            Partner::Regulator { id, .. } => Some(Party::Device { regulator: id.clone(), device: leg.device? }),
            Partner::Number { trunk, number } => Some(Party::Number { trunk: trunk.clone(), number: number.clone() }),
        }
    }

    /// Who, when it is a colleague.
    pub fn regulator(&self) -> Option<&RegulatorId> {
        match self {
            Partner::Regulator { id, .. } => Some(id),
            Partner::Number { .. } => None,
        }
    }
}

/// What is shown and heard of whoever dials.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The person's name, to a colleague.
    pub name: String,
    /// The number that an outside party sees; without it the trunk's own.
    pub number: Option<E164>,
    /// For whoever is held.
    pub music: Option<SoundId>,
}

/// Where such a call is in its life.
#[derive(Clone, Debug, PartialEq)]
pub enum ConsultState {
    /// It rings at the other party.
    Ringing,
    /// Both talk; the other party over this leg.
    Talking {
        /// Which.
        leg: LegId,
    },
    /// The other party has been joined with a caller; the phone that dialled is to hang up by itself.
    Leaving,
}

/// One such call while it lives. Leg 0 is the phone that dialled.
#[derive(Clone, Debug)]
pub struct Consult {
    /// Its id.
    pub id: CallId,
    /// Who dialled.
    pub by: RegulatorId,
    /// Whom.
    pub to: Partner,
    /// Where it is in its life.
    pub state: ConsultState,
    /// Leg 0, and one for each device that rings.
    pub legs: Vec<Leg>,
    /// When it wants to be told that time has passed.
    pub deadline: Moment,
    remote: RemoteMedia,
    shown: Caller,
    number_shown: Option<E164>,
    music: Option<SoundId>,
    has_rung: bool,
    refusals: Refusals,
    /// A fault that a test has planted.
    #[cfg(test)]
    pub(super) faulty: bool,
}

impl Consult {
    /// A call that was just dialled. Opens every leg's port.
    pub fn begin(
        dialled: Dialled,
        to: Partner,
        Shown { name, number, music }: Shown,
        now: Now,
        out: &mut Vec<Decision>,
    ) -> Consult {
        let id = dialled.leg.call;
        let mut own = Leg::new(dialled.leg, Side::Regulator, now);
        own.regulator = Some(dialled.regulator.clone());
        own.device = dialled.device;
        own.sip_call_id = dialled.sip_call_id;
        let mut legs = vec![own];
        legs.extend(to.legs(id, 1, now));
        for leg in &legs {
            out.push(Decision::Media(MediaCommand::Open { leg: leg.id }));
        }
        let raw = dialled.regulator.to_string();
        let shown = Caller { raw, display_name: Some(name), ..Caller::default() };
        Consult {
            id,
            by: dialled.regulator,
            to,
            state: ConsultState::Ringing,
            legs,
            deadline: now.moment + CONSULT_RING_MAX,
            remote: dialled.remote,
            shown,
            number_shown: number,
            music,
            has_rung: false,
            refusals: Refusals::default(),
            #[cfg(test)]
            faulty: false,
        }
    }

    /// One input.
    pub fn step(&mut self, input: CallInput, now: Now, out: &mut Vec<Decision>) {
        #[cfg(test)]
        assert!(!self.faulty, "the planted fault");
        match input {
            CallInput::Opened { leg, rtp } if leg.number == 0 => self.opened(rtp, now, out),
            CallInput::Opened { leg, rtp } => self.dial(leg, rtp, out),
            CallInput::OpenFailed { leg, .. } if leg.number == 0 => {
                self.drop_leg(leg, LegState::Closed, now);
                self.refuse(Unserved::Overloaded, now, out);
            }
            CallInput::OpenFailed { leg, why } => {
                let refusal = Refusal { kind: RefusalKind::Unreachable, detail: why };
                self.refused(leg, refusal, LegState::Closed, now, out);
            }
            CallInput::Ringing { .. } => self.ring(out),
            CallInput::Accepted { leg, remote } => self.answered(leg, remote, now, out),
            CallInput::Refused { leg, refusal } => self.refused(leg, refusal, LegState::Closing, now, out),
            CallInput::Reoffered { leg, remote } => self.reoffered(leg, remote, now, out),
            CallInput::Ended { leg, by, .. } => self.ended(leg, by, now, out),
            CallInput::Silent { leg } => self.vanished(leg, EndedBy::Silence, now, out),
            CallInput::Closed { leg, quality } => {
                if let Some(closed) = self.leg_mut(leg) {
                    if closed.is_alive() {
                        out.push(Decision::Leg(LegOrder::Hangup { leg, why: EndedBy::Fault }));
                    }
                    closed.close(*quality);
                    self.vanished(leg, EndedBy::Fault, now, out);
                }
            }
            CallInput::Due => self.due(now, out),
            CallInput::DevicesGone => self.refuse(Unserved::Unavailable, now, out),
            CallInput::End(by) => self.finish(by, now, out),
            CallInput::Played { .. }
            | CallInput::Dtmf { .. }
            | CallInput::Confirmed { .. }
            | CallInput::Chosen(_)
            | CallInput::Voice(_)
            | CallInput::Nobody
            | CallInput::HandOn(_)
            | CallInput::HandedOver(_)
            | CallInput::TakeOver(_)
            | CallInput::Steer(_)
            | CallInput::Sealed(_)
            | CallInput::RecordingFailed(_) => {}
        }
    }

    fn leg_mut(&mut self, leg: LegId) -> Option<&mut Leg> {
        self.legs.get_mut(leg.number as usize).filter(|one| one.id == leg)
    }

    /// The leg that dialled.
    pub fn own(&self) -> LegId {
        LegId { call: self.id, number: 0 }
    }

    /// The legs of the other party that ring or talk, in a place of their own from now on: this call is left.
    pub fn hand_over(&mut self, now: Now) -> Vec<Leg> {
        self.state = ConsultState::Leaving;
        self.deadline = now.moment + LEAVE_WITHIN;
        let is_wanted = |leg: &Leg| match leg.state {
            LegState::Dialling { .. } | LegState::Live { .. } => leg.id.number != 0,
            LegState::Opening | LegState::Closing | LegState::Closed => false,
        };
        let wanted: Vec<Leg> = self.legs.iter().filter(|leg| is_wanted(leg)).cloned().collect();
        for leg in &wanted {
            if let Some(left) = self.leg_mut(leg.id) {
                left.state = LegState::Closed;
            }
        }
        wanted
    }

    fn opened(&mut self, rtp: std::net::SocketAddr, now: Now, out: &mut Vec<Decision>) {
        if let Some(own) = self.legs.first_mut().filter(|leg| leg.state == LegState::Opening) {
            own.state = LegState::Dialling { local: rtp };
            if self.has_rung {
                out.push(Decision::Leg(LegOrder::Ring { leg: self.own() }));
            }
            self.accept(now, out);
        }
    }

    fn dial(&mut self, leg: LegId, rtp: std::net::SocketAddr, out: &mut Vec<Decision>) {
        let (caller, prefer, call) = (self.shown.clone(), self.prefer(), self.id);
        let number_shown = self.number_shown.clone();
        let is_ringing = self.state == ConsultState::Ringing;
        let to = self.legs.get(leg.number as usize).filter(|_| is_ringing).and_then(|leg| self.to.party(leg));
        let Some(leg) = self.leg_mut(leg).filter(|leg| leg.state == LegState::Opening) else { return };
        let Some(to) = to else { return };
        leg.state = LegState::Dialling { local: rtp };
        let label = caller.display_name.clone().unwrap_or_default();
        let manner = DialManner { auto_answer_after: None, number_shown };
        let context = Box::default();
        let dial = Dial { leg: leg.id, to, local: rtp, prefer, caller, label, call, context, manner };
        out.push(Decision::Leg(LegOrder::Dial(Box::new(dial))));
    }

    fn prefer(&self) -> Codec {
        self.remote.codec
    }

    fn ring(&mut self, out: &mut Vec<Decision>) {
        if self.state == ConsultState::Ringing && !std::mem::replace(&mut self.has_rung, true) {
            out.push(Decision::Leg(LegOrder::Ring { leg: self.own() }));
        }
    }

    fn answered(&mut self, leg: LegId, remote: RemoteMedia, now: Now, out: &mut Vec<Decision>) {
        let is_ringing = self.leg_mut(leg).is_some_and(|leg| matches!(leg.state, LegState::Dialling { .. }));
        if self.state != ConsultState::Ringing || leg.number == 0 || !is_ringing {
            return;
        }
        self.state = ConsultState::Talking { leg };
        self.deadline = now.moment + CONSULT_DURATION_MAX;
        let others: Vec<LegId> = self.legs.iter().skip(1).map(|one| one.id).filter(|one| *one != leg).collect();
        for other in others {
            self.hang_up(other, EndedBy::AnsweredElsewhere, now, out);
        }
        out.push(Decision::Media(MediaCommand::Aim { leg, remote: remote.clone() }));
        if let Some(answered) = self.leg_mut(leg) {
            answered.connect(remote, now);
        }
        if let Some(regulator) = self.to.regulator().cloned() {
            out.push(Decision::Room(RoomChange::Answered { regulator }));
        }
        self.accept(now, out);
    }

    /// The phone that dialled is accepted when the other party has answered and its own port is open.
    fn accept(&mut self, now: Now, out: &mut Vec<Decision>) {
        let (own, remote) = (self.own(), self.remote.clone());
        let is_answered = matches!(self.state, ConsultState::Talking { .. });
        let Some(leg) = self.legs.first_mut().filter(|_| is_answered) else { return };
        let LegState::Dialling { local } = leg.state else { return };
        leg.connect(remote.clone(), now);
        out.push(Decision::Media(MediaCommand::Aim { leg: own, remote }));
        out.push(Decision::Leg(LegOrder::Accept { leg: own, local }));
        self.join(out);
    }

    fn join(&self, out: &mut Vec<Decision>) {
        let ConsultState::Talking { leg } = self.state else { return };
        let (own, other) = (self.legs.first(), self.legs.get(leg.number as usize));
        if let (Some(own), Some(other)) = (own, other)
            && own.remote().is_some()
        {
            bridge::join(own, other, self.music.as_ref(), out);
        }
    }

    fn reoffered(&mut self, leg: LegId, remote: RemoteMedia, now: Now, out: &mut Vec<Decision>) {
        let Some(live) = self.leg_mut(leg).filter(|leg| leg.remote().is_some()) else { return };
        live.connect(remote.clone(), now);
        out.push(Decision::Media(MediaCommand::Aim { leg, remote }));
        self.join(out);
    }

    /// One device came to nothing; the call does when the person declined or no device is left.
    fn refused(&mut self, leg: LegId, refusal: Refusal, into: LegState, now: Now, out: &mut Vec<Decision>) {
        let is_ringing = self.state == ConsultState::Ringing && leg.number != 0;
        let closes = into == LegState::Closing;
        if !self.drop_leg(leg, into, now) {
            return;
        }
        if closes {
            out.push(Decision::Media(MediaCommand::Close { leg }));
        }
        if !is_ringing {
            return self.vanished(leg, EndedBy::Refused, now, out);
        }
        match refusal.kind {
            RefusalKind::Declined => return self.refuse(Unserved::Declined, now, out),
            RefusalKind::Busy => self.refusals.busy = Some(refusal.detail),
            RefusalKind::Unreachable => self.refusals.unreachable = Some(refusal.detail),
        }
        if self.legs.iter().skip(1).any(Leg::is_alive) {
            return;
        }
        let why = if self.refusals.busy.is_some() { Unserved::Busy } else { Unserved::Unavailable };
        self.refuse(why, now, out);
    }

    /// Whether it was alive.
    fn drop_leg(&mut self, leg: LegId, into: LegState, now: Now) -> bool {
        let Some(leg) = self.leg_mut(leg).filter(|leg| leg.is_alive()) else { return false };
        leg.end(EndedBy::Refused, None, now);
        leg.state = into;
        true
    }

    fn ended(&mut self, leg: LegId, by: Gone, now: Now, out: &mut Vec<Decision>) {
        if leg.number != 0 && self.state == ConsultState::Ringing {
            let refusal = Refusal { kind: RefusalKind::Unreachable, detail: "the device ended the call".into() };
            return self.refused(leg, refusal, LegState::Closing, now, out);
        }
        if self.drop_leg(leg, LegState::Closing, now) {
            out.push(Decision::Media(MediaCommand::Close { leg }));
        }
        match by {
            Gone::HungUp | Gone::Cancelled | Gone::NoAck => self.vanished(leg, EndedBy::Regulator, now, out),
            Gone::Lost => self.vanished(leg, EndedBy::DeviceLost, now, out),
        }
    }

    /// A side of the talk is gone: the call is over. A colleague's phone that has vanished is not rung for a while.
    fn vanished(&mut self, leg: LegId, by: EndedBy, now: Now, out: &mut Vec<Decision>) {
        let other = match &self.state {
            ConsultState::Talking { leg } => Some(*leg),
            ConsultState::Ringing | ConsultState::Leaving => None,
        };
        if leg.number != 0 && other != Some(leg) {
            return;
        }
        let is_lost = matches!(by, EndedBy::Silence | EndedBy::DeviceLost);
        if let (true, true, Some(regulator)) = (is_lost, other == Some(leg), self.to.regulator().cloned()) {
            out.push(Decision::Room(RoomChange::Lost { regulator }));
        }
        self.finish(by, now, out);
    }

    fn due(&mut self, now: Now, out: &mut Vec<Decision>) {
        if now.moment < self.deadline {
            return;
        }
        match self.state {
            ConsultState::Ringing => self.refuse(Unserved::Unavailable, now, out),
            ConsultState::Talking { .. } | ConsultState::Leaving => self.finish(EndedBy::Operator, now, out),
        }
    }

    /// It came to nothing: the phone that dialled hears why.
    fn refuse(&mut self, why: Unserved, now: Now, out: &mut Vec<Decision>) {
        if self.state == ConsultState::Ringing {
            out.push(Decision::Leg(LegOrder::Refuse { leg: self.own(), why }));
            if self.drop_leg(self.own(), LegState::Closing, now) {
                out.push(Decision::Media(MediaCommand::Close { leg: self.own() }));
            }
        }
        self.finish(EndedBy::NoAnswer, now, out);
    }

    fn hang_up(&mut self, leg: LegId, why: EndedBy, now: Now, out: &mut Vec<Decision>) {
        let Some(leg) = self.leg_mut(leg).filter(|leg| leg.is_alive()) else { return };
        let was_asked = leg.state != LegState::Opening || leg.id.number == 0;
        leg.end(why, None, now);
        if was_asked {
            out.push(Decision::Leg(LegOrder::Hangup { leg: leg.id, why }));
        }
        out.push(Decision::Media(MediaCommand::Close { leg: leg.id }));
    }

    /// Ends it, whatever it does: also a call in which a fault of our own was met.
    pub fn finish(&mut self, why: EndedBy, now: Now, out: &mut Vec<Decision>) {
        let legs: Vec<LegId> = self.legs.iter().map(|leg| leg.id).collect();
        for leg in legs {
            self.hang_up(leg, why, now, out);
        }
        // Each of these holds only for who rings for this call or talks on it: all others are left as they are.
        if let Some(regulator) = self.to.regulator().cloned() {
            out.push(Decision::Room(RoomChange::OfferEnded { regulator: regulator.clone(), end: OfferEnd::Cancelled }));
            out.push(Decision::Room(RoomChange::Released { regulator }));
        }
        out.push(Decision::Room(RoomChange::Released { regulator: self.by.clone() }));
        out.push(Decision::Over);
    }
}
