//! Carriers as we reach them: their places, whether these answer, our registration with them, and how much they bring.

mod dialling;
mod health;
mod login;
mod place;
mod registration;

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::command::{TargetView, TrunkView};
use crate::model::{Alarm, Centre, Chance, LegId, Moment, Now, Path, Reply, Target, Trunk, TrunkId, Utc};
use crate::sip::transaction::ClientKey;
use crate::sip::{Request, Response, Uri};

use super::bans::Who;
use super::pace::Pace;
use super::wire::Beat;
use super::{Effect, UserAgent};

pub(super) use dialling::Callee;

use dialling::Hunt;
use login::Passwords;
use place::{PLACES_MAX, Place, name_of};
use registration::{Granted, Registration};

/// A name is looked up again at once at most so often.
const RESOLVE_EVERY: Duration = Duration::from_secs(10);

/// The carriers.
#[derive(Debug)]
pub(super) struct Trunks {
    centre: Arc<Centre>,
    passwords: Passwords,
    kept: Kept,
}

/// What is kept of them.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Kept {
    carriers: BTreeMap<TrunkId, Carrier>,
    /// Our requests outside dialogs whose answers are awaited: a REGISTER a trunk, an OPTIONS a place.
    asks: BTreeMap<ClientKey, (TrunkId, Ask)>,
    /// Dialled legs that look for a place that takes them.
    hunts: BTreeMap<LegId, Hunt>,
    /// Vigie is stopping: nothing is registered or asked any more.
    is_retiring: bool,
}

/// What a request of ours to a carrier is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Ask {
    Register,
    Options(Target),
}

/// One carrier.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Carrier {
    /// In the order that DNS or the configuration gives.
    places: Vec<Place>,
    /// Why its name could not be resolved, when that was the last word.
    unresolved: Option<String>,
    resolve_asked: Option<Moment>,
    registration: Option<Registration>,
    pace: Pace,
    /// What people were told last.
    told: Option<Trouble>,
}

/// What may be wrong with a carrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Trouble {
    Refused,
    Unreachable,
}

impl Trunks {
    /// What is kept of them.
    pub(super) fn kept(&self) -> &Kept {
        &self.kept
    }

    /// Goes on with what was kept.
    pub(super) fn go_on(&mut self, kept: Kept) {
        self.kept = kept;
    }
}

impl Carrier {
    /// Its places in the order in which they are tried now.
    fn order(&self, now: Moment) -> Vec<Target> {
        let mut all: Vec<&Place> = self.places.iter().collect();
        all.sort_by_key(|place| place.rank(now));
        all.into_iter().map(|place| place.target.clone()).collect()
    }

    fn deadline(&self) -> Option<Moment> {
        let places = self.places.iter().filter_map(Place::deadline).min();
        places.into_iter().chain(self.registration.as_ref().and_then(Registration::deadline)).min()
    }

    /// What is wrong, with words for whoever must act.
    fn trouble(&self) -> Option<(Trouble, String)> {
        if let Some(trouble) = self.registration.as_ref().and_then(|registration| registration.trouble.clone()) {
            return Some(trouble);
        }
        let are_down = !self.places.is_empty() && self.places.iter().all(|place| place.is_up == Some(false));
        if are_down {
            let names: Vec<String> = self.places.iter().map(Place::name).collect();
            return Some((Trouble::Unreachable, format!("nothing answers OPTIONS at {}", names.join(", "))));
        }
        let why = self.unresolved.as_ref().filter(|_| self.places.is_empty())?;
        Some((Trouble::Unreachable, format!("its name cannot be resolved: {why}")))
    }
}

impl Trunks {
    /// All trunks of the centre, of which no place is known yet.
    pub(super) fn new(centre: Arc<Centre>, chance: &mut Chance) -> Trunks {
        let mut kept = Kept::default();
        for (id, trunk) in &centre.trunks {
            let account = trunk.registration.as_ref().filter(|account| account.registers);
            let registration = account.map(|account| Registration::new(account, chance));
            kept.carriers.insert(id.clone(), Carrier { registration, ..Carrier::default() });
        }
        Trunks { centre, passwords: Passwords::default(), kept }
    }

