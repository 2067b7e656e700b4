//! `a=crypto` (RFC 4568): SRTP keys in SDP. One line is a suite, a key, and the number that the answer names it by.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use sdp_types::Media;
use serde::{Deserialize, Serialize};

use crate::model::srtp::{MasterKey, Profile};

/// Lines read of one `m=` line: a phone that knows every suite writes a dozen.
const LINES_MAX: usize = 24;

/// Keys of 28 bytes need padding; phones leave it out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// One line that we can use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CryptoLine {
    /// Its number; the answer bears that of the line it takes (RFC 4568 §5.1.2).
    pub tag: u32,
    /// The suite, and what its writer protects with.
    pub key: MasterKey,
}

/// How an offer of ours protects the media.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Protection {
    /// As RTP/SAVP: the far end takes it or refuses the call. Else RTP/AVP with the keys beside it.
    pub is_required: bool,
    /// The suites, the preferred one first; none is plain RTP.
    pub lines: Vec<CryptoLine>,
}

impl CryptoLine {
    /// Reads an attribute's value. What cannot be honoured makes a line that is not there: another suite, several keys,
    /// a key identifier in each packet (MKI), parameters that leave something unprotected or change keys on the way.
    pub(super) fn parse(value: &str) -> Option<CryptoLine> {
        let mut words = value.split_ascii_whitespace();
        // RFC 4568 §9.2: a number of up to nine digits.
        let tag = words.next().filter(|tag| tag.len() <= 9)?.parse().ok()?;
        let profile = Profile::parse(words.next()?)?;
        let (method, parameters) = words.next()?.split_once(':')?;
        if !method.eq_ignore_ascii_case("inline") || !words.all(is_harmless) {
            return None;
        }
        let mut parts = parameters.split('|');
        let bytes = BASE64.decode(parts.next()?).ok()?;
        // What is left is the key's lifetime (§6.1), which no call outlives; `n:m` is an MKI.
        if parts.any(|part| part.contains(':')) {
            return None;
        }
        Some(CryptoLine { tag, key: MasterKey::new(profile, &bytes)? })
    }

    /// The attribute's value. It holds a secret.
    pub(super) fn write(&self) -> String {
        format!("{} {} inline:{}", self.tag, self.key.profile().name(), BASE64.encode(self.key.to_bytes()))
    }
}

/// The lines of one `m=` line that we can use, in its order.
pub(super) fn read_lines(media: &Media) -> Vec<CryptoLine> {
    media.get_attribute_values("crypto").flatten().take(LINES_MAX).filter_map(CryptoLine::parse).collect()
}

/// A parameter (RFC 4568 §6.3) that changes nothing for us: a replay window's size is a hint, and `-` marks what may be
/// passed over.
fn is_harmless(parameter: &str) -> bool {
    let is = |name: &str| parameter.get(..name.len()).is_some_and(|head| head.eq_ignore_ascii_case(name));
    is("WSH=") || parameter.eq_ignore_ascii_case("KDR=0") || parameter.starts_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 4568 §6.1's example.
    const KEY: &str = "PS1uQCVeeCFCanVmcjkpPywjNWhcYDAZE9BkfUw5";

    fn suite(value: &str) -> Option<Profile> {
        CryptoLine::parse(value).map(|line| line.key.profile())
    }

    #[test]
    fn a_line_reads_back_as_written() {
        for (profile, bytes) in [(Profile::Sha1Tag80, 30), (Profile::Sha1Tag32, 30), (Profile::Gcm, 28)] {
            let line = CryptoLine { tag: 7, key: MasterKey::new(profile, &vec![0xb7; bytes]).expect("a key") };
            assert_eq!(CryptoLine::parse(&line.write()), Some(line.clone()));
            assert_eq!(CryptoLine::parse(line.write().trim_end_matches('=')), Some(line), "without padding");
        }
    }

    #[test]
    fn what_phones_write_is_read() {
        for rest in ["", "|2^20", "|1048576", " WSH=128", " KDR=0 -extra=1"] {
            let value = format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}{rest}");
            assert_eq!(suite(&value), Some(Profile::Sha1Tag80), "{value}");
        }
        assert_eq!(suite(&format!("2  aes_cm_128_hmac_sha1_32 INLINE:{KEY}")), Some(Profile::Sha1Tag32));
    }

    #[test]
    fn what_cannot_be_honoured_is_no_line() {
        for value in [
            format!("1 AES_256_CM_HMAC_SHA1_80 inline:{KEY}"),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^20|1:4"),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|1:4"),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY};inline:{KEY}"),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} UNENCRYPTED_SRTP"),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} UNAUTHENTICATED_SRTP"),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} KDR=5"),
            format!("x AES_CM_128_HMAC_SHA1_80 inline:{KEY}"),
            format!("1 AEAD_AES_128_GCM inline:{KEY}"),
            format!("1 AES_CM_128_HMAC_SHA1_80 uri:{KEY}"),
            "1 AES_CM_128_HMAC_SHA1_80 inline:QUJD".to_owned(),
            "1 AES_CM_128_HMAC_SHA1_80".to_owned(),
            "1 AES_CM_128_HMAC_SHA1_80 inline:".to_owned(),
            String::new(),
        ] {
            assert_eq!(CryptoLine::parse(&value), None, "{value}");
        }
    }
}
