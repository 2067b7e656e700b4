//! SUBSCRIBE to a colleague's calls and the NOTIFYs that light the lamp (RFC 6665, RFC 4235).

use std::time::Duration;

use crate::model::{Path, RegulatorId};
use crate::sip::transaction::ClientKey;
use crate::sip::{Method, Request, Response, Uri};

use super::UserAgent;
use super::admission::{Asked, Gate};
use super::answer::{answer, answer_tagged};
use super::dialog::{Dialog, Order};
use super::incoming::{Arrival, Refusal, check};
use super::lamp::{LAMP_FORMAT, Lamp};
use super::refer::read_event;
use super::rules::{ALLOW_EVENTS, SUBSCRIBE_AFTER_S, SUBSCRIPTION_MAX, SUBSCRIPTION_MIN, TEXT_LENGTH_MAX};
use super::subscriptions::Subscription;
use super::wire::Beat;

/// What a SUBSCRIBE asks, read.
struct Wish {
    event_id: Option<String>,
    /// Zero for one NOTIFY and no more.
    lasts: Duration,
}

impl UserAgent {
    /// What a SUBSCRIBE outside every dialog is answered without keeping anything.
    pub(super) fn subscribe_at_door(&mut self, (path, request): Asked<'_>, beat: &mut Beat<'_>) -> Option<Response> {
        if self.admission.trunk_of((path, request)).is_some() {
            beat.refuse((path, request), "a trunk watches nobody");
            return Some(answer(request, 403, &self.wire.rules));
        }
        let event = request.headers.first("Event").unwrap_or_default().into_owned();
        if !read_event(&event).0.eq_ignore_ascii_case("dialog") {
            return Some(self.refuse_event(request));
        }
        if !self.claims_regulator(request) {
            beat.refuse((path, request), "only a registered regulator may subscribe");
            return Some(answer(request, 403, &self.wire.rules));
        }
        self.challenge((path, request), Gate::Proxy, request.headers.from(), beat)
    }

    /// 489 with what is known (RFC 6665 §4.1.2.2).
    pub(super) fn refuse_event(&self, request: &Request) -> Response {
        let mut response = answer(request, 489, &self.wire.rules);
        response.headers.push("Allow-Events", ALLOW_EVENTS);
        response
    }

    /// A SUBSCRIBE in its transaction: to a new subscription, or within the dialog of one.
    pub(super) fn subscribed(&mut self, arrival: &Arrival, beat: &mut Beat<'_>) {
        let request = &arrival.request;
        if let Some(tag) = self.subscriptions.of_dialog(request) {
            return self.resubscribed(&tag, arrival, beat);
        }
        let begun = match self.prove_regulator(arrival, beat) {
            Ok(watcher) => self.begin_watching(watcher, arrival, beat),
            Err(response) => {
                beat.refuse((arrival.path, request), "no registered regulator's password");
                return self.wire.respond(&arrival.key, response, None, beat);
            }
        };
        match begun {
            Ok((subscription, lasts)) => {
                let tag = subscription.dialog.local_tag.clone();
                self.grant(subscription, (&tag, lasts), arrival, beat);
            }
            Err(refusal) => {
                let response = refusal.response(request, &self.wire.rules);
                self.wire.respond(&arrival.key, response, None, beat);
            }
        }
    }

    fn begin_watching(
        &mut self,
        watcher: RegulatorId,
        arrival: &Arrival,
        beat: &Beat<'_>,
    ) -> Result<(Subscription, Duration), Refusal> {
        let request = &arrival.request;
        let wish = read_wish(request)?;
        let user = Uri::parse(&request.uri).and_then(|uri| uri.user_decoded()).unwrap_or_default();
        let watched = RegulatorId::from(user.as_str());
        if !self.admission.knows(&watched) {
            return Err(Refusal::of(404));
        }
        if !self.subscriptions.has_room(&watcher) {
            return Err(Refusal::with(503, "Retry-After", SUBSCRIBE_AFTER_S.to_string()));
        }
        let tag = self.wire.chance.token();
        let dialog = Dialog::of_invite(request, arrival.path, tag).filter(|dialog| dialog.remote_tag.is_some());
        let dialog = dialog.ok_or(Refusal::of(400))?;
        let expires = beat.now.moment + wish.lasts;
        let (event_id, told) = (wish.event_id, Lamp::default());
        let subscription = Subscription { watcher, watched, dialog, event_id, expires, version: 0, told, notify: None };
        Ok((subscription, wish.lasts))
    }

