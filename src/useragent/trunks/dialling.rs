//! Calls to outside numbers over a carrier: how the numbers are written, the places tried one after the other
//! (RFC 3263 §4.3), and the carrier's challenges answered.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::call::signal::Dial;
use crate::model::{LegId, Path, Target, Trunk, TrunkId};
use crate::sip::transaction::ClientKey;
use crate::sip::{NameAddr, Request, Response};

use super::super::UserAgent;
use super::super::caller::shown;
use super::super::leg::{Purpose, Stage};
use super::super::lifetime;
use super::super::rules::SIGN_OF_LIFE_MAX;
use super::super::wire::Beat;
use super::host_of;
use super::login::{Login, PROOFS_MAX, read_challenge};
use super::place::SHUNNED;

/// A dialled leg that looks for a place that takes it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Hunt {
    trunk: TrunkId,
    /// Where the INVITE is now.
    target: Target,
    tried: Vec<Target>,
    /// The INVITE as it was first sent, without its Via: the next one differs in CSeq and proof alone.
    invite: Request,
    login: Option<Login>,
    proofs: u8,
    /// Whether the place where it is now has said anything.
    has_heard: bool,
}

/// Whom a leg is dialled to, in SIP's words.
pub(in crate::useragent) struct Callee {
    /// The way there.
    pub path: Path,
    /// The Request-URI.
    pub target: String,
    /// From and To.
    pub ends: (NameAddr, NameAddr),
    /// More headers of the INVITE.
    pub more: Vec<(&'static str, String)>,
    /// The trunk whose limits it counts in, and the place that it begins with.
    pub over: Option<(TrunkId, Target)>,
}

impl UserAgent {
    /// The trunk's plan and the domain that its numbers are at.
    pub(super) fn outward(&self, id: &TrunkId) -> Option<(&Trunk, String)> {
        let trunk = self.trunks.trunk(id)?;
        let reach = trunk.reach.as_ref()?;
        let domain = trunk.registration.as_ref().map_or(&reach.host, |account| &account.domain);
        Some((trunk, host_of(domain)))
    }

    /// A number as a party over its trunk.
    pub(in crate::useragent) fn callee_over_trunk(
        &self,
        dial: &Dial,
        (id, number): (&TrunkId, &str),
        beat: &Beat<'_>,
    ) -> Result<Callee, &'static str> {
        let (trunk, domain) = self.outward(id).ok_or("the trunk has no `host`, so nothing can be dialled over it")?;
        if self.legs.live_on(id) >= trunk.calls_max {
            return Err("the trunk carries as many calls as it may; raise calls_max or wait");
        }
        let carrier = self.trunks.kept.carriers.get(id).ok_or("the trunk is not configured any more")?;
        let order = carrier.order(beat.now.moment);
        let reached = order.into_iter().find_map(|target| Some((self.path_to(&target)?, target)));
        let (path, target) = reached.ok_or("no place of the trunk is known: look at GET /api/v1/trunks")?;
        let plan = |number: &str| trunk.numbers.write(number, trunk.outgoing.form);
        let plain = plan(number);
        let user: String = plain.chars().filter(|c| c.is_ascii_digit() || "+*#".contains(*c)).collect();
        if user.is_empty() {
            return Err("what was dialled is no number");
        }
        let uri = format!("sip:{}@{domain};user=phone", user.replace('#', "%23"));
        let shown_to_them = dial.manner.number_shown.as_ref().or(trunk.outgoing.shown.as_ref());
        let own = shown_to_them.map(|number| plan(number.as_str()));
        let own = own.or_else(|| trunk.registration.as_ref().map(|account| account.user.clone()));
        let mut more = Vec::new();
        if let Some(own) = &own {
            // RFC 3325 §9.1: who pays for the call, whoever is shown.
            more.push(("P-Asserted-Identity", format!("<sip:{own}@{domain}>")));
        }
        // A regulator who calls back is no caller: the number of the association is shown.
        let shows_caller = trunk.outgoing.shows_caller && (dial.caller.e164.is_some() || dial.caller.anonymous);
        let from = match (shows_caller, own) {
            (true, _) => {
                if dial.caller.anonymous {
                    more.push(("Privacy", "id".to_owned()));
                }
                shown(&dial.caller, "", &domain)
            }
            (false, Some(own)) => NameAddr::new(format!("sip:{own}@{domain}")),
            (false, None) => NameAddr::new(format!("sip:vigie@{}", self.wire.rules.realm)),
        };
        let ends = (from, NameAddr::new(uri.clone()));
        Ok(Callee { path, target: uri, ends, more, over: Some((id.clone(), target)) })
    }

