//! Within a dialog: ACK, BYE, hold and resume, the repetition of a 200, and our own BYE (RFC 3261 §12.2, §14, §15).

use bytes::Bytes;

use crate::call::signal::{Gone, Signal};
use crate::model::{EndedBy, LegId, Path, RemoteMedia};
use crate::sip::sdp::Description;
use crate::sip::{Method, Request};

use super::UserAgent;
use super::agreed::Heard;
use super::answer::{answer, answer_tagged};
use super::dialog::{Dialog, Order};
use super::incoming::{Arrival, Refusal, check, complete};
use super::leg::{Leg, Stage, Unacked};
use super::lifetime::{self, Lifetime};
use super::reasons::{no_usable_sdp, reason_of_bye};
use super::terms::{read_answer, read_offer};
use super::wire::{Beat, Came};

impl Leg {
    /// The dialog that a request of the far end with this From tag is within.
    fn dialog_of(&mut self, from_tag: Option<&str>) -> Option<&mut Dialog> {
        match &self.stage {
            Stage::Dialling { .. } => self.fork(from_tag).map(|fork| &mut fork.dialog),
            Stage::Invited(_) | Stage::Accepted(_) | Stage::Leaving(_) => Some(&mut self.dialog),
            Stage::Confirmed { .. } | Stage::Cancelling | Stage::Ended => Some(&mut self.dialog),
        }
    }

    /// What the stage of the leg alone refuses.
    fn refuses(&self, method: &Method) -> Option<u16> {
        match (&self.stage, method) {
            // The BYEs of both sides crossed.
            (Stage::Ended, Method::Bye) => Some(200),
            (Stage::Ended, _) => Some(481),
            // RFC 3261 §14.2: an INVITE of ours is not settled.
            (Stage::Dialling { .. } | Stage::Cancelling, Method::Invite) => Some(491),
            // RFC 3261 §15: whoever is called may not end an early dialog by BYE.
            (Stage::Dialling { .. }, Method::Bye | Method::Prack) | (Stage::Cancelling, _) => Some(481),
            // Nobody is handed on before there is a call.
            (Stage::Invited(_) | Stage::Dialling { .. }, Method::Refer | Method::Subscribe) => Some(481),
            // RFC 3261 §14.2: the first INVITE has no final answer yet; `Retry-After` goes with it.
            (Stage::Invited(_), Method::Invite) => Some(500),
            (Stage::Invited(_) | Stage::Dialling { .. }, _) => None,
            (Stage::Accepted(_) | Stage::Leaving(_) | Stage::Confirmed { .. }, _) => None,
        }
    }
}

impl UserAgent {
    /// A request within the dialog of `id`, other than an ACK or a CANCEL.
    pub(super) fn asked_within(&mut self, id: LegId, arrival: Arrival, beat: &mut Beat<'_>) {
        let Arrival { key, path, request, .. } = &arrival;
        let Some(leg) = self.legs.find_mut(id) else { return };
        let traced = leg.traced();
        let refusal = match leg.refuses(&request.method) {
            Some(500) => Some(self.try_later()),
            Some(status) => Some(Refusal::of(status)),
            None => self.take_turn(id, *path, request).map(Refusal::of),
        };
        if let Some(refusal) = refusal {
            let response = refusal.response(request, &self.wire.rules);
            return self.wire.respond(key, response, traced, beat);
        }
        match &request.method {
            Method::Bye => self.hung_up(id, &arrival, beat),
            Method::Invite => self.reinvited(id, &arrival, beat),
            Method::Prack => self.pracked(id, &arrival, beat),
            Method::Update => self.updated(id, &arrival, beat),
            Method::Info => self.told(id, &arrival, beat),
            Method::Refer => self.referred(id, arrival, beat),
            Method::Subscribe => self.progress_asked(id, &arrival, beat),
            Method::Ack
            | Method::Cancel
            | Method::Register
            | Method::Options
            | Method::Notify
            | Method::Message
            | Method::Publish
            | Method::Other(_) => {
                let response = answer(request, self.status_of_other(&request.method), &self.wire.rules);
                self.wire.respond(key, response, traced, beat);
            }
        }
    }

    /// Counts a request in its dialog; what was overtaken, or belongs to no fork, is refused (RFC 3261 §12.2.2).
    fn take_turn(&mut self, id: LegId, path: Path, request: &Request) -> Option<u16> {
        let leg = self.legs.find_mut(id)?;
        let Some(dialog) = leg.dialog_of(request.from_tag().as_deref()) else { return Some(481) };
        let number = request.headers.cseq().map_or(0, |cseq| cseq.number);
        if dialog.count(number) == Order::OutOfOrder {
            return Some(500);
        }
        dialog.came_by(path);
        leg.far.read(&request.headers);
        None
    }