    /// A SUBSCRIBE within a subscription's dialog refreshes or ends it (RFC 6665 §4.2.1.2).
    fn resubscribed(&mut self, tag: &str, arrival: &Arrival, beat: &mut Beat<'_>) {
        let request = &arrival.request;
        let Some(mut subscription) = self.subscriptions.take(tag) else { return };
        let wish = read_wish(request).and_then(|wish| match wish.event_id == subscription.event_id {
            true => Ok(wish),
            false => Err(Refusal::of(481)),
        });
        let number = request.headers.cseq().map_or(0, |cseq| cseq.number);
        let wish = match subscription.dialog.count(number) {
            Order::InOrder => wish,
            Order::OutOfOrder => Err(Refusal::of(500)),
        };
        match wish {
            Ok(wish) => {
                let contacts = request.headers.contacts().ok();
                subscription.dialog.retarget(contacts.and_then(|c| c.first().map(|c| c.address.uri.clone())));
                subscription.dialog.came_by(arrival.path);
                subscription.expires = beat.now.moment + wish.lasts;
                self.grant(subscription, (tag, wish.lasts), arrival, beat);
            }
            Err(refusal) => {
                self.subscriptions.put(subscription);
                let response = refusal.response(request, &self.wire.rules);
                self.wire.respond(&arrival.key, response, None, beat);
            }
        }
    }

    /// 200, and the NOTIFY that follows every one at once (RFC 6665 §4.2.1.2).
    fn grant(
        &mut self,
        subscription: Subscription,
        (tag, lasts): (&str, Duration),
        arrival: &Arrival,
        beat: &mut Beat<'_>,
    ) {
        let mut ok = answer_tagged(&arrival.request, 200, tag, &self.wire.rules);
        if let Some(contact) = self.wire.contact(arrival.path) {
            ok.headers.push("Contact", contact);
        }
        ok.headers.push("Expires", lasts.as_secs().to_string());
        self.wire.respond(&arrival.key, ok, None, beat);
        self.show(subscription, beat);
    }

    /// A NOTIFY with the state of now; the last one when the subscription has ended.
    fn show(&mut self, mut subscription: Subscription, beat: &mut Beat<'_>) {
        let lamp = Lamp::of(self.legs.of_owner(&subscription.watched), &subscription.told);
        let entity = format!("sip:{}@{}", subscription.watched, self.wire.rules.realm);
        let left = subscription.expires.since(beat.now.moment).as_secs();
        let is_over = subscription.expires <= beat.now.moment;
        let state = if is_over { "terminated;reason=timeout".to_owned() } else { format!("active;expires={left}") };
        let mut notify = subscription.dialog.request(Method::Notify, &self.wire.rules);
        if let Some(contact) = self.wire.contact(subscription.dialog.path) {
            notify.headers.push("Contact", contact);
        }
        let id = subscription.event_id.as_ref().map(|id| format!(";id={id}")).unwrap_or_default();
        notify.headers.push("Event", format!("dialog{id}"));
        notify.headers.push("Subscription-State", state);
        notify.headers.push("Content-Type", LAMP_FORMAT);
        notify.body = lamp.document(&subscription.told, subscription.version, &entity).into();
        subscription.version = subscription.version.wrapping_add(1);
        subscription.told = lamp;
        let sent = self.wire.request(subscription.dialog.next_path(&self.wire.rules), notify, None, beat);
        if !is_over && sent.is_some() {
            subscription.notify = sent;
            self.subscriptions.put(subscription);
        }
    }

    /// The lamps of those whose calls have changed, once for all that one input has led to.
    pub(super) fn tell_watchers(&mut self, beat: &mut Beat<'_>) {
        for watched in self.legs.take_changed() {
            for tag in self.subscriptions.watching(&watched) {
                self.show_news(&tag, beat);
            }
        }
    }

