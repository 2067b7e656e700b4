//! Geolocation: where the caller's place is written, in the message or elsewhere (RFC 6442 §4.1).

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::address::NameAddr;
use super::pieces::pieces;
use crate::sip::uri::decode;

/// The most locations read of one message: RFC 6442 §3.5 wants one, and allows a network to add its own.
pub const LOCATIONS_MAX: usize = 4;

/// Where one location is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// In the body part with this Content-ID, without its brackets (`cid:`, RFC 2392).
    Part(String),
    /// To be asked for at this URI (`https:`, `http:`, `sip:`, `sips:`, `pres:`).
    Reference(String),
}

/// Reads all lines of the header; what has another scheme or no address is passed over.
pub fn read<'a>(lines: impl Iterator<Item = Cow<'a, str>>) -> Vec<Place> {
    let mut all = Vec::new();
    for line in lines {
        let room = LOCATIONS_MAX.saturating_sub(all.len());
        all.extend(pieces(&line, b',').filter_map(read_one).take(room));
    }
    all
}

fn read_one(piece: &str) -> Option<Place> {
    let uri = NameAddr::parse(piece)?.uri;
    let (scheme, rest) = uri.split_once(':')?;
    match scheme.to_ascii_lowercase().as_str() {
        "cid" => Some(Place::Part(decode(rest))),
        "http" | "https" | "sip" | "sips" | "pres" => Some(Place::Reference(uri)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_lines(lines: &[&str]) -> Vec<Place> {
        read(lines.iter().map(|line| Cow::Borrowed(*line)))
    }

    #[test]
    fn a_location_is_in_the_message_or_to_be_asked_for() {
        let all =
            read_lines(&["<cid:alice%40atlanta.example>;inserted-by=x", "<https://lis.example/a,b>, <SIPS:3sd@h>"]);
        let reference = |uri: &str| Place::Reference(uri.to_owned());
        assert_eq!(
            all,
            [
                Place::Part("alice@atlanta.example".into()),
                reference("https://lis.example/a,b"),
                reference("SIPS:3sd@h")
            ]
        );
    }

    #[test]
    fn another_scheme_is_passed_over_and_a_bomb_is_cut() {
        assert_eq!(read_lines(&["<file:///etc/passwd>", "<javascript:x>", "", "<cid:>", "https", "<data:,x>"]), []);
        assert_eq!(read_lines(&[&"<cid:x>,".repeat(8000)]).len(), LOCATIONS_MAX);
    }
}
