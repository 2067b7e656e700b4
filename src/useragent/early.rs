//! What an incoming leg hears before its final answer: ringing, our sound, and PRACK (RFC 3262, RFC 3960).

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::call::signal::{Gone, Signal};
use crate::model::{Counter, LegId, Moment};
use crate::sip::{RAck, Response};

use super::UserAgent;
use super::agreed::Heard;
use super::answer::{answer, answer_tagged};
use super::incoming::{Arrival, Refusal, check, complete};
use super::leg::Stage;
use super::rules::{PATIENCE, T1};
use super::terms::read_offer;
use super::wire::Beat;

/// Reliable answers that wait for the one before them to be confirmed: a ringing, a sound, one more of each.
const QUEUED_MAX: usize = 4;

/// The answers before the final one.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Early {
    /// How far the first exchange of SDPs has come.
    pub exchange: Exchange,
    /// The INVITE's number, which every RAck names.
    invite: u32,
    /// Numbers the reliable answers; 0 before the first.
    rseq: u32,
    /// The one that waits for its PRACK.
    unconfirmed: Option<Unconfirmed>,
    /// Those behind it (RFC 3262 §3: one at a time).
    queued: VecDeque<Response>,
    /// To be accepted as soon as the answer that carried the SDP is confirmed (RFC 3262 §3).
    accepts: Option<SocketAddr>,
}

/// The first exchange of SDPs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Exchange {
    /// No answer has gone out that counts.
    #[default]
    Open,
    /// Our answer has gone out in a reliable 18x that is not confirmed yet.
    Answered,
    /// Our offer has gone out in a reliable 18x; its PRACK brings the answer.
    Offered,
    /// Both sides know both SDPs; the final answer adds nothing to it.
    Settled,
}

#[derive(Debug, Serialize, Deserialize)]
struct Unconfirmed {
    rseq: u32,
    response: Response,
    wait: Duration,
    next: Moment,
    until: Moment,
}

/// What is due.
enum Due {
    Nothing,
    Again(Response),
    Lost,
}

impl Early {
    /// Before any answer to the INVITE of this number.
    pub(super) fn of(invite: u32) -> Early {
        Early { invite, ..Early::default() }
    }

    pub(super) fn deadline(&self) -> Option<Moment> {
        self.unconfirmed.as_ref().map(|unconfirmed| unconfirmed.next.min(unconfirmed.until))
    }

    fn due(&mut self, now: Moment) -> Due {
        let Some(unconfirmed) = self.unconfirmed.as_mut() else { return Due::Nothing };
        if now >= unconfirmed.until {
            return Due::Lost;
        }
        if now < unconfirmed.next {
            return Due::Nothing;
        }
        // RFC 3262 §3: from T1 on, doubling; no ceiling.
        unconfirmed.wait *= 2;
        unconfirmed.next = now + unconfirmed.wait;
        Due::Again(unconfirmed.response.clone())
    }

    /// Numbers a reliable answer and waits for its PRACK; behind another one it waits its turn.
    fn send(&mut self, mut response: Response, first: u32, now: Moment) -> Option<Response> {
        if self.unconfirmed.is_some() {
            if self.queued.len() < QUEUED_MAX {
                self.queued.push_back(response);
            }
            return None;
        }
        self.rseq = if self.rseq == 0 { first } else { self.rseq + 1 };
        response.headers.push("Require", "100rel");
        response.headers.push("RSeq", self.rseq.to_string());
        let (rseq, until) = (self.rseq, now + PATIENCE);
        self.unconfirmed = Some(Unconfirmed { rseq, response: response.clone(), wait: T1, next: now + T1, until });
        Some(response)
    }

    /// Whether this confirms what waits (RFC 3262 §3); then it waits no more.
    fn confirm(&mut self, rack: &RAck) -> bool {
        let is_it = self.unconfirmed.as_ref().is_some_and(|unconfirmed| unconfirmed.rseq == rack.rseq);
        let confirms = is_it && rack.number == self.invite && rack.method == crate::sip::Method::Invite;
        if confirms {
            self.unconfirmed = None;
        }
        confirms
    }
}

impl UserAgent {
    /// 180.
    pub(super) fn ring(&mut self, id: LegId, beat: &mut Beat<'_>) {
        self.say_early(id, 180, None, beat);
    }

    /// 183 with our SDP, so that the caller hears us before it is charged.
    pub(super) fn progress(&mut self, id: LegId, rtp: SocketAddr, beat: &mut Beat<'_>) {
        self.say_early(id, 183, Some(rtp), beat);
    }

    fn say_early(&mut self, id: LegId, status: u16, rtp: Option<SocketAddr>, beat: &mut Beat<'_>) {
        let Some(leg) = self.legs.find_mut(id) else { return };
        let Stage::Invited(invited) = &leg.stage else { return };
        let is_reliable = leg.far.knows_100rel;
        let mut body = Bytes::new();
        if let Some(rtp) = rtp {
            leg.media.open(self.wire.reachable(rtp, leg.dialog.path));
            (body, leg.early.exchange) = match (&invited.offer, leg.early.exchange) {
                (Some(offer), Exchange::Open) if is_reliable => (leg.media.answer(offer), Exchange::Answered),
                (Some(offer), exchange) => (leg.media.answer(offer), exchange),
                (None, Exchange::Open) if is_reliable => (leg.media.offer(), Exchange::Offered),
                // RFC 3261 §13.2.1: an offer of ours needs a reliable answer to travel in. Without, it only rings.
                (None, exchange) => (body, exchange),
            };
        }
        let status = if status == 183 && body.is_empty() { 180 } else { status };
        let mut response = answer_tagged(&invited.request, status, &leg.dialog.local_tag, &self.wire.rules);
        complete(&mut response, self.wire.contact(leg.dialog.path), body);
        let key = invited.key.clone();
        if is_reliable {
            // RFC 3262 §3: the first number is between 1 and 2³¹ − 1.
            let first = 1 + (self.wire.chance.next_u64() >> 40) as u32;
            let Some(numbered) = leg.early.send(response, first, beat.now.moment) else { return };
            response = numbered;
        }
        let traced = leg.traced();
        self.legs.reckon(id);
        self.wire.respond(&key, response, traced, beat);
    }