    fn hung_up(&mut self, id: LegId, arrival: &Arrival, beat: &mut Beat<'_>) {
        let Some(leg) = self.legs.find(id) else { return };
        let was_leaving = matches!(leg.stage, Stage::Leaving(_));
        let was_early = matches!(leg.stage, Stage::Invited(_));
        let traced = leg.traced();
        let response = answer(&arrival.request, 200, &self.wire.rules);
        self.wire.respond(&arrival.key, response, traced, beat);
        if was_early {
            // RFC 3261 §15.1.2: the INVITE that is not answered yet gets its 487.
            self.decline(id, Refusal::of(487), beat);
        }
        self.legs.turn(id, Stage::Ended, beat.now.moment);
        if !was_leaving {
            let detail = arrival.request.headers.reason().map(|reason| reason.to_string());
            let by = if was_early { Gone::Cancelled } else { Gone::HungUp };
            beat.signal(Signal::Ended { leg: id, by, detail });
        }
    }

    /// A re-INVITE: answered at once; what cannot be met leaves everything as it was (RFC 3261 §14.2).
    fn reinvited(&mut self, id: LegId, arrival: &Arrival, beat: &mut Beat<'_>) {
        let Arrival { key, request, .. } = arrival;
        let traced = self.legs.find(id).and_then(Leg::traced);
        let terms = self.terms_of_leg(id);
        let agreed = check(request)
            .and_then(|()| lifetime::weigh(request, &self.wire.rules))
            .and_then(|granted| Ok((granted, read_offer(&request.headers, &request.body, &terms)?)));
        let agreed = agreed.and_then(|agreed| if self.is_pending(id) { Err(Refusal::of(491)) } else { Ok(agreed) });
        let (granted, offer) = match agreed {
            Ok(agreed) => agreed,
            Err(refusal) => {
                let response = refusal.response(request, &self.wire.rules);
                return self.wire.respond(key, response, traced, beat);
            }
        };
        let Some(leg) = self.legs.find_mut(id) else { return };
        let contacts = request.headers.contacts().ok();
        leg.dialog.retarget(contacts.as_ref().and_then(|c| c.first()).map(|c| c.address.uri.clone()));
        let (body, news) = reanswer(leg, offer.as_ref(), arrival);
        let mut ok = answer_tagged(request, 200, &leg.dialog.local_tag, &self.wire.rules);
        complete(&mut ok, self.wire.contact(leg.dialog.path), body);
        lifetime::grant(&mut ok, granted);
        leg.lifetime = granted.map(|granted| Lifetime::granted(granted, beat.now.moment));
        let number = request.headers.cseq().map_or(0, |cseq| cseq.number);
        let unacked = Unacked::new(key.clone(), number, ok.clone(), offer.is_none(), beat.now.moment);
        self.legs.turn(id, Stage::Confirmed { reoffered: Some(unacked) }, beat.now.moment);
        self.wire.respond(key, ok, traced, beat);
        if let Some(remote) = news {
            beat.signal(Signal::Reoffered { leg: id, remote });
        }
    }

    /// Whether a re-INVITE would meet another exchange (RFC 3261 §14.2).
    fn is_pending(&self, id: LegId) -> bool {
        let Some(leg) = self.legs.find(id) else { return true };
        match &leg.stage {
            Stage::Confirmed { reoffered } => {
                let is_ours = leg.asking.has_invite() || leg.asking.has_offer();
                is_ours || reoffered.as_ref().is_some_and(|unacked| unacked.is_offer)
            }
            Stage::Accepted(_) | Stage::Leaving(_) => true,
            Stage::Invited(_) | Stage::Dialling { .. } | Stage::Cancelling | Stage::Ended => true,
        }
    }

    /// The ACK of a 200 of ours. Repeated ones change nothing.
    pub(super) fn acknowledged(&mut self, id: LegId, (path, bytes): Came<'_>, request: &Request, beat: &mut Beat<'_>) {
        let Some(leg) = self.legs.find_mut(id) else { return };
        let number = request.headers.cseq().map_or(0, |cseq| cseq.number);
        let Some(is_offer) = leg.unacked().filter(|unacked| unacked.number == number).map(|u| u.is_offer) else {
            return;
        };
        leg.dialog.came_by(path);
        if let Some(leg) = leg.traced() {
            self.wire.note(leg, path, bytes, beat);
        }
        let was = std::mem::replace(&mut leg.stage, Stage::Confirmed { reoffered: None });
        let is_leaving = matches!(was, Stage::Leaving(_));
        let is_first = matches!(was, Stage::Accepted(_));
        self.legs.turn(id, Stage::Confirmed { reoffered: None }, beat.now.moment);
        if is_leaving {
            return self.say_bye(id, Some(EndedBy::Message), beat);
        }
        if is_offer && !self.take_late_answer(id, path, request, beat) {
            return;
        }
        if is_first {
            beat.signal(Signal::Confirmed { leg: id });
        }
        self.go_on(id, beat);
    }

