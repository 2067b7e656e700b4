//! Session-Expires: how long a call may go on unrefreshed, and who refreshes it (RFC 4028 §4); Min-SE (§5).

use std::fmt;

use serde::{Deserialize, Serialize};

use super::params::Params;

/// Who sends the refreshes, named by its part in the request that agreed on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refresher {
    /// Whoever sent the request.
    Uac,
    /// Whoever answered it.
    Uas,
}

/// The header's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionExpires {
    /// In seconds.
    pub interval_s: u32,
    /// Who refreshes, when it says.
    pub refresher: Option<Refresher>,
}

impl SessionExpires {
    /// Reads `1800;refresher=uac`.
    pub fn parse(value: &str) -> Option<SessionExpires> {
        let (interval, params) = value.split_once(';').unwrap_or((value, ""));
        let refresher = match Params::parse(params).value("refresher") {
            Some(who) if who.eq_ignore_ascii_case("uac") => Some(Refresher::Uac),
            Some(who) if who.eq_ignore_ascii_case("uas") => Some(Refresher::Uas),
            Some(_) | None => None,
        };
        Some(SessionExpires { interval_s: interval.trim().parse().ok()?, refresher })
    }
}

impl fmt::Display for SessionExpires {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.interval_s)?;
        match self.refresher {
            Some(Refresher::Uac) => f.write_str(";refresher=uac"),
            Some(Refresher::Uas) => f.write_str(";refresher=uas"),
            None => Ok(()),
        }
    }
}

/// The shortest interval that a peer takes, in seconds (Min-SE).
pub fn parse_min(value: &str) -> Option<u32> {
    value.split(';').next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_reads_back_as_written() {
        for text in ["1800", "90;refresher=uac", "3600;refresher=uas"] {
            assert_eq!(SessionExpires::parse(text).expect("valid").to_string(), text);
        }
        assert_eq!(SessionExpires::parse(" 90 ; x=y;refresher=UAS").map(|s| s.refresher), Some(Some(Refresher::Uas)));
        for text in ["", "-90", "soon", "99999999999"] {
            assert_eq!(SessionExpires::parse(text), None, "{text}");
        }
        assert_eq!(parse_min("120;x"), Some(120));
    }
}
