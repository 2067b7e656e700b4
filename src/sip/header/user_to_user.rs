//! User-to-User: what one application hands to another with a call (RFC 7433 §4.1).

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::params::Params;
use super::pieces::{pieces, unquote};

/// The most values read of one message: one a purpose, and real calls have one.
pub const VALUES_MAX: usize = 4;
/// The longest value passed on, in bytes with its parameters: ISDN carries 128 octets, written as hexadecimal.
pub const VALUE_LENGTH_MAX: usize = 512;

/// One value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserToUser {
    /// As it stands, without quotes: hexadecimal unless `encoding` says another.
    pub value: String,
    /// `purpose`, `encoding`, `content`.
    pub params: Params,
    /// As written, to be passed on.
    pub raw: String,
}

/// Reads all lines of the header; what is empty, too long or no value of the grammar is passed over.
pub fn read<'a>(lines: impl Iterator<Item = Cow<'a, str>>) -> Vec<UserToUser> {
    let mut all = Vec::new();
    for line in lines {
        let room = VALUES_MAX.saturating_sub(all.len());
        all.extend(pieces(&line, b',').filter_map(read_one).take(room));
    }
    all
}

fn read_one(piece: &str) -> Option<UserToUser> {
    let (value, params) = match super::pieces::find(piece, b';') {
        Some(at) => piece.split_at_checked(at)?,
        None => (piece, ""),
    };
    let value = value.trim();
    let is_quoted = value.len() > 1 && value.starts_with('"') && value.ends_with('"');
    let is_value = is_quoted || crate::sip::method::is_token(value.as_bytes());
    let is_clean = !piece.bytes().any(|b| b.is_ascii_control()) && piece.len() <= VALUE_LENGTH_MAX;
    let params = Params::parse(params.strip_prefix(';').unwrap_or_default());
    (is_value && is_clean).then(|| UserToUser { value: unquote(value), params, raw: piece.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_lines(lines: &[&str]) -> Vec<UserToUser> {
        read(lines.iter().map(|line| Cow::Borrowed(*line)))
    }

    #[test]
    fn each_value_keeps_its_purpose_and_its_spelling() {
        let all =
            read_lines(&["00a2b4;encoding=hex;purpose=isdn-uui, \"a;b, c\";encoding=text", "56a3;content=isdn-uui"]);
        let told: Vec<_> = all.iter().map(|u| (u.value.as_str(), u.params.value("encoding"))).collect();
        assert_eq!(told, [("00a2b4", Some("hex")), ("a;b, c", Some("text")), ("56a3", None)]);
        assert_eq!(all.first().map(|u| u.raw.as_str()), Some("00a2b4;encoding=hex;purpose=isdn-uui"));
    }

    #[test]
    fn what_is_empty_too_long_or_breaks_the_line_is_passed_over() {
        let long = "ab".repeat(VALUE_LENGTH_MAX);
        for line in ["", ";encoding=hex", "a b", "ab;x=\"\u{1}\"", "\"", &long] {
            assert_eq!(read_lines(&[line]), [], "{line}");
        }
        assert_eq!(read_lines(&[&"00,".repeat(9000)]).len(), VALUES_MAX);
    }
}
