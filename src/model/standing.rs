//! What holds until somebody says otherwise: lists of callers, numbers added to them, messages while a region is overrun.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::demand::DemandChange;
use super::ids::{LineId, ListId, RegionId, SoundId};
use super::number::E164;
use super::record::Caller;
use super::time::Utc;

/// The numbers that an entry of a list means.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Numbers {
    /// One: `+33233000001`.
    One(E164),
    /// All that begin like this: `+3323300*`.
    Beginning(String),
    /// Callers who do not want to be shown: `anonymous`.
    Anonymous,
}

impl Numbers {
    /// Reads `+33233000001`, `+3323300*` (at least three digits) or `anonymous`.
    pub fn parse(text: &str) -> Option<Numbers> {
        if text == "anonymous" {
            return Some(Numbers::Anonymous);
        }
        let Some(beginning) = text.strip_suffix('*') else { return E164::parse(text).map(Numbers::One) };
        let digits = beginning.strip_prefix('+')?;
        let is_fit = (3..=14).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        is_fit.then(|| Numbers::Beginning(beginning.to_owned()))
    }

    /// Whether a caller is meant, by whatever number the trunk gives.
    pub fn mean(&self, caller: &Caller) -> bool {
        match (self, &caller.e164) {
            (Numbers::Anonymous, _) => caller.anonymous,
            (Numbers::One(number), Some(calling)) => number == calling,
            (Numbers::Beginning(beginning), Some(calling)) => calling.as_str().starts_with(beginning),
            (Numbers::One(_) | Numbers::Beginning(_), None) => false,
        }
    }
}

impl fmt::Display for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Numbers::One(number) => f.write_str(number.as_str()),
            Numbers::Beginning(beginning) => write!(f, "{beginning}*"),
            Numbers::Anonymous => f.write_str("anonymous"),
        }
    }
}

impl From<Numbers> for String {
    fn from(numbers: Numbers) -> String {
        numbers.to_string()
    }
}

impl TryFrom<String> for Numbers {
    type Error = String;
    fn try_from(text: String) -> Result<Numbers, String> {
        Numbers::parse(&text)
            .ok_or_else(|| "no number of a list: write +33233000001, +3323300* or anonymous".to_owned())
    }
}

/// A list of callers, as configured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallerList {
    /// Its id.
    pub id: ListId,
    /// Shown to people.
    pub name: String,
    /// What it does.
    pub kind: ListKind,
    /// Whom it names; more are added through the API.
    pub numbers: Vec<Numbers>,
    /// The lines that it holds for; empty: all.
    pub lines: Vec<LineId>,
    /// Why, for people.
    pub reason: Option<String>,
    /// Until when `numbers` hold; `None`: until they are taken out.
    pub until: Option<Utc>,
}

/// What a list does with its callers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ListKind {
    /// Changes what their calls need: nursing homes, the fire service. Counts for verified numbers, and the anonymous.
    Priority(Box<DemandChange>),
    /// Refuses them.
    Blocked,
    /// Marks their calls as tests. Counts for verified numbers.
    Test,
}

impl ListKind {
    /// `priority`, `blocked`, `test`.
    pub fn name(&self) -> &'static str {
        match self {
            ListKind::Priority(_) => "priority",
            ListKind::Blocked => "blocked",
            ListKind::Test => "test",
        }
    }

    /// Of several lists with one caller the least counts.
    pub fn rank(&self) -> u8 {
        match self {
            ListKind::Blocked => 0,
            ListKind::Test => 1,
            ListKind::Priority(_) => 2,
        }
    }
}

/// Somebody's order that holds until it is withdrawn or its time is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "kebab-case")]
pub enum StandingOrder {
    /// A number was added to a list.
    Listed(ListedNumber),
    /// New callers of a region hear a message before they wait.
    Surge(Surge),
}

/// A number that somebody added to a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedNumber {
    /// To which.
    pub list: ListId,
    /// Whom.
    pub number: Numbers,
    /// Why.
    pub reason: Option<String>,
    /// Until when.
    pub until: Option<Utc>,
    /// By whom.
    pub by: String,
    /// When.
    pub at: Utc,
}

/// A region is overrun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Surge {
    /// Which, with all that are parts of it.
    pub region: RegionId,
    /// What is heard; without one `surge-` and the line's language.
    pub message: Option<SoundId>,
    /// Until when.
    pub until: Option<Utc>,
    /// By whom.
    pub by: String,
    /// When.
    pub at: Utc,
}

impl StandingOrder {
    /// Its name: another order of the same name takes its place.
    pub fn key(&self) -> String {
        match self {
            StandingOrder::Listed(listed) => StandingOrder::key_of_number(&listed.list, &listed.number),
            StandingOrder::Surge(surge) => StandingOrder::key_of_surge(&surge.region),
        }
    }

    /// The name of a number's entry in a list.
    pub fn key_of_number(list: &ListId, number: &Numbers) -> String {
        format!("list/{list}/{number}")
    }

    /// The name of a region's message.
    pub fn key_of_surge(region: &RegionId) -> String {
        format!("surge/{region}")
    }

    /// Until when it holds.
    pub fn until(&self) -> Option<Utc> {
        match self {
            StandingOrder::Listed(listed) => listed.until,
            StandingOrder::Surge(surge) => surge.until,
        }
    }
}

/// Everything that stands: the lists as configured, and what was ordered since.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandingView {
    /// The lists of the configuration.
    pub lists: Vec<CallerList>,
    /// The orders that hold.
    pub orders: Vec<StandingOrder>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_means_its_numbers_and_no_others() {
        let caller = |number: &str| Caller { e164: E164::parse(number), ..Caller::default() };
        let home = Numbers::parse("+3323300*").expect("a beginning");
        assert!(home.mean(&caller("+33233001234")) && !home.mean(&caller("+33233990000")));
        assert!(Numbers::parse("+33233000001").expect("one").mean(&caller("+33233000001")));
        let hidden = Caller { anonymous: true, ..caller("+33233000001") };
        assert!(Numbers::Anonymous.mean(&hidden) && !Numbers::Anonymous.mean(&caller("+33233000001")));
        for wrong in ["", "*", "+*", "+33", "0233000001", "+33x*", "Anonymous", "+3*"] {
            assert_eq!(Numbers::parse(wrong), None, "{wrong}");
        }
    }
}
