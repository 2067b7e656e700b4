//! Where a message goes that came in: answered at the door without a trace, or on to its transaction, leg or registrar.

use bytes::Bytes;

use crate::model::{Counter, Path, RegulatorId};
use crate::sip::transaction::Happening;
use crate::sip::{Message, Method, NameAddr, Request, Response, Uri, compose};

use super::UserAgent;
use super::admission::{Asked, Gate, Proof};
use super::answer::answer;
use super::incoming::{Arrival, Origination, check};
use super::leg::Stage;
use super::outgoing::is_repeated_ok;
use super::readable::check_readable;
use super::registrar::user_of;
use super::rules::{ACCEPTED, ALLOW, ALLOW_EVENTS, RETRY_AFTER_S, SUPPORTED};
use super::wire::Beat;

impl UserAgent {
    /// A message that could be read.
    pub(super) fn heard(&mut self, path: Path, mut message: Message, bytes: &Bytes, beat: &mut Beat<'_>) {
        if let Message::Request(request) = &mut message {
            // The transactions do so again, to the same effect.
            compose::stamp_via(request, path.peer);
        }
        if let Message::Request(request) = &message
            && let Some(response) = self.answer_at_door(path, request, beat)
        {
            return self.wire.respond_stateless(path, request, &response, beat);
        }
        let leg = self.legs.of_message(&message).and_then(|id| self.legs.find(id));
        let is_repeated = matches!((&message, leg), (Message::Response(ok), Some(leg)) if is_repeated_ok(leg, ok));
        let leg = leg.and_then(|leg| leg.traced());
        let starts = matches!(&message, Message::Request(r) if r.method == Method::Invite && r.to_tag().is_none());
        let mut happenings = Vec::new();
        self.wire.transactions.receive(path, message, beat.now.moment, &mut happenings);
        let is_for_new_leg = starts && happenings.iter().any(|h| matches!(h, Happening::Request { .. }));
        let leg = leg.filter(|_| !is_for_new_leg);
        // The ACK of a 200 is kept where it is found to be the first.
        let is_kept_later = happenings.iter().any(|h| matches!(h, Happening::Ack { .. } | Happening::Retransmitted));
        if let Some(leg) = leg.filter(|_| !is_kept_later && !is_repeated) {
            self.wire.note(leg, path, bytes, beat);
        }
        for happening in self.wire.flow(happenings, leg, beat) {
            self.happened(happening, bytes, beat);
        }
    }

    /// What may be answered without keeping anything: whatever comes unauthenticated and outside every dialog.
    fn answer_at_door(&mut self, path: Path, request: &Request, beat: &mut Beat<'_>) -> Option<Response> {
        let is_from_trunk = self.admission.trunk_at(path.peer.ip()).is_some();
        let is_within = request.to_tag().is_some();
        if let Err(refusal) = check_readable(request, path.transport) {
            return Some(refusal.response(request, &self.wire.rules));
        }
        match &request.method {
            Method::Ack => None,
            Method::Cancel => {
                let is_known = self.legs.of_invite(request).is_some();
                (!is_known).then(|| answer(request, 481, &self.wire.rules))
            }
            Method::Register if is_from_trunk => {
                // A registration never comes from a trunk: it could take a regulator's calls away.
                beat.refuse((path, request), "a registration never comes from a trunk's address");
                Some(answer(request, 403, &self.wire.rules))
            }
            Method::Register => self.challenge((path, request), Gate::Registrar, request.headers.to(), beat),
            _ if is_within => {
                let is_watching = request.method == Method::Subscribe && self.subscriptions.has_dialog(request);
                let is_known = is_watching || self.legs.of_dialog(request).is_some();
                (!is_known).then(|| answer(request, 481, &self.wire.rules))
            }
            Method::Invite if is_from_trunk => None,
            Method::Invite if self.claims_regulator(request) => {
                self.challenge((path, request), Gate::Proxy, request.headers.from(), beat)
            }
            Method::Invite => {
                beat.refuse((path, request), "the address is no trunk's, see `peers`");
                self.blame_stray(path, beat);
                Some(answer(request, 403, &self.wire.rules))
            }
            Method::Options => Some(self.describe(request)),
            Method::Bye => Some(answer(request, 481, &self.wire.rules)),
            Method::Subscribe => self.subscribe_at_door((path, request), beat),
            Method::Info
            | Method::Update
            | Method::Prack
            | Method::Notify
            | Method::Refer
            | Method::Message
            | Method::Publish
            | Method::Other(_) => Some(answer(request, self.status_of_other(&request.method), &self.wire.rules)),
        }
    }