    /// Goes on under other rules for the same carriers.
    pub(super) fn recentre(&mut self, centre: Arc<Centre>) {
        self.centre = centre;
    }

    /// The passwords that carriers gave.
    pub(super) fn trust(&mut self, passwords: HashMap<TrunkId, String>) {
        self.passwords = Passwords(passwords);
    }

    /// One more call of a trunk: whether its rate allows it.
    pub(super) fn admit(&mut self, trunk: &Trunk, now: Moment) -> bool {
        let carrier = self.kept.carriers.get_mut(&trunk.id);
        carrier.is_none_or(|carrier| carrier.pace.take(trunk.rate_max, now))
    }

    /// A dialled leg goes on under another name.
    pub(super) fn rename(&mut self, from: LegId, to: LegId) {
        if let Some(hunt) = self.kept.hunts.remove(&from) {
            self.kept.hunts.insert(to, hunt);
        }
    }

    /// When the clock is wanted next.
    pub(super) fn deadline(&self) -> Option<Moment> {
        self.kept.carriers.values().filter_map(Carrier::deadline).min()
    }

    /// Requests whose answers are awaited, and legs that look for a place.
    pub(super) fn count(&self) -> usize {
        self.kept.asks.len() + self.kept.hunts.len()
    }

    fn trunk(&self, id: &TrunkId) -> Option<&Trunk> {
        self.centre.trunks.get(id)
    }

    fn registration(&mut self, id: &TrunkId) -> Option<&mut Registration> {
        self.kept.carriers.get_mut(id)?.registration.as_mut()
    }

    fn place(&mut self, id: &TrunkId, target: &Target) -> Option<&mut Place> {
        self.kept.carriers.get_mut(id)?.places.iter_mut().find(|place| place.target == *target)
    }
}

impl UserAgent {
    /// Gives the passwords that carriers gave, before the first input.
    pub fn with_trunk_passwords(mut self, passwords: HashMap<TrunkId, String>) -> UserAgent {
        self.trunks.trust(passwords);
        self
    }

    /// DNS has spoken. Nothing found leaves everything as it was: old places are better than none.
    pub(super) fn take_places(&mut self, id: &TrunkId, targets: Vec<Target>, why: Option<String>, beat: &mut Beat<'_>) {
        let now = beat.now.moment;
        let every = self.trunks.trunk(id).and_then(|trunk| trunk.options_every);
        let Some(carrier) = self.trunks.kept.carriers.get_mut(id) else { return };
        if targets.is_empty() {
            carrier.unresolved = Some(why.unwrap_or_else(|| "nothing was found".to_owned()));
            return self.review(id, beat);
        }
        carrier.unresolved = None;
        let mut known = std::mem::take(&mut carrier.places);
        for target in targets.into_iter().take(PLACES_MAX) {
            let kept = known.iter().position(|place| place.target == target).map(|at| known.swap_remove(at));
            let is_new = kept.is_none();
            carrier.places.push(kept.unwrap_or_else(|| Place::new(target, every.map(|_| now))));
            if let Some(registration) = carrier.registration.as_mut().filter(|_| is_new) {
                registration.hurry(now);
            }
        }
        let addresses: Vec<IpAddr> =
            carrier.places.iter().map(|place| place.target.address.ip().to_canonical()).collect();
        // What was banned before it was known for a carrier's is let in.
        for address in &addresses {
            self.bans.lift(&Who::Source(*address), beat.now, beat.out);
        }
        self.admission.learn(id, addresses);
        self.tend(id, beat);
    }

    /// What the clock wants of all carriers.
    pub(super) fn tend_trunks(&mut self, beat: &mut Beat<'_>) {
        let now = beat.now.moment;
        let is_due = |carrier: &Carrier| carrier.deadline().is_some_and(|at| at <= now);
        let due = self.trunks.kept.carriers.iter().filter(|(_, carrier)| is_due(carrier));
        let due: Vec<TrunkId> = due.map(|(id, _)| id.clone()).collect();
        for id in due {
            self.tend(&id, beat);
        }
        self.forget_hunts();
    }

