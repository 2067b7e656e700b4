//! Time stamps by an authority (RFC 3161): what is asked, and what of the answer is believed.
//!
//! Checked here is that the answer is granted and speaks of our hash and of this very question; its signature is checked
//! by whoever doubts, with `openssl ts -verify` and the authority's certificate: an outsider must not take our word for it.

use std::time::Duration;

use sha2::{Digest, Sha256};

use super::der::{Reader, element, integer};

/// The media types of RFC 3161 §3.4.
const QUERY_TYPE: &str = "application/timestamp-query";
const REPLY_TYPE: &str = "application/timestamp-reply";
/// The longest answer read, in bytes: a token with its certificates has some thousands.
const REPLY_BYTES_MAX: usize = 256 * 1024;
/// SHA-256 as an AlgorithmIdentifier: 2.16.840.1.101.3.4.2.1, and NULL.
const SHA256: [u8; 13] = [0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00];
/// The content type of a TSTInfo: 1.2.840.113549.1.9.16.1.4.
const TST_CONTENT: [u8; 11] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x01, 0x04];

/// No time stamp was got.
#[derive(Debug, thiserror::Error)]
pub enum StampError {
    /// The authority was not reached, or broke off.
    #[error("asking the time-stamping authority: {0}; the roots without a stamp are tried again")]
    Unreached(#[from] reqwest::Error),
    /// It answered something else.
    #[error("the time-stamping authority answered {what}")]
    Answer {
        /// What.
        what: String,
    },
    /// Its answer is not one to believe.
    #[error("the time-stamping authority's answer is not to be believed: {0}")]
    Unsound(&'static str),
    /// No randomness for the nonce.
    #[error("the system gave no random numbers: {0}")]
    Randomness(getrandom::Error),
}

/// What a time stamp says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The SHA-256 that it speaks of.
    pub sha256: [u8; 32],
    /// When, as written (`20261122130001Z`, UTC).
    pub time: String,
    /// The question's nonce, without leading zeros.
    pub nonce: Option<Vec<u8>>,
}

/// The question about a hash (RFC 3161 §2.4.1), which asks for the authority's certificate, too.
pub fn query(sha256: &[u8; 32], nonce: &[u8; 8]) -> Vec<u8> {
    let imprint = element(0x30, &[element(0x30, &SHA256), element(0x04, sha256)].concat());
    let asked = [integer(&[1]), imprint, integer(nonce), element(0x01, &[0xff])].concat();
    element(0x30, &asked)
}

/// Reads an answer (RFC 3161 §2.4.2).
///
/// # Errors
/// [`StampError::Answer`] when it was refused, [`StampError::Unsound`] when it is not an answer.
pub fn read(reply: &[u8]) -> Result<Stamp, StampError> {
    const FORM: StampError = StampError::Unsound("it is no answer of RFC 3161");
    let mut whole = Reader::new(reply).enter(0x30).ok_or(FORM)?;
    let mut status = whole.enter(0x30).ok_or(FORM)?;
    match status.take(0x02).ok_or(FORM)? {
        // granted, grantedWithMods
        [0 | 1] => (),
        other => return Err(StampError::Answer { what: format!("status {other:?} (RFC 3161 §2.4.2): not granted") }),
    }
    // ContentInfo, [0], SignedData; its version and digest algorithms are passed over (RFC 5652 §5.1).
    let mut content = whole.enter(0x30).ok_or(FORM)?;
    content.take(0x06).ok_or(FORM)?;
    let mut signed = content.enter(0xa0).and_then(|mut inside| inside.enter(0x30)).ok_or(FORM)?;
    signed.take(0x02).ok_or(FORM)?;
    signed.take(0x31).ok_or(FORM)?;
    let mut inner = signed.enter(0x30).ok_or(FORM)?;
    if inner.take(0x06) != Some(&TST_CONTENT) {
        return Err(StampError::Unsound("its content is no time stamp"));
    }
    let text = inner.enter(0xa0).and_then(|mut inside| inside.take(0x04)).ok_or(FORM)?;
    let mut stamp = Reader::new(text).enter(0x30).ok_or(FORM)?;
    stamp.take(0x02).ok_or(FORM)?;
    stamp.take(0x06).ok_or(FORM)?;
    let mut imprint = stamp.enter(0x30).ok_or(FORM)?;
    if imprint.take(0x30).is_none_or(|algorithm| !algorithm.starts_with(&SHA256[..11])) {
        return Err(StampError::Unsound("it speaks of another kind of hash"));
    }
    let sha256 = imprint.take(0x04).and_then(|hash| hash.try_into().ok()).ok_or(FORM)?;
    stamp.take(0x02).ok_or(FORM)?;
    let time = stamp.take(0x18).and_then(|time| std::str::from_utf8(time).ok()).ok_or(FORM)?;
    // Accuracy and ordering may stand before the nonce.
    let (_, _) = (stamp.take(0x30), stamp.take(0x01));
    let nonce = stamp.take(0x02).map(strip);
    Ok(Stamp { sha256, time: time.to_owned(), nonce })
}

/// An INTEGER's bytes without leading zeros.
fn strip(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().copied().skip_while(|byte| *byte == 0).collect()
}

/// Asks the authority at `url` to stamp `document`; the answer's exact bytes.
///
/// # Errors
/// [`StampError`]: not reached, refused, or not to be believed.
pub async fn ask(url: &str, document: &[u8], timeout: Duration) -> Result<Vec<u8>, StampError> {
    // Another part of this process may have installed it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let sha256: [u8; 32] = Sha256::digest(document).into();
    let mut nonce = [0; 8];
    getrandom::fill(&mut nonce).map_err(StampError::Randomness)?;
    let client = reqwest::Client::builder().no_proxy().timeout(timeout).build()?;
    let asked = client.post(url).header("Content-Type", QUERY_TYPE).body(query(&sha256, &nonce));
    let mut response = asked.send().await?;
    let kind = response.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !response.status().is_success() || !kind.starts_with(REPLY_TYPE) {
        return Err(StampError::Answer { what: format!("{} with `{kind}`", response.status()) });
    }
    let mut reply = Vec::new();
    while let Some(piece) = response.chunk().await? {
        reply.extend_from_slice(&piece);
        if reply.len() > REPLY_BYTES_MAX {
            return Err(StampError::Unsound("it is too long"));
        }
    }
    let stamp = read(&reply)?;
    if stamp.sha256 != sha256 {
        return Err(StampError::Unsound("it speaks of another document"));
    }
    if stamp.nonce.is_some_and(|told| told != strip(&nonce)) {
        return Err(StampError::Unsound("it answers another question"));
    }
    Ok(reply)
}