    /// The challenge to a request without the right password; only what has it costs us a transaction.
    pub(super) fn challenge(
        &mut self,
        (path, request): Asked<'_>,
        gate: Gate,
        claimed: Option<NameAddr>,
        beat: &mut Beat<'_>,
    ) -> Option<Response> {
        let user = user_of(claimed).unwrap_or_default();
        let mut proof = self.admission.weigh((path, request), gate, beat.now.moment);
        if let Proof::Is(regulator) = &proof {
            if !self.is_shut_out(regulator, path, beat.now.moment) {
                self.bans.welcome(path.peer.ip(), beat.now.moment);
                return self.is_hasty(regulator, request, beat).then(|| self.slow_down(request));
            }
            // Answered like a wrong password, so that whoever guesses does not learn that this was the right one.
            proof = Proof::Nothing;
            beat.refuse((path, request), "its account is banned but for its registered phones, see /api/v1/sip/bans");
        } else if proof == Proof::Nothing && request.headers.has(gate.answers()) {
            beat.refuse((path, request), "unknown user, wrong password, or another realm or algorithm");
            self.blame_failure((path, request), gate, beat);
        } else if proof == Proof::Nothing && !self.admission.knows(&user.as_str().into()) {
            self.blame_stray(path, beat);
        }
        let mut response = answer(request, gate.status(), &self.wire.rules);
        let asked = (path, user.as_str(), proof == Proof::Stale);
        self.admission.challenge(&mut response, gate, asked, beat.now.moment);
        Some(response)
    }

    /// Whether an account asks for too many registrations or calls a second: a phone of it gone wild may not keep the
    /// others waiting. What is repeated for want of an answer counts once.
    fn is_hasty(&mut self, regulator: &RegulatorId, request: &Request, beat: &mut Beat<'_>) -> bool {
        let is_limited = matches!(request.method, Method::Register | Method::Invite);
        if !is_limited || self.wire.transactions.answers(request) {
            return false;
        }
        let is_hasty = self.bans.is_hasty(regulator, self.wire.rules.account_rate_max, beat.now.moment);
        if is_hasty {
            beat.count(Counter::SipAccountRefused);
        }
        is_hasty
    }

    fn slow_down(&self, request: &Request) -> Response {
        let mut response = answer(request, 503, &self.wire.rules);
        response.headers.push("Retry-After", RETRY_AFTER_S.to_string());
        response
    }

    /// What we can do (RFC 3261 §11.2).
    fn describe(&self, request: &Request) -> Response {
        if let Err(refusal) = check(request) {
            return refusal.response(request, &self.wire.rules);
        }
        let mut response = answer(request, 200, &self.wire.rules);
        response.headers.push("Allow", ALLOW);
        response.headers.push("Accept", ACCEPTED);
        response.headers.push("Supported", SUPPORTED);
        response.headers.push("Allow-Events", ALLOW_EVENTS);
        response
    }

    /// Whether an INVITE claims to be a regulator's, known or not: its From is of our realm, of one of our own
    /// addresses, or of any name. A number at another address is a stranger's call.
    pub(super) fn claims_regulator(&self, request: &Request) -> bool {
        if request.headers.has(Gate::Proxy.answers()) {
            return true;
        }
        let Some(uri) = request.headers.from().and_then(|from| from.to_uri()) else { return false };
        let is_id = uri.user_decoded().is_some_and(|user| crate::model::ids::is_valid_id(&user));
        is_id && self.is_our_host(&uri)
    }

    fn is_our_host(&self, uri: &Uri) -> bool {
        match uri.ip() {
            None => true,
            Some(ip) => self
                .wire
                .rules
                .listeners
                .iter()
                .map(|listener| listener.address)
                .any(|address| address.ip() == ip && uri.port.is_none_or(|port| port == address.port())),
        }
    }

