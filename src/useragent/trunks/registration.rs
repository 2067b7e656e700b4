//! A registration with a carrier (RFC 3261 §10.2): asked for, proven, refreshed, tried elsewhere and again.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::centre::TrunkRegistration;
use crate::model::{Chance, Moment, Now, Target, TrunkId, Utc};
use crate::sip::transaction::ClientKey;
use crate::sip::{Contacts, Method, Request, Response, Uri};

use super::super::UserAgent;
use super::super::rules::PATIENCE;
use super::super::wire::Beat;
use super::login::{Login, PROOFS_MAX, read_challenge};
use super::place::{ANSWER_MAX, RETRY_AFTER_MAX, SHUNNED, name_of};
use super::{Ask, Trouble};

/// What the back-off doubles (RFC 5626 §4.5 has 30 s; a centre without its carrier waits less).
const BACK_OFF: Duration = Duration::from_secs(5);
/// The longest back-off (RFC 5626 §4.5 has 30 min).
const BACK_OFF_MAX: Duration = Duration::from_secs(300);
/// How soon a carrier that refused us is asked again: a person must act first, there or here.
const REFUSED_RETRY: Duration = Duration::from_secs(300);
/// The soonest refresh: a carrier that grants a second must not be asked each second.
const REFRESH_MIN: Duration = Duration::from_secs(5);
/// The longest registration asked for after a 423, in seconds: no Min-Expires means more than a day.
const EXPIRES_MAX_S: u32 = 86_400;
/// How soon the connection that we registered over is made anew after it was cut, at most.
const RENEW_MAX: Duration = Duration::from_secs(2);

/// One registration.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Registration {
    call_id: String,
    tag: String,
    cseq: u32,
    /// Asked for, in seconds; a 423 raises it.
    expires_s: u32,
    pub stage: Stage,
    pub granted: Option<Granted>,
    /// Rounds over all places in a row that came to nothing.
    failures: u32,
    /// Asked in vain in this round.
    tried: Vec<Target>,
    /// The shortest Retry-After of this round.
    retry_after: Option<Duration>,
    /// The last place's failure, told when the round is over.
    failure: String,
    pub trouble: Option<(Trouble, String)>,
    login: Option<Login>,
}

/// What is done about it now.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Stage {
    /// Nothing: no place is known yet, or Vigie is stopping.
    Resting,
    /// A REGISTER is out.
    Asking(Asking),
    /// Until the next REGISTER.
    Waiting { until: Moment },
}

/// A REGISTER that is out.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Asking {
    key: ClientKey,
    pub target: Target,
    /// Answers to challenges so far.
    proofs: u8,
    /// Whether the answer it carries is to a challenge of an earlier REGISTER, which may have grown old.
    is_reused: bool,
    /// 0 ends the registration.
    expires_s: u32,
    give_up_at: Moment,
}

/// What the carrier granted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Granted {
    pub until: Moment,
    pub until_utc: Utc,
    pub target: Target,
}

impl Registration {
    pub(super) fn new(account: &TrunkRegistration, chance: &mut Chance) -> Registration {
        Registration {
            call_id: chance.token() + &chance.token(),
            tag: chance.token(),
            cseq: 0,
            expires_s: u32::try_from(account.expires.as_secs()).unwrap_or(EXPIRES_MAX_S),
            stage: Stage::Resting,
            granted: None,
            failures: 0,
            tried: Vec::new(),
            retry_after: None,
            failure: String::new(),
            trouble: None,
            login: None,
        }
    }

    /// When it wants the clock.
    pub(super) fn deadline(&self) -> Option<Moment> {
        let stage = match &self.stage {
            Stage::Resting => None,
            Stage::Asking(asking) => Some(asking.give_up_at),
            Stage::Waiting { until } => Some(*until),
        };
        stage.into_iter().chain(self.granted.as_ref().map(|granted| granted.until)).min()
    }

    /// Asks at once: there are new places, or none were known.
    pub(super) fn hurry(&mut self, now: Moment) {
        let is_unreached = matches!(self.trouble, Some((Trouble::Unreachable, _)));
        match &self.stage {
            Stage::Resting => self.stage = Stage::Waiting { until: now },
            Stage::Waiting { .. } if is_unreached => self.stage = Stage::Waiting { until: now },
            Stage::Waiting { .. } | Stage::Asking(_) => {}
        }
    }

    /// The next REGISTER, without its Via and its proof (RFC 3261 §10.2).
    fn compose(&mut self, account: &TrunkRegistration, contact: &str, expires_s: u32) -> Request {
        self.cseq = self.cseq.saturating_add(1);
        let of_record = format!("<sip:{}@{}>", account.user, super::host_of(&account.domain));
        let mut request = Request::new(Method::Register, format!("sip:{}", super::host_of(&account.domain)));
        let headers = &mut request.headers;
        headers.push("Max-Forwards", "70");
        headers.push("From", format!("{of_record};tag={}", self.tag));
        headers.push("To", of_record);
        headers.push("Call-ID", self.call_id.clone());
        headers.push("CSeq", format!("{} REGISTER", self.cseq));
        headers.push("Contact", format!("<{contact}>"));
        headers.push("Expires", expires_s.to_string());
        request
    }

