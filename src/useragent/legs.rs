//! Every leg, found by its name, by our tag and by the INVITE that it came with; and when each wants the clock.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::model::{CallId, LegId, Moment, RegulatorId, TrunkId};
use crate::sip::transaction::ClientKey;
use crate::sip::{Message, Method, Request, Response};

use super::leg::{Leg, Probe, Purpose, Stage};
use super::rules::{ENDED_LEGS_MAX, PATIENCE};

/// Requests of ours within one leg whose answers are awaited; with more, the oldest one's answer concerns nobody.
const ASKS_MAX: usize = 32;

/// The legs, live ones and those that have just ended.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Legs {
    by_id: BTreeMap<LegId, Leg>,
    by_tag: HashMap<String, LegId>,
    by_invite: HashMap<(String, String), LegId>,
    by_client: BTreeMap<ClientKey, (LegId, Purpose)>,
    wakes: BTreeSet<(Moment, LegId)>,
    /// When each was to be woken last, so that the entry in `wakes` is found again.
    waking: HashMap<LegId, Moment>,
    ended: VecDeque<(Moment, LegId)>,
    on_trunk: HashMap<TrunkId, u32>,
    /// The legs of each regulator, live ones only.
    of_owner: BTreeMap<RegulatorId, BTreeSet<LegId>>,
    /// The regulators whose legs have changed since it was asked last.
    changed: BTreeSet<RegulatorId>,
}

impl Legs {
    /// Live legs.
    pub(super) fn live(&self) -> usize {
        self.by_id.len().saturating_sub(self.ended.len())
    }

    /// The longest of the tables that legs are in.
    pub(super) fn count_kept(&self) -> usize {
        let indices = self.by_tag.len().max(self.by_invite.len()).max(self.by_client.len());
        let clocks = self.wakes.len().max(self.waking.len()).max(self.ended.len());
        let owned = self.of_owner.values().map(BTreeSet::len).sum();
        self.by_id.len().max(indices).max(clocks).max(owned)
    }

    /// Live legs of all trunks.
    pub(super) fn live_on_trunks(&self) -> usize {
        self.on_trunk.values().map(|live| *live as usize).sum()
    }

    /// Live legs of one trunk.
    pub(super) fn live_on(&self, trunk: &TrunkId) -> u32 {
        self.on_trunk.get(trunk).copied().unwrap_or(0)
    }

    pub(super) fn find(&self, id: LegId) -> Option<&Leg> {
        self.by_id.get(&id)
    }

    pub(super) fn find_mut(&mut self, id: LegId) -> Option<&mut Leg> {
        self.by_id.get_mut(&id)
    }

    /// Every leg that is not over, to be changed; for what concerns a whole connection or a whole person.
    pub(super) fn live_mut(&mut self) -> impl Iterator<Item = &mut Leg> {
        self.by_id.values_mut().filter(|leg| leg.is_live())
    }

    /// The leg of a request of ours, and what it was sent for.
    pub(super) fn of_client(&self, key: &ClientKey) -> Option<(LegId, Purpose)> {
        self.by_client.get(key).copied()
    }

    /// Notes a request of ours within a leg, whose answer is awaited.
    pub(super) fn ask(&mut self, id: LegId, key: ClientKey, purpose: Purpose) {
        let Some(leg) = self.by_id.get_mut(&id) else { return };
        if leg.asks.len() >= ASKS_MAX {
            self.by_client.remove(&leg.asks.remove(0));
        }
        leg.asks.push(key.clone());
        self.by_client.insert(key, (id, purpose));
    }

    /// A request of ours has had its last word.
    pub(super) fn settle(&mut self, key: &ClientKey) {
        if let Some((id, _)) = self.by_client.remove(key)
            && let Some(leg) = self.by_id.get_mut(&id)
        {
            leg.asks.retain(|ask| ask != key);
        }
    }

    /// The live legs of a regulator.
    pub(super) fn of_owner(&self, regulator: &RegulatorId) -> impl Iterator<Item = &Leg> {
        self.of_owner.get(regulator).into_iter().flatten().filter_map(|id| self.by_id.get(id))
    }

