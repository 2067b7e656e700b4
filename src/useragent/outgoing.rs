//! Calls to regulators' devices: INVITE, its answers, CANCEL (RFC 3261 §13.2, §9.1).

use std::time::Duration;

use crate::call::signal::{Dial, Party, Refusal, RefusalKind, Signal};
use crate::model::srtp::SrtpPolicy;
use crate::model::{EndedBy, LegId, Path};
use crate::sip::sdp::Origin;
use crate::sip::transaction::ClientKey;
use crate::sip::{Method, NameAddr, Request, Response};

use super::UserAgent;
use super::agreed::{Heard, LegMedia};
use super::caller::shown;
use super::context::passed_on;
use super::dialog::Dialog;
use super::leg::{Ack, FORKS_MAX, Leg, Purpose, Stage};
use super::lifetime::{self, Lifetime};
use super::reasons::reason_of_cancel;
use super::rules::{ACCEPT, ALLOW, SIGN_OF_LIFE_MAX, SUPPORTED};
use super::security::Security;
use super::terms::{Terms, names_of, read_answer};
use super::trunks::Callee;
use super::wire::Beat;

/// How long a device may ring, beyond what is ever asked of it (2 min): the INVITE says so (RFC 3261 §13.2.1), so that a
/// phone whose answers were all lost, and which therefore cannot be cancelled, stops by itself.
const RINGS_FOR_MAX: Duration = Duration::from_secs(130);

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
        let callee = self.callee_of(&dial, beat)?;
        let (path, over) = (callee.path, callee.over);
        let owner = match &dial.to {
            Party::Device { regulator, .. } => Some(regulator.clone()),
            Party::Number { .. } => None,
        };
        let call_id = format!("{}{}", self.wire.chance.token(), self.wire.chance.token());
        let mut dialog = Dialog::dialling(call_id, self.wire.chance.token(), callee.ends, callee.target, path);
        let origin = Origin::new(self.wire.chance.next_u64());
        let Terms { srtp, codecs } = match &dial.to {
            Party::Device { regulator, .. } => self.terms_of_phone(regulator),
            Party::Number { trunk, .. } => self.terms_over(trunk),
        };
        let security = Security::new(srtp, &mut self.wire.chance);
        let mut media = LegMedia::new(origin, (codecs, Some(dial.prefer)), security);
        media.open(self.wire.reachable(dial.local, path));
        let mut invite = dialog.request(Method::Invite, &self.wire.rules);
        if let Some(contact) = self.wire.contact(path) {
            invite.headers.push("Contact", contact);
        }
        invite.headers.push("Allow", ALLOW);
        invite.headers.push("Supported", SUPPORTED);
        lifetime::ask(&mut invite, self.wire.rules.session_expires, self.wire.rules.session_expires_min);
        for (name, value) in callee.more {
            invite.headers.push(name, value);
        }
        invite.headers.push("Content-Type", ACCEPT);
        invite.body = media.offer();
        let asked = Box::new(invite.clone());
        let first = over.is_some().then(|| invite.clone());
        let sent = self.wire.request(path, invite, Some(dial.leg), beat);
        let invite = sent.ok_or("the listener that the device registered on is gone")?;
        let dialled = invite.clone();
        let stage = Stage::Dialling { invite, has_rung: false, dead_at: Some(beat.now.moment + SIGN_OF_LIFE_MAX) };
        let mut leg = Leg::new(dial.leg, dialog, stage, media);
        leg.invite = Some(asked);
        leg.party = Some(dial.to.clone());
        leg.owner = owner;
        leg.trunk = over.as_ref().map(|(trunk, _)| trunk.clone());
        self.legs.add(leg, None);
        self.legs.ask(dial.leg, dialled, Purpose::Dial);
        self.legs.reckon(dial.leg);
        if let Some((over, first)) = over.zip(first) {
            self.hunt(dial.leg, over, first);
        }
        Ok(())
    }

    /// A device is called where its REGISTER came from, a number over its trunk.
    fn callee_of(&self, dial: &Dial, beat: &Beat<'_>) -> Result<Callee, &'static str> {
        let (regulator, device) = match &dial.to {
            Party::Device { regulator, device } => (regulator, device),
            Party::Number { trunk, number } => return self.callee_over_trunk(dial, (trunk, number), beat),
        };
        let device = self.registrar.bindings.find(regulator, *device);
        let (path, target) =
            device.map(|d| (d.path, d.binding.contact.clone())).ok_or("the device is not registered any more")?;
        let realm = &self.wire.rules.realm;
        let from = shown(&dial.caller, &dial.label, realm);
        let mut more = vec![("X-Vigie-Call", dial.call.to_string()), ("Expires", RINGS_FOR_MAX.as_secs().to_string())];
        more.extend(passed_on(&dial.caller, &dial.context, &from));
        more.extend(dial.manner.auto_answer_after.iter().flat_map(|after| answered_by_itself(*after, realm)));
        let ends = (from, NameAddr::new(format!("sip:{regulator}@{realm}")));
        Ok(Callee { path, target, ends, more, over: None })
    }

    /// A response to a request of ours. A BYE needs no answer.
    pub(super) fn responded(&mut self, key: &ClientKey, path: Path, response: &Response, beat: &mut Beat<'_>) {
        let asked = self.legs.of_client(key);
        if key.method() != Method::Invite && !response.is_provisional() && !matches!(asked, Some((_, Purpose::Notify)))
        {
            self.legs.settle(key);
        }
        match asked {
            Some((id, Purpose::Probe)) => self.is_there(id, response.status, beat),
            Some((id, Purpose::Notify)) => self.progress_heard(id, (key, response.status)),
            Some((id, Purpose::Refresh | Purpose::Reoffer)) => self.change_answered(id, key, (path, response), beat),
            // A PRACK that was refused leaves the 18x to be sent again, or the call to be ended, by the far end.
            Some((_, Purpose::Prack)) => {}
            Some((id, Purpose::Key)) => self.key_answered(id, response.status, beat),
            Some((_, Purpose::Dial)) | None if key.method() == Method::Invite => {
                self.answered(asked.map(|(id, _)| id), path, response, beat);
            }
            Some((_, Purpose::Dial)) | None => {}
        }
    }

    /// An answer to the INVITE that dials a leg: `asked` by its transaction, when that is still known. A far end that
    /// garbles From or Call-ID has answered all the same; the transaction is over, and no other answer will come.
    fn answered(&mut self, asked: Option<LegId>, path: Path, response: &Response, beat: &mut Beat<'_>) {
        let Some(id) = self.legs.of_response(response).or(asked) else { return };
        let is_dialling = |leg: &Leg| matches!(leg.stage, Stage::Dialling { .. });
        if response.status == 422 && self.legs.find(id).is_some_and(is_dialling) && self.dial_longer(id, response, beat)
        {
            return;
        }
        let Some(leg) = self.legs.find(id) else { return };
        match &leg.stage {
            Stage::Dialling { .. } if response.is_provisional() => self.rings(id, path, response, beat),
            Stage::Dialling { .. } if response.is_success() => self.picked_up(id, path, response, beat),
            Stage::Dialling { .. } => {
                let detail = refusal_of(response, leg);
                self.end_refused(id, meaning(response.status), detail, beat);
            }
            Stage::Cancelling if response.is_provisional() => {}
            Stage::Cancelling if response.is_success() => {
                self.establish(id, path, response, beat);
                let why = self.legs.find(id).and_then(|leg| leg.given_up).unwrap_or(EndedBy::NoAnswer);
                self.say_bye(id, Some(why), beat);
            }
            Stage::Cancelling => self.legs.turn(id, Stage::Ended, beat.now.moment),
            Stage::Confirmed { .. } | Stage::Ended if response.is_success() => {
                self.picked_up_again(id, path, response, beat);
            }
            Stage::Confirmed { .. } | Stage::Ended | Stage::Invited(_) | Stage::Accepted(_) | Stage::Leaving(_) => {}
        }
    }

    /// 422 with Min-SE (RFC 4028 §7.3): the INVITE goes out once more with the interval that the far end wants.
    fn dial_longer(&mut self, id: LegId, refusal: &Response, beat: &mut Beat<'_>) -> bool {
        let Some(min_s) = refusal.headers.min_se() else { return false };
        let least = self.wire.rules.session_expires.max(Duration::from_secs(u64::from(min_s)));
        let Some(leg) = self.legs.find_mut(id) else { return false };
        // Taken, so that this is done once.
        let Some(mut invite) = leg.invite.take() else { return false };
        let (number, path, traced) = (leg.dialog.number(), leg.dialog.path, leg.traced());
        invite.headers.set("CSeq", format!("{number} INVITE"));
        lifetime::ask(&mut invite, least, Duration::from_secs(u64::from(min_s)));
        leg.forks.clear();
        let Some(key) = self.wire.request(path, *invite, traced, beat) else { return false };
        let dead_at = Some(beat.now.moment + SIGN_OF_LIFE_MAX);
        if let Some(Stage::Dialling { invite, dead_at: old, .. }) = self.legs.find_mut(id).map(|leg| &mut leg.stage) {
            (*invite, *old) = (key.clone(), dead_at);
        }
        self.legs.ask(id, key, Purpose::Dial);
        self.legs.reckon(id);
        true
    }

    /// No final answer at all.
    pub(super) fn timed_out(&mut self, key: &ClientKey, beat: &mut Beat<'_>) {
        let Some((id, purpose)) = self.legs.of_client(key) else { return };
        if purpose != Purpose::Notify {
            self.legs.settle(key);
        }
        match purpose {
            Purpose::Probe => return self.is_mute(id, beat),
            Purpose::Notify => return self.progress_heard(id, (key, 408)),
            Purpose::Refresh | Purpose::Reoffer => return self.change_unanswered(id, key, false, beat),
            Purpose::Key => return self.key_answered(id, 408, beat),
            Purpose::Prack => return,
            Purpose::Dial => {}
        }
        let detail = "no answer to the INVITE in 32 s; is the phone still there?".to_owned();
        self.dial_failed(id, detail, beat);
    }

    /// The INVITE that dials a leg has come to nothing, for want of an answer or of a way.
    pub(super) fn dial_failed(&mut self, id: LegId, detail: String, beat: &mut Beat<'_>) {
        match self.legs.find(id).map(|leg| &leg.stage) {
            Some(Stage::Cancelling) => self.legs.turn(id, Stage::Ended, beat.now.moment),
            Some(Stage::Dialling { .. }) => self.end_refused(id, RefusalKind::Unreachable, detail, beat),
            Some(
                Stage::Invited(_) | Stage::Accepted(_) | Stage::Leaving(_) | Stage::Confirmed { .. } | Stage::Ended,
            )
            | None => {}
        }
    }

    /// The device gave no sign of life: it is dead, which is not the same as nobody answering. Should it speak after
    /// all, it is cancelled.
    pub(super) fn give_up(&mut self, id: LegId, beat: &mut Beat<'_>) {
        if self.hunt_silent(id, beat) {
            return;
        }
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
        let Some(leg) = self.legs.find_mut(id) else { return };
        let terms = leg.media.terms();
        let answer = read_answer(&response.headers, &response.body, &terms);
        // RFC 3261 §13.2.1: what its reliable 18x and an UPDATE since have settled, the 2xx does not change; a phone
        // may also leave out of its 200 what its 183 said.
        let (early, is_updated) =
            leg.fork(response.to_tag().as_deref()).map_or((None, false), |f| (f.remote.clone(), f.is_updated));
        let remote = match answer.filter(|_| !is_updated) {
            Some(answer) => {
                leg.media.remote = None;
                match leg.media.hear_answer(&answer, &response.body, path.peer.ip()) {
                    Heard::Other(remote) => Some(remote),
                    Heard::Same | Heard::Nothing => None,
                }
            }
            None => early.filter(|_| response.body.is_empty() || is_updated),
        };
        let Some(remote) = remote else {
            self.say_bye(id, None, beat);
            let detail = no_answer(&terms);
            let refusal = Refusal { kind: RefusalKind::Unreachable, detail };
            return beat.signal(Signal::Refused { leg: id, refusal });
        };
        leg.media.take(&remote);
        leg.lifetime = Lifetime::answered(response, beat.now.moment);
        self.legs.turn(id, Stage::Confirmed { reoffered: None }, beat.now.moment);
        beat.signal(Signal::Accepted { leg: id, remote });
    }

    /// The dialog of the first 2xx, and its ACK.
    fn establish(&mut self, id: LegId, path: Path, response: &Response, beat: &mut Beat<'_>) {
        let Some(leg) = self.legs.find_mut(id) else { return };
        leg.far.read(&response.headers);
        leg.invite = None;
        // The numbers that its PRACKs have used up stay so.
        let early = leg.fork(response.to_tag().as_deref()).map(|fork| fork.dialog.clone());
        leg.dialog = early.as_ref().unwrap_or(&leg.dialog).answered(response, path);
        self.acknowledge_ok(id, response, beat);
    }

    /// The ACK of a 2xx in the leg's dialog.
    pub(super) fn acknowledge_ok(&mut self, id: LegId, response: &Response, beat: &mut Beat<'_>) {
        let Some(leg) = self.legs.find_mut(id) else { return };
        let (ack, path) = ack_of(&leg.dialog, response, &self.wire.rules);
        let number = response.headers.cseq().map_or(1, |cseq| cseq.number);
        let bytes = self.wire.acknowledge(path, ack, leg.traced(), beat);
        leg.keep_ack(Ack { number, to_tag: response.to_tag(), path, bytes });
    }

    /// A 2xx after the first: repeated, or of another fork, which is hung up (RFC 3261 §13.2.2.4).
    pub(super) fn picked_up_again(&mut self, id: LegId, path: Path, response: &Response, beat: &mut Beat<'_>) {
        let Some(leg) = self.legs.find_mut(id) else { return };
        if let Some(ack) = leg.ack_of(response) {
            let (way, bytes) = (ack.path, ack.bytes.clone());
            return self.wire.send(way, bytes, None, beat);
        }
        let tag = response.to_tag();
        let early = leg.fork(tag.as_deref()).map(|fork| fork.dialog.clone());
        let mut fork = early.as_ref().unwrap_or(&leg.dialog).answered(response, path);
        let (ack, way) = ack_of(&fork, response, &self.wire.rules);
        let tag = tag.unwrap_or_default();
        let is_new = !leg.hung_up.contains(&tag);
        let traced = leg.traced().filter(|_| is_new);
        if is_new && leg.hung_up.len() < FORKS_MAX {
            leg.hung_up.push(tag);
        }
        self.wire.acknowledge(way, ack, traced, beat);
        if is_new {
            let mut bye = fork.request(Method::Bye, &self.wire.rules);
            if let Some(reason) = reason_of_cancel(EndedBy::AnsweredElsewhere) {
                bye.headers.push("Reason", reason.to_string());
            }
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
                if let Some(leg) = self.legs.find_mut(id) {
                    leg.given_up = Some(why);
                }
                self.wire.cancel(&invite, reason_of_cancel(why), traced, beat);
            }
            Stage::Confirmed { .. } => self.say_bye(id, Some(why), beat),
            Stage::Leaving(_) | Stage::Cancelling | Stage::Ended => {}
        }
    }
}