    /// Notes a leg whose INVITE has just been sent to the first place.
    pub(in crate::useragent) fn hunt(&mut self, leg: LegId, (trunk, target): (TrunkId, Target), invite: Request) {
        let tried = vec![target.clone()];
        let hunt = Hunt { trunk, target, tried, invite, login: None, proofs: 0, has_heard: false };
        self.trunks.kept.hunts.insert(leg, hunt);
    }

    /// The leg of an INVITE that is hunting, and whether it is the one that counts.
    fn hunting(&self, key: &ClientKey) -> Option<(LegId, bool)> {
        let (id, purpose) = self.legs.of_client(key)?;
        self.trunks.kept.hunts.get(&id).filter(|_| purpose == Purpose::Dial)?;
        match &self.legs.find(id)?.stage {
            Stage::Dialling { invite, .. } => Some((id, invite == key)),
            Stage::Invited(_)
            | Stage::Accepted(_)
            | Stage::Leaving(_)
            | Stage::Cancelling
            | Stage::Confirmed { .. }
            | Stage::Ended => None,
        }
    }

    /// A response to an INVITE of a hunt: `true` when nobody else need hear of it.
    pub(super) fn hunt_answered(&mut self, key: &ClientKey, response: &Response, beat: &mut Beat<'_>) -> bool {
        let Some((id, is_current)) = self.hunting(key) else { return false };
        if !is_current {
            if response.is_success() {
                self.call_off(id, beat);
            }
            return !response.is_success();
        }
        let Some(hunt) = self.trunks.kept.hunts.get_mut(&id) else { return false };
        let had_heard = std::mem::replace(&mut hunt.has_heard, true);
        let (trunk, target) = (hunt.trunk.clone(), hunt.target.clone());
        match response.status {
            100..=199 => false,
            401 | 407 => self.hunt_challenged(id, response, beat),
            422 => self.hunt_longer(id, response, beat),
            408 if had_heard => false,
            408 | 503 => {
                if let Some(place) = self.trunks.place(&trunk, &target) {
                    place.failed(SHUNNED, beat.now.moment);
                }
                self.hunt_on(id, beat)
            }
            _ => {
                if let Some(place) = self.trunks.place(&trunk, &target) {
                    place.answered();
                }
                self.trunks.kept.hunts.remove(&id);
                false
            }
        }
    }

    /// An INVITE got no final answer, or could not be sent.
    pub(super) fn hunt_timed_out(&mut self, key: &ClientKey, beat: &mut Beat<'_>) -> bool {
        match self.hunting(key) {
            Some((_, false)) => true,
            Some((id, true)) if !self.trunks.kept.hunts.get(&id).is_some_and(|hunt| hunt.has_heard) => {
                self.hunt_silent(id, beat)
            }
            Some((_, true)) | None => false,
        }
    }

    /// A dialled leg gave no sign of life: `true` when another place is tried.
    pub(in crate::useragent) fn hunt_silent(&mut self, id: LegId, beat: &mut Beat<'_>) -> bool {
        let Some(hunt) = self.trunks.kept.hunts.get(&id) else { return false };
        let (trunk, target) = (hunt.trunk.clone(), hunt.target.clone());
        if let Some(place) = self.trunks.place(&trunk, &target) {
            place.failed(SHUNNED, beat.now.moment);
        }
        let Some(leg) = self.legs.find(id) else { return false };
        let Stage::Dialling { invite, .. } = &leg.stage else { return false };
        let (silent, traced) = (invite.clone(), leg.traced());
        let goes_on = self.hunt_on(id, beat);
        if goes_on {
            // Should it speak after all, it is told that it need not ring.
            self.wire.cancel(&silent, None, traced, beat);
        }
        goes_on
    }

    /// Forgets the hunts of legs that are dialled no more.
    pub(super) fn forget_hunts(&mut self) {
        let is_dialling =
            |id: &LegId| self.legs.find(*id).is_some_and(|leg| matches!(leg.stage, Stage::Dialling { .. }));
        self.trunks.kept.hunts.retain(|id, _| is_dialling(id));
    }

