//! REFER within a regulator's call (RFC 3515, RFC 4488, RFC 5589): asked of the switch, and its progress told by NOTIFY.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::call::signal::{Signal, TransferStep, TransferTo, Unserved};
use crate::model::{LegId, Moment};
use crate::sip::status::phrase;
use crate::sip::transaction::{ClientKey, ServerKey};
use crate::sip::{Method, Request, Response};

use super::UserAgent;
use super::answer::answer;
use super::incoming::{Arrival, check_required};
use super::leg::{Leg, Purpose, Stage};
use super::refer_to::{ReferTo, Unreadable};
use super::rules::RETRY_AFTER_S;
use super::wire::Beat;

/// How long the switch may think about a REFER: the phone repeats it for 32 s, and must have its answer by then.
const ANSWER_MAX: Duration = Duration::from_secs(8);
/// How long the progress of a transfer is told: longer than anybody lets a colleague's phone ring.
const PROGRESS_MAX: Duration = Duration::from_secs(300);
/// NOTIFYs of one transfer whose answers are awaited: 100, 180, the last, and one for a SUBSCRIBE.
const NOTIFIES_MAX: usize = 8;
/// The body of a NOTIFY of a transfer (RFC 3515 §2.4.5).
const SIPFRAG: &str = "message/sipfrag;version=2.0";

/// The transfers asked for and not yet settled: at most one a leg.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Referrals {
    of_leg: BTreeMap<LegId, Referral>,
    due: BTreeSet<(Moment, LegId)>,
}

/// One transfer asked for.
#[derive(Debug, Serialize, Deserialize)]
struct Referral {
    stage: Asking,
    /// The REFER's sequence number: the `id` of its Event (RFC 3515 §2.4.6).
    number: u32,
    /// `Refer-Sub: false` wants no NOTIFY (RFC 4488 §4).
    is_told: bool,
    /// When its answer, or its end, is due.
    until: Moment,
    /// The NOTIFYs out.
    notifies: Vec<ClientKey>,
}

/// How far it has come.
#[derive(Debug, Serialize, Deserialize)]
enum Asking {
    /// The switch has not said a word: the REFER waits.
    Held { key: ServerKey, request: Box<Request> },
    /// Taken; the status told last.
    Taken { status: u16 },
}

/// What a NOTIFY says of the subscription (RFC 6665 §4.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Active,
    /// The transfer has come to its end.
    Over,
    /// The subscription has.
    TimedOut,
}

impl Referrals {
    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.of_leg.len().max(self.due.len())
    }

    /// When the next one is to be answered or ended.
    pub(super) fn deadline(&self) -> Option<Moment> {
        self.due.first().map(|(at, _)| *at)
    }

    fn has(&self, leg: LegId) -> bool {
        self.of_leg.contains_key(&leg)
    }

    fn put(&mut self, leg: LegId, referral: Referral) {
        self.remove(leg);
        self.due.insert((referral.until, leg));
        self.of_leg.insert(leg, referral);
    }

    fn remove(&mut self, leg: LegId) -> Option<Referral> {
        let referral = self.of_leg.remove(&leg)?;
        self.due.remove(&(referral.until, leg));
        Some(referral)
    }

    /// A leg goes on under another name.
    pub(super) fn rename(&mut self, from: LegId, to: LegId) {
        if let Some(referral) = self.remove(from) {
            self.put(to, referral);
        }
    }

    fn legs(&self) -> Vec<LegId> {
        self.of_leg.keys().copied().collect()
    }

    fn take_due(&mut self, now: Moment) -> Option<(LegId, Referral)> {
        let (_, leg) = self.due.first().filter(|(at, _)| *at <= now).copied()?;
        Some((leg, self.remove(leg)?))
    }
}

impl UserAgent {
    /// A REFER within a dialog, in order.
    pub(super) fn referred(&mut self, id: LegId, arrival: Arrival, beat: &mut Beat<'_>) {
        let Arrival { key, request, .. } = &arrival;
        let Some(leg) = self.legs.find(id) else { return };
        let traced = leg.traced();
        let to = match self.read_referral(leg, request) {
            Ok(to) => to,
            Err(response) => return self.wire.respond(key, response, traced, beat),
        };
        let referral = Referral {
            number: request.headers.cseq().map_or(0, |cseq| cseq.number),
            is_told: !request.headers.first("Refer-Sub").is_some_and(|wish| is_false(&wish)),
            stage: Asking::Held { key: arrival.key, request: Box::new(arrival.request) },
            until: beat.now.moment + ANSWER_MAX,
            notifies: Vec::new(),
        };
        self.referrals.put(id, referral);
        beat.signal(Signal::TransferAsked { leg: id, to });
    }

