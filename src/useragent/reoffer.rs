//! What we change or keep alive in a dialog by ourselves: re-INVITE, UPDATE, and glare (RFC 3261 §14, RFC 3311,
//! RFC 4028 §7.4).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::call::signal::Signal;
use crate::model::{Codec, Direction, LegId, Moment, Path};
use crate::sip::transaction::ClientKey;
use crate::sip::{Method, Response};

use super::UserAgent;
use super::agreed::{Heard, LegMedia};
use super::leg::{Leg, Purpose, Stage};
use super::lifetime::{self, Lifetime};
use super::rules::{ACCEPT, ALLOW, PATIENCE, SUPPORTED_WITHIN};
use super::terms::read_answer;
use super::wire::Beat;

/// How often an offer of ours is tried again after 491 or 500 before it is let be.
const TRIES_MAX: u8 = 5;
/// How long a refresh waits for another exchange to end, or for a way to be found.
const REFRESH_AGAIN: Duration = Duration::from_secs(5);

/// Our own changes within a dialog.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Asking {
    /// The one whose answer is awaited.
    open: Option<Open>,
    /// What is to be offered when nothing stands in the way.
    wish: Option<Wish>,
    /// Not before then.
    retry_at: Option<Moment>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Open {
    key: ClientKey,
    purpose: Purpose,
    /// Our media before, when the request makes an offer.
    before: Option<Box<LegMedia>>,
    wish: Option<Wish>,
    /// An INVITE without a final answer by then is cancelled.
    cancel_at: Option<Moment>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Wish {
    codec: Codec,
    direction: Direction,
    tries: u8,
}

impl Asking {
    pub(super) fn deadline(&self) -> Option<Moment> {
        self.retry_at.into_iter().chain(self.cancel_at()).min()
    }

    /// When an INVITE of ours without a final answer is to be cancelled. After a provisional answer its transaction has
    /// no timer of its own (RFC 3261 §17.1.1.2): without this a far end that says 180 and no more is asked for ever.
    pub(super) fn cancel_at(&self) -> Option<Moment> {
        self.open.as_ref().and_then(|open| open.cancel_at)
    }

    /// The leg is over: nobody needs the answer, and an INVITE that still asks for one is cancelled at once.
    pub(super) fn hurry(&mut self, now: Moment) {
        if let Some(at) = self.open.as_mut().and_then(|open| open.cancel_at.as_mut()) {
            *at = now.min(*at);
        }
    }

    /// The INVITE that is to be cancelled by now; told once.
    fn take_overdue(&mut self, now: Moment) -> Option<ClientKey> {
        let open = self.open.as_mut()?;
        open.cancel_at.take_if(|at| *at <= now)?;
        Some(open.key.clone())
    }

    /// Whether an INVITE of ours has no final answer yet.
    pub(super) fn has_invite(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.key.method() == Method::Invite)
    }

    /// Whether an offer of ours is not answered yet.
    pub(super) fn has_offer(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.before.is_some())
    }
}

impl Leg {
    /// Whether both sides have agreed on a call that is not over.
    fn is_settled(&self) -> bool {
        matches!(self.stage, Stage::Confirmed { .. })
    }

    /// Whether nothing stands in the way of an offer of ours (RFC 3261 §14.1).
    fn is_free(&self) -> bool {
        matches!(self.stage, Stage::Confirmed { reoffered: None }) && self.asking.open.is_none()
    }
}

impl UserAgent {
    /// Offers a leg other media; behind another exchange it waits its turn.
    pub(super) fn reoffer(&mut self, id: LegId, (codec, direction): (Codec, Direction), beat: &mut Beat<'_>) {
        let Some(leg) = self.legs.find_mut(id) else { return };
        leg.asking.wish = Some(Wish { codec, direction, tries: 0 });
        self.go_on(id, beat);
    }

