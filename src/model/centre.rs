//! The centre as configured: associations, regions, lines, regulators, trunks, sounds. Immutable once checked.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use jiff::civil::{DateTime, Time, Weekday};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::beat::Transport;
use super::calendar::{Calendar, DayHours};
use super::codes::Codes;
pub use super::demand::{Demand, DemandChange, Reach, Step};
use super::ids::{AssociationId, LineId, ListId, MenuId, RegionId, RegulatorId, SkillId, SoundId, TrunkId};
use super::media::Codec;
use super::number::{E164, NumberPlan};
use super::outbound::{Outbound, Period, ROLE_USUAL};
use super::person::CallerRules;
use super::recording_terms::RecordingTerms;
use super::srtp::SrtpPolicy;
use super::standing::CallerList;
use super::voice::{Destination, LineVoice, Menu};

/// Everything that routing knows about the centre.
#[derive(Clone, Debug)]
pub struct Centre {
    /// The zone that opening hours and local times are read in.
    pub zone: TimeZone,
    /// By id.
    pub associations: BTreeMap<AssociationId, Association>,
    /// By id.
    pub regions: BTreeMap<RegionId, Region>,
    /// By id.
    pub lines: BTreeMap<LineId, Line>,
    /// The line of each DDI.
    pub ddis: HashMap<E164, LineId>,
    /// By id.
    pub regulators: BTreeMap<RegulatorId, Regulator>,
    /// By id.
    pub trunks: BTreeMap<TrunkId, Trunk>,
    /// What callers may choose from, by id.
    pub menus: BTreeMap<MenuId, Menu>,
    /// The languages in which positions and waits can be told.
    pub spoken: BTreeSet<String>,
    /// The file of each sound.
    pub sounds: BTreeMap<SoundId, PathBuf>,
    /// What the parts of a candidate's cost weigh.
    pub weights: Weights,
    /// How offers are made.
    pub offers: OfferRules,
    /// How persons are followed across their calls.
    pub callers: CallerRules,
    /// Which outside numbers regulators may dial.
    pub outbound: Outbound,
    /// Lists of callers, by id.
    pub lists: BTreeMap<ListId, CallerList>,
    /// The number that calls the SAMU where a region has none of its own: `15`.
    pub samu: String,
    /// What regulators dial and press for more than a call.
    pub codes: Codes,
}

impl Centre {
    /// The number of the SAMU that is responsible for a region: its own, its parent's, or the centre's.
    pub fn samu_of(&self, region: &RegionId) -> &str {
        let mut next = self.regions.get(region);
        // A cycle of parents is refused when the configuration is read; counted all the same.
        for _ in 0..self.regions.len() {
            let Some(region) = next else { break };
            if let Some(number) = &region.samu {
                return number;
            }
            next = region.parent.as_ref().and_then(|parent| self.regions.get(parent));
        }
        &self.samu
    }
}

/// The organisation that a line belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Association {
    /// Shown to people.
    pub name: String,
    /// The number that whoever is called back sees; without it the trunk's own.
    pub number_shown: Option<E164>,
    /// The line that calls of its regulators to outside numbers count to; without it the first of its own.
    pub outbound_line: Option<LineId>,
    /// How long recordings of its calls are kept, in years; [`RETENTION_YEARS_MIN`] at least.
    pub retention_years: u16,
}

/// The law's floor (French order of 20 October 2011): recordings of calls that ask for care out of hours are kept so long.
pub const RETENTION_YEARS_MIN: u16 = 5;

/// An area with neighbours and a parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// Shown to people.
    pub name: String,
    /// The area that this one is a part of.
    pub parent: Option<RegionId>,
    /// The area whose people are asked first when its own are not free.
    pub second: Option<RegionId>,
    /// Areas beside it; the relation is made symmetric when the configuration is read.
    pub neighbours: Vec<RegionId>,
    /// The number of its SAMU, where it is not its parent's or the centre's.
    pub samu: Option<String>,
}