    /// Whom it names; or its refusal. None of the statuses ends the dialog (RFC 5057 §5.1).
    fn read_referral(&self, leg: &Leg, request: &Request) -> Result<TransferTo, Response> {
        let rules = &self.wire.rules;
        check_required(request).map_err(|refusal| refusal.response(request, rules))?;
        let refuse = |Unreadable(status, reason): Unreadable| {
            let mut response = answer(request, status, rules);
            response.reason = reason.to_owned();
            response
        };
        // Only who answers calls may hand them on: not a caller, not a carrier.
        let Some(owner) = &leg.owner else { return Err(answer(request, 403, rules)) };
        if matches!(leg.stage, Stage::Leaving(_)) {
            return Err(answer(request, 481, rules));
        }
        if self.referrals.has(leg.id) {
            return Err(answer(request, 491, rules));
        }
        let to = ReferTo::read(&request.headers).map_err(refuse)?;
        let Some(replaces) = &to.replaces else { return Ok(TransferTo::User(to.user)) };
        let other = self.consulted(replaces, owner).map_err(|status| answer(request, status, rules))?;
        if other.id == leg.id {
            return Err(refuse(Unreadable(400, "Replaces Names This Very Call")));
        }
        Ok(TransferTo::PartnerOf(other.id))
    }

    /// How far what was asked has come.
    pub(super) fn transfer(&mut self, id: LegId, step: TransferStep, beat: &mut Beat<'_>) {
        if !self.legs.find(id).is_some_and(Leg::is_live) {
            return;
        }
        let Some(mut referral) = self.referrals.remove(id) else { return };
        if let Asking::Held { key, request } = &referral.stage {
            if let TransferStep::Refused(why) = step {
                let mut response = answer(request, status_of(why), &self.wire.rules);
                if why == Unserved::Overloaded {
                    response.headers.push("Retry-After", RETRY_AFTER_S.to_string());
                }
                return self.respond_within(id, key, response, beat);
            }
            self.take_referral(id, (key, request), referral.is_told, beat);
            referral.stage = Asking::Taken { status: 0 };
            referral.until = beat.now.moment + PROGRESS_MAX;
        }
        let (status, standing) = match step {
            TransferStep::Trying => (100, Standing::Active),
            TransferStep::Ringing => (180, Standing::Active),
            TransferStep::Done => (200, Standing::Over),
            TransferStep::Failed(status) => (status, Standing::Over),
            TransferStep::Refused(why) => (status_of(why), Standing::Over),
        };
        let is_news = !matches!(&referral.stage, Asking::Taken { status: told } if *told == status);
        referral.stage = Asking::Taken { status };
        if is_news && referral.is_told {
            self.tell_progress(id, &mut referral, standing, beat);
        }
        if standing == Standing::Active {
            self.referrals.put(id, referral);
        }
    }

    /// 202 (RFC 3515 §2.4.2).
    fn take_referral(&mut self, id: LegId, (key, request): (&ServerKey, &Request), is_told: bool, beat: &mut Beat<'_>) {
        let Some(leg) = self.legs.find(id) else { return };
        let mut accepted = answer(request, 202, &self.wire.rules);
        if let Some(contact) = self.wire.contact(leg.dialog.path) {
            accepted.headers.push("Contact", contact);
        }
        if !is_told {
            accepted.headers.push("Refer-Sub", "false");
        }
        self.respond_within(id, key, accepted, beat);
    }

    fn respond_within(&mut self, id: LegId, key: &ServerKey, response: Response, beat: &mut Beat<'_>) {
        let traced = self.legs.find(id).and_then(Leg::traced);
        self.wire.respond(key, response, traced, beat);
    }

    /// A NOTIFY of the last status (RFC 3515 §2.4.4).
    fn tell_progress(&mut self, id: LegId, referral: &mut Referral, standing: Standing, beat: &mut Beat<'_>) {
        let Asking::Taken { status } = referral.stage else { return };
        let Some(leg) = self.legs.find_mut(id).filter(|leg| leg.is_live()) else { return };
        let state = match standing {
            Standing::Active => {
                let left = referral.until.since(beat.now.moment).as_secs();
                format!("active;expires={left}")
            }
            Standing::Over => "terminated;reason=noresource".to_owned(),
            Standing::TimedOut => "terminated;reason=timeout".to_owned(),
        };
        let mut notify = leg.dialog.request(Method::Notify, &self.wire.rules);
        if let Some(contact) = self.wire.contact(leg.dialog.path) {
            notify.headers.push("Contact", contact);
        }
        notify.headers.push("Event", format!("refer;id={}", referral.number));
        notify.headers.push("Subscription-State", state);
        notify.headers.push("Content-Type", SIPFRAG);
        notify.body = format!("SIP/2.0 {status} {}\r\n", phrase(status)).into();
        let (path, traced) = (leg.dialog.next_path(&self.wire.rules), leg.traced());
        let Some(key) = self.wire.request(path, notify, traced, beat) else { return };
        self.legs.ask(id, key.clone(), Purpose::Notify);
        if referral.notifies.len() >= NOTIFIES_MAX {
            referral.notifies.remove(0);
        }
        referral.notifies.push(key);
    }

