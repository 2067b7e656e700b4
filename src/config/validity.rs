//! From when until when a certificate holds (RFC 5280 §4.1.2.5): what TLS asks of it at every handshake.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::model::Utc;

/// DER's SEQUENCE, UTCTime, GeneralizedTime, and the version's [0].
const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const VERSION: u8 = 0xa0;

/// The first and the last moment at which a certificate (DER) holds; nothing when it cannot be read.
pub(super) fn validity_of(certificate: &[u8]) -> Option<(Utc, Utc)> {
    let (_, certificate, _) = split(certificate).filter(|(tag, ..)| *tag == SEQUENCE)?;
    let (_, mut fields, _) = split(certificate).filter(|(tag, ..)| *tag == SEQUENCE)?;
    let (first, _, rest) = split(fields)?;
    if first == VERSION {
        fields = rest;
    }
    // Serial number, algorithm and issuer stand before it.
    for _ in 0..3 {
        (_, _, fields) = split(fields)?;
    }
    let (_, validity, _) = split(fields).filter(|(tag, ..)| *tag == SEQUENCE)?;
    let (tag, from, rest) = split(validity)?;
    let from = read_time(tag, from)?;
    let (tag, until, _) = split(rest)?;
    Some((from, read_time(tag, until)?))
}

/// The first element: its tag, what it holds, and what follows.
fn split(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81..=0x83 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    let (held, rest) = rest.split_at_checked(length)?;
    Some((*tag, held, rest))
}

fn read_time(tag: u8, text: &[u8]) -> Option<Utc> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let text = match tag {
        // Years 50 to 99 are of the last century.
        UTC_TIME if text.as_bytes().first()? < &b'5' => format!("20{text}"),
        UTC_TIME => format!("19{text}"),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let at = DateTime::strptime("%Y%m%d%H%M%S", text).ok()?.to_zoned(TimeZone::UTC).ok()?;
    Some(Utc(at.timestamp().as_microsecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_of_both_notations_are_read_and_what_is_torn_is_not() {
        let mut params = rcgen::CertificateParams::new(["vigie.test".to_owned()]).expect("parameters");
        params.not_before = rcgen::date_time_ymd(2020, 1, 2);
        params.not_after = rcgen::date_time_ymd(2051, 12, 31);
        let key = rcgen::KeyPair::generate().expect("a key");
        let made = params.self_signed(&key).expect("made");
        let (from, until) = validity_of(made.der()).expect("read");
        assert_eq!((from.rfc3339().get(..10), until.rfc3339().get(..10)), (Some("2020-01-02"), Some("2051-12-31")));
        for length in 0..120 {
            assert!(validity_of(made.der().get(..length).expect("shorter")).is_none(), "{length}");
        }
        assert!(validity_of(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]).is_none());
    }
}