/// What a DDI means.
#[derive(Clone, Debug)]
pub struct Line {
    /// Its id.
    pub id: LineId,
    /// Shown to people, and on the regulator's phone.
    pub name: String,
    /// The organisation that it belongs to.
    pub association: AssociationId,
    /// The numbers that reach it.
    pub ddis: Vec<E164>,
    /// What its calls need.
    pub demand: Demand,
    /// The caller's language, as BCP 47: `fr`, `en`.
    pub language: String,
    /// Played once, after the call is accepted.
    pub greeting: Option<SoundId>,
    /// Whether the caller waits for its end before a regulator is looked for.
    pub greeting_mode: GreetingMode,
    /// Played again and again while the caller waits.
    pub music: SoundId,
    /// Played to a party on hold.
    pub hold_music: SoundId,
    /// Whether its calls are recorded at usual hours.
    pub recording: RecordingPolicy,
    /// How they are, and what differs at certain hours.
    pub recording_terms: RecordingTerms,
    /// How long a regulator rests after one of its calls.
    pub wrap_up: Duration,
    /// The longest wait before the overflow.
    pub waiting_max: Duration,
    /// When it is open; `None` is always.
    pub hours: Option<Calendar>,
    /// What becomes of a caller who waited too long.
    pub overflow: Farewell,
    /// What becomes of a caller when nobody is on duty.
    pub nobody: Farewell,
    /// What becomes of a caller out of hours.
    pub closed: Farewell,
    /// When the caller's call is accepted, and so charged.
    pub accept: Accept,
    /// What its callers hear and may press beside that.
    pub voice: LineVoice,
}

/// When a call is accepted with 200.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Accept {
    /// At once: greeting and music are heard in an accepted call.
    #[default]
    AtOnce,
    /// When a regulator answers: greeting and music are early media (183, RFC 3960), which a carrier may cut after
    /// some minutes.
    Answered,
}

/// When a regulator is looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GreetingMode {
    /// After the greeting: the caller has heard the recording notice to its end.
    #[default]
    Before,
    /// At once; the regulator's answer cuts the greeting short.
    Meanwhile,
}

/// A message and then the end of the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Farewell {
    /// Played once before the hang-up; without it the call just ends.
    pub message: Option<SoundId>,
    /// Where the caller is led after the message, in place of the hang-up: a line, a number or voicemail.
    pub to: Option<Destination>,
}

/// Whether a line's calls are recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecordingPolicy {
    /// Every call, from bridge to end.
    Always,
    /// None: an administrative line or the staff's own.
    Never,
}

/// A person who answers.
#[derive(Clone, Debug)]
pub struct Regulator {
    /// Also the user name of the softphone.
    pub id: RegulatorId,
    /// Shown to people.
    pub name: String,
    /// The organisation that employs the person.
    pub association: AssociationId,
    /// Level of each skill, 1–100.
    pub skills: BTreeMap<SkillId, u8>,
    /// Regions served, with the cost of each: 0 is home.
    pub regions: BTreeMap<RegionId, u32>,
    /// Registering makes the person `Ready`; otherwise `*11` or the API does.
    pub ready_on_register: bool,
    /// Which digest challenges the person's phones get.
    pub digest: DigestChoice,
    /// Whether the media of the person's phones are protected.
    pub srtp: SrtpPolicy,
    /// When the account is good, and how the person works.
    pub terms: Terms,
}

/// When a regulator's account is good, what it may dial, and how its phones answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The account is good within these; empty: always.
    pub valid: Vec<Period>,
    /// The outbound role: a key of [`Outbound::roles`].
    pub role: String,
    /// The phones pick callers up by themselves after so long; without it they ring.
    pub auto_answer_after: Option<Duration>,
    /// Takes part, by the codes of the phone, in calls of the people whom these associations employ.
    pub supervises: Vec<AssociationId>,
    /// The tutor, who takes part in this person's calls by the codes of the phone.
    pub trainee_of: Option<RegulatorId>,
}

impl Default for Terms {
    fn default() -> Terms {
        let role = ROLE_USUAL.to_owned();
        Terms { valid: Vec::new(), role, auto_answer_after: None, supervises: Vec::new(), trainee_of: None }
    }
}

/// Which digest algorithms are offered (RFC 8760 §2: the preferred one first).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DigestChoice {
    /// MD5 alone, for older phones.
    Md5,
    /// SHA-256 alone.
    Sha256,
    /// SHA-256 first, then MD5.
    Both,
}

impl DigestChoice {
    /// What both allow, when there is anything.
    pub fn shared_with(self, other: DigestChoice) -> Option<DigestChoice> {
        match (self, other) {
            (choice, DigestChoice::Both) | (DigestChoice::Both, choice) => Some(choice),
            (DigestChoice::Md5, DigestChoice::Md5) => Some(DigestChoice::Md5),
            (DigestChoice::Sha256, DigestChoice::Sha256) => Some(DigestChoice::Sha256),
            (DigestChoice::Md5, DigestChoice::Sha256) | (DigestChoice::Sha256, DigestChoice::Md5) => None,
        }
    }
}