    /// Offers what is wished for, when nothing stands in the way.
    pub(super) fn go_on(&mut self, id: LegId, beat: &mut Beat<'_>) {
        let Some(leg) = self.legs.find_mut(id).filter(|leg| leg.is_free()) else { return };
        if leg.asking.retry_at.is_some_and(|at| at > beat.now.moment) {
            return;
        }
        leg.asking.retry_at = None;
        self.legs.reckon(id);
        let Some(leg) = self.legs.find_mut(id) else { return };
        let Some(wish) = leg.asking.wish.take() else { return };
        let is_as_wished =
            leg.media.codec == wish.codec && leg.media.local.is_some_and(|local| local.direction == wish.direction);
        // What the far end has never named it would refuse.
        if is_as_wished || !leg.media.knows(wish.codec) {
            return;
        }
        let before = leg.media.clone();
        leg.media.codec = wish.codec;
        if let Some(local) = leg.media.local.as_mut() {
            local.direction = wish.direction;
        }
        self.reinvite(id, (Purpose::Reoffer, Some(wish)), before, beat);
    }

    /// A re-INVITE with an offer (RFC 3261 §14.1): of other media, or the last SDP again.
    fn reinvite(&mut self, id: LegId, (purpose, wish): (Purpose, Option<Wish>), before: LegMedia, beat: &mut Beat<'_>) {
        let Some(leg) = self.legs.find_mut(id) else { return };
        let mut invite = leg.dialog.request(Method::Invite, &self.wire.rules);
        if let Some(contact) = self.wire.contact(leg.dialog.path) {
            invite.headers.push("Contact", contact);
        }
        invite.headers.push("Allow", ALLOW);
        invite.headers.push("Supported", SUPPORTED_WITHIN);
        if let Some(lifetime) = &leg.lifetime {
            lifetime::ask(&mut invite, lifetime.interval, self.wire.rules.session_expires_min);
        }
        invite.headers.push("Content-Type", ACCEPT);
        invite.body = match wish {
            Some(wish) => leg.media.offer_only(wish.codec),
            None => leg.media.repeat(),
        };
        let (path, traced) = (leg.dialog.next_path(&self.wire.rules), leg.traced());
        let Some(key) = self.wire.request(path, invite, traced, beat) else { return };
        let cancel_at = Some(beat.now.moment + PATIENCE);
        self.opened(id, Open { key, purpose, before: Some(Box::new(before)), wish, cancel_at });
    }

    fn opened(&mut self, id: LegId, open: Open) {
        self.legs.ask(id, open.key.clone(), open.purpose);
        if let Some(leg) = self.legs.find_mut(id) {
            leg.asking.open = Some(open);
        }
        self.legs.reckon(id);
    }

    /// Keeps the dialog alive: UPDATE where the far end takes it, else a re-INVITE that changes nothing (RFC 4028 §7.4).
    fn refresh(&mut self, id: LegId, beat: &mut Beat<'_>) {
        let Some(leg) = self.legs.find_mut(id) else { return };
        let is_free = leg.is_free();
        let Some(lifetime) = leg.lifetime.as_mut() else { return };
        lifetime.refresh_at = (!is_free).then_some(beat.now.moment + REFRESH_AGAIN);
        if !is_free {
            return self.legs.reckon(id);
        }
        let interval = lifetime.interval;
        if !leg.far.takes_update {
            let before = leg.media.clone();
            return self.reinvite(id, (Purpose::Refresh, None), before, beat);
        }
        let mut update = leg.dialog.request(Method::Update, &self.wire.rules);
        if let Some(contact) = self.wire.contact(leg.dialog.path) {
            update.headers.push("Contact", contact);
        }
        update.headers.push("Allow", ALLOW);
        update.headers.push("Supported", SUPPORTED_WITHIN);
        lifetime::ask(&mut update, interval, self.wire.rules.session_expires_min);
        let (path, traced) = (leg.dialog.next_path(&self.wire.rules), leg.traced());
        let Some(key) = self.wire.request(path, update, traced, beat) else { return };
        self.opened(id, Open { key, purpose: Purpose::Refresh, before: None, wish: None, cancel_at: None });
    }

