//! Within a dialog: ACK, BYE, hold and resume, the repetition of a 200, and our own BYE (RFC 3261 §12.2, §14, §15).

use std::net::IpAddr;

use bytes::Bytes;

use crate::call::signal::{Gone, Signal};
use crate::model::{LegId, Path, RemoteMedia};
use crate::sip::sdp::{Description, write_answer};
use crate::sip::{Method, Request};

use super::UserAgent;
use super::answer::{answer, answer_tagged};
use super::dialog::Order;
use super::incoming::{Arrival, check, complete, read_offer};
use super::leg::{Leg, Stage, Unacked};
use super::wire::{Beat, Came};

impl UserAgent {
    /// A request within the dialog of `id`, other than an ACK or a CANCEL.
    pub(super) fn asked_within(&mut self, id: LegId, arrival: Arrival, beat: &mut Beat<'_>) {
        let Arrival { key, path, request, .. } = &arrival;
        let Some(leg) = self.legs.find_mut(id) else { return };
        let traced = leg.traced();
        let status = match (&leg.stage, &request.method) {
            // The BYEs of both sides crossed.
            (Stage::Ended, Method::Bye) => Some(200),
            (Stage::Ended | Stage::Invited(_), _) => Some(481),
            // RFC 3261 §14.2: an INVITE of ours is not settled.
            (Stage::Dialling { .. } | Stage::Cancelling, Method::Invite) => Some(491),
            (Stage::Dialling { .. } | Stage::Cancelling, _) => Some(481),
            (Stage::Accepted(_) | Stage::Leaving(_) | Stage::Confirmed { .. }, _) => None,
        };
        if let Some(status) = status {
            let response = answer(request, status, &self.wire.rules);
            return self.wire.respond(key, response, traced, beat);
        }
        // RFC 3261 §12.2.2: what was overtaken is refused.
        let number = request.headers.cseq().map_or(0, |cseq| cseq.number);
        if leg.dialog.count(number) == Order::OutOfOrder {
            let response = answer(request, 500, &self.wire.rules);
            return self.wire.respond(key, response, traced, beat);
        }
        leg.dialog.path = *path;
        match &request.method {
            Method::Bye => self.hung_up(id, &arrival, beat),
            Method::Invite => self.reinvited(id, &arrival, beat),
            Method::Refer => self.referred(id, arrival, beat),
            Method::Subscribe => self.progress_asked(id, &arrival, beat),
            method => {
                let status = self.status_of_other(method);
                let response = answer(request, status, &self.wire.rules);
                self.wire.respond(key, response, traced, beat);
            }
        }
    }

    fn hung_up(&mut self, id: LegId, arrival: &Arrival, beat: &mut Beat<'_>) {
        let Some(leg) = self.legs.find(id) else { return };
        let was_leaving = matches!(leg.stage, Stage::Leaving(_));
        let traced = leg.traced();
        let response = answer(&arrival.request, 200, &self.wire.rules);
        self.wire.respond(&arrival.key, response, traced, beat);
        self.legs.turn(id, Stage::Ended, beat.now.moment);
        if !was_leaving {
            let detail = arrival.request.headers.reason().map(|reason| reason.to_string());
            beat.signal(Signal::Ended { leg: id, by: Gone::HungUp, detail });
        }
    }

    /// A re-INVITE: answered at once; what cannot be met leaves everything as it was (RFC 3261 §14.2).
    fn reinvited(&mut self, id: LegId, arrival: &Arrival, beat: &mut Beat<'_>) {
        let Arrival { key, path, request, .. } = arrival;
        let offer = check(request).and_then(|()| read_offer(&request.headers, &request.body));
        let Some(leg) = self.legs.find_mut(id) else { return };
        let traced = leg.traced();
        let is_pending = match &leg.stage {
            Stage::Confirmed { reoffered } => reoffered.as_ref().is_some_and(|unacked| unacked.is_offer),
            Stage::Accepted(_) | Stage::Leaving(_) => true,
            Stage::Invited(_) | Stage::Dialling { .. } | Stage::Cancelling | Stage::Ended => true,
        };
        let response = match offer {
            Ok(_) if is_pending => Err(answer(request, 491, &self.wire.rules)),
            Err(refusal) => Err(refusal.response(request, &self.wire.rules)),
            Ok(offer) => Ok(offer),
        };
        let offer = match response {
            Ok(offer) => offer,
            Err(response) => return self.wire.respond(key, response, traced, beat),
        };
        let contacts = request.headers.contacts().ok();
        leg.dialog.retarget(contacts.as_ref().and_then(|c| c.first()).map(|c| c.address.uri.clone()));
        let (body, news) = reanswer(leg, offer.as_ref(), path.peer.ip());
        let mut ok = answer_tagged(request, 200, &leg.dialog.local_tag, &self.wire.rules);
        complete(&mut ok, self.wire.contact(leg.dialog.path), body);
        let number = request.headers.cseq().map_or(0, |cseq| cseq.number);
        let unacked = Unacked::new(key.clone(), number, ok.clone(), offer.is_none(), beat.now.moment);
        self.legs.turn(id, Stage::Confirmed { reoffered: Some(unacked) }, beat.now.moment);
        self.wire.respond(key, ok, traced, beat);
        if let Some(remote) = news {
            beat.signal(Signal::Reoffered { leg: id, remote });
        }
    }

