//! The SAMU's numbers: read, and checked against what the trunks may dial.

use toml::de::DeValue;

use super::document::{Report, Section, Trouble};
use super::values;
use crate::model::Centre;
use crate::model::control::SAMU_NUMBER;

/// The most digits of a number to be dialled (E.164).
const DIGITS_MAX: usize = 15;

/// A number as it is dialled: a short one such as `15`, or one in E.164.
pub(super) fn dialled(value: &DeValue<'_>) -> Result<String, Trouble> {
    let written = values::text(value)?;
    let digits = written.strip_prefix('+').unwrap_or(&written);
    if (2..=DIGITS_MAX).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(written);
    }
    Err((
        format!("`{written}` is no number that can be dialled"),
        "write a short number such as \"15\", or + and the country code: \"+33199000101\"".to_owned(),
    ))
}

/// The key `number` in `[samu]`.
pub(super) fn read_samu(root: &Section<'_>) -> String {
    let section = root.section("samu");
    let number = section.or("number", SAMU_NUMBER.into(), dialled);
    section.close();
    number
}

/// Tells numbers of the SAMU that no trunk may dial.
pub(super) fn check_control(report: &Report, centre: &Centre) {
    let own = Some(&centre.samu).filter(|number| number.as_str() != SAMU_NUMBER);
    let regions =
        centre.regions.iter().filter_map(|(id, region)| Some((format!("regions.{id}.samu"), region.samu.as_ref()?)));
    for (key, number) in own.map(|number| ("samu.number".to_owned(), number)).into_iter().chain(regions) {
        let dials = centre.trunks.values().flat_map(|trunk| &trunk.dials);
        if !dials.into_iter().any(|with| !with.is_empty() && number.starts_with(with.as_str())) {
            report.warn(
                &key,
                format!("no trunk may dial {number}: callers could not be handed to this SAMU"),
                format!("add \"{number}\" to the `dials` of a trunk"),
            );
        }
    }
}