    /// The clock of INVITEs to be cancelled, of refreshes, of offers put off, and of the end of a dialog that nobody
    /// refreshed (RFC 4028 §10).
    pub(super) fn tick_changes(&mut self, id: LegId, beat: &mut Beat<'_>) {
        let now = beat.now.moment;
        let Some(leg) = self.legs.find_mut(id) else { return };
        let (overdue, traced) = (leg.asking.take_overdue(now), leg.traced());
        if let Some(invite) = overdue {
            self.legs.reckon(id);
            self.wire.cancel(&invite, None, traced, beat);
        }
        let Some(leg) = self.legs.find(id).filter(|leg| leg.is_settled()) else { return };
        let lifetime = leg.lifetime.as_ref().map(|lifetime| (lifetime.refresh_at, lifetime.ends_at));
        if lifetime.is_some_and(|(_, ends_at)| ends_at <= now) {
            return self.is_lost(id, "the call was not refreshed in time (session timer)".to_owned(), beat);
        }
        if lifetime.and_then(|(refresh_at, _)| refresh_at).is_some_and(|at| at <= now) {
            self.refresh(id, beat);
        }
        self.go_on(id, beat);
    }

    /// An answer to a request of ours that changes or keeps the dialog.
    pub(super) fn change_answered(
        &mut self,
        id: LegId,
        key: &ClientKey,
        (path, response): (Path, &Response),
        beat: &mut Beat<'_>,
    ) {
        if response.is_provisional() {
            return;
        }
        let Some(leg) = self.legs.find_mut(id) else { return };
        if response.is_success() && key.method() == Method::Invite {
            if let Some(ack) = leg.ack_of(response) {
                let (way, bytes) = (ack.path, ack.bytes.clone());
                return self.wire.send(way, bytes, None, beat);
            }
            let contacts = response.headers.contacts().ok();
            leg.dialog.retarget(contacts.as_ref().and_then(|c| c.first()).map(|c| c.address.uri.clone()));
            self.acknowledge_ok(id, response, beat);
        }
        // Of a leg that is over meanwhile nothing more is said.
        let Some(leg) = self.legs.find_mut(id).filter(|leg| leg.is_settled()) else { return };
        let Some(open) = leg.asking.open.take_if(|open| open.key == *key) else { return };
        self.legs.reckon(id);
        match response.status {
            200..=299 => self.change_agreed(id, open, (path, response), beat),
            // RFC 3261 §12.2.1.2.
            408 | 481 => {
                let detail = format!("it answered {} within the dialog: it knows the call no more", response.status);
                self.is_lost(id, detail, beat);
            }
            status => self.change_refused(id, open, (status, response), beat),
        }
        self.go_on(id, beat);
    }

    fn change_agreed(&mut self, id: LegId, open: Open, (path, ok): (Path, &Response), beat: &mut Beat<'_>) {
        let Some(leg) = self.legs.find_mut(id) else { return };
        leg.far.read(&ok.headers);
        leg.dialog.came_by(path);
        leg.lifetime = Lifetime::answered(ok, beat.now.moment);
        let sdp = read_answer(&ok.headers, &ok.body, &leg.media.terms());
        let heard = match (&sdp, open.before) {
            (_, None) => Heard::Same,
            (Some(sdp), Some(before)) => {
                let heard = leg.media.hear_answer(sdp, &ok.body, path.peer.ip());
                if heard == Heard::Nothing {
                    leg.media.take_back(*before);
                }
                heard
            }
            (None, Some(before)) => {
                leg.media.take_back(*before);
                Heard::Nothing
            }
        };
        leg.review_probe(beat.now.moment);
        self.legs.reckon(id);
        if let Heard::Other(remote) = heard {
            beat.signal(Signal::Reoffered { leg: id, remote });
        }
    }

