//! The subscriptions to regulators' calls (RFC 6665, RFC 4235): whose, to whom, until when, and what was told last.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::model::{Moment, Path, RegulatorId};
use crate::sip::Request;
use crate::sip::transaction::ClientKey;

use super::dialog::Dialog;
use super::lamp::Lamp;
use super::rules::{SUBSCRIPTIONS_EACH_MAX, SUBSCRIPTIONS_MAX};

/// Every subscription, by our tag in its dialog.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Subscriptions {
    by_tag: BTreeMap<String, Subscription>,
    of_watched: BTreeMap<RegulatorId, BTreeSet<String>>,
    of_watcher: BTreeMap<RegulatorId, BTreeSet<String>>,
    by_notify: BTreeMap<ClientKey, String>,
    expiries: BTreeSet<(Moment, String)>,
}

/// One subscription.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Subscription {
    /// Who asked.
    pub watcher: RegulatorId,
    /// Whose calls.
    pub watched: RegulatorId,
    pub dialog: Dialog,
    /// The `id` of its Event, which every NOTIFY carries (RFC 6665 §8.2.1).
    pub event_id: Option<String>,
    /// When it ends.
    pub expires: Moment,
    /// Of the next NOTIFY's document.
    pub version: u32,
    /// What the last one showed.
    pub told: Lamp,
    /// The NOTIFY whose answer is awaited: the next one waits for it, so that none overtakes another.
    pub notify: Option<ClientKey>,
}

impl Subscriptions {
    /// The longest of the tables.
    pub(super) fn count_kept(&self) -> usize {
        let sets = |of: &BTreeMap<RegulatorId, BTreeSet<String>>| of.values().map(BTreeSet::len).sum::<usize>();
        let people = sets(&self.of_watched).max(sets(&self.of_watcher));
        self.by_tag.len().max(people).max(self.by_notify.len()).max(self.expiries.len())
    }

    /// Whether there is room for one more of this regulator's.
    pub(super) fn has_room(&self, watcher: &RegulatorId) -> bool {
        let own = self.of_watcher.get(watcher).map_or(0, BTreeSet::len);
        self.by_tag.len() < SUBSCRIPTIONS_MAX && own < SUBSCRIPTIONS_EACH_MAX
    }

    /// When the next one ends.
    pub(super) fn deadline(&self) -> Option<Moment> {
        self.expiries.first().map(|(at, _)| *at)
    }

    /// Whether a request is within the dialog of one.
    pub(super) fn has_dialog(&self, request: &Request) -> bool {
        self.of_dialog(request).is_some()
    }

    /// The tag of the one whose dialog a request is within.
    pub(super) fn of_dialog(&self, request: &Request) -> Option<String> {
        let tag = request.to_tag()?;
        let call_id = request.headers.call_id()?;
        let found = self.by_tag.get(&tag)?;
        found.dialog.is_with(&call_id, request.from_tag().as_deref()).then_some(tag)
    }

    /// The tags of those that watch a regulator.
    pub(super) fn watching(&self, watched: &RegulatorId) -> Vec<String> {
        self.of_watched.get(watched).into_iter().flatten().cloned().collect()
    }

    /// Adds one, or puts it back.
    pub(super) fn put(&mut self, subscription: Subscription) {
        let tag = subscription.dialog.local_tag.clone();
        self.take(&tag);
        self.of_watched.entry(subscription.watched.clone()).or_default().insert(tag.clone());
        self.of_watcher.entry(subscription.watcher.clone()).or_default().insert(tag.clone());
        if let Some(key) = &subscription.notify {
            self.by_notify.insert(key.clone(), tag.clone());
        }
        self.expiries.insert((subscription.expires, tag.clone()));
        self.by_tag.insert(tag, subscription);
    }

    /// Takes one out of every table.
    pub(super) fn take(&mut self, tag: &str) -> Option<Subscription> {
        let subscription = self.by_tag.remove(tag)?;
        disown(&mut self.of_watched, &subscription.watched, tag);
        disown(&mut self.of_watcher, &subscription.watcher, tag);
        if let Some(key) = &subscription.notify {
            self.by_notify.remove(key);
        }
        self.expiries.remove(&(subscription.expires, tag.to_owned()));
        Some(subscription)
    }

    /// Looks at one.
    pub(super) fn find(&self, tag: &str) -> Option<&Subscription> {
        self.by_tag.get(tag)
    }

    /// Whether a request of ours was the NOTIFY of one.
    pub(super) fn awaits(&self, key: &ClientKey) -> bool {
        self.by_notify.contains_key(key)
    }

    /// Takes out the one that a NOTIFY was of.
    pub(super) fn take_notified(&mut self, key: &ClientKey) -> Option<Subscription> {
        let tag = self.by_notify.get(key)?.clone();
        self.take(&tag)
    }

    /// The NOTIFY was not answered: whoever subscribed is gone (RFC 6665 §4.2.2).
    pub(super) fn lose(&mut self, key: &ClientKey) {
        self.take_notified(key);
    }

    /// Nothing can be sent that way any more. Who watched over a connection may come back on another one; where a
    /// datagram finds nobody, nobody watches.
    pub(super) fn cut(&mut self, path: Path, now: Moment) {
        let lost = self.by_tag.values().filter(|one| one.dialog.path == path);
        let lost: Vec<String> = lost.map(|one| one.dialog.local_tag.clone()).collect();
        for mut subscription in lost.iter().filter_map(|tag| self.take(tag)).collect::<Vec<_>>() {
            if path.transport.is_reliable() {
                subscription.dialog.cut_since.get_or_insert(now);
                subscription.notify = None;
                self.put(subscription);
            }
        }
    }

    /// The tags of a regulator's own.
    pub(super) fn of_watcher(&self, watcher: &RegulatorId) -> Vec<String> {
        self.of_watcher.get(watcher).into_iter().flatten().cloned().collect()
    }

    /// Takes out one that has ended.
    pub(super) fn take_ended(&mut self, now: Moment) -> Option<Subscription> {
        let (_, tag) = self.expiries.first().filter(|(at, _)| *at <= now)?.clone();
        self.take(&tag)
    }
}

fn disown(of: &mut BTreeMap<RegulatorId, BTreeSet<String>>, regulator: &RegulatorId, tag: &str) {
    let Some(tags) = of.get_mut(regulator) else { return };
    tags.remove(tag);
    if tags.is_empty() {
        of.remove(regulator);
    }
}
