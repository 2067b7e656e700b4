//! Calls to regulators' devices: INVITE, its answers, CANCEL (RFC 3261 §13.2, §9.1).

use crate::call::signal::{Dial, Party, Refusal, RefusalKind, Signal};
use crate::model::{Codec, EndedBy, LegId, Path};
use crate::sip::sdp::{Origin, write_offer};
use crate::sip::transaction::ClientKey;
use crate::sip::{Method, NameAddr, Reason, Request, Response};

use super::UserAgent;
use super::caller::shown;
use super::context::passed_on;
use super::dialog::Dialog;
use super::incoming::read_offer;
use super::leg::{Ack, FORKS_MAX, Leg, LegMedia, Probe, Purpose, Stage};
use super::rules::{ACCEPT, ALLOW, SIGN_OF_LIFE_MAX, SUPPORTED};
use super::wire::Beat;
use super::within::agree;

impl UserAgent {
    /// Dials a device; one that is gone is unreachable at once.
    pub(super) fn dial(&mut self, dial: Dial, beat: &mut Beat<'_>) {
        let leg = dial.leg;
        if self.legs.find(leg).is_some() {
            return;
        }
        if let Err(why) = self.try_dial(dial, beat) {
            let refusal = Refusal { kind: RefusalKind::Unreachable, detail: why.to_owned() };
            beat.signal(Signal::Refused { leg, refusal });
        }
    }