    /// The ACK of a 200 of ours. Repeated ones change nothing.
    pub(super) fn acknowledged(&mut self, id: LegId, (path, bytes): Came<'_>, request: &Request, beat: &mut Beat<'_>) {
        let Some(leg) = self.legs.find_mut(id) else { return };
        let number = request.headers.cseq().map_or(0, |cseq| cseq.number);
        let Some(is_offer) = leg.unacked().filter(|unacked| unacked.number == number).map(|u| u.is_offer) else {
            return;
        };
        leg.dialog.path = path;
        if let Some(leg) = leg.traced() {
            self.wire.note(leg, path, bytes, beat);
        }
        let was = std::mem::replace(&mut leg.stage, Stage::Confirmed { reoffered: None });
        let is_leaving = matches!(was, Stage::Leaving(_));
        let is_first = matches!(was, Stage::Accepted(_));
        self.legs.turn(id, Stage::Confirmed { reoffered: None }, beat.now.moment);
        if is_leaving {
            return self.say_bye(id, beat);
        }
        if is_offer && !self.take_late_answer(id, path, request, beat) {
            return;
        }
        if is_first {
            beat.signal(Signal::Confirmed { leg: id });
        }
    }

    /// The SDP answer that an ACK brings; without a usable one there is no call (RFC 3261 §13.2.2.4).
    fn take_late_answer(&mut self, id: LegId, path: Path, ack: &Request, beat: &mut Beat<'_>) -> bool {
        let answered = read_offer(&ack.headers, &ack.body).ok().flatten();
        let Some(leg) = self.legs.find_mut(id) else { return false };
        match answered.as_ref().and_then(|answer| agree(answer, path.peer.ip())) {
            Some(remote) => {
                leg.media.codec = remote.codec;
                if leg.media.remote.as_ref() != Some(&remote) {
                    leg.media.remote = Some(remote.clone());
                    leg.review_probe(beat.now.moment);
                    self.legs.reckon(id);
                    beat.signal(Signal::Reoffered { leg: id, remote });
                }
                true
            }
            None => {
                self.say_bye(id, beat);
                let detail = Some("the ACK brought no usable SDP answer".to_owned());
                beat.signal(Signal::Ended { leg: id, by: Gone::Lost, detail });
                false
            }
        }
    }

    /// Ends a leg with a BYE of ours. Whatever becomes of the BYE, the leg is over.
    pub(super) fn say_bye(&mut self, id: LegId, beat: &mut Beat<'_>) {
        let Some(leg) = self.legs.find_mut(id) else { return };
        let bye = leg.dialog.request(Method::Bye, &self.wire.rules);
        let (path, traced) = (leg.dialog.next_path(), leg.traced());
        self.legs.turn(id, Stage::Ended, beat.now.moment);
        self.wire.request(path, bye, traced, beat);
    }

    /// The clock of a far end on hold, and of a 200 without its ACK (RFC 3261 §13.3.1.4).
    pub(super) fn tick_leg(&mut self, id: LegId, beat: &mut Beat<'_>) {
        let now = beat.now.moment;
        if self.legs.find(id).and_then(Leg::probe_due).is_some_and(|at| at <= now) {
            self.ask_after(id, beat);
        }
        let Some(leg) = self.legs.find_mut(id) else { return };
        if matches!(leg.stage, Stage::Dialling { dead_at: Some(at), .. } if at <= now) {
            return self.give_up(id, beat);
        }
        let is_leaving = matches!(leg.stage, Stage::Leaving(_));
        let Some(unacked) = leg.unacked() else { return self.legs.reckon(id) };
        if unacked.is_lost(now) {
            self.say_bye(id, beat);
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
fn reanswer(leg: &mut Leg, offer: Option<&Description>, signalling: IpAddr) -> (Bytes, Option<RemoteMedia>) {
    let Some(local) = leg.media.next_local() else { return (Bytes::new(), None) };
    let Some((offer, remote)) = offer.and_then(|offer| Some((offer, agree(offer, signalling)?))) else {
        return (leg.media.offer(&local), None);
    };
    leg.media.codec = remote.codec;
    let body = write_answer(&local, offer, remote.codec);
    if leg.media.remote.as_ref() == Some(&remote) {
        return (body, None);
    }
    leg.media.remote = Some(remote.clone());
    (body, Some(remote))
}

/// What an SDP of the far end means for us: its first codec that we speak.
pub(super) fn agree(theirs: &Description, signalling: IpAddr) -> Option<RemoteMedia> {
    let audio = theirs.audio.as_ref()?;
    Some(audio.remote(audio.choose(&[])?, signalling))
}
