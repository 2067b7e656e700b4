//! SIP on one side, legs on the other: registrar, trunks, dialogs, SDP offer and answer.

mod admission;
mod agreed;
mod answer;
mod bans;
mod bindings;
mod blame;
mod caller;
mod context;
mod cut;
mod dialog;
mod door;
mod early;
mod forks;
mod incoming;
mod keys;
mod ladder;
mod lamp;
mod leg;
mod legs;
mod lifetime;
mod nonce;
mod outgoing;
mod pace;
mod probe;
mod readable;
mod reasons;
mod recentre;
mod refer;
mod refer_to;
mod registrar;
mod reoffer;
mod replaces;
pub mod rules;
mod security;
mod snapshot;
mod subscriptions;
mod terms;
#[cfg(test)]
mod tests;
mod trunks;
mod update;
mod watching;
mod wire;
mod within;

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;

use crate::call::signal::{LegOrder, Signal};
use crate::model::{
    Alarm, Binding, Centre, Chance, Counter, Credential, Fact, LegId, Moment, Now, Path, RegulatorId, Target, TrunkId,
    Validity,
};
use crate::sip::transaction::Transactions;
use crate::sip::{Fault, Malformed, Message};

pub use rules::{Listener, Rules};
pub use snapshot::{Restored, Snapshot};

use admission::Admission;
use bans::Bans;
use ladder::Ladder;
use legs::Legs;
use refer::Referrals;
use registrar::Registrar;
use subscriptions::Subscriptions;
use trunks::Trunks;
use wire::{Beat, Wire};

/// The user agent: bytes and orders in, [`Effect`]s out.
#[derive(Debug)]
pub struct UserAgent {
    wire: Wire,
    legs: Legs,
    admission: Admission,
    registrar: Registrar,
    referrals: Referrals,
    bans: Bans,
    trunks: Trunks,
    subscriptions: Subscriptions,
    /// When a trunk's call was last refused, by status.
    refusals: BTreeMap<u16, Moment>,
}

/// What the user agent asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Send these bytes.
    Send {
        /// Which way.
        path: Path,
        /// What.
        bytes: Bytes,
    },
    /// Tell the switch.
    Signal(Signal),
    /// Remember this.
    Remember(Fact),
    /// Tell whoever runs this.
    Alarm(Alarm),
    /// A line for the log.
    Notice(String),
    /// Look a trunk's name up again.
    Resolve {
        /// Which.
        trunk: TrunkId,
    },
    /// Take nothing from this address until then; with `None`, take it again.
    Ban {
        /// Which.
        source: IpAddr,
        /// Until when.
        until: Option<Moment>,
    },
    /// Count.
    Count(Counter),
}

/// What a deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// A SIP transaction repeats a message or ends.
    Transaction,
    /// A 200 waits for its ACK, or an ended leg is forgotten.
    Leg,
    /// A device's binding expires.
    Binding,
    /// A REFER wants its answer, or its progress is told no longer.
    Referral,
    /// A ban ends.
    Ban,
    /// A carrier is registered with, or asked whether it lives.
    Trunk,
    /// A subscription ends.
    Subscription,
}

impl UserAgent {
    /// A user agent with no leg and no binding. `credentials` holds the HA1 of each regulator in `rules.realm`.
    pub fn new(
        rules: Rules,
        centre: Arc<Centre>,
        credentials: HashMap<RegulatorId, Credential>,
        mut chance: Chance,
    ) -> Self {
        let admission = Admission::new(&rules, centre.clone(), credentials, chance.fork());
        let registrar = Registrar::new(chance.fork());
        let trunks = Trunks::new(centre, &mut chance.fork());
        let (transactions, ladder) = (Transactions::new(), Ladder::default());
        let bans = Bans::new(rules.bans.clone());
        let wire = Wire { rules, transactions, ladder, chance };
        let (legs, referrals, subscriptions) = (Legs::default(), Referrals::default(), Subscriptions::default());
        let refusals = BTreeMap::new();
        UserAgent { wire, legs, admission, registrar, referrals, subscriptions, bans, trunks, refusals }
    }

    /// A datagram came in.
    pub fn receive(&mut self, path: Path, bytes: &Bytes, now: Now, out: &mut Vec<Effect>) {
        let mut beat = Beat { now, out };
        if self.wire.rules.listener(path.listener).is_none() || self.is_banned(path.peer.ip(), now.moment) {
            return;
        }
        match Message::parse(bytes) {
            Ok(message) => self.heard(path, message, bytes, &mut beat),
            Err(malformed) => self.refuse_malformed(path, &malformed, &mut beat),
        }
    }

    fn refuse_malformed(&mut self, path: Path, malformed: &Malformed, beat: &mut Beat<'_>) {
        if malformed.fault == Fault::KeepAlive {
            return;
        }
        beat.count(Counter::SipMalformed);
        self.blame_stray(path, beat);
        if let Some((path, bytes)) = malformed.answer(path) {
            self.wire.send(path, bytes, None, beat);
        }
    }

    /// Does what the switch asks; an order for a leg that is gone, or has not come so far, is left.
    pub fn order(&mut self, order: LegOrder, now: Now, out: &mut Vec<Effect>) {
        let mut beat = Beat { now, out };
        match order {
            LegOrder::Accept { leg, local } => self.accept(leg, local, &mut beat),
            LegOrder::Refuse { leg, why } => self.refuse(leg, why, &mut beat),
            LegOrder::Progress { leg, local } => self.progress(leg, local, &mut beat),
            LegOrder::Ring { leg } => self.ring(leg, &mut beat),
            LegOrder::Reoffer { leg, codec, direction } => self.reoffer(leg, (codec, direction), &mut beat),
            LegOrder::Transfer { leg, step } => self.transfer(leg, step, &mut beat),
            LegOrder::Key { leg, digit, duration_ms } => self.tell_key(leg, (digit, duration_ms), &mut beat),
            LegOrder::Rename { from, to } => self.rename(from, to),
            LegOrder::Dial(dial) => self.dial(*dial, &mut beat),
            LegOrder::Hangup { leg, why } => self.hang_up(leg, why, &mut beat),
        }
    }