/// What asks a phone to pick up by itself, in each of the ways that phones know: Call-Info (Grandstream, Snom, Cisco),
/// Alert-Info (Yealink, Polycom, Linphone), Answer-Mode (RFC 5373 §4.1). What a phone does not know it passes over.
fn answered_by_itself(after: Duration, realm: &str) -> [(&'static str, String); 3] {
    let after_s = after.as_secs();
    [
        ("Call-Info", format!("<sip:{realm}>;answer-after={after_s}")),
        ("Alert-Info", format!("<http://{realm}.invalid>;info=alert-autoanswer;delay={after_s}")),
        ("Answer-Mode", "Auto".to_owned()),
    ]
}

/// The ACK of a 2xx and where it goes: the way of the dialog that the 2xx makes.
fn ack_of(dialog: &Dialog, response: &Response, rules: &super::Rules) -> (Request, Path) {
    let number = response.headers.cseq().map_or(1, |cseq| cseq.number);
    (dialog.ack(number, rules), dialog.next_path(rules))
}

/// What people read of an answer that is of no use, and what they can do.
fn no_answer(terms: &Terms) -> String {
    let names = names_of(&terms.codecs);
    match terms.srtp {
        SrtpPolicy::Off => format!("its answer has no codec that may be spoken; enable {names} on the phone"),
        SrtpPolicy::Preferred | SrtpPolicy::Required => format!(
            "its answer has no codec that may be spoken, or no SRTP key where there must be one; enable {names} and SRTP \
             (SDES) on the phone"
        ),
    }
}

/// What people read of a final refusal; 488 and 606 are about our SDP (RFC 3261 §21.4.26, §21.6.4).
fn refusal_of(response: &Response, leg: &Leg) -> String {
    let said = format!("{} {}", response.status, response.reason);
    match response.status {
        488 | 606 => {
            let names = names_of(&leg.media.terms().codecs);
            format!(
                "{said}: it takes nothing that it was offered; enable {names} on it, and look at SRTP on both sides"
            )
        }
        _ => said,
    }
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
    let is_known = leg.ack_of(response).is_some();
    let is_fork = leg.hung_up.iter().any(|fork| Some(fork.as_str()) == tag.as_deref());
    let is_invite = response.headers.cseq().is_some_and(|cseq| cseq.method == Method::Invite);
    response.is_success() && is_invite && (is_known || is_fork)
}