    fn tend(&mut self, id: &TrunkId, beat: &mut Beat<'_>) {
        if !self.trunks.kept.is_retiring {
            self.tend_places(id, beat);
        }
        self.tend_registration(id, beat);
        self.review(id, beat);
    }

    /// A response to a request of ours: `true` when it is dealt with here.
    pub(super) fn carrier_answered(&mut self, key: &ClientKey, response: &Response, beat: &mut Beat<'_>) -> bool {
        let Some((id, ask)) = self.trunks.kept.asks.get(key).cloned() else {
            return self.hunt_answered(key, response, beat);
        };
        if !response.is_provisional() {
            self.trunks.kept.asks.remove(key);
        }
        match ask {
            Ask::Register => self.registrar_answered(&id, key, response, beat),
            Ask::Options(target) => self.place_answered((&id, &target), key, response.status, beat),
        }
        true
    }

    /// A request of ours without any final answer: `true` when it is dealt with here.
    pub(super) fn carrier_silent(&mut self, key: &ClientKey, beat: &mut Beat<'_>) -> bool {
        // Its own, shorter wait has dealt with it, or will.
        self.trunks.kept.asks.remove(key).is_some() || self.hunt_timed_out(key, beat)
    }

    /// A request of ours could not be sent, or its answer cannot come: `true` when it is dealt with here.
    pub(super) fn carrier_cut(&mut self, key: &ClientKey, why: &str, beat: &mut Beat<'_>) -> bool {
        let Some((id, ask)) = self.trunks.kept.asks.remove(key) else {
            return self.hunt_timed_out(key, beat);
        };
        match ask {
            Ask::Register => {
                if self.trunks.registration(&id).is_some_and(|registration| registration.awaits(key)) {
                    self.fail_place(&id, format!("cannot be reached: {why}"), None, beat);
                }
            }
            Ask::Options(target) => self.miss_place(&id, &target, key, beat),
        }
        self.review(&id, beat);
        true
    }

    /// Nothing can be sent that way now: who is registered over it has to register anew.
    pub(super) fn registrations_cut(&mut self, path: Path, beat: &Beat<'_>) {
        let is_over = |carrier: &Carrier| {
            let granted = carrier.registration.as_ref().and_then(|registration| registration.granted.as_ref());
            granted.is_some_and(|granted| self.path_to(&granted.target) == Some(path))
        };
        let cut = self.trunks.kept.carriers.iter().filter(|(_, carrier)| is_over(carrier));
        let cut: Vec<TrunkId> = cut.map(|(id, _)| id.clone()).collect();
        for id in cut {
            self.renew(&id, beat);
        }
    }

    /// Vigie is stopping: carriers are told to send no more calls here.
    pub fn retire(&mut self, now: Now, out: &mut Vec<Effect>) {
        let mut beat = Beat { now, out };
        if std::mem::replace(&mut self.trunks.kept.is_retiring, true) {
            return;
        }
        let all: Vec<TrunkId> = self.trunks.kept.carriers.keys().cloned().collect();
        for id in all {
            for place in self.trunks.kept.carriers.get_mut(&id).into_iter().flat_map(|c| c.places.iter_mut()) {
                (place.next, place.asking) = (None, None);
            }
            self.leave(&id, &mut beat);
        }
    }

    /// Tells people what has changed for the worse or the better, once.
    fn review(&mut self, id: &TrunkId, beat: &mut Beat<'_>) {
        let is_retiring = self.trunks.kept.is_retiring;
        let Some(carrier) = self.trunks.kept.carriers.get_mut(id).filter(|_| !is_retiring) else { return };
        let trouble = carrier.trouble();
        let now = trouble.as_ref().map(|(trouble, _)| *trouble);
        if now == carrier.told {
            return;
        }
        carrier.told = now;
        let (kind, text) = match trouble {
            Some((Trouble::Unreachable, why)) => (
                "trunk-unreachable",
                format!(
                    "trunk {id} cannot be reached: {why}. It is tried again and again; look at the network, then ask the carrier"
                ),
            ),
            Some((Trouble::Refused, why)) => (
                "trunk-refused",
                format!(
                    "trunk {id} refuses us, so no call comes in over our registration: {why}. Look at the account, then ask the carrier"
                ),
            ),
            None => ("trunk-back", format!("trunk {id} is back")),
        };
        beat.out.push(Effect::Alarm(Alarm { kind: kind.to_owned(), call: None, text }));
        if now == Some(Trouble::Unreachable) {
            self.ask_resolve(id, beat);
        }
    }