/// A carrier's SIP link.
#[derive(Clone, Debug)]
pub struct Trunk {
    /// Its id.
    pub id: TrunkId,
    /// The source addresses that are this carrier.
    pub peers: Vec<AddressBlock>,
    /// How it writes numbers.
    pub numbers: NumberPlan,
    /// The line of a DDI that no line knows.
    pub fallback_line: LineId,
    /// Calls at once; one more is refused with 503.
    pub calls_max: u32,
    /// New calls a second, with a burst of as many; one more is refused with 503.
    pub rate_max: u32,
    /// Where it is reached; `None` for a carrier that only calls us.
    pub reach: Option<TrunkReach>,
    /// As whom we register with it.
    pub registration: Option<TrunkRegistration>,
    /// How often it is asked by OPTIONS whether it lives; `None` is never.
    pub options_every: Option<Duration>,
    /// Outside numbers that may be dialled over it begin with one of these (E.164 with `+`, or short numbers such as
    /// `15`); empty: none.
    pub dials: Vec<String>,
    /// How outside numbers are written to it, and as whom we call.
    pub outgoing: TrunkOutgoing,
    /// Whether the media to and from it are protected.
    pub srtp: SrtpPolicy,
    /// The codecs that it is offered and may speak, the preferred one first.
    pub codecs: Vec<Codec>,
    /// Whose word a caller's number is, for it to count as verified.
    pub verified: VerifiedBy,
}

/// Which numbers of callers a trunk vouches for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VerifiedBy {
    /// All: the carrier delivers only numbers that it has authenticated, as the law asks of carriers in France.
    #[default]
    Carrier,
    /// Those alone that it asserts (P-Asserted-Identity, RFC 3325) or has found valid (`verstat`, 3GPP TS 24.229).
    Asserted,
}

/// How calls to outside numbers look to a carrier.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrunkOutgoing {
    /// How the number dialled is written.
    pub form: NumberForm,
    /// The number that we call from (From, P-Asserted-Identity); without it the registered user.
    pub shown: Option<E164>,
    /// Whether From is the caller whom we hand on (carriers often refuse a number that is not theirs);
    /// P-Asserted-Identity stays ours.
    pub shows_caller: bool,
}

/// How a carrier wants numbers written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NumberForm {
    /// `+33612345678`.
    #[default]
    E164,
    /// As one dials in the trunk's country: `0612345678`, `0044…`.
    National,
}

/// Where a carrier is reached (RFC 3263).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrunkReach {
    /// A domain, or an address.
    pub host: String,
    /// Without one, and for a domain: what SRV says, else the transport's own.
    pub port: Option<u16>,
    /// Without one, and for a domain: what NAPTR or SRV says, else UDP.
    pub transport: Option<Transport>,
}

/// As whom we register with a carrier (RFC 3261 §10.2) and answer its challenges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrunkRegistration {
    /// The user in the address of record and in the digest.
    pub user: String,
    /// The user of the digest, where it is another.
    pub digest_user: String,
    /// The domain of the address of record; the host reached, unless the carrier wants another.
    pub domain: String,
    /// How long a registration is asked for.
    pub expires: Duration,
    /// Whether we register; otherwise only challenges are answered.
    pub registers: bool,
}

/// An address or a block of them: `192.0.2.7`, `192.0.2.0/24`, `2001:db8::/32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressBlock {
    /// Any address of the block.
    pub address: IpAddr,
    /// How many leading bits count.
    pub prefix: u8,
}

impl std::fmt::Display for AddressBlock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let width = if self.address.is_ipv4() { 32 } else { 128 };
        if self.prefix == width { write!(f, "{}", self.address) } else { write!(f, "{}/{}", self.address, self.prefix) }
    }
}

impl AddressBlock {
    /// Reads `address` or `address/prefix`.
    pub fn parse(text: &str) -> Option<AddressBlock> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Some(width), |p| p.parse().ok().filter(|p| *p <= width))?;
        Some(AddressBlock { address, prefix })
    }

    /// Whether `address` lies in the block.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(block), IpAddr::V4(one)) => {
                let mask = u32::MAX.checked_shl(32 - self.prefix as u32).unwrap_or(0);
                u32::from(block) & mask == u32::from(one) & mask
            }
            (IpAddr::V6(block), IpAddr::V6(one)) => {
                let mask = u128::MAX.checked_shl(128 - self.prefix as u32).unwrap_or(0);
                u128::from(block) & mask == u128::from(one) & mask
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// What the parts of a candidate's cost weigh (lowest total wins).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Weights {
    /// Cost of serving a region whose second region the person serves.
    pub region_second: u32,
    /// Cost of serving a neighbour of a region that the person serves.
    pub region_neighbour: u32,
    /// Cost of serving a region with the same parent.
    pub region_sibling: u32,
    /// Cost of serving any other region.
    pub region_far: u32,
    /// From this wait on, regions cost nothing any more; until then less and less. Zero: they always cost the same.
    pub region_fade: Duration,
    /// Cost of a person who lacks a hundred levels of what the call asked at first, before any step relaxed it.
    pub skill_fit: f64,
    /// Whoever would be given to somebody lacking what was asked at first is served as if come so much later, while others
    /// wait whom that regulator suits. Zero: strictly by arrival. Never for priority 1.
    pub skill_wait: Duration,
    /// Cost of taking a person whose unused skill nobody else on duty has; less when several have it.
    pub scarcity: f64,
    /// What one minute of idleness takes off the cost.
    pub idle_minute: f64,
    /// The most that idleness takes off.
    pub idle_max: f64,
}