    /// The SDP answer that an ACK brings; without a usable one there is no call (RFC 3261 §13.2.2.4).
    fn take_late_answer(&mut self, id: LegId, path: Path, ack: &Request, beat: &mut Beat<'_>) -> bool {
        let answered = read_answer(&ack.headers, &ack.body, &self.terms_of_leg(id));
        let Some(leg) = self.legs.find_mut(id) else { return false };
        let heard = answered.map_or(Heard::Nothing, |answer| leg.media.hear_answer(&answer, &ack.body, path.peer.ip()));
        match heard {
            Heard::Same => true,
            Heard::Other(remote) => {
                leg.review_probe(beat.now.moment);
                self.legs.reckon(id);
                beat.signal(Signal::Reoffered { leg: id, remote });
                true
            }
            Heard::Nothing => {
                self.say_bye(id, None, beat);
                let detail = Some("the ACK brought no usable SDP answer".to_owned());
                beat.signal(Signal::Ended { leg: id, by: Gone::Lost, detail });
                false
            }
        }
    }

    /// Ends a leg with a BYE of ours; without a why its SDP was of no use. Whatever becomes of the BYE, the leg is over.
    pub(super) fn say_bye(&mut self, id: LegId, why: Option<EndedBy>, beat: &mut Beat<'_>) {
        let Some(leg) = self.legs.find_mut(id) else { return };
        let mut bye = leg.dialog.request(Method::Bye, &self.wire.rules);
        bye.headers.push("Reason", why.map_or_else(no_usable_sdp, reason_of_bye).to_string());
        let (path, traced) = (leg.dialog.next_path(&self.wire.rules), leg.traced());
        self.legs.turn(id, Stage::Ended, beat.now.moment);
        self.wire.request(path, bye, traced, beat);
    }

    /// The clock of a far end on hold, and of a 200 without its ACK (RFC 3261 §13.3.1.4).
    pub(super) fn tick_leg(&mut self, id: LegId, beat: &mut Beat<'_>) {
        let now = beat.now.moment;
        if self.legs.find(id).and_then(Leg::probe_due).is_some_and(|at| at <= now) {
            self.ask_after(id, beat);
        }
        self.tick_early(id, beat);
        self.tick_changes(id, beat);
        let Some(leg) = self.legs.find_mut(id) else { return };
        if matches!(leg.stage, Stage::Dialling { dead_at: Some(at), .. } if at <= now) {
            return self.give_up(id, beat);
        }
        let is_leaving = matches!(leg.stage, Stage::Leaving(_));
        let Some(unacked) = leg.unacked() else { return self.legs.reckon(id) };
        if unacked.is_lost(now) {
            self.say_bye(id, Some(EndedBy::NoAck), beat);
            if !is_leaving {
                let detail = Some("no ACK of our 200 in 32 s".to_owned());
                beat.signal(Signal::Ended { leg: id, by: Gone::NoAck, detail });
            }
            return;
        }
        let again = unacked.is_due(now).then(|| (unacked.key.clone(), unacked.ok.clone()));
        self.legs.reckon(id);
        if let Some((key, ok)) = again {
            beat.count(crate::model::Counter::SipRetransmitted);
            self.wire.respond(&key, ok, None, beat);
        }
    }

    /// 405 for what we know and do not serve, 501 for what we do not know (RFC 3261 §8.2.1, §21.5.2).
    pub(super) fn status_of_other(&self, method: &Method) -> u16 {
        match method {
            Method::Options => 200,
            Method::Other(_) => 501,
            // RFC 6665 §4.1.3: nothing was subscribed to.
            Method::Notify => 481,
            // Only within a regulator's call.
            Method::Refer => 403,
            Method::Invite
            | Method::Ack
            | Method::Bye
            | Method::Cancel
            | Method::Register
            | Method::Info
            | Method::Update
            | Method::Prack
            | Method::Subscribe
            | Method::Message
            | Method::Publish => 405,
        }
    }
}

/// Our SDP for a re-INVITE, and the far end's media when they have changed.
fn reanswer(leg: &mut Leg, offer: Option<&Description>, arrival: &Arrival) -> (Bytes, Option<RemoteMedia>) {
    let Some(offer) = offer else { return (leg.media.offer(), None) };
    match leg.media.hear_offer(offer, &arrival.request.body, arrival.path.peer.ip()) {
        Heard::Other(remote) => (leg.media.answer(offer), Some(remote)),
        Heard::Same | Heard::Nothing => (leg.media.answer(offer), None),
    }
}
