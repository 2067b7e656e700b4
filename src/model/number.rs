//! Telephone numbers: what a peer wrote, and its E.164 form.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::centre::NumberForm;

/// The longest number kept, in characters: E.164 allows 15 digits, peers write more around them.
pub const NUMBER_LENGTH_MAX: usize = 64;

/// A number in E.164 form: `+` and 4 to 15 digits (ITU-T E.164 §6).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct E164(String);

/// How a trunk writes numbers, so that they can be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NumberPlan {
    /// The country code that a national number lacks, digits only: `33`.
    pub country: String,
    /// What precedes a national number: `0` in France, empty in Spain.
    pub national_prefix: String,
    /// What precedes an international number: `00` in Europe.
    pub international_prefix: String,
}

impl Default for NumberPlan {
    fn default() -> NumberPlan {
        NumberPlan { country: "33".into(), national_prefix: "0".into(), international_prefix: "00".into() }
    }
}

impl E164 {
    /// The number, when `text` is `+` and 4 to 15 digits.
    pub fn parse(text: &str) -> Option<E164> {
        let digits = text.strip_prefix('+')?;
        let well_formed =
            (4..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
        well_formed.then(|| E164(text.to_owned()))
    }

    /// The number with its `+`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A caller's number never reaches a log line whole. `{:+?}` writes it whole, for whoever compares two texts.
impl fmt::Debug for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.sign_plus() { f.write_str(&self.0) } else { fmt::Display::fmt(&Redacted(&self.0), f) }
    }
}

/// A number, name or word of a caller as a log line may show it: its first four characters and its length.
pub struct Redacted<'a>(pub &'a str);

impl fmt::Display for Redacted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = self.0.chars().count();
        let shown: String = self.0.chars().take(if length > 6 { 4 } else { 0 }).collect();
        write!(f, "{shown}…({length})")
    }
}

impl NumberPlan {
    /// Reads `+33…`, `0033…`, `02…`, `33…` or a short national number as E.164.
    ///
    /// Visual separators (RFC 3966 §5.1.1: `-`, `.`, `(`, `)`, spaces) are passed over and anything
    /// behind a `;` is left out. `None` when what remains is no number, as with an anonymous caller
    /// or a service number such as `15`.
    pub fn normalise(&self, written: &str) -> Option<E164> {
        let user = written.split(';').next().unwrap_or_default();
        let user = user.strip_prefix("tel:").unwrap_or(user);
        if user.len() > NUMBER_LENGTH_MAX {
            return None;
        }
        let plain: String = user.chars().filter(|c| !matches!(c, '-' | '.' | '(' | ')' | ' ' | '\u{a0}')).collect();
        if let Some(rest) = plain.strip_prefix('+') {
            return E164::parse(&format!("+{rest}"));
        }
        if plain.is_empty() || !plain.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        if let Some(rest) = strip_nonempty(&plain, &self.international_prefix) {
            return E164::parse(&format!("+{rest}"));
        }
        if let Some(rest) = strip_nonempty(&plain, &self.national_prefix) {
            return E164::parse(&format!("+{}{rest}", self.country));
        }
        if plain.starts_with(&self.country) && plain.len() > 9 {
            return E164::parse(&format!("+{plain}"));
        }
        if plain.len() < 6 {
            return None;
        }
        E164::parse(&format!("+{}{plain}", self.country))
    }
}

impl NumberPlan {
    /// A number as a carrier with this plan wants it; what is not E.164 (`15`) stays as it is.
    pub fn write(&self, number: &str, form: NumberForm) -> String {
        let Some(international) = number.strip_prefix('+') else { return number.to_owned() };
        match (form, international.strip_prefix(&self.country)) {
            (NumberForm::E164, _) => number.to_owned(),
            (NumberForm::National, Some(rest)) => format!("{}{rest}", self.national_prefix),
            (NumberForm::National, None) => format!("{}{international}", self.international_prefix),
        }
    }
}

fn strip_nonempty<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    if prefix.is_empty() { None } else { text.strip_prefix(prefix) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_of_writing_a_french_number_reads_the_same() {
        let plan = NumberPlan::default();
        let ways = [
            "+33233010101",
            "0033233010101",
            "0233010101",
            "33233010101",
            "tel:+33-2-33-01-01-01",
            "02 33 01 01 01",
            "+33233010101;phone-context=+33",
            "233010101",
        ];
        for written in ways {
            assert_eq!(plan.normalise(written).map(|n| n.to_string()).as_deref(), Some("+33233010101"), "{written}");
        }
    }

    #[test]
    fn a_number_is_written_as_the_carrier_wants_it() {
        let plan = NumberPlan::default();
        let national = |number| plan.write(number, NumberForm::National);
        let written = [national("+33612345678"), national("+441632960960"), national("15")];
        assert_eq!(written, ["0612345678", "00441632960960", "15"]);
        assert_eq!(plan.write("+33612345678", NumberForm::E164), "+33612345678");
    }

    #[test]
    fn what_is_no_number_is_none() {
        let plan = NumberPlan::default();
        for written in ["", "anonymous", "15", "+", "+0", "+33abc", "é", "00", "0", "123456789012345678901234567890"] {
            assert_eq!(plan.normalise(written), None, "{written}");
        }
    }

    #[test]
    fn a_redacted_number_does_not_show_its_end() {
        assert_eq!(Redacted("+33612345678").to_string(), "+336…(12)");
        assert_eq!(Redacted("secret").to_string(), "…(6)");
    }
}