    /// An INVITE that was given up for silence is answered after all: the one that counts is called off.
    fn call_off(&mut self, id: LegId, beat: &mut Beat<'_>) {
        self.trunks.kept.hunts.remove(&id);
        let Some(leg) = self.legs.find(id) else { return };
        if let Stage::Dialling { invite, .. } = &leg.stage {
            let (invite, traced) = (invite.clone(), leg.traced());
            self.wire.cancel(&invite, None, traced, beat);
        }
    }

    /// 401 or 407: answered with the trunk's account.
    fn hunt_challenged(&mut self, id: LegId, response: &Response, beat: &mut Beat<'_>) -> bool {
        let Some(asked) = read_challenge(response) else { return false };
        let Some(hunt) = self.trunks.kept.hunts.get_mut(&id) else { return false };
        let is_wrong = hunt.proofs > 0 && !asked.is_stale && hunt.login.is_some();
        if is_wrong || hunt.proofs >= PROOFS_MAX {
            return false;
        }
        hunt.proofs += 1;
        hunt.login = Some(asked.login);
        let target = hunt.target.clone();
        self.send_again(id, &target, beat)
    }

    /// 422: the place wants the call's dialog refreshed less often (RFC 4028 §7.3); asked once.
    fn hunt_longer(&mut self, id: LegId, refusal: &Response, beat: &mut Beat<'_>) -> bool {
        let Some(least_s) = refusal.headers.min_se() else { return false };
        let least = Duration::from_secs(u64::from(least_s));
        let Some(hunt) = self.trunks.kept.hunts.get_mut(&id) else { return false };
        if self.legs.find_mut(id).and_then(|leg| leg.invite.take()).is_none() {
            return false;
        }
        lifetime::ask(&mut hunt.invite, self.wire.rules.session_expires.max(least), least);
        (hunt.login, hunt.proofs) = (None, 0);
        let target = hunt.target.clone();
        self.send_again(id, &target, beat)
    }

    /// The next place that was not tried yet; `false` when there is none.
    fn hunt_on(&mut self, id: LegId, beat: &mut Beat<'_>) -> bool {
        loop {
            let Some(hunt) = self.trunks.kept.hunts.get(&id) else { return false };
            let Some(carrier) = self.trunks.kept.carriers.get(&hunt.trunk) else { return false };
            let order = carrier.order(beat.now.moment);
            let Some(target) = order.into_iter().find(|target| !hunt.tried.contains(target)) else { return false };
            if let Some(hunt) = self.trunks.kept.hunts.get_mut(&id) {
                hunt.tried.push(target.clone());
                (hunt.login, hunt.proofs, hunt.has_heard) = (None, 0, false);
            }
            if self.send_again(id, &target, beat) {
                return true;
            }
        }
    }

    /// The INVITE once more, in a transaction of its own: the same Call-ID, the next CSeq (RFC 3261 §8.1.3.5).
    fn send_again(&mut self, id: LegId, target: &Target, beat: &mut Beat<'_>) -> bool {
        let Some(path) = self.path_to(target) else { return false };
        let contact = self.wire.contact(path);
        let Some(hunt) = self.trunks.kept.hunts.get_mut(&id) else { return false };
        let Some(leg) = self.legs.find_mut(id) else { return false };
        let mut invite = hunt.invite.clone();
        invite.headers.set("CSeq", format!("{} INVITE", leg.dialog.number()));
        leg.forks.clear();
        if let Some(contact) = contact {
            invite.headers.set("Contact", contact);
        }
        let account = self.trunks.centre.trunks.get(&hunt.trunk).and_then(|trunk| trunk.registration.as_ref());
        if let Some(login) = hunt.login.as_mut() {
            let Some((account, password)) = account.zip(self.trunks.passwords.0.get(&hunt.trunk)) else { return false };
            login.prove(&mut invite, account, password, &mut self.wire.chance);
        }
        hunt.target = target.clone();
        leg.dialog.path = path;
        let traced = leg.traced();
        let Some(key) = self.wire.request(path, invite, traced, beat) else { return false };
        if let Some(Stage::Dialling { invite, dead_at, .. }) = self.legs.find_mut(id).map(|leg| &mut leg.stage) {
            *invite = key.clone();
            *dead_at = Some(beat.now.moment + SIGN_OF_LIFE_MAX);
        }
        self.legs.ask(id, key, Purpose::Dial);
        self.legs.reckon(id);
        true
    }
}