    /// Nothing can be sent that way now.
    pub fn cut(&mut self, path: Path, why: &str, now: Now, out: &mut Vec<Effect>) {
        self.subscriptions.cut(path, now.moment);
        let mut beat = Beat { now, out };
        self.path_is_cut(path, why, &mut beat);
        self.registrations_cut(path, &beat);
    }

    fn rename(&mut self, from: LegId, to: LegId) {
        if !self.legs.rename(from, to) {
            return;
        }
        self.referrals.rename(from, to);
        self.trunks.rename(from, to);
        if !self.legs.has_leg_of(from.call) {
            self.wire.ladder.forget(from.call);
        }
    }

    /// Everything that one input has led to is done: what others are told of it is sent now, once.
    pub fn settle(&mut self, now: Now, out: &mut Vec<Effect>) {
        let mut beat = Beat { now, out };
        self.drop_referrals(&mut beat);
        self.tell_watchers(&mut beat);
    }

    /// Where a trunk can be reached.
    pub fn resolved(
        &mut self,
        trunk: &TrunkId,
        targets: Vec<Target>,
        why: Option<String>,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        self.take_places(trunk, targets, why, &mut Beat { now, out });
    }

    /// Takes the bindings from before a restart; those that have ended, or whose regulator or listener is gone, are
    /// forgotten.
    pub fn restore(&mut self, bindings: Vec<Binding>, now: Now, out: &mut Vec<Effect>) {
        for binding in bindings {
            let listener = self.wire.rules.listener(binding.listener);
            // A connection does not outlive the process that held it: its device registers again.
            let listener = listener.filter(|listener| !listener.transport.is_reliable());
            let is_good = self.admission.knows(&binding.regulator)
                && self.admission.validity(&binding.regulator, now.utc) != Validity::Not;
            if let Some(listener) = listener.filter(|_| is_good) {
                if let Ok(source) = binding.source.parse::<std::net::SocketAddr>() {
                    self.bans.welcome(source.ip(), now.moment);
                }
                self.registrar.bindings.restore(binding, listener.transport, now, out);
            } else {
                let (regulator, device) = (binding.regulator, binding.device);
                out.push(Effect::Remember(Fact::BindingGone { regulator, device }));
            }
        }
        // The file may have been changed while nobody ran.
        self.end_with_accounts(now, out);
    }

    /// Ends the registration of every device of a regulator.
    pub fn log_out(&mut self, regulator: &RegulatorId, out: &mut Vec<Effect>) {
        self.registrar.bindings.remove_all(regulator, out);
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Now, out: &mut Vec<Effect>) {
        let mut beat = Beat { now, out };
        let mut happenings = Vec::new();
        self.wire.transactions.tick(now.moment, &mut happenings);
        for happening in self.wire.flow(happenings, None, &mut beat) {
            self.happened(happening, &Bytes::new(), &mut beat);
        }
        for leg in self.legs.due(now.moment) {
            self.tick_leg(leg, &mut beat);
        }
        self.tick_referrals(&mut beat);
        self.tick_subscriptions(&mut beat);
        for call in self.legs.forget(now.moment) {
            self.wire.ladder.forget(call);
        }
        self.tend_trunks(&mut beat);
        self.registrar.bindings.tick(now.moment, beat.out);
        self.bans.tick(now.moment, beat.out);
    }

    /// When [`UserAgent::tick`] is wanted next, and why.
    pub fn deadline(&self) -> Option<(Moment, Why)> {
        let transaction = self.wire.transactions.deadline().map(|at| (at, Why::Transaction));
        let leg = self.legs.deadline().map(|at| (at, Why::Leg));
        let binding = self.registrar.bindings.deadline().map(|at| (at, Why::Binding));
        let referral = self.referrals.deadline().map(|at| (at, Why::Referral));
        let ban = self.bans.deadline().map(|at| (at, Why::Ban));
        let trunk = self.trunks.deadline().map(|at| (at, Why::Trunk));
        let subscription = self.subscriptions.deadline().map(|at| (at, Why::Subscription));
        [transaction, leg, binding, referral, ban, trunk, subscription].into_iter().flatten().min()
    }

    /// The SIP Call-ID of a leg, while it lives and a little longer.
    pub fn sip_call_id(&self, leg: LegId) -> Option<&str> {
        self.legs.find(leg).map(|leg| leg.dialog.call_id.as_str())
    }

    /// Everything that is kept, by table; used nonces are not counted, they make room for one another.
    pub fn count_kept(&self) -> Vec<(&'static str, usize)> {
        let (servers, clients) = self.wire.transactions.count();
        vec![
            ("legs", self.legs.count_kept()),
            ("transactions that answer", servers),
            ("transactions that ask", clients),
            ("ladders", self.wire.ladder.count_calls()),
            ("bindings", self.registrar.bindings.count()),
            ("transfers asked for", self.referrals.count()),
            ("asked of carriers", self.trunks.count()),
            ("subscriptions", self.subscriptions.count_kept()),
        ]
    }

    /// How many legs live.
    pub fn legs_live(&self) -> usize {
        self.legs.live()
    }
}