    /// Wants the name looked up again: perhaps the carrier has moved.
    fn ask_resolve(&mut self, id: &TrunkId, beat: &mut Beat<'_>) {
        let now = beat.now.moment;
        let Some(carrier) = self.trunks.kept.carriers.get_mut(id) else { return };
        if carrier.resolve_asked.is_some_and(|at| now.since(at) < RESOLVE_EVERY) {
            return;
        }
        carrier.resolve_asked = Some(now);
        beat.out.push(Effect::Resolve { trunk: id.clone() });
    }

    fn path_to(&self, target: &Target) -> Option<Path> {
        path_of(&self.wire.rules, target)
    }

    /// Our Contact as a registered user: what the carrier's calls are sent to.
    fn contact_of(&self, user: &str, path: Path) -> Option<String> {
        let contact = self.wire.contact(path)?;
        Some(contact.trim_start_matches('<').trim_end_matches('>').replacen("sip:vigie@", &format!("sip:{user}@"), 1))
    }

    /// The trunks as they are now.
    pub fn trunks(&self, now: Now) -> Reply {
        Reply::Trunks(self.trunk_views(now))
    }

    /// The same, for gauges.
    pub fn trunk_views(&self, now: Now) -> Vec<TrunkView> {
        let views = self.trunks.kept.carriers.iter().filter_map(|(id, carrier)| {
            let trunk = self.trunks.trunk(id)?;
            Some(view(trunk, carrier, self.legs.live_on(id), now))
        });
        views.collect()
    }
}

fn view(trunk: &Trunk, carrier: &Carrier, calls_live: u32, now: Now) -> TrunkView {
    let trouble = carrier.trouble();
    let granted = carrier.registration.as_ref().and_then(|registration| registration.granted.as_ref());
    let registration = carrier.registration.as_ref().map(|registration| {
        let word = match (granted, &registration.trouble) {
            (Some(_), _) => "registered",
            (None, Some((Trouble::Refused, _))) => "refused",
            (None, Some((Trouble::Unreachable, _))) => "unreachable",
            (None, None) => "registering",
        };
        word.to_owned()
    });
    let in_use = |target: &Target| granted.is_some_and(|Granted { target: held, .. }| held == target);
    let mut targets = carrier.order(now.moment);
    targets.sort_by_key(|target| !in_use(target));
    let is_up = |target: &Target| carrier.places.iter().find(|place| place.target == *target)?.is_up;
    let targets = targets.iter().map(|target| TargetView { address: name_of(target), is_up: is_up(target) });
    TrunkView {
        trunk: trunk.id.clone(),
        calls_live,
        calls_max: trunk.calls_max,
        registration,
        registered_until: granted.map(|granted| -> Utc { granted.until_utc }),
        trouble: trouble.map(|(_, why)| why),
        targets: targets.collect(),
    }
}

/// The first listener that can send to a place: of its transport and address family.
fn path_of(rules: &super::Rules, target: &Target) -> Option<Path> {
    let fits = |listener: &super::Listener| {
        listener.transport == target.transport && listener.address.is_ipv4() == target.address.is_ipv4()
    };
    let listener = u8::try_from(rules.listeners.iter().position(fits)?).ok()?;
    Some(Path { listener, transport: target.transport, peer: target.address })
}

/// A domain or an address as a URI has it: an IPv6 address in brackets.
fn host_of(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

/// What was dialled, when the carrier calls our registered Contact and so says it in To alone.
pub(super) fn dialled_beyond(request: &Request, trunk: &Trunk) -> Option<String> {
    let account = trunk.registration.as_ref().filter(|account| account.registers)?;
    let called = Uri::parse(&request.uri)?.user_decoded()?;
    if called != account.user {
        return None;
    }
    super::registrar::user_of(request.headers.to()).filter(|user| user.len() <= super::rules::TEXT_LENGTH_MAX)
}
