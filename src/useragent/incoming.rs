//! Calls that come in: from an INVITE to a leg, and what the switch orders of it (RFC 3261 §13.3).

use bytes::Bytes;

use crate::call::signal::{Dialled, Gone, Incoming, Party, Signal, Unserved};
use crate::model::media::DTMF_CLOCK_HZ;
use crate::model::{Alarm, CallId, Counter, Direction, EndedBy, LegId, Path, RegulatorId, RemoteMedia, Trunk, TrunkId};
use crate::sip::sdp::{Description, Origin};
use crate::sip::transaction::ServerKey;
use crate::sip::{Request, Response, Uri};

use super::agreed::LegMedia;
use super::answer::{answer, answer_tagged};
use super::caller::{dialled, read_caller};
use super::context::read_context;
use super::dialog::Dialog;
use super::early::{Early, Exchange};
use super::leg::{Invited, Leg, Stage, Unacked};
use super::lifetime::{self, Lifetime};
use super::readable::takes_sdp;
use super::rules::{ACCEPT, ALARM_EVERY, ALLOW, RETRY_AFTER_S, Rules, SUPPORTED};
use super::security::Security;
use super::terms::{Terms, read_offer};
use super::trunks::dialled_beyond;
use super::wire::Beat;
use super::{Effect, UserAgent};

/// A request as it came: its transaction, its way, itself, and its bytes for the ladder.
pub(super) struct Arrival {
    pub key: ServerKey,
    pub path: Path,
    pub request: Request,
    pub bytes: Bytes,
}

/// Who starts a call.
pub(super) enum Origination {
    /// A carrier.
    Trunk(Box<Trunk>),
    /// A registered regulator, proven by digest.
    Regulator(RegulatorId),
}

/// Why a request is refused, as its response says it.
pub(super) struct Refusal {
    status: u16,
    header: Option<(&'static str, String)>,
    /// What is wrong, in place of the customary words.
    phrase: Option<String>,
}

impl Refusal {
    pub(super) fn of(status: u16) -> Refusal {
        Refusal { status, header: None, phrase: None }
    }

    /// A refusal that says what is wrong.
    pub(super) fn because(status: u16, phrase: impl Into<String>) -> Refusal {
        Refusal::of(status).saying(phrase)
    }

    pub(super) fn with(status: u16, name: &'static str, value: impl Into<String>) -> Refusal {
        Refusal { header: Some((name, value.into())), ..Refusal::of(status) }
    }

    /// The same with words of its own.
    pub(super) fn saying(self, phrase: impl Into<String>) -> Refusal {
        Refusal { phrase: Some(phrase.into()), ..self }
    }

    /// 503 with the time to try again.
    fn overloaded() -> Refusal {
        Refusal::with(503, "Retry-After", RETRY_AFTER_S.to_string())
    }

    pub(super) fn response(self, request: &Request, rules: &Rules) -> Response {
        let mut response = answer(request, self.status, rules);
        if let Some(phrase) = self.phrase {
            response.reason = phrase;
        }
        if let Some((name, value)) = self.header {
            response.headers.push(name, value);
        }
        response
    }
}

/// What cannot be kept of an INVITE: more routes, or longer texts, than any call has.
const DIALOG_BAD: &str = "Record-Route, Call-ID, From, To Or Tag Too Long";

/// What every INVITE must pass, within a dialog or not (RFC 3261 §8.2): what cannot be honoured is not begun.
pub(super) fn check(request: &Request) -> Result<(), Refusal> {
    match request.headers.max_forwards() {
        Some(Ok(0)) => return Err(Refusal::of(483)),
        Some(Err(_)) => return Err(Refusal::because(400, "Bad Max-Forwards")),
        Some(Ok(_)) | None => {}
    }
    check_required(request)
}

/// Only what is spoken may be required (RFC 3261 §8.2.2.3).
pub(super) fn check_required(request: &Request) -> Result<(), Refusal> {
    let mut required = request.headers.tokens("Require");
    required.retain(|tag| !SUPPORTED.split(", ").any(|ours| ours.eq_ignore_ascii_case(tag)));
    match required {
        none if none.is_empty() => Ok(()),
        unknown => Err(Refusal::with(420, "Unsupported", unknown.join(", "))),
    }
}

impl UserAgent {
    /// An INVITE outside any dialog, from somebody who may.
    pub(super) fn invited(&mut self, arrival: Arrival, by: Origination, beat: &mut Beat<'_>) {
        let trunk = match &by {
            Origination::Trunk(trunk) => Some(trunk.id.clone()),
            Origination::Regulator(_) => None,
        };
        if let Err(refusal) = self.begin(&arrival, by, beat) {
            // A 422 is part of the conversation: the carrier asks again with more.
            if let Some(trunk) = trunk.filter(|_| refusal.status != 422) {
                self.alarm_refusal(&trunk, &refusal, beat);
            }
            let response = refusal.response(&arrival.request, &self.wire.rules);
            self.wire.respond(&arrival.key, response, None, beat);
        }
    }

