//! Reason: why a peer ended or cancelled (RFC 3326).

use std::fmt;

use serde::{Deserialize, Serialize};

use super::params::Params;
use super::pieces::quote;

/// One reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// `SIP`, `Q.850`…
    pub protocol: String,
    /// The status or cause.
    pub cause: Option<u16>,
    /// For people.
    pub text: Option<String>,
}

impl Reason {
    /// Reads `Q.850;cause=16;text="Terminated"`.
    pub fn parse(value: &str) -> Option<Reason> {
        let (protocol, params) = value.split_once(';').unwrap_or((value, ""));
        let protocol = protocol.trim();
        if !crate::sip::method::is_token(protocol.as_bytes()) {
            return None;
        }
        let params = Params::parse(params);
        Some(Reason {
            protocol: protocol.to_owned(),
            cause: params.value("cause").and_then(|c| c.parse().ok()),
            text: params.value("text").map(str::to_owned),
        })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.protocol)?;
        if let Some(cause) = self.cause {
            write!(f, " ;cause={cause}")?;
        }
        match &self.text {
            Some(text) => write!(f, " ;text={}", quote(text)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_reads_back_as_written() {
        let reason = Reason::parse(r#"SIP ;cause=200 ;text="Call completed; elsewhere""#).expect("valid");
        assert_eq!((reason.cause, reason.text.as_deref()), (Some(200), Some("Call completed; elsewhere")));
        assert_eq!(Reason::parse(&reason.to_string()), Some(reason));
    }
}
