//! Call-Info: where more is said of the caller or the call (RFC 3261 §20.9).

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::address::NameAddr;
use super::pieces::pieces;

/// The most entries read of one message: real ones have one or two.
pub const ENTRIES_MAX: usize = 8;
/// The longest URI passed on, in bytes.
pub const URI_LENGTH_MAX: usize = 512;

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The URI; never fetched by us.
    pub uri: String,
    /// `icon`, `info`, `card`, `EmergencyCallData.…`.
    pub purpose: Option<String>,
}

/// Reads all lines of the header; what has no URI in brackets or a longer one is passed over.
pub fn read<'a>(lines: impl Iterator<Item = Cow<'a, str>>) -> Vec<Entry> {
    let mut all = Vec::new();
    for line in lines {
        let room = ENTRIES_MAX.saturating_sub(all.len());
        all.extend(pieces(&line, b',').filter_map(read_one).take(room));
    }
    all
}

fn read_one(piece: &str) -> Option<Entry> {
    let address = NameAddr::parse(piece).filter(|a| a.uri.len() <= URI_LENGTH_MAX && a.display.is_none())?;
    let is_clean = piece.len() <= 2 * URI_LENGTH_MAX && !piece.bytes().any(|b| b.is_ascii_control());
    let is_token = |word: &&str| crate::sip::method::is_token(word.as_bytes());
    let purpose = address.params.value("purpose").filter(is_token).map(str::to_owned);
    (is_clean && piece.starts_with('<')).then_some(Entry { uri: address.uri, purpose })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_lines(lines: &[&str]) -> Vec<Entry> {
        read(lines.iter().map(|line| Cow::Borrowed(*line)))
    }

    #[test]
    fn each_uri_keeps_its_purpose() {
        let all = read_lines(&[
            "<http://wwww.example.com/alice/photo.jpg> ;purpose=icon, <http://www.example.com/a,b/> ;purpose=info",
        ]);
        let told: Vec<_> = all.iter().map(|e| (e.uri.as_str(), e.purpose.as_deref())).collect();
        assert_eq!(
            told,
            [("http://wwww.example.com/alice/photo.jpg", Some("icon")), ("http://www.example.com/a,b/", Some("info"))]
        );
        assert_eq!(read_lines(&["<urn:x:y>"]).first().and_then(|e| e.purpose.clone()), None);
    }

    #[test]
    fn what_is_no_uri_too_long_or_breaks_the_line_is_passed_over() {
        let long = format!("<http://h/{}>", "x".repeat(URI_LENGTH_MAX));
        for line in ["", "<>", "http://h", "<no>", "<http://h>;purpose=\"\u{0}\"", &long] {
            assert_eq!(read_lines(&[line]), [], "{line}");
        }
        assert_eq!(read_lines(&[&"<http://h>,".repeat(5000)]).len(), ENTRIES_MAX);
    }
}
