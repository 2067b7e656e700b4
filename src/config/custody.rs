//! How long recordings are kept, and when taking many of them raises an alarm.

use toml::de::DeValue;

use super::document::{Section, Trouble, kind};
use super::parts::seconds;
use super::settings::AccessSettings;
use super::values;
use crate::model::centre::RETENTION_YEARS_MIN;

/// The longest retention: what is asked beyond that is a slip of the finger.
const RETENTION_YEARS_MAX: i64 = 100;

/// The key `retention_years` of an association: whole years, never below the law's floor.
pub(super) fn read_retention(value: &DeValue<'_>) -> Result<u16, Trouble> {
    let floor = i64::from(RETENTION_YEARS_MIN);
    let remedy =
        format!("write a whole number from {floor} to {RETENTION_YEARS_MAX}, or take the key out: it is then {floor}");
    let Some(integer) = value.as_integer() else {
        return Err((format!("must be a whole number of years, not {}", kind(value)), remedy));
    };
    let years = i64::from_str_radix(integer.as_str(), integer.radix()).unwrap_or(i64::MAX);
    if years < floor {
        let law = "the French order of 20 October 2011 has recordings kept 5 years; retention can be raised, never lowered under that";
        return Err((format!("{years} is under the floor of {floor} years: {law}"), remedy));
    }
    match u16::try_from(years) {
        Ok(years) if i64::from(years) <= RETENTION_YEARS_MAX => Ok(years),
        Ok(_) | Err(_) => Err((format!("{years} is out of range"), remedy)),
    }
}

/// The section `[access]`.
pub(super) fn read_access(root: &Section<'_>) -> AccessSettings {
    let (section, usual) = (root.section("access"), AccessSettings::default());
    let access = AccessSettings {
        bulk_recordings: section.or("bulk_recordings", usual.bulk_recordings, values::whole(1..=10_000)),
        bulk_window: section.or("bulk_window", usual.bulk_window, values::duration(seconds(60, 86_400))),
    };
    section.close();
    access
}