    /// The regulators whose legs may have changed since this was asked last.
    pub(super) fn take_changed(&mut self) -> BTreeSet<RegulatorId> {
        std::mem::take(&mut self.changed)
    }

    /// The leg of a dialog by its Call-ID and both tags, whichever end the tags are named from: phones differ in
    /// whose view of the dialog they write into Replaces (RFC 3891 §3). An early dialog without the far end's tag is
    /// known by ours.
    pub(super) fn of_tags(&self, call_id: &str, tags: [&str; 2]) -> Option<&Leg> {
        let [one, other] = tags;
        [(one, other), (other, one)].into_iter().find_map(|(ours, theirs)| {
            let leg = self.find(*self.by_tag.get(ours)?)?;
            leg.dialog.is_with(call_id, Some(theirs)).then_some(leg)
        })
    }

    /// A leg goes on under another name; `false` when it is gone or the name is taken.
    pub(super) fn rename(&mut self, from: LegId, to: LegId) -> bool {
        if self.by_id.contains_key(&to) || !self.find(from).is_some_and(Leg::is_live) {
            return false;
        }
        let Some(mut leg) = self.by_id.remove(&from) else { return false };
        self.reckon(from);
        leg.id = to;
        // What no record was kept of has become part of a call that has one.
        leg.has_ladder = true;
        self.by_tag.insert(leg.dialog.local_tag.clone(), to);
        let invite = (leg.dialog.call_id.clone(), leg.dialog.remote_tag.clone().unwrap_or_default());
        if self.by_invite.get(&invite) == Some(&from) {
            self.by_invite.insert(invite, to);
        }
        for key in &leg.asks {
            if let Some((named, _)) = self.by_client.get_mut(key) {
                *named = to;
            }
        }
        if let Some(owned) = leg.owner.as_ref().and_then(|owner| self.of_owner.get_mut(owner)) {
            owned.remove(&from);
            owned.insert(to);
        }
        self.by_id.insert(to, leg);
        self.reckon(to);
        true
    }

    /// Whether any leg of a call is still known.
    pub(super) fn has_leg_of(&self, call: CallId) -> bool {
        let (first, last) = (LegId { call, number: 0 }, LegId { call, number: u16::MAX });
        self.by_id.range(first..=last).next().is_some()
    }

    /// The leg that came with an INVITE of this Call-ID and From tag.
    pub(super) fn of_invite(&self, request: &Request) -> Option<LegId> {
        let call_id = request.headers.call_id()?.into_owned();
        self.by_invite.get(&(call_id, request.from_tag().unwrap_or_default())).copied()
    }

    /// The leg whose dialog a request is within.
    pub(super) fn of_dialog(&self, request: &Request) -> Option<LegId> {
        let leg = self.find(*self.by_tag.get(&request.to_tag()?)?)?;
        let call_id = request.headers.call_id()?;
        leg.dialog.is_with(&call_id, request.from_tag().as_deref()).then_some(leg.id)
    }

    /// The leg that any message belongs to.
    pub(super) fn of_message(&self, message: &Message) -> Option<LegId> {
        match message {
            Message::Request(request) if request.to_tag().is_some() => self.of_dialog(request),
            Message::Request(request) => match &request.method {
                Method::Invite | Method::Cancel | Method::Ack => self.of_invite(request),
                _ => None,
            },
            Message::Response(response) => self.of_response(response),
        }
    }

    /// The leg that a response answers a request of: its From is ours.
    pub(super) fn of_response(&self, response: &Response) -> Option<LegId> {
        let from = response.headers.from()?;
        let leg = self.find(*self.by_tag.get(from.tag()?)?)?;
        (response.headers.call_id()?.as_ref() == leg.dialog.call_id).then_some(leg.id)
    }

