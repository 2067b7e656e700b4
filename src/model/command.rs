//! What a person or a program may ask of the running decisions, and the replies.
#![allow(missing_docs, reason = "a variant's sentence names its fields")]

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::control::Control;
use super::demand::Reach;
use super::explain::Forecast;
use super::ids::{AssociationId, CallId, DeviceId, LineId, RegionId, RegulatorId, SkillId, TrunkId};
use super::record::{Caller, LegRecord};
use super::regulator::RegulatorState;
use super::reload::{Foresight, Reload};
use super::standing::{StandingOrder, StandingView};
use super::time::Utc;

/// Asked through the API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Everybody who waits and everybody who answers, now.
    Room,
    /// Make a regulator ready.
    Ready { regulator: RegulatorId },
    /// Pause a regulator, in the operator's words.
    Pause { regulator: RegulatorId, reason: String },
    /// Let a regulator rest longer after the call; without a length by that of the configuration.
    ExtendWrapUp { regulator: RegulatorId, by_s: Option<u32> },
    /// End a regulator's rest; refused when there is none.
    EndWrapUp { regulator: RegulatorId },
    /// Log a regulator out: every device's registration ends, and the next one does not make ready.
    LogOut { regulator: RegulatorId, reason: String },
    /// End a call.
    EndCall { call: CallId },
    /// Take no new calls; `Drained` is replied when the last live one is over.
    Drain,
    /// End every live call (a second Ctrl-C).
    EndAll,
    /// Every source and account that is banned now.
    Bans,
    /// Lift the bans of this address or account.
    Unban { who: String },
    /// The live legs of a live call.
    Legs { call: CallId },
    /// Something is to be done with a live call.
    Control { call: CallId, control: Control },
    /// Every trunk: whether it is reached, registered, and how much it carries.
    Trunks,
    /// Close the task of a caller who hung up unserved.
    CloseAbandoned { task: CallId, by: String, reason: String },
    /// Note on such a task that somebody calls back.
    NoteCallBack { task: CallId, by: String, reached: bool },
    /// Ring a regulator, and then the caller of such a task.
    PlaceCallBack { task: CallId, regulator: RegulatorId },
    /// Go on under another configuration, or say what would follow. Never written down: it holds what files hold.
    #[serde(skip)]
    Reload(Reload),
    /// The lists of callers, and every standing order.
    Standing,
    /// Let something hold until further notice.
    Order(Box<StandingOrder>),
    /// Take the order of this key back.
    Withdraw { order: String },
}

/// The answer to a command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Reply {
    /// The room.
    Room(Box<Room>),
    /// Done; the regulator's state now.
    State(RegulatorState),
    /// Done.
    Done,
    /// Nothing lives any more.
    Drained,
    /// There is no such regulator or live call.
    Unknown,
    /// It cannot be done now, and why.
    Refused(String),
    /// Those banned.
    Bans(Vec<BanView>),
    /// The live legs, each as the call record would keep it now; without its quality, which the media plane knows.
    Legs(Vec<LegRecord>),
    /// The trunks.
    Trunks(Vec<TrunkView>),
    /// What another configuration means for who waits and who answers now.
    Foreseen(Box<Foresight>),
    /// The lists and the standing orders.
    Standing(Box<StandingView>),
}

/// What a ban is against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BanKind {
    /// An address, nothing of which is taken.
    Source,
    /// An account, believed only where it has a device registered.
    Account,
}

/// One source or account that is banned for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BanView {
    /// An IP address, or the name of an account.
    pub who: String,
    /// What `who` is.
    pub kind: BanKind,
    /// Why, for people.
    pub reason: String,
    /// Since when.
    pub since: Utc,
    /// Until when.
    pub until: Utc,
    /// How many requests failed before.
    pub failures: u32,
}

/// One trunk as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrunkView {
    /// Which.
    pub trunk: TrunkId,
    /// Live calls.
    pub calls_live: u32,
    /// Calls at once, at most.
    pub calls_max: u32,
    /// `registered`, `registering`, `refused`, `unreachable`, or nothing for a trunk that does not register.
    pub registration: Option<String>,
    /// Until when it is registered.
    pub registered_until: Option<Utc>,
    /// What is wrong, for people.
    pub trouble: Option<String>,
    /// Its places, the one in use first.
    pub targets: Vec<TargetView>,
}

/// One place of a trunk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetView {
    /// `udp:192.0.2.1:5060`.
    pub address: String,
    /// Whether it answers; nothing when it was never asked.
    pub is_up: Option<bool>,
}

/// The waiting room and the regulators at one instant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Room {
    /// In the order in which they will be served.
    pub waiting: Vec<WaitingView>,
    /// Every regulator of the configuration.
    pub regulators: Vec<RegulatorView>,
    /// Live calls, waiting or talking.
    pub calls_live: u32,
    /// Whether new calls are refused because the server is stopping.
    pub draining: bool,
}

/// One caller who waits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WaitingView {
    /// Which call.
    pub call: CallId,
    /// On which line.
    pub line: LineId,
    /// Of which association.
    pub association: AssociationId,
    /// From where.
    pub region: RegionId,
    /// 1 is the most urgent.
    pub priority: u8,
    /// Entered the waiting room.
    pub queued_at: Utc,
    /// Waited so far, in milliseconds.
    pub wait_ms: u64,
    /// The step in force.
    pub step: u32,
    /// What it asks: each skill with the lowest level asked of it.
    pub skills: BTreeMap<SkillId, u8>,
    /// The same as an expression.
    pub needs: String,
    /// How far from the caller's region is looked.
    pub reach: Reach,
    /// How long it will go on waiting; nothing when nobody on duty could ever answer.
    pub forecast: Option<Forecast>,
    /// At whose phone it rings now, if at any.
    pub offered_to: Option<RegulatorId>,
    /// How many offers were made.
    pub offers: u32,
    /// Where the caller is, when the trunk said so; without the document.
    pub location: Option<super::record::Location>,
    /// Who calls.
    pub caller: Caller,
}

/// One regulator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RegulatorView {
    /// Who.
    pub regulator: RegulatorId,
    /// Shown to people.
    pub name: String,
    /// Employed by.
    pub association: AssociationId,
    /// Doing what.
    #[serde(flatten)]
    pub state: RegulatorState,
    /// Since when.
    pub since: Utc,
    /// Until when, for states that end by themselves.
    pub until: Option<Utc>,
    /// Registered devices.
    pub devices: Vec<DeviceId>,
    /// Level of each skill.
    pub skills: BTreeMap<SkillId, u8>,
    /// Cost of each region served.
    pub regions: BTreeMap<RegionId, u32>,
}
