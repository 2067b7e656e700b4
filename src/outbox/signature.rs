//! Standard Webhooks signatures: made for every attempt, and checked by whoever receives.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::header::HeaderMap;
use sha2::Sha256;

use crate::model::Utc;

/// The event's id, stable over retries: the receiver's idempotency key.
pub const ID: &str = "webhook-id";
/// The attempt's time, in seconds since 1970.
pub const TIMESTAMP: &str = "webhook-timestamp";
/// `v1,…`, one for each secret, separated by spaces.
pub const SIGNATURE: &str = "webhook-signature";
/// How far a receiver's clock may differ (Standard Webhooks, "verifying the timestamp").
pub const TOLERANCE: Duration = Duration::from_secs(300);

const PREFIX: &str = "whsec_";
/// Signatures looked at in one header, so that a stranger cannot keep a receiver busy.
const SIGNATURES_MAX: usize = 16;

/// A shared secret; read from `whsec_` and base64, never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The text is no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it must be `whsec_` followed by the base64 of 24 to 64 bytes")]
pub struct NotASecret;

impl FromStr for Secret {
    type Err = NotASecret;
    fn from_str(text: &str) -> Result<Secret, NotASecret> {
        let bytes = STANDARD.decode(text.trim().strip_prefix(PREFIX).ok_or(NotASecret)?).map_err(|_| NotASecret)?;
        if (24..=64).contains(&bytes.len()) { Ok(Secret(bytes)) } else { Err(NotASecret) }
    }
}

impl Secret {
    /// `v1,` and base64 of HMAC-SHA256 over `id.timestamp.body`.
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        format!("v1,{}", STANDARD.encode(self.mac(id, timestamp, body).finalize().into_bytes()))
    }

    fn mac(&self, id: &str, timestamp: i64, body: &[u8]) -> Hmac<Sha256> {
        // HMAC takes a key of any length (RFC 2104 §2), so `unwrap_or_else` never comes to its else.
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).unwrap_or_else(|_| Hmac::new(&Default::default()));
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        mac
    }
}

/// The signature header for all secrets.
pub fn sign_all(secrets: &[Secret], id: &str, timestamp: i64, body: &[u8]) -> String {
    let signatures: Vec<String> = secrets.iter().map(|secret| secret.sign(id, timestamp, body)).collect();
    signatures.join(" ")
}

/// Why a delivery is not to be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    /// A header is missing or unreadable.
    #[error("the header `{0}` is missing or unreadable")]
    Header(&'static str),
    /// The timestamp is too far from now: a replay, or a clock that is wrong.
    #[error("the timestamp is too far from this clock: replayed, or one of the clocks is wrong")]
    Timestamp,
    /// No signature fits any secret.
    #[error("no signature fits: another secret, or the body was changed on its way")]
    Signature,
}

/// Checks a received delivery: any of the signatures under any of the secrets, in constant time.
pub fn verify(
    secrets: &[Secret],
    headers: &HeaderMap,
    body: &[u8],
    now: Utc,
    tolerance: Duration,
) -> Result<(), Distrust> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).ok_or(Distrust::Header(name));
    let (id, signatures) = (text(ID)?, text(SIGNATURE)?);
    let timestamp: i64 = text(TIMESTAMP)?.parse().map_err(|_| Distrust::Header(TIMESTAMP))?;
    let apart = now.0.div_euclid(1_000_000).abs_diff(timestamp);
    if apart > tolerance.as_secs() {
        return Err(Distrust::Timestamp);
    }
    let v1 = signatures.split(' ').take(SIGNATURES_MAX).filter_map(|one| one.strip_prefix("v1,"));
    for signature in v1.filter_map(|text| STANDARD.decode(text).ok()) {
        // `verify_slice` compares in constant time.
        if secrets.iter().any(|secret| secret.mac(id, timestamp, body).verify_slice(&signature).is_ok()) {
            return Ok(());
        }
    }
    Err(Distrust::Signature)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the Standard Webhooks specification's own reference libraries.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const MESSAGE: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const AT: i64 = 1_614_265_330;

    fn headers(signature: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(ID, MESSAGE.parse().expect("a value"));
        headers.insert(TIMESTAMP, AT.to_string().parse().expect("a value"));
        headers.insert(SIGNATURE, signature.parse().expect("a value"));
        headers
    }

    fn check(headers: &HeaderMap, body: &[u8], at: i64) -> Result<(), Distrust> {
        verify(&[SECRET.parse().expect("a secret")], headers, body, Utc(at * 1_000_000), TOLERANCE)
    }

    #[test]
    fn the_specifications_own_example_has_its_signature() {
        let secret: Secret = SECRET.parse().expect("a secret");
        assert_eq!(secret.sign(MESSAGE, AT, BODY), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn any_of_several_signatures_is_enough_and_a_changed_body_is_not() {
        let fitting = headers("v1,AAAA v1a,zzz v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_eq!(check(&fitting, BODY, AT), Ok(()));
        assert_eq!(check(&fitting, b"{}", AT), Err(Distrust::Signature));
        assert_eq!(check(&headers("v1,AAAA"), BODY, AT), Err(Distrust::Signature));
    }

    #[test]
    fn a_delivery_of_another_time_is_not_trusted() {
        let fitting = headers("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_eq!(check(&fitting, BODY, AT + 300), Ok(()));
        assert_eq!(check(&fitting, BODY, AT + 301), Err(Distrust::Timestamp));
        assert_eq!(check(&fitting, BODY, AT - 301), Err(Distrust::Timestamp));
    }

    #[test]
    fn a_short_secret_is_none() {
        assert_eq!("whsec_AAAA".parse::<Secret>(), Err(NotASecret));
        assert_eq!("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse::<Secret>(), Err(NotASecret));
    }
}