    /// Whether the final answer must wait for the PRACK of an 18x that carried SDP (RFC 3262 §3); then it follows by
    /// itself.
    pub(super) fn puts_off_acceptance(&mut self, id: LegId, rtp: SocketAddr) -> bool {
        let Some(leg) = self.legs.find_mut(id) else { return false };
        let waits = match leg.early.exchange {
            Exchange::Answered | Exchange::Offered => true,
            Exchange::Open | Exchange::Settled => false,
        };
        if waits {
            leg.early.accepts = Some(rtp);
        }
        waits
    }

    /// A PRACK (RFC 3262 §3); one that confirms nothing is told so.
    pub(super) fn pracked(&mut self, id: LegId, arrival: &Arrival, beat: &mut Beat<'_>) {
        let Arrival { key, request, .. } = arrival;
        let Some(leg) = self.legs.find_mut(id) else { return };
        let traced = leg.traced();
        let status = match request.headers.rack() {
            None => Some(400),
            Some(rack) => (!leg.early.confirm(&rack)).then_some(481),
        };
        if let Some(status) = status {
            let response = answer(request, status, &self.wire.rules);
            return self.wire.respond(key, response, traced, beat);
        }
        self.legs.reckon(id);
        match self.take_prack(id, arrival) {
            Ok((body, signal)) => {
                let mut ok = answer(request, 200, &self.wire.rules);
                if !body.is_empty() {
                    let contact = self.legs.find(id).and_then(|leg| self.wire.contact(leg.dialog.path));
                    complete(&mut ok, contact, body);
                }
                self.wire.respond(key, ok, traced, beat);
                if let Some(signal) = signal {
                    beat.signal(signal);
                }
            }
            Err(refusal) => {
                let response = refusal.response(request, &self.wire.rules);
                self.wire.respond(key, response, traced, beat);
            }
        }
        self.go_on_early(id, beat);
    }

    /// The SDP that a PRACK carries: the answer to our offer, or an offer once the first exchange is over (§5).
    fn take_prack(&mut self, id: LegId, arrival: &Arrival) -> Result<(Bytes, Option<Signal>), Refusal> {
        let Arrival { path, request, .. } = arrival;
        let Some(leg) = self.legs.find_mut(id) else { return Ok((Bytes::new(), None)) };
        let was = leg.early.exchange;
        if was != Exchange::Open {
            leg.early.exchange = Exchange::Settled;
        }
        check(request)?;
        let sdp = read_offer(&request.headers, &request.body, &leg.media.terms())?;
        let Some(sdp) = sdp else {
            if was == Exchange::Offered {
                // Against §5; our 200 makes the offer once more.
                leg.early.exchange = Exchange::Open;
            }
            return Ok((Bytes::new(), None));
        };
        let heard = match was {
            Exchange::Offered => leg.media.hear_answer(&sdp, &request.body, path.peer.ip()),
            Exchange::Open | Exchange::Answered | Exchange::Settled => {
                leg.media.hear_offer(&sdp, &request.body, path.peer.ip())
            }
        };
        let signal = match heard {
            Heard::Other(remote) => Some(Signal::Reoffered { leg: id, remote }),
            Heard::Same | Heard::Nothing => None,
        };
        let body = if was == Exchange::Offered { Bytes::new() } else { leg.media.answer(&sdp) };
        Ok((body, signal))
    }

    /// The next answer in the row, or the acceptance that waited for it.
    fn go_on_early(&mut self, id: LegId, beat: &mut Beat<'_>) {
        let Some(leg) = self.legs.find_mut(id) else { return };
        let Stage::Invited(invited) = &leg.stage else { return };
        if let Some(rtp) = leg.early.accepts.take() {
            return self.accept(id, rtp, beat);
        }
        let Some(queued) = leg.early.queued.pop_front() else { return };
        let (key, traced) = (invited.key.clone(), leg.traced());
        if let Some(response) = leg.early.send(queued, 1, beat.now.moment) {
            self.legs.reckon(id);
            self.wire.respond(&key, response, traced, beat);
        }
    }

    /// An 18x waits for its PRACK: it is sent again, or the call is given up with a 5xx (RFC 3262 §3).
    pub(super) fn tick_early(&mut self, id: LegId, beat: &mut Beat<'_>) {
        let Some(leg) = self.legs.find_mut(id) else { return };
        let Stage::Invited(invited) = &leg.stage else { return };
        let key = invited.key.clone();
        match leg.early.due(beat.now.moment) {
            Due::Nothing => {}
            Due::Again(response) => {
                self.legs.reckon(id);
                beat.count(Counter::SipRetransmitted);
                self.wire.respond(&key, response, None, beat);
            }
            Due::Lost => {
                self.decline(id, Refusal::of(504), beat);
                let detail = Some("no PRACK of our reliable answer in 32 s".to_owned());
                beat.signal(Signal::Ended { leg: id, by: Gone::NoAck, detail });
            }
        }
    }
}