    /// What the media of whoever calls may be.
    fn terms_of(&self, by: &Origination) -> Terms {
        match by {
            Origination::Trunk(trunk) => Terms { srtp: trunk.srtp, codecs: trunk.codecs.clone() },
            Origination::Regulator(regulator) => self.terms_of_phone(regulator),
        }
    }

    /// The device that a regulator dials from.
    fn origin_of(&self, by: &Origination, path: Path) -> Option<Party> {
        let Origination::Regulator(regulator) = by else { return None };
        let device = self.registrar.bindings.of(regulator).iter().find(|device| device.path == path)?;
        Some(Party::Device { regulator: regulator.clone(), device: device.binding.device })
    }

    /// A carrier's call that was not even begun is a lost call: somebody must hear of it, once a minute for each status.
    fn alarm_refusal(&mut self, trunk: &TrunkId, refusal: &Refusal, beat: &mut Beat<'_>) {
        let (now, status) = (beat.now.moment, refusal.status);
        let last = self.refusals.get(&status);
        if last.is_some_and(|last| now.since(*last) < ALARM_EVERY) {
            return;
        }
        self.refusals.insert(status, now);
        let reason = crate::sip::status::phrase(status);
        let text = match status {
            503 => format!(
                "a call of trunk {trunk} was refused: too many calls at once or a second; raise calls_max or rate_max, or \
                 find what brings so many"
            ),
            488 => {
                let warning = refusal.header.as_ref().map_or(reason, |(_, text)| text);
                format!(
                    "a call of trunk {trunk} was refused with 488 ({warning}): have the carrier offer that, or allow what \
                     it offers with codecs and srtp of trunks.{trunk}"
                )
            }
            _ => format!("a call of trunk {trunk} was refused with {status} {reason}: ask the carrier what it sends"),
        };
        beat.out.push(Effect::Alarm(Alarm { kind: "trunk-call-refused".to_owned(), call: None, text }));
    }

    /// Whether one more call may begin: the last tenth of the calls is for the lines that go first.
    fn has_room(&self, by: &Origination, request: &Request) -> bool {
        let rules = &self.wire.rules;
        if self.legs.live() >= rules.legs_max {
            return false;
        }
        let Origination::Trunk(trunk) = by else { return true };
        let is_urgent = || {
            let ddi = trunk.numbers.normalise(&dialled(request));
            ddi.is_some_and(|ddi| self.admission.is_urgent(&ddi, rules.urgent_priority))
        };
        let reserves = self.admission.has_urgent(rules.urgent_priority);
        let fits = |live: usize, most: usize| {
            let reserved = if reserves { most / 10 } else { 0 };
            live < most - reserved || (live < most && is_urgent())
        };
        fits(self.legs.live_on(&trunk.id) as usize, trunk.calls_max as usize)
            && fits(self.legs.live_on_trunks(), rules.calls_max)
    }