    /// A whole round was in vain: the next is later each time, and never at the same moment as everybody else's.
    fn back_off(&mut self, chance: &mut Chance, now: Moment) {
        self.failures = self.failures.saturating_add(1);
        self.trouble = Some((Trouble::Unreachable, self.failure.clone()));
        let span = BACK_OFF.saturating_mul(1_u32 << self.failures.min(10)).min(BACK_OFF_MAX);
        let span = span.mul_f64(0.5 + chance.fraction() / 2.0);
        let least = self.retry_after.take().unwrap_or_default();
        self.tried.clear();
        self.stage = Stage::Waiting { until: now + span.max(least) };
    }

    /// Granted for so long.
    fn grant(&mut self, target: Target, granted_s: u32, chance: &mut Chance, now: Now) {
        let span = Duration::from_secs(u64::from(granted_s));
        let granted = Granted { until: now.moment + span, until_utc: now.after(span).utc, target };
        self.granted = Some(granted);
        self.failures = 0;
        self.tried.clear();
        self.retry_after = None;
        self.trouble = None;
        // Time enough for a whole round over several places before it ends.
        let fraction = if granted_s <= 60 { 0.5 } else { 0.8 };
        let wait = span.mul_f64(fraction + 0.05 * chance.fraction()).max(REFRESH_MIN);
        self.stage = Stage::Waiting { until: now.moment + wait };
    }

    fn refused(&mut self, why: String, chance: &mut Chance, now: Moment) {
        self.trouble = Some((Trouble::Refused, why));
        self.tried.clear();
        self.login = None;
        self.stage = Stage::Waiting { until: now + REFUSED_RETRY.mul_f64(0.9 + 0.2 * chance.fraction()) };
    }

    /// Whether this REGISTER is the one that is out.
    pub(super) fn awaits(&self, key: &ClientKey) -> bool {
        matches!(&self.stage, Stage::Asking(asking) if asking.key == *key)
    }

    fn asking(&mut self, key: &ClientKey) -> Option<&mut Asking> {
        match &mut self.stage {
            Stage::Asking(asking) if asking.key == *key => Some(asking),
            Stage::Asking(_) | Stage::Resting | Stage::Waiting { .. } => None,
        }
    }
}

impl UserAgent {
    /// What the clock wants of a registration.
    pub(super) fn tend_registration(&mut self, id: &TrunkId, beat: &mut Beat<'_>) {
        let now = beat.now.moment;
        let Some(registration) = self.trunks.registration(id) else { return };
        if registration.granted.as_ref().is_some_and(|granted| granted.until <= now) {
            registration.granted = None;
        }
        match &registration.stage {
            Stage::Waiting { until } if *until <= now => self.register(id, beat),
            Stage::Asking(asking) if asking.give_up_at <= now => {
                let why = format!("no answer in {} s", ANSWER_MAX.as_secs());
                self.fail_place(id, why, None, beat);
            }
            Stage::Waiting { .. } | Stage::Asking(_) | Stage::Resting => {}
        }
    }

    /// Asks the next place of the round; after the last one it backs off.
    fn register(&mut self, id: &TrunkId, beat: &mut Beat<'_>) {
        let now = beat.now.moment;
        loop {
            let Some(carrier) = self.trunks.kept.carriers.get_mut(id) else { return };
            let order = carrier.order(now);
            let Some(registration) = carrier.registration.as_mut() else { return };
            let is_open = |target: &Target| !registration.tried.contains(target);
            let held = registration.granted.as_ref().map(|granted| granted.target.clone());
            let kept = held.filter(|target| is_open(target) && order.iter().any(|one| one == target));
            let Some(target) = kept.or_else(|| order.into_iter().find(|target| is_open(target))) else {
                return self.end_round(id, beat);
            };
            let (expires_s, proofs) = (registration.expires_s, 0);
            if self.send_register(id, (target.clone(), expires_s, proofs), beat) {
                return;
            }
            let Some(registration) = self.trunks.registration(id) else { return };
            registration.failure = format!("{}: no listener of [sip] can send there", name_of(&target));
            registration.tried.push(target);
        }
    }

    fn end_round(&mut self, id: &TrunkId, beat: &mut Beat<'_>) {
        let Some(registration) = self.trunks.kept.carriers.get_mut(id).and_then(|c| c.registration.as_mut()) else {
            return;
        };
        registration.back_off(&mut self.wire.chance, beat.now.moment);
        self.ask_resolve(id, beat);
    }

