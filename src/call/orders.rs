//! Standing orders: which list a caller stands on, and what is said while a region is overrun.

use std::collections::BTreeMap;

use crate::model::person::Person;
use crate::model::standing::{CallerList, ListKind, ListedNumber, Numbers, StandingOrder};
use crate::model::{Caller, Centre, DemandChange, Fact, Line, ListId, Now, RegionId, SoundId};

/// Orders that stand at once: a list of that many numbers belongs into the configuration.
pub const ORDERS_MAX: usize = 10_000;

/// What is known of a caller, and to be done, before the call is taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Brings {
    /// What the person brings from earlier calls, and the list that the number stands on.
    pub person: Person,
    /// What a list changes of the demand.
    pub change: DemandChange,
    /// Why the call is refused, when a list says so.
    pub blocked: Option<String>,
    /// What is said before the wait.
    pub surge: Option<SoundId>,
}

/// What people have ordered until further notice.
#[derive(Debug, Default)]
pub struct Orders {
    standing: BTreeMap<String, StandingOrder>,
}

impl Orders {
    /// Takes in what storage remembered over a restart.
    pub fn restore(&mut self, remembered: Vec<StandingOrder>) {
        self.standing.extend(remembered.into_iter().map(|order| (order.key(), order)));
    }

    /// Every order that holds.
    pub fn all(&self, now: Now) -> Vec<StandingOrder> {
        self.standing.values().filter(|order| holds(order, now)).cloned().collect()
    }

    /// Takes an order, in place of an earlier one of the same name; an error says why not.
    pub fn give(&mut self, order: StandingOrder, centre: &Centre, now: Now, out: &mut Vec<Fact>) -> Result<(), String> {
        if !holds(&order, now) {
            return Err("it would be over already: `until` lies in the past".into());
        }
        match &order {
            StandingOrder::Listed(listed) => {
                let list = centre.lists.get(&listed.list).ok_or("there is no such list in the configuration")?;
                if list.kind == ListKind::Blocked && (listed.reason.is_none() || listed.until.is_none()) {
                    return Err("whoever is blocked is so for a reason and until a time: send both".into());
                }
            }
            StandingOrder::Surge(surge) => {
                if !centre.regions.contains_key(&surge.region) {
                    return Err("there is no such region in the configuration".into());
                }
                let is_there = |sound: &SoundId| centre.sounds.contains_key(sound);
                let is_heard = match &surge.message {
                    Some(sound) => is_there(sound),
                    None => centre.lines.values().any(|line| is_there(&usual_message(&line.language))),
                };
                if !is_heard {
                    return Err("no sound of this name is configured; name one of [sounds], such as surge-fr".into());
                }
            }
        }
        self.forget_ended(now, out);
        if self.standing.len() >= ORDERS_MAX {
            return Err(format!("{ORDERS_MAX} orders stand already: write the numbers into the configuration"));
        }
        out.push(Fact::Ordered(Box::new(order.clone())));
        self.standing.insert(order.key(), order);
        Ok(())
    }

    /// Takes an order back. `false`: no such order stands.
    #[must_use]
    pub fn withdraw(&mut self, key: &str, out: &mut Vec<Fact>) -> bool {
        if self.standing.remove(key).is_none() {
            return false;
        }
        out.push(Fact::Withdrawn(key.to_owned()));
        true
    }

    fn forget_ended(&mut self, now: Now, out: &mut Vec<Fact>) {
        let ended: Vec<String> =
            self.standing.iter().filter(|(_, order)| !holds(order, now)).map(|(key, _)| key.clone()).collect();
        for key in ended {
            self.standing.remove(&key);
            out.push(Fact::Withdrawn(key));
        }
    }

    /// What a caller of this line brings, but for earlier calls.
    pub fn read(&self, centre: &Centre, caller: &Caller, line: &Line, now: Now) -> Brings {
        let listed = self.list_of(centre, caller, line, now);
        let change = match listed.as_ref().map(|(list, _)| &list.kind) {
            Some(ListKind::Priority(change)) => DemandChange::clone(change),
            Some(ListKind::Blocked | ListKind::Test) | None => DemandChange::default(),
        };
        let region = change.region.as_ref().unwrap_or(&line.demand.region);
        let person = Person {
            list: listed.as_ref().map(|(list, _)| list.id.clone()),
            is_test: listed.as_ref().is_some_and(|(list, _)| list.kind == ListKind::Test),
            ..Person::default()
        };
        let blocked = listed.filter(|(list, _)| list.kind == ListKind::Blocked).map(|(list, reason)| {
            let reason = reason.unwrap_or_else(|| "no reason is noted".to_owned());
            format!("the number stands on the list of blocked callers `{}`: {reason}", list.id)
        });
        let surge = self.surge_in(centre, region, &line.language, now);
        Brings { person, change, blocked, surge }
    }

    /// The list that counts for a caller, and why the number stands on it.
    fn list_of<'a>(
        &self,
        centre: &'a Centre,
        caller: &Caller,
        line: &Line,
        now: Now,
    ) -> Option<(&'a CallerList, Option<String>)> {
        let holding = centre.lists.values().filter(|list| list.lines.is_empty() || list.lines.contains(&line.id));
        let found = holding.filter_map(|list| {
            let is_over = list.until.is_some_and(|until| until <= now.utc);
            let configured = list.numbers.iter().filter(|_| !is_over).find(|numbers| numbers.mean(caller));
            let (numbers, reason) = match configured {
                Some(numbers) => (numbers, list.reason.clone()),
                None => {
                    let listed = self.added_to(&list.id, caller, now)?;
                    (&listed.number, listed.reason.clone().or_else(|| list.reason.clone()))
                }
            };
            // Whoever may write any number that he likes must not get ahead of others, nor out of the statistics; not either
            // by asking not to be shown.
            let is_true = list.kind == ListKind::Blocked || *numbers == Numbers::Anonymous || caller.person().is_some();
            is_true.then_some((list, reason))
        });
        found.min_by_key(|(list, _)| list.kind.rank())
    }

    fn added_to(&self, list: &ListId, caller: &Caller, now: Now) -> Option<&ListedNumber> {
        let beginning = format!("list/{list}/");
        let added = self.standing.range(beginning.clone()..).take_while(|(key, _)| key.starts_with(&beginning));
        added.filter(|(_, order)| holds(order, now)).find_map(|(_, order)| match order {
            StandingOrder::Listed(listed) => listed.number.mean(caller).then_some(listed),
            StandingOrder::Surge(_) => None,
        })
    }

    /// What new callers of a region hear: the message of the region, else of the one that it is a part of.
    fn surge_in(&self, centre: &Centre, region: &RegionId, language: &str, now: Now) -> Option<SoundId> {
        let mut at = Some(region);
        // As many steps as there are regions: a circle, which `vigie check` refuses, must not hold the loop.
        for _ in 0..=centre.regions.len() {
            let region = at?;
            match self.standing.get(&StandingOrder::key_of_surge(region)).filter(|order| holds(order, now)) {
                Some(StandingOrder::Surge(surge)) => {
                    let message = surge.message.clone().unwrap_or_else(|| usual_message(language));
                    return centre.sounds.contains_key(&message).then_some(message);
                }
                Some(StandingOrder::Listed(_)) | None => {}
            }
            at = centre.regions.get(region).and_then(|region| region.parent.as_ref());
        }
        None
    }
}

fn holds(order: &StandingOrder, now: Now) -> bool {
    order.until().is_none_or(|until| until > now.utc)
}

fn usual_message(language: &str) -> SoundId {
    SoundId::from(format!("surge-{language}").as_str())
}