    /// What came of a NOTIFY: whoever refuses it, or says nothing, is told no more (RFC 6665 §4.2.2). The transfer goes
    /// on, and so does the call.
    pub(super) fn progress_heard(&mut self, id: LegId, (key, status): (&ClientKey, u16)) {
        if status < 200 {
            return;
        }
        self.legs.settle(key);
        if let Some(referral) = self.referrals.of_leg.get_mut(&id).filter(|r| r.notifies.contains(key)) {
            referral.notifies.retain(|notify| notify != key);
            referral.is_told &= status < 300;
        }
    }

    /// A SUBSCRIBE within a leg's dialog: it can only be about a transfer's progress (RFC 3515 §2.4.4).
    pub(super) fn progress_asked(&mut self, id: LegId, arrival: &Arrival, beat: &mut Beat<'_>) {
        let Arrival { key, request, .. } = arrival;
        let event = request.headers.first("Event").unwrap_or_default();
        let (package, number) = read_event(&event);
        if !package.eq_ignore_ascii_case("refer") {
            let response = self.refuse_event(request);
            return self.respond_within(id, key, response, beat);
        }
        let is_its = |r: &Referral| {
            let is_named = number.is_none_or(|number| number.parse() == Ok(r.number));
            r.is_told && is_named && matches!(r.stage, Asking::Taken { .. })
        };
        let Some(mut referral) = self.referrals.remove(id) else {
            let response = answer(request, 481, &self.wire.rules);
            return self.respond_within(id, key, response, beat);
        };
        if !is_its(&referral) {
            self.referrals.put(id, referral);
            let response = answer(request, 481, &self.wire.rules);
            return self.respond_within(id, key, response, beat);
        }
        let is_over = request.headers.expires() == Some(0);
        let left = if is_over { 0 } else { referral.until.since(beat.now.moment).as_secs() };
        let mut ok = answer(request, 200, &self.wire.rules);
        if let Some(contact) = self.legs.find(id).and_then(|leg| self.wire.contact(leg.dialog.path)) {
            ok.headers.push("Contact", contact);
        }
        ok.headers.push("Expires", left.to_string());
        self.respond_within(id, key, ok, beat);
        let standing = if is_over { Standing::TimedOut } else { Standing::Active };
        self.tell_progress(id, &mut referral, standing, beat);
        referral.is_told = !is_over;
        self.referrals.put(id, referral);
    }

    /// What nobody has answered or settled in time.
    pub(super) fn tick_referrals(&mut self, beat: &mut Beat<'_>) {
        while let Some((id, mut referral)) = self.referrals.take_due(beat.now.moment) {
            match &referral.stage {
                Asking::Held { key, request } => {
                    let response = answer(request, 500, &self.wire.rules);
                    self.respond_within(id, key, response, beat);
                }
                Asking::Taken { .. } if referral.is_told => {
                    self.tell_progress(id, &mut referral, Standing::TimedOut, beat);
                }
                Asking::Taken { .. } => {}
            }
        }
    }

    /// Drops what was asked within legs that have ended meanwhile; a REFER without its answer gets it (RFC 3261 §15.1.2).
    pub(super) fn drop_referrals(&mut self, beat: &mut Beat<'_>) {
        for id in self.referrals.legs() {
            if self.legs.find(id).is_some_and(Leg::is_live) {
                continue;
            }
            if let Some(Referral { stage: Asking::Held { key, request }, .. }) = self.referrals.remove(id) {
                let response = answer(&request, 487, &self.wire.rules);
                self.respond_within(id, &key, response, beat);
            }
        }
    }
}

/// The package and the id of an Event header.
pub(super) fn read_event(event: &str) -> (&str, Option<&str>) {
    let (package, params) = event.split_once(';').unwrap_or((event, ""));
    let id = params
        .split(';')
        .filter_map(|param| param.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("id"));
    (package.trim(), id.map(|(_, value)| value.trim()))
}

fn is_false(wish: &str) -> bool {
    wish.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("false")
}

fn status_of(why: Unserved) -> u16 {
    match why {
        Unserved::Overloaded => 503,
        Unserved::Forbidden => 403,
        Unserved::NotFound => 404,
        Unserved::Busy => 486,
        Unserved::Declined => 603,
        Unserved::Unavailable => 480,
        Unserved::Fault => 500,
    }
}