    /// Sends one REGISTER; `false` when nothing can be sent to that place.
    fn send_register(
        &mut self,
        id: &TrunkId,
        (target, expires_s, proofs): (Target, u32, u8),
        beat: &mut Beat<'_>,
    ) -> bool {
        let Some(path) = self.path_to(&target) else { return false };
        let Some(trunk) = self.trunks.trunk(id) else { return false };
        let Some(account) = trunk.registration.clone() else { return false };
        let Some(contact) = self.contact_of(&account.user, path) else { return false };
        let password = self.trunks.passwords.0.get(id).cloned();
        let Some(registration) = self.trunks.registration(id) else { return false };
        let mut request = registration.compose(&account, &contact, expires_s);
        request.headers.push("User-Agent", self.wire.rules.software.clone());
        let mut is_reused = false;
        if let Some((registration, password)) = self.trunks.registration(id).zip(password)
            && let Some(login) = registration.login.as_mut()
        {
            login.prove(&mut request, &account, &password, &mut self.wire.chance);
            is_reused = proofs == 0;
        }
        let Some(key) = self.wire.request(path, request, None, beat) else { return false };
        self.trunks.kept.asks.insert(key.clone(), (id.clone(), Ask::Register));
        let Some(registration) = self.trunks.registration(id) else { return false };
        let give_up_at = beat.now.moment + ANSWER_MAX;
        registration.stage = Stage::Asking(Asking { key, target, proofs, is_reused, expires_s, give_up_at });
        true
    }

    /// The carrier answered a REGISTER.
    pub(super) fn registrar_answered(
        &mut self,
        id: &TrunkId,
        key: &ClientKey,
        response: &Response,
        beat: &mut Beat<'_>,
    ) {
        let now = beat.now.moment;
        let Some(asking) = self.trunks.registration(id).and_then(|registration| registration.asking(key)) else {
            return;
        };
        if response.is_provisional() {
            asking.give_up_at = now + PATIENCE;
            return;
        }
        let asking = asking.clone();
        let is_failed = matches!(response.status, 408 | 500..=599);
        if let Some(place) = self.trunks.place(id, &asking.target).filter(|_| !is_failed) {
            place.answered();
        }
        match response.status {
            401 | 407 => self.registrar_challenged(id, &asking, response, beat),
            _ if asking.expires_s == 0 => self.left(id),
            423 => self.ask_longer(id, &asking, response, beat),
            200..=299 => self.granted(id, &asking, response, beat),
            status if is_failed => {
                let wait = response.headers.first("Retry-After").and_then(|text| {
                    let seconds = text.split([';', '(', ' ']).next().unwrap_or_default().parse().ok()?;
                    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
                });
                self.fail_place(id, format!("answered {status} {}", shown(response)), wait, beat);
            }
            status => {
                let why = format!("{} answered {status} {}", name_of(&asking.target), shown(response));
                self.refuse_registration(id, why, beat);
            }
        }
        self.review(id, beat);
    }

    fn granted(&mut self, id: &TrunkId, asking: &Asking, response: &Response, beat: &mut Beat<'_>) {
        let account = self.trunks.trunk(id).and_then(|trunk| trunk.registration.clone());
        let path = self.path_to(&asking.target);
        let ours = account.zip(path).and_then(|(account, path)| self.contact_of(&account.user, path));
        let granted_s = granted_s(response, ours.as_deref().unwrap_or_default()).unwrap_or(asking.expires_s);
        if granted_s == 0 {
            let why = format!("{} granted no time at all", name_of(&asking.target));
            return self.refuse_registration(id, why, beat);
        }
        let Some(registration) = self.trunks.kept.carriers.get_mut(id).and_then(|c| c.registration.as_mut()) else {
            return;
        };
        registration.grant(asking.target.clone(), granted_s.min(EXPIRES_MAX_S * 7), &mut self.wire.chance, beat.now);
    }

    /// 401 or 407: answered once, and once more when the nonce was old.
    fn registrar_challenged(&mut self, id: &TrunkId, asking: &Asking, response: &Response, beat: &mut Beat<'_>) {
        let status = response.status;
        let has_password = self.trunks.passwords.0.contains_key(id);
        let place = name_of(&asking.target);
        let why = match read_challenge(response) {
            None => Some(format!("{place} answered {status} with no digest challenge that Vigie knows")),
            Some(_) if !has_password => Some(format!("{place} asks for a password, and there is none")),
            Some(asked) => {
                let is_old = asked.is_stale || asking.is_reused;
                let is_wrong = (asking.proofs > 0 && !is_old) || asking.proofs >= PROOFS_MAX;
                if let Some(registration) = self.trunks.registration(id).filter(|_| !is_wrong) {
                    registration.login = Some(asked.login);
                }
                is_wrong.then(|| {
                    format!(
                        "{place} answered {status} to our password: look at `user`, `digest_user` and the password file"
                    )
                })
            }
        };
        let is_leaving = asking.expires_s == 0;
        match why {
            Some(_) if is_leaving => self.left(id),
            Some(why) => self.refuse_registration(id, why, beat),
            None => {
                let again = (asking.target.clone(), asking.expires_s, asking.proofs + 1);
                if !self.send_register(id, again, beat) {
                    self.fail_place(id, "no listener of [sip] can send there".to_owned(), None, beat);
                }
            }
        }
    }