    /// Adds a leg; `false` when its name is taken.
    pub(super) fn add(&mut self, leg: Leg, invite: Option<&Request>) -> bool {
        if self.by_id.contains_key(&leg.id) {
            return false;
        }
        self.by_tag.insert(leg.dialog.local_tag.clone(), leg.id);
        if invite.is_some() {
            let tag = leg.dialog.remote_tag.clone().unwrap_or_default();
            self.by_invite.insert((leg.dialog.call_id.clone(), tag), leg.id);
        }
        if let Some(trunk) = &leg.trunk {
            *self.on_trunk.entry(trunk.clone()).or_default() += 1;
        }
        if let Some(owner) = leg.owner.clone() {
            self.of_owner.entry(owner.clone()).or_default().insert(leg.id);
            self.changed.insert(owner);
        }
        self.by_id.insert(leg.id, leg);
        true
    }

    /// Moves a leg to its next stage, and its wake-up with it.
    pub(super) fn turn(&mut self, id: LegId, stage: Stage, now: Moment) {
        let Some(leg) = self.by_id.get_mut(&id) else { return };
        let was_live = leg.is_live();
        leg.stage = stage;
        leg.review_probe(now);
        if was_live && !leg.is_live() {
            if let Some(live) = leg.trunk.as_ref().and_then(|trunk| self.on_trunk.get_mut(trunk)) {
                *live = live.saturating_sub(1);
            }
            self.ended.push_back((now + PATIENCE, id));
            leg.asking.hurry(now);
            if let Some(owner) = leg.owner.clone() {
                self.disown(&owner, id);
            }
        }
        self.reckon(id);
    }

    fn disown(&mut self, owner: &RegulatorId, id: LegId) {
        let Some(owned) = self.of_owner.get_mut(owner) else { return };
        owned.remove(&id);
        if owned.is_empty() {
            self.of_owner.remove(owner);
        }
        self.changed.insert(owner.clone());
    }

    /// Notes how far the asking after a far end on hold has come.
    pub(super) fn turn_probe(&mut self, id: LegId, probe: Probe) {
        let Some(leg) = self.by_id.get_mut(&id) else { return };
        leg.probe = probe;
        self.reckon(id);
    }

    /// Looks again at when a leg wants the clock.
    pub(super) fn reckon(&mut self, id: LegId) {
        let leg = self.by_id.get(&id);
        if let Some(owner) = leg.and_then(|leg| leg.owner.as_ref()).filter(|owner| !self.changed.contains(*owner)) {
            self.changed.insert(owner.clone());
        }
        let wanted = leg.and_then(Leg::deadline);
        if let Some(old) = self.waking.remove(&id) {
            self.wakes.remove(&(old, id));
        }
        if let Some(at) = wanted {
            self.waking.insert(id, at);
            self.wakes.insert((at, id));
        }
    }

    /// When the next leg wants the clock, or is to be forgotten.
    pub(super) fn deadline(&self) -> Option<Moment> {
        let wake = self.wakes.first().map(|(at, _)| *at);
        let forget = self.ended.front().map(|(at, _)| *at);
        wake.into_iter().chain(forget).min()
    }

    /// The legs that want the clock by now.
    pub(super) fn due(&self, now: Moment) -> Vec<LegId> {
        self.wakes.iter().take_while(|(at, _)| *at <= now).map(|(_, id)| *id).collect()
    }

    /// Forgets what ended long enough ago, and the oldest when there are too many; returns the calls of which
    /// no leg is left.
    pub(super) fn forget(&mut self, now: Moment) -> Vec<CallId> {
        let mut over = Vec::new();
        while let Some((at, id)) = self.ended.front().copied() {
            if at > now && self.ended.len() <= ENDED_LEGS_MAX {
                break;
            }
            self.ended.pop_front();
            self.remove(id);
            if !self.has_leg_of(id.call) {
                over.push(id.call);
            }
        }
        over
    }

    fn remove(&mut self, id: LegId) {
        let Some(leg) = self.by_id.remove(&id) else { return };
        if let Some(owner) = &leg.owner {
            self.disown(owner, id);
        }
        self.by_tag.remove(&leg.dialog.local_tag);
        for key in &leg.asks {
            self.by_client.remove(key);
        }
        let invite = (leg.dialog.call_id, leg.dialog.remote_tag.unwrap_or_default());
        if self.by_invite.get(&invite) == Some(&id) {
            self.by_invite.remove(&invite);
        }
        self.reckon(id);
    }
}