impl Default for Weights {
    fn default() -> Weights {
        Weights {
            region_second: 5,
            region_neighbour: 10,
            region_sibling: 20,
            region_far: 40,
            region_fade: Duration::from_secs(300),
            skill_fit: 30.0,
            skill_wait: Duration::ZERO,
            scarcity: 15.0,
            idle_minute: 0.5,
            idle_max: 9.0,
        }
    }
}

/// How offers are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfferRules {
    /// How long a regulator's phones ring.
    pub ring_duration_max: Duration,
    /// How long a regulator who did not answer is paused.
    pub pause_no_answer: Duration,
    /// How long a regulator whose phone could not be reached is paused.
    pub pause_unreachable: Duration,
    /// How long a regulator who refused or was busy is passed over.
    pub pause_refused: Duration,
    /// How much longer a regulator rests who asks for it.
    pub wrap_up_extension: Duration,
}

impl Default for OfferRules {
    fn default() -> OfferRules {
        OfferRules {
            ring_duration_max: Duration::from_secs(15),
            pause_no_answer: Duration::from_secs(60),
            pause_unreachable: Duration::from_secs(10),
            pause_refused: Duration::from_secs(10),
            wrap_up_extension: Duration::from_secs(60),
        }
    }
}

/// When a source or an account that fails too often is banned, and for how long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BanRules {
    /// Wrong passwords and unknown names from one address within the window that ban it.
    pub failures_max: u32,
    /// Requests of a stranger, challenges asked for names that nobody has and unreadable messages from one address
    /// within the window that ban it: more, since anybody can send them under any address.
    pub strays_max: u32,
    /// Wrong passwords for one account, from wherever, within the window that ban it elsewhere than where it is registered.
    pub account_failures_max: u32,
    /// Failures are counted for so long.
    pub window: Duration,
    /// The first ban; each one within a day after the last is twice as long.
    pub duration: Duration,
    /// The longest ban.
    pub duration_max: Duration,
    /// Never banned, beside the trunks.
    pub never: Vec<AddressBlock>,
}

impl Default for BanRules {
    fn default() -> BanRules {
        BanRules {
            failures_max: 10,
            strays_max: 200,
            account_failures_max: 30,
            window: Duration::from_secs(300),
            duration: Duration::from_secs(600),
            duration_max: Duration::from_secs(86_400),
            never: Vec::new(),
        }
    }
}

/// Opening hours by day of the week.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeeklyHours {
    /// Open from the first time to the second on that day; a second time of `00:00` is the day's end.
    pub spans: Vec<(Weekday, Time, Time)>,
}

impl WeeklyHours {
    /// Day and night.
    pub fn always() -> WeeklyHours {
        let week = Weekday::Monday.cycle_forward().take(7);
        WeeklyHours { spans: week.map(|day| (day, Time::midnight(), Time::midnight())).collect() }
    }

    /// Whether it is open at this local time.
    pub fn contains(&self, local: DateTime) -> bool {
        let time = local.time();
        self.on(local.weekday()).iter().any(|(from, to)| *from <= time && (time < *to || *to == Time::midnight()))
    }

    /// The opening times of one day of the week.
    pub fn on(&self, weekday: Weekday) -> DayHours {
        self.spans.iter().filter(|(day, ..)| *day == weekday).map(|(_, from, to)| (*from, *to)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_block_holds_its_addresses_and_no_others() {
        let block = AddressBlock::parse("192.0.2.0/24").expect("a block");
        assert!(block.contains("192.0.2.255".parse().expect("an address")));
        assert!(block.contains("::ffff:192.0.2.1".parse().expect("an address")));
        assert!(!block.contains("192.0.3.0".parse().expect("an address")));
        assert!(AddressBlock::parse("0.0.0.0/0").expect("all").contains("8.8.8.8".parse().expect("an address")));
        assert!(AddressBlock::parse("192.0.2.0/33").is_none());
    }
}