    fn begin(&mut self, arrival: &Arrival, by: Origination, beat: &mut Beat<'_>) -> Result<(), Refusal> {
        let Arrival { key, path, request, bytes } = arrival;
        check(request)?;
        if !takes_sdp(request) {
            return Err(Refusal::of(406));
        }
        let granted = lifetime::weigh(request, &self.wire.rules)?;
        let terms = self.terms_of(&by);
        let offer = read_offer(&request.headers, &request.body, &terms)?;
        let is_too_fast = matches!(&by, Origination::Trunk(t) if !self.trunks.admit(t, beat.now.moment));
        if is_too_fast || !self.has_room(&by, request) {
            beat.count(Counter::CallsRefused);
            return Err(Refusal::overloaded());
        }
        let tag = self.wire.chance.token();
        let dialog = Dialog::of_invite(request, *path, tag).ok_or_else(|| Refusal::because(400, DIALOG_BAD))?;
        let replaces = self.replaced(request, &by)?.map(|leg| leg.id);
        let leg = LegId { call: self.name_call(&by, replaces, beat), number: 0 };
        let origin = Origin::new(self.wire.chance.next_u64());
        let security = Security::new(terms.srtp, &mut self.wire.chance);
        let mut media = LegMedia::new(origin, (terms.codecs, None), security);
        let remote = remote_of(&media, offer.as_ref(), *path);
        media.codec = remote.codec;
        media.remote = Some(remote.clone());
        if let Some(offer) = &offer {
            media.hear_offer(offer, &request.body, path.peer.ip());
        }
        let sip_call_id = dialog.call_id.clone();
        let party = self.origin_of(&by, *path);
        let owner = match &by {
            Origination::Trunk(_) => None,
            Origination::Regulator(regulator) => Some(regulator.clone()),
        };
        let (trunk, mut signal) = introduce(by, (leg, party.as_ref()), request, remote, sip_call_id);
        if let Signal::Dialled(dialled) = &mut signal {
            dialled.replaces = replaces;
        }
        let invited = Invited { key: key.clone(), request: request.clone(), offer, granted };
        let mut new = Leg::new(leg, dialog, Stage::Invited(Box::new(invited)), media);
        new.has_ladder = trunk.is_some();
        new.trunk = trunk;
        new.party = party;
        new.owner = owner;
        new.far.read(&request.headers);
        new.early = Early::of(request.headers.cseq().map_or(0, |cseq| cseq.number));
        let traced = new.traced();
        self.legs.add(new, Some(request));
        if let Some(leg) = traced {
            self.wire.note(leg, *path, bytes, beat);
        }
        // RFC 3261 §13.3.1.1: at once, so that the far end stops repeating.
        let trying = crate::sip::compose::response(request, 100, None);
        self.wire.respond(key, trying, traced, beat);
        beat.signal(signal);
        Ok(())
    }

    /// The name of a new call. Beside the call that its regulator is in already, or whose leg it replaces: the one's
    /// leg may become the other's, which must not change its media thread.
    fn name_call(&mut self, by: &Origination, replaces: Option<LegId>, beat: &Beat<'_>) -> CallId {
        let own = match by {
            Origination::Trunk(_) => None,
            Origination::Regulator(regulator) => self.legs.of_owner(regulator).next().map(|leg| leg.id),
        };
        let Some(other) = replaces.or(own) else { return CallId::new(beat.now.utc, &mut self.wire.chance) };
        let mut call = CallId::beside(other.call, beat.now.utc, &mut self.wire.chance);
        // Few bits are left to chance: the same name within a millisecond is drawn again.
        for _ in 0..8 {
            if !self.legs.has_leg_of(call) {
                break;
            }
            call = CallId::beside(other.call, beat.now.utc, &mut self.wire.chance);
        }
        call
    }

    /// 200 with our SDP, as soon as it may go out.
    pub(super) fn accept(&mut self, id: LegId, rtp: std::net::SocketAddr, beat: &mut Beat<'_>) {
        if self.puts_off_acceptance(id, rtp) {
            return;
        }
        let Some(leg) = self.legs.find_mut(id) else { return };
        let Stage::Invited(invited) = &leg.stage else { return };
        leg.media.open(self.wire.reachable(rtp, leg.dialog.path));
        let is_settled = leg.early.exchange == Exchange::Settled;
        let body = match &invited.offer {
            // The same again, for far ends that look for it here (RFC 3261 §13.3.1.4), unless PRACK or UPDATE have
            // changed it since.
            Some(_) if is_settled => leg.media.repeat_first(),
            Some(offer) => leg.media.answer(offer),
            None if is_settled => Bytes::new(),
            None => leg.media.offer(),
        };
        let is_offer = invited.offer.is_none() && !is_settled;
        let mut ok = answer_tagged(&invited.request, 200, &leg.dialog.local_tag, &self.wire.rules);
        complete(&mut ok, self.wire.contact(leg.dialog.path), body);
        lifetime::grant(&mut ok, invited.granted);
        leg.lifetime = invited.granted.map(|granted| Lifetime::granted(granted, beat.now.moment));
        let number = invited.request.headers.cseq().map_or(0, |cseq| cseq.number);
        let unacked = Unacked::new(invited.key.clone(), number, ok.clone(), is_offer, beat.now.moment);
        let (key, traced) = (invited.key.clone(), leg.traced());
        self.legs.turn(id, Stage::Accepted(unacked), beat.now.moment);
        self.wire.respond(&key, ok, traced, beat);
    }

    /// A refusal in the switch's words.
    pub(super) fn refuse(&mut self, id: LegId, why: Unserved, beat: &mut Beat<'_>) {
        let refusal = match why {
            Unserved::Overloaded => Refusal::overloaded(),
            Unserved::Forbidden => Refusal::of(403),
            Unserved::NotFound => Refusal::of(404),
            Unserved::Busy => Refusal::of(486),
            Unserved::Declined => Refusal::of(603),
            Unserved::Unavailable => Refusal::of(480),
            Unserved::Fault => Refusal::of(500),
        };
        self.decline(id, refusal, beat);
    }