    /// A NOTIFY, when there is something new to show and the last one is answered.
    fn show_news(&mut self, tag: &str, beat: &mut Beat<'_>) {
        let is_due = self.subscriptions.find(tag).is_some_and(|subscription| {
            let lamp = Lamp::of(self.legs.of_owner(&subscription.watched), &subscription.told);
            let is_reachable = subscription.notify.is_none() && subscription.dialog.cut_since.is_none();
            is_reachable && subscription.told != lamp
        });
        if is_due && let Some(subscription) = self.subscriptions.take(tag) {
            self.show(subscription, beat);
        }
    }

    /// A phone has registered: what it watches goes on over the way that it came by now, as its calls do
    /// (RFC 5626 §5.3). After a cut the lamps are shown anew: what was told last may not have come.
    pub(super) fn follow_watcher(&mut self, path: Path, user: Option<&str>, beat: &mut Beat<'_>) {
        let Some(watcher) = user.map(RegulatorId::from) else { return };
        let devices = self.registrar.bindings.of(&watcher).iter().filter(|device| device.path == path);
        let contacts: Vec<String> = devices.map(|device| device.binding.contact.clone()).collect();
        for tag in self.subscriptions.of_watcher(&watcher) {
            let Some(mut subscription) = self.subscriptions.take(&tag) else { continue };
            let dialog = &mut subscription.dialog;
            let was_cut = dialog.cut_since.is_some();
            let is_same = contacts.iter().any(|contact| Uri::are_same(contact, dialog.target()));
            let is_back = was_cut && dialog.path.transport == path.transport && dialog.path.peer.ip() == path.peer.ip();
            if is_same || is_back {
                dialog.came_by(path);
            }
            match was_cut && subscription.dialog.cut_since.is_none() {
                true => self.show(subscription, beat),
                false => self.subscriptions.put(subscription),
            }
        }
    }

    /// What a NOTIFY was answered. Whoever refuses it watches no longer, unless it says when to try again
    /// (RFC 6665 §4.2.2).
    pub(super) fn lamp_heard(&mut self, key: &ClientKey, response: &Response, beat: &mut Beat<'_>) {
        if response.is_provisional() {
            return;
        }
        let Some(mut subscription) = self.subscriptions.take_notified(key) else { return };
        if !response.is_success() && !response.headers.has("Retry-After") {
            return;
        }
        subscription.notify = None;
        let tag = subscription.dialog.local_tag.clone();
        self.subscriptions.put(subscription);
        if response.is_success() {
            self.show_news(&tag, beat);
        }
    }

    /// Ends what was not refreshed (RFC 6665 §4.2.2).
    pub(super) fn tick_subscriptions(&mut self, beat: &mut Beat<'_>) {
        while let Some(subscription) = self.subscriptions.take_ended(beat.now.moment) {
            self.show(subscription, beat);
        }
    }
}

/// What a SUBSCRIBE asks; without Expires as long as can be (RFC 4235 §3.4 says an hour).
fn read_wish(request: &Request) -> Result<Wish, Refusal> {
    check(request)?;
    let event = request.headers.first("Event").unwrap_or_default();
    let (package, event_id) = read_event(&event);
    if !package.eq_ignore_ascii_case("dialog") {
        return Err(Refusal::with(489, "Allow-Events", ALLOW_EVENTS));
    }
    if event_id.is_some_and(|id| id.len() > TEXT_LENGTH_MAX) {
        return Err(Refusal::of(400));
    }
    let accepts = ["*/*", "application/*", LAMP_FORMAT];
    let formats = request.headers.tokens("Accept");
    let takes = |format: &String| accepts.iter().any(|ours| media_type(format).eq_ignore_ascii_case(ours));
    if !formats.is_empty() && !formats.iter().any(takes) {
        return Err(Refusal::with(406, "Accept", LAMP_FORMAT));
    }
    let asked = request.headers.expires().map(|seconds| Duration::from_secs(seconds.into()));
    match asked {
        Some(asked) if !asked.is_zero() && asked < SUBSCRIPTION_MIN => {
            Err(Refusal::with(423, "Min-Expires", SUBSCRIPTION_MIN.as_secs().to_string()))
        }
        asked => {
            let lasts = asked.unwrap_or(SUBSCRIPTION_MAX).min(SUBSCRIPTION_MAX);
            Ok(Wish { event_id: event_id.map(str::to_owned), lasts })
        }
    }
}

fn media_type(format: &str) -> &str {
    format.split(';').next().unwrap_or_default().trim()
}