    /// 423: the carrier wants longer registrations (RFC 3261 §10.2.8).
    fn ask_longer(&mut self, id: &TrunkId, asking: &Asking, response: &Response, beat: &mut Beat<'_>) {
        let wanted = response.headers.first("Min-Expires").and_then(|text| text.trim().parse::<u32>().ok());
        match wanted.filter(|wanted| *wanted > asking.expires_s && *wanted <= EXPIRES_MAX_S) {
            Some(wanted) => {
                if let Some(registration) = self.trunks.registration(id) {
                    registration.expires_s = wanted;
                }
                if !self.send_register(id, (asking.target.clone(), wanted, asking.proofs), beat) {
                    self.fail_place(id, "no listener of [sip] can send there".to_owned(), None, beat);
                }
            }
            None => {
                let why = format!("{} answered 423 without a longer time to ask for", name_of(&asking.target));
                self.refuse_registration(id, why, beat);
            }
        }
    }

    fn refuse_registration(&mut self, id: &TrunkId, why: String, beat: &Beat<'_>) {
        let Some(registration) = self.trunks.kept.carriers.get_mut(id).and_then(|c| c.registration.as_mut()) else {
            return;
        };
        registration.refused(why, &mut self.wire.chance, beat.now.moment);
    }

    /// The place asked is of no use now: the next one is.
    pub(super) fn fail_place(&mut self, id: &TrunkId, why: String, wait: Option<Duration>, beat: &mut Beat<'_>) {
        let now = beat.now.moment;
        let Some(registration) = self.trunks.registration(id) else { return };
        let Stage::Asking(asking) = &registration.stage else { return };
        let (target, is_leaving) = (asking.target.clone(), asking.expires_s == 0);
        if is_leaving {
            return self.left(id);
        }
        registration.failure = format!("{} {why}", name_of(&target));
        registration.tried.push(target.clone());
        if let Some(wait) = wait {
            registration.retry_after = Some(registration.retry_after.map_or(wait, |one| one.min(wait)));
        }
        if let Some(place) = self.trunks.place(id, &target) {
            place.failed(wait.unwrap_or(SHUNNED), now);
        }
        self.register(id, beat);
    }

    /// The connection that a carrier's calls came over is gone: it is made anew.
    pub(super) fn renew(&mut self, id: &TrunkId, beat: &Beat<'_>) {
        let wait = RENEW_MAX.mul_f64(self.wire.chance.fraction());
        let Some(registration) = self.trunks.registration(id) else { return };
        if let Stage::Waiting { until } = &mut registration.stage {
            *until = (*until).min(beat.now.moment + wait);
        }
    }

    /// Ends a registration (RFC 3261 §10.2.2).
    pub(super) fn leave(&mut self, id: &TrunkId, beat: &mut Beat<'_>) {
        let Some(registration) = self.trunks.registration(id) else { return };
        registration.stage = Stage::Resting;
        if let Some(Granted { target, .. }) = registration.granted.take() {
            self.send_register(id, (target, 0, 0), beat);
        }
    }

    fn left(&mut self, id: &TrunkId) {
        if let Some(registration) = self.trunks.registration(id) {
            registration.stage = Stage::Resting;
            registration.granted = None;
        }
    }
}

/// How long our Contact is bound (RFC 3261 §10.2.4): its own `expires`, else Expires; `None` when neither says.
fn granted_s(response: &Response, ours: &str) -> Option<u32> {
    let of_all = response.headers.expires();
    let Ok(Contacts::List(list)) = response.headers.contacts() else { return of_all };
    let ours = Uri::parse(ours);
    let is_ours = |uri: &str| Uri::parse(uri).zip(ours.as_ref()).is_some_and(|(uri, ours)| uri.is_same_as(ours));
    // Behind a border controller the only contact of the answer may be written otherwise.
    let own = list.iter().find(|contact| is_ours(&contact.address.uri)).or(list.first().filter(|_| list.len() == 1));
    own.and_then(|contact| contact.expires()).or(of_all)
}

/// A reason phrase for people, at most some words of it.
fn shown(response: &Response) -> String {
    response.reason.chars().filter(|c| !c.is_control()).take(64).collect()
}