    /// What was offered did not come to be: the media stay as they were (RFC 3261 §14.1).
    fn change_refused(&mut self, id: LegId, open: Open, (status, response): (u16, &Response), beat: &mut Beat<'_>) {
        let pause = self.pause_after(id, status, response);
        let least_s = self.wire.rules.session_expires_min.as_secs() as u32;
        let Some(leg) = self.legs.find_mut(id) else { return };
        if let Some(before) = open.before {
            leg.media.take_back(*before);
        }
        let now = beat.now.moment;
        if let Some(wish) = open.wish {
            // Another wish that came meanwhile is newer.
            if let Some(pause) = pause.filter(|_| wish.tries < TRIES_MAX) {
                leg.asking.wish.get_or_insert(Wish { tries: wish.tries + 1, ..wish });
                leg.asking.retry_at = Some(now + pause);
            }
        }
        if let (Purpose::Refresh, Some(lifetime)) = (open.purpose, leg.lifetime.as_mut()) {
            let longer = Duration::from_secs(u64::from(response.headers.min_se().unwrap_or(0).max(least_s)));
            let left = lifetime.ends_at.since(now);
            lifetime.refresh_at = match status {
                // RFC 4028 §7.4: again at once with what the far end wants.
                422 if longer > lifetime.interval => {
                    lifetime.interval = longer;
                    Some(now)
                }
                405 | 501 if leg.far.takes_update => {
                    leg.far.takes_update = false;
                    Some(now)
                }
                _ => Some(now + pause.unwrap_or((left / 2).max(REFRESH_AGAIN))),
            };
        }
        self.legs.reckon(id);
    }

    /// How long to wait before the same is asked again, when that may help at all.
    fn pause_after(&mut self, id: LegId, status: u16, response: &Response) -> Option<Duration> {
        let is_owner = self.legs.find(id).is_some_and(|leg| leg.dialog.is_call_id_ours);
        let chance = self.wire.chance.next_u64();
        match (status, is_owner) {
            // RFC 3261 §14.1: in steps of 10 ms, longer for the owner of the Call-ID.
            (491, true) => Some(Duration::from_millis(2100 + chance % 191 * 10)),
            (491, false) => Some(Duration::from_millis(chance % 201 * 10)),
            (500 | 503, _) => {
                let asked = response.headers.first("Retry-After").and_then(|text| {
                    let digits = text.trim().split(|c: char| !c.is_ascii_digit()).next()?.to_owned();
                    digits.parse::<u64>().ok()
                });
                asked.map(|seconds| Duration::from_secs(seconds.clamp(1, 32)))
            }
            _ => None,
        }
    }

    /// No answer at all to a request of ours within a dialog: the far end is gone (RFC 3261 §12.2.1.2), unless only its
    /// way is, and then it is asked again over another.
    pub(super) fn change_unanswered(&mut self, id: LegId, key: &ClientKey, is_cut: bool, beat: &mut Beat<'_>) {
        let Some(leg) = self.legs.find_mut(id).filter(|leg| leg.is_settled()) else { return };
        let Some(open) = leg.asking.open.take_if(|open| open.key == *key) else { return };
        if let Some(before) = open.before {
            leg.media.take_back(*before);
        }
        if !is_cut {
            let detail = "it did not answer a request within the dialog in 32 s; is it still there?".to_owned();
            return self.is_lost(id, detail, beat);
        }
        let again = beat.now.moment + REFRESH_AGAIN;
        if let Some(wish) = open.wish.filter(|wish| wish.tries < TRIES_MAX) {
            leg.asking.wish.get_or_insert(Wish { tries: wish.tries + 1, ..wish });
            leg.asking.retry_at = Some(again);
        }
        if let (Purpose::Refresh, Some(lifetime)) = (open.purpose, leg.lifetime.as_mut()) {
            lifetime.refresh_at = Some(again);
        }
        self.legs.reckon(id);
    }
}
