//! Days in which the user agent is replaced again and again by what a snapshot of it says, whatever state it is in: each
//! is lived to its end with all its invariants, and byte for byte as its twin, whose user agent stays.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use vigie::model::{Action, Centre, Chance, Now};
use vigie::switchboard::Decisions;
use vigie::useragent::{Restored, UserAgent};

use crate::centre;
use crate::faults::Plant;
use crate::world::World;

/// Days lived twice in a usual run; `VIGIE_SIM_RESTORED=n` lives so many.
const SEEDS: u64 = 4;
/// One step in so many is followed by a restart of the user agent.
const EVERY: u64 = 20;
/// The same while something is there that is seldom there: a transfer asked for, a colleague called.
const EVERY_RARE: u64 = 4;
/// What a snapshot must have held at some restart, as its variants are written.
const STATES: [&str; 8] =
    ["Invited", "Accepted", "Dialling", "Cancelling", "Confirmed", "Ended", "Proceeding", "Calling"];

/// When the user agent is replaced, and what was sent in each step.
pub struct Restarts {
    chance: Chance,
    is_striking: bool,
    centre: Arc<Centre>,
    count: u32,
    steps: Vec<u64>,
    /// States and tables that were not empty at a restart.
    seen: BTreeSet<&'static str>,
}

impl Restarts {
    fn new(seed: u64, is_striking: bool) -> Restarts {
        let (chance, centre) = (Chance::from_number(seed), centre::centre());
        Restarts { chance, is_striking, centre, count: 0, steps: Vec::new(), seen: BTreeSet::new() }
    }

    /// Before a step: the user agent is another one, or still the same.
    pub fn strike(&mut self, decisions: &mut Decisions) {
        if !self.is_striking {
            return;
        }
        let kept = decisions.count_kept();
        let is_rare = |name: &str| {
            name.starts_with("transfers") || name.starts_with("calls among") || name.starts_with("renamed")
        };
        let is_rare = kept.iter().any(|(name, count)| *count > 0 && is_rare(name));
        if self.chance.below(if is_rare { EVERY_RARE } else { EVERY }) > 0 {
            return;
        }
        let mut bytes = Vec::new();
        ciborium::into_writer(&decisions.useragent().snapshot(), &mut bytes).expect("a snapshot is written");
        self.seen.extend(kept.into_iter().filter(|(_, count)| *count > 0).map(|(name, _)| name));
        let holds = |word: &str| {
            let text: Vec<u8> = [&[0x60 + word.len() as u8], word.as_bytes()].concat();
            bytes.windows(text.len()).any(|window| window == text)
        };
        let new: Vec<&str> = STATES.into_iter().filter(|word| !self.seen.contains(word) && holds(word)).collect();
        self.seen.extend(new);
        let restored: Restored = ciborium::from_reader(bytes.as_slice()).expect("a snapshot is read");
        let credentials = centre::credentials(&self.centre);
        let agent = UserAgent::restored(restored, centre::rules(), self.centre.clone(), credentials);
        assert_eq!(agent.deadline(), decisions.useragent().deadline());
        decisions.replace_user_agent(agent);
        self.count += 1;
    }

    /// After a step: what it sent, and how much it asked for.
    pub fn note(&mut self, now: Now, actions: &[Action]) {
        let mut hasher = DefaultHasher::new();
        (now.moment.0, actions.len()).hash(&mut hasher);
        for action in actions {
            if let Action::Send { path, bytes } = action {
                (path, bytes).hash(&mut hasher);
            }
        }
        self.steps.push(hasher.finish());
    }
}

fn live(seed: u64, is_striking: bool) -> Restarts {
    let mut world = World::new(seed, Plant::Nothing);
    world.subject.restarts = Some(Restarts::new(seed, is_striking));
    if let Err(violation) = world.run() {
        panic!(
            "seed {seed}, restarts: {is_striking}, at {:.3} s: {}\n{}",
            world.seconds(),
            violation.what,
            violation.story
        );
    }
    world.subject.restarts.take().expect("still there")
}

#[test]
fn a_user_agent_restored_at_any_instant_sends_what_the_one_before_would_have_sent() {
    let (mut seen, mut count) = (BTreeSet::new(), 0);
    let seeds = crate::number("VIGIE_SIM_RESTORED").unwrap_or(SEEDS);
    for seed in 0..seeds {
        let twin = std::thread::spawn(move || live(seed, false));
        let restored = live(seed, true);
        let twin = twin.join().expect("the twin lives its day");
        let differs = restored.steps.iter().zip(&twin.steps).position(|(one, other)| one != other);
        assert_eq!(differs, None, "seed {seed}: the step that differs first, after {} restarts", restored.count);
        assert_eq!(restored.steps.len(), twin.steps.len(), "seed {seed}");
        seen.extend(restored.seen);
        count += restored.count;
    }
    eprintln!("{count} restarts over {seen:?}");
    let tables = ["legs", "transactions that answer", "transactions that ask", "ladders", "bindings"];
    let rare = ["transfers asked for", "calls among colleagues"];
    for state in STATES.into_iter().chain(tables).chain(rare) {
        assert!(seeds < SEEDS || seen.contains(state), "no restart met {state}: {seen:?}");
    }
}
