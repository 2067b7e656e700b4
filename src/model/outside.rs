//! From an outside number to the trunk that may dial it.

use super::centre::Centre;
use super::ids::TrunkId;

/// The most digits of a short number, such as `15`, `112` or `116117`; a longer one is told by its E.164 form.
const SHORT_DIGITS_MAX: usize = 6;

/// The trunk that may dial this number (its `dials`), and the number as it is dialled there.
pub fn outside(centre: &Centre, text: &str) -> Option<(TrunkId, String)> {
    let plain = text.strip_prefix('+').unwrap_or(text);
    if plain.is_empty() || !plain.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let is_short = text.len() <= SHORT_DIGITS_MAX && text == plain;
    centre.trunks.values().find_map(|trunk| {
        let number = trunk.numbers.normalise(text);
        let begins = |with: &String| match &number {
            _ if is_short && !with.starts_with('+') => text.starts_with(with.as_str()),
            Some(number) => with.starts_with('+') && number.as_str().starts_with(with.as_str()),
            None => false,
        };
        let with = trunk.dials.iter().find(|with| !with.is_empty() && begins(with))?;
        let as_dialled = number.filter(|_| with.starts_with('+')).map(|number| number.to_string());
        Some((trunk.id.clone(), as_dialled.unwrap_or_else(|| text.to_owned())))
    })
}
