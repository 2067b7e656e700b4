//! The call record inside the sidecar: its times are integers, so there their names carry the unit (`received_at_us`).

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Error as _, Serialize, Serializer};
use serde_json::Value;

use crate::model::CallRecord;

/// How the names of times end in the record itself.
const PLAIN: &str = "_at";
/// And in the sidecar.
const WITH_UNIT: &str = "_at_us";
/// The record's lists whose entries have times, too.
const LISTS: [&str; 2] = ["offers", "legs"];

/// For serde's `with`.
#[allow(clippy::borrowed_box, reason = "the field is boxed")]
pub fn serialize<S: Serializer>(record: &Box<CallRecord>, to: S) -> Result<S::Ok, S::Error> {
    let told = serde_json::to_value(record).map_err(S::Error::custom)?;
    rename(told, PLAIN, WITH_UNIT).serialize(to)
}

/// For serde's `with`; names without the unit are understood, too.
pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Box<CallRecord>, D::Error> {
    let told = rename(Value::deserialize(from)?, WITH_UNIT, PLAIN);
    serde_json::from_value(told).map_err(D::Error::custom)
}

/// Gives the times of the record, its offers and its legs the other ending; free names (skills, regulators) stay.
fn rename(record: Value, from: &str, to: &str) -> Value {
    let Value::Object(fields) = record else { return record };
    let fields = fields.into_iter().map(|(name, value)| match value {
        Value::Array(entries) if LISTS.contains(&name.as_str()) => {
            let entries = entries.into_iter().map(|entry| rename(entry, from, to)).collect();
            (name, Value::Array(entries))
        }
        value => match name.strip_suffix(from) {
            Some(stem) => (format!("{stem}{to}"), value),
            None => (name, value),
        },
    });
    Value::Object(fields.collect())
}