    fn try_dial(&mut self, dial: Dial, beat: &mut Beat<'_>) -> Result<(), &'static str> {
        if self.legs.live() >= self.wire.rules.legs_max {
            return Err("too many legs at once; raise the limit or look for calls that do not end");
        }
        let Party::Device { regulator, device } = &dial.to else {
            return Err("outside numbers cannot be dialled yet");
        };
        let device = self.registrar.bindings.find(regulator, *device);
        let (path, target) =
            device.map(|d| (d.path, d.binding.contact.clone())).ok_or("the device is not registered any more")?;
        let call_id = format!("{}{}", self.wire.chance.token(), self.wire.chance.token());
        let realm = self.wire.rules.realm.clone();
        let from = shown(&dial.caller, &dial.label, &realm);
        let passed_on = passed_on(&dial.caller, &dial.context, &from);
        let to = NameAddr::new(format!("sip:{regulator}@{realm}"));
        let mut dialog = Dialog::dialling(call_id, self.wire.chance.token(), (from, to), target, path);
        let origin = Origin::new(self.wire.chance.next_u64());
        let mut media = LegMedia::new(origin, dial.prefer);
        let local = media.open(self.wire.reachable(dial.local, path));
        let mut invite = dialog.request(Method::Invite, &self.wire.rules);
        if let Some(contact) = self.wire.contact(path) {
            invite.headers.push("Contact", contact);
        }
        invite.headers.push("Allow", ALLOW);
        invite.headers.push("Supported", SUPPORTED);
        invite.headers.push("X-Vigie-Call", dial.call.to_string());
        for (name, value) in passed_on {
            invite.headers.push(name, value);
        }
        invite.headers.push("Content-Type", ACCEPT);
        invite.body = write_offer(&local, &both(dial.prefer));
        let sent = self.wire.request(path, invite, Some(dial.leg), beat);
        let invite = sent.ok_or("the listener that the device registered on is gone")?;
        let dialled = invite.clone();
        let stage = Stage::Dialling { invite, has_rung: false, dead_at: Some(beat.now.moment + SIGN_OF_LIFE_MAX) };
        let leg = Leg {
            id: dial.leg,
            dialog,
            stage,
            media,
            trunk: None,
            has_ladder: true,
            ack: None,
            forks: Vec::new(),
            probe: Probe::Needless,
            asks: Vec::new(),
            party: Some(dial.to.clone()),
            owner: Some(regulator.clone()),
        };
        self.legs.add(leg, None);
        self.legs.ask(dial.leg, dialled, Purpose::Dial);
        self.legs.reckon(dial.leg);
        Ok(())
    }

    /// A response to a request of ours. A BYE needs no answer.
    pub(super) fn responded(&mut self, key: &ClientKey, path: Path, response: &Response, beat: &mut Beat<'_>) {
        match self.legs.of_client(key) {
            Some((id, Purpose::Probe)) => return self.is_there(id, response.status, beat),
            Some((id, Purpose::Notify)) => return self.progress_heard(id, (key, response.status)),
            Some((_, Purpose::Refresh | Purpose::Reoffer | Purpose::Prack)) => return,
            Some((_, Purpose::Dial)) | None => {}
        }
        if key.method() != Method::Invite {
            return;
        }
        let Some(id) = self.legs.of_response(response) else { return };
        let Some(leg) = self.legs.find_mut(id) else { return };
        match &mut leg.stage {
            Stage::Dialling { has_rung, dead_at, .. } if response.is_provisional() => {
                *dead_at = None;
                if response.status > 100 && !std::mem::replace(has_rung, true) {
                    beat.signal(Signal::Ringing { leg: id, early: None });
                }
                self.hear_early(id, path, response);
                self.legs.reckon(id);
            }
            Stage::Dialling { .. } if response.is_success() => self.picked_up(id, path, response, beat),
            Stage::Dialling { .. } => {
                let detail = format!("{} {}", response.status, response.reason);
                self.end_refused(id, meaning(response.status), detail, beat);
            }
            Stage::Cancelling if response.is_provisional() => {}
            Stage::Cancelling if response.is_success() => {
                self.establish(id, path, response, beat);
                self.say_bye(id, beat);
            }
            Stage::Cancelling => self.legs.turn(id, Stage::Ended, beat.now.moment),
            Stage::Confirmed { .. } | Stage::Ended if response.is_success() => {
                self.picked_up_again(id, path, response, beat);
            }
            Stage::Confirmed { .. } | Stage::Ended | Stage::Invited(_) | Stage::Accepted(_) | Stage::Leaving(_) => {}
        }
    }

    /// No final answer at all.
    pub(super) fn timed_out(&mut self, key: &ClientKey, beat: &mut Beat<'_>) {
        let Some((id, purpose)) = self.legs.of_client(key) else { return };
        match purpose {
            Purpose::Probe => return self.is_mute(id, beat),
            Purpose::Notify => return self.progress_heard(id, (key, 408)),
            Purpose::Refresh | Purpose::Reoffer | Purpose::Prack => return,
            Purpose::Dial => {}
        }
        let is_cancelled = self.legs.find(id).is_some_and(|leg| matches!(leg.stage, Stage::Cancelling));
        if is_cancelled {
            return self.legs.turn(id, Stage::Ended, beat.now.moment);
        }
        let detail = "no answer to the INVITE in 32 s; is the phone still there?".to_owned();
        self.end_refused(id, RefusalKind::Unreachable, detail, beat);
    }

    /// The device gave no sign of life: it is dead, which is not the same as nobody answering. Should it speak after
    /// all, it is cancelled.
    pub(super) fn give_up(&mut self, id: LegId, beat: &mut Beat<'_>) {
        self.hang_up(id, EndedBy::NoAnswer, beat);
        let seconds = SIGN_OF_LIFE_MAX.as_secs();
        let detail = format!("no response at all to the INVITE in {seconds} s; is the phone still there?");
        let refusal = Refusal { kind: RefusalKind::Unreachable, detail };
        beat.signal(Signal::Refused { leg: id, refusal });
    }

    fn end_refused(&mut self, leg: LegId, kind: RefusalKind, detail: String, beat: &mut Beat<'_>) {
        self.legs.turn(leg, Stage::Ended, beat.now.moment);
        beat.signal(Signal::Refused { leg, refusal: Refusal { kind, detail } });
    }

    fn picked_up(&mut self, id: LegId, path: Path, response: &Response, beat: &mut Beat<'_>) {
        self.establish(id, path, response, beat);
        let answer = read_offer(&response.headers, &response.body).ok().flatten();
        let early = || self.legs.find(id).filter(|_| response.body.is_empty())?.media.remote.clone();
        let Some(remote) = answer.and_then(|answer| agree(&answer, path.peer.ip())).or_else(early) else {
            self.say_bye(id, beat);
            let detail = "its answer has no codec that we speak; enable PCMA or PCMU on the phone".to_owned();
            let refusal = Refusal { kind: RefusalKind::Unreachable, detail };
            return beat.signal(Signal::Refused { leg: id, refusal });
        };
        if let Some(leg) = self.legs.find_mut(id) {
            leg.media.codec = remote.codec;
            leg.media.remote = Some(remote.clone());
        }
        self.legs.turn(id, Stage::Confirmed { reoffered: None }, beat.now.moment);
        beat.signal(Signal::Accepted { leg: id, remote });
    }

    /// RFC 3261 §13.2.1: the first SDP answer counts, even of a 183; a phone may leave it out of its 200.
    fn hear_early(&mut self, id: LegId, path: Path, response: &Response) {
        let Some(leg) = self.legs.find_mut(id).filter(|leg| leg.media.remote.is_none()) else { return };
        let answer = read_offer(&response.headers, &response.body).ok().flatten();
        leg.media.remote = answer.and_then(|answer| agree(&answer, path.peer.ip()));
    }

    /// The dialog of the first 2xx, and its ACK.
    fn establish(&mut self, id: LegId, path: Path, response: &Response, beat: &mut Beat<'_>) {
        let Some(leg) = self.legs.find_mut(id) else { return };
        leg.dialog = leg.dialog.answered(response, path);
        let (ack, way) = ack_of(&leg.dialog, response, &self.wire.rules);
        let bytes = self.wire.acknowledge(way, ack, leg.traced(), beat);
        leg.ack = Some(Ack { to_tag: response.to_tag(), path: way, bytes });
    }

    /// A 2xx after the first: repeated, or of another fork, which is hung up (RFC 3261 §13.2.2.4).
    fn picked_up_again(&mut self, id: LegId, path: Path, response: &Response, beat: &mut Beat<'_>) {
        let Some(leg) = self.legs.find_mut(id) else { return };
        let tag = response.to_tag();
        if let Some(ack) = leg.ack.as_ref().filter(|ack| ack.to_tag == tag) {
            let (way, bytes) = (ack.path, ack.bytes.clone());
            return self.wire.send(way, bytes, None, beat);
        }
        let mut fork = leg.dialog.answered(response, path);
        let (ack, way) = ack_of(&fork, response, &self.wire.rules);
        let tag = tag.unwrap_or_default();
        let is_new = !leg.forks.contains(&tag);
        let traced = leg.traced().filter(|_| is_new);
        if is_new && leg.forks.len() < FORKS_MAX {
            leg.forks.push(tag);
        }
        self.wire.acknowledge(way, ack, traced, beat);
        if is_new {
            let bye = fork.request(Method::Bye, &self.wire.rules);
            self.wire.request(way, bye, traced, beat);
        }
    }

    /// Ends a leg, however far it has come.
    pub(super) fn hang_up(&mut self, id: LegId, why: EndedBy, beat: &mut Beat<'_>) {
        let Some(leg) = self.legs.find(id) else { return };
        match &leg.stage {
            Stage::Invited(_) => self.hang_up_invited(id, why, beat),
            Stage::Accepted(unacked) => {
                // RFC 3261 §15: no BYE before the ACK came or is given up.
                let unacked = unacked.clone();
                self.legs.turn(id, Stage::Leaving(unacked), beat.now.moment);
            }
            Stage::Dialling { invite, .. } => {
                let (invite, traced) = (invite.clone(), leg.traced());
                self.legs.turn(id, Stage::Cancelling, beat.now.moment);
                self.wire.cancel(&invite, reason(why), traced, beat);
            }
            Stage::Confirmed { .. } => self.say_bye(id, beat),
            Stage::Leaving(_) | Stage::Cancelling | Stage::Ended => {}
        }
    }
}

fn both(prefer: Codec) -> [Codec; 2] {
    match prefer {
        Codec::Pcma => [Codec::Pcma, Codec::Pcmu],
        Codec::Pcmu => [Codec::Pcmu, Codec::Pcma],
    }
}

/// The ACK of a 2xx and where it goes: the way of the dialog that the 2xx makes.
fn ack_of(dialog: &Dialog, response: &Response, rules: &super::Rules) -> (Request, Path) {
    let number = response.headers.cseq().map_or(1, |cseq| cseq.number);
    (dialog.ack(number, rules), dialog.next_path())
}

/// Why a phone stops ringing (RFC 3326): without this, phones list the call as missed.
fn reason(why: EndedBy) -> Option<Reason> {
    let text = "Call completed elsewhere".to_owned();
    (why == EndedBy::AnsweredElsewhere).then(|| Reason { protocol: "SIP".into(), cause: Some(200), text: Some(text) })
}

/// What a final refusal means for the offer.
fn meaning(status: u16) -> RefusalKind {
    match status {
        486 | 600 => RefusalKind::Busy,
        // Not there, not any more, not at all; and every fault of the phone's own.
        404 | 408 | 410 | 430 | 604 | 500..=599 => RefusalKind::Unreachable,
        _ => RefusalKind::Declined,
    }
}

/// Whether a response is a 2xx to an INVITE that was acknowledged before.
pub(super) fn is_repeated_ok(leg: &Leg, response: &Response) -> bool {
    let tag = response.to_tag();
    let is_known = leg.ack.as_ref().is_some_and(|ack| ack.to_tag == tag);
    let is_fork = leg.forks.iter().any(|fork| Some(fork.as_str()) == tag.as_deref());
    let is_invite = response.headers.cseq().is_some_and(|cseq| cseq.method == Method::Invite);
    response.is_success() && is_invite && (is_known || is_fork)
}