    /// What the transactions tell.
    pub(super) fn happened(&mut self, happening: Happening, bytes: &Bytes, beat: &mut Beat<'_>) {
        match happening {
            Happening::Request { key, path, request } => {
                let arrival = Arrival { key, path, request, bytes: bytes.clone() };
                self.asked(arrival, beat);
            }
            Happening::Ack { path, request } => {
                if let Some(leg) = self.legs.of_dialog(&request) {
                    self.acknowledged(leg, (path, bytes), &request, beat);
                }
            }
            Happening::Cancelled { invite, cancel } => self.cancelled(&invite, &cancel, beat),
            Happening::Response { key, response, .. } if self.subscriptions.awaits(&key) => {
                self.lamp_heard(&key, &response, beat);
            }
            Happening::TimedOut { key } | Happening::Cut { key, .. } if self.subscriptions.awaits(&key) => {
                self.subscriptions.lose(&key)
            }
            Happening::Response { key, path, response } => {
                if !self.carrier_answered(&key, &response, beat) {
                    self.responded(&key, path, &response, beat);
                }
            }
            Happening::TimedOut { key } => {
                if !self.carrier_silent(&key, beat) {
                    self.timed_out(&key, beat);
                }
            }
            Happening::Cut { key, why } => {
                if !self.carrier_cut(&key, &why, beat) {
                    self.way_is_cut(&key, &why, beat);
                }
            }
            Happening::Send { .. } | Happening::Retransmitted => {}
        }
    }

    /// A new request, which wants an answer in its transaction.
    fn asked(&mut self, arrival: Arrival, beat: &mut Beat<'_>) {
        let request = &arrival.request;
        if request.method == Method::Register {
            let arrived = (arrival.path, request);
            let (admission, rules) = (&mut self.admission, &self.wire.rules);
            let response = self.registrar.register(arrived, admission, rules, beat.now, beat.out);
            if matches!(response.status, 401 | 403) {
                beat.refuse(arrived, "the password is another user's");
            }
            if response.is_success() {
                let user = user_of(request.headers.to());
                self.follow(arrival.path, user.as_deref(), beat.now.moment);
                self.follow_watcher(arrival.path, user.as_deref(), beat);
            }
            return self.wire.respond(&arrival.key, response, None, beat);
        }
        if let Some(leg) = self.legs.of_dialog(request) {
            return self.asked_within(leg, arrival, beat);
        }
        if self.is_overlapping(request) {
            // RFC 3261 §14.2: the first INVITE of this dialog-to-be has no final answer yet.
            let response = self.try_later().response(request, &self.wire.rules);
            return self.wire.respond(&arrival.key, response, None, beat);
        }
        if request.method == Method::Subscribe {
            return self.subscribed(&arrival, beat);
        }
        match self.originator(&arrival, beat) {
            Ok(by) => self.invited(arrival, by, beat),
            Err(response) => {
                beat.refuse((arrival.path, request), "no trunk's address and no regulator's password");
                self.wire.respond(&arrival.key, response, None, beat);
            }
        }
    }

    /// Whether another INVITE of the same caller and Call-ID waits for our answer.
    fn is_overlapping(&self, request: &Request) -> bool {
        let first = self.legs.of_invite(request).and_then(|id| self.legs.find(id));
        request.method == Method::Invite && first.is_some_and(|leg| matches!(leg.stage, Stage::Invited(_)))
    }

    /// Who may start this call: a trunk, or a registered regulator with the right password.
    fn originator(&mut self, arrival: &Arrival, beat: &mut Beat<'_>) -> Result<Origination, Response> {
        let request = &arrival.request;
        if request.method != Method::Invite {
            return Err(answer(request, 481, &self.wire.rules));
        }
        if let Some(trunk) = self.admission.trunk_of((arrival.path, request)) {
            return Ok(Origination::Trunk(Box::new(trunk.clone())));
        }
        self.prove_regulator(arrival, beat).map(Origination::Regulator)
    }

    /// The registered regulator whose password a request was made with.
    pub(super) fn prove_regulator(&mut self, arrival: &Arrival, beat: &mut Beat<'_>) -> Result<RegulatorId, Response> {
        let request = &arrival.request;
        let claimed = user_of(request.headers.from()).unwrap_or_default();
        let proof = self.admission.prove((arrival.path, request), Gate::Proxy, beat.now.moment);
        match proof {
            Proof::Is(regulator) if self.may_dial(&regulator, &claimed) => Ok(regulator),
            Proof::Is(_) => Err(answer(request, 403, &self.wire.rules)),
            Proof::Nothing | Proof::Stale => {
                let mut response = answer(request, Gate::Proxy.status(), &self.wire.rules);
                let is_stale = proof == Proof::Stale;
                let asked = (arrival.path, claimed.as_str(), is_stale);
                self.admission.challenge(&mut response, Gate::Proxy, asked, beat.now.moment);
                Err(response)
            }
        }
    }

    fn may_dial(&self, regulator: &RegulatorId, claimed: &str) -> bool {
        regulator.as_str() == claimed && !self.registrar.bindings.of(regulator).is_empty()
    }
}