    /// A hang-up before acceptance.
    pub(super) fn hang_up_invited(&mut self, id: LegId, why: EndedBy, beat: &mut Beat<'_>) {
        let refusal = match why {
            EndedBy::Caller => Refusal::of(487),
            EndedBy::Shutdown => Refusal::overloaded(),
            EndedBy::Fault => Refusal::of(500),
            EndedBy::Regulator
            | EndedBy::Message
            | EndedBy::Silence
            | EndedBy::NoAck
            | EndedBy::DeviceLost
            | EndedBy::AnsweredElsewhere
            | EndedBy::NoAnswer
            | EndedBy::Operator
            | EndedBy::Refused => Refusal::of(480),
        };
        self.decline(id, refusal, beat);
    }

    pub(super) fn decline(&mut self, id: LegId, refusal: Refusal, beat: &mut Beat<'_>) {
        let Some(leg) = self.legs.find(id) else { return };
        let Stage::Invited(invited) = &leg.stage else { return };
        let mut response = answer_tagged(&invited.request, refusal.status, &leg.dialog.local_tag, &self.wire.rules);
        if let Some((name, value)) = refusal.header {
            response.headers.push(name, value);
        }
        let (key, traced) = (invited.key.clone(), leg.traced());
        self.legs.turn(id, Stage::Ended, beat.now.moment);
        self.wire.respond(&key, response, traced, beat);
    }

    /// The caller gave up before acceptance (RFC 3261 §9.2): the INVITE gets its 487.
    pub(super) fn cancelled(&mut self, invite: &ServerKey, cancel: &Request, beat: &mut Beat<'_>) {
        let Some(id) = self.legs.of_invite(cancel) else { return };
        let is_its = |leg: &Leg| matches!(&leg.stage, Stage::Invited(invited) if invited.key == *invite);
        if !self.legs.find(id).is_some_and(is_its) {
            return;
        }
        let detail = cancel.headers.reason().and_then(|reason| reason.text);
        self.decline(id, Refusal::of(487), beat);
        beat.signal(Signal::Ended { leg: id, by: Gone::Cancelled, detail });
    }
}

/// What a 200 or 18x with SDP carries (RFC 3261 §13.3.1.4).
pub(super) fn complete(ok: &mut Response, contact: Option<String>, body: Bytes) {
    if let Some(contact) = contact {
        ok.headers.push("Contact", contact);
    }
    ok.headers.push("Allow", ALLOW);
    ok.headers.push("Supported", SUPPORTED);
    if !body.is_empty() {
        ok.headers.push("Content-Type", ACCEPT);
    }
    ok.body = body;
}

/// What the far end offers. Without an SDP nothing may be sent before its answer comes in the ACK.
fn remote_of(media: &LegMedia, offer: Option<&Description>, path: Path) -> RemoteMedia {
    let signalling = path.peer.ip();
    offer.and_then(|offer| media.agree_offer(offer, signalling)).unwrap_or_else(|| RemoteMedia {
        rtp: (signalling, 9).into(),
        rtcp: (signalling, 10).into(),
        signalling,
        codec: media.codec,
        payload: media.codec.payload_type(),
        dtmf_payload: None,
        dtmf_clock_hz: DTMF_CLOCK_HZ,
        formats: Vec::new(),
        direction: Direction::Inactive,
        crypto: None,
    })
}

fn introduce(
    by: Origination,
    (leg, party): (LegId, Option<&Party>),
    request: &Request,
    remote: RemoteMedia,
    sip_call_id: String,
) -> (Option<TrunkId>, Signal) {
    match by {
        Origination::Trunk(trunk) => {
            let caller = read_caller(request, &trunk.numbers, trunk.verified);
            let ddi = dialled_beyond(request, &trunk).unwrap_or_else(|| dialled(request));
            let id = trunk.id.clone();
            let context = Box::new(read_context(request, &trunk.numbers));
            let incoming = Incoming { leg, trunk: trunk.id, ddi, caller, sip_call_id, remote, context };
            (Some(id), Signal::Incoming(Box::new(incoming)))
        }
        Origination::Regulator(regulator) => {
            let digits = Uri::parse(&request.uri).and_then(|uri| uri.user_decoded()).unwrap_or_default();
            let device = match party {
                Some(Party::Device { device, .. }) => Some(*device),
                Some(Party::Number { .. }) | None => None,
            };
            let dialled = Dialled { leg, regulator, device, digits, replaces: None, sip_call_id, remote };
            (None, Signal::Dialled(Box::new(dialled)))
        }
    }
}
