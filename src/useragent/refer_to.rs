//! Refer-To (RFC 3515 §2.1): to whom a REFER hands on, with the Replaces that its URI may carry (RFC 5589 §7).

use crate::sip::header::pieces::find;
use crate::sip::{Headers, NameAddr, Scheme, Uri};

use super::replaces::{REPLACES_LENGTH_MAX, Replaces};
use super::rules::TEXT_LENGTH_MAX;

/// The longest Refer-To read, in bytes: a URI with an escaped Replaces.
const REFER_TO_LENGTH_MAX: usize = 2048;

/// To whom a REFER hands on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ReferTo {
    /// The user part, unescaped.
    pub user: String,
    /// The dialog to take the place of.
    pub replaces: Option<Replaces>,
}

/// Why a Refer-To is refused: a status that ends nothing but the REFER (RFC 5057 §5.1), and its reason in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unreadable(pub u16, pub &'static str);

impl ReferTo {
    /// Reads the one Refer-To of a REFER.
    pub(super) fn read(headers: &Headers) -> Result<ReferTo, Unreadable> {
        let mut all = headers.all_bytes("Refer-To");
        let first = all.next().ok_or(Unreadable(400, "Refer-To Missing"))?;
        if first.len() > REFER_TO_LENGTH_MAX {
            return Err(Unreadable(400, "Refer-To Too Long"));
        }
        let text = std::str::from_utf8(first).map_err(|_| Unreadable(400, "Bad Refer-To"))?;
        if all.next().is_some() || find(text, b',').is_some() {
            return Err(Unreadable(400, "More Than One Refer-To"));
        }
        let address = NameAddr::parse(text).ok_or(Unreadable(400, "Bad Refer-To"))?;
        let uri = address.to_uri().ok_or(Unreadable(400, "Bad Refer-To"))?;
        match &uri.scheme {
            Scheme::Sip | Scheme::Sips | Scheme::Tel => {}
            Scheme::Other(_) => return Err(Unreadable(416, "Unsupported URI Scheme In Refer-To")),
        }
        if uri.params.value("method").is_some_and(|method| !method.eq_ignore_ascii_case("INVITE")) {
            return Err(Unreadable(403, "Only INVITE May Be Referred"));
        }
        let replaces = read_replaces(&uri)?;
        let user = uri.user.as_deref().map_or(Some(String::new()), |user| {
            // RFC 3261 §19.1.6: a number's own parameters stand before the `@`.
            unescape(user.split(';').next().unwrap_or_default())
        });
        let is_readable = |user: &String| user.len() <= TEXT_LENGTH_MAX && !user.chars().any(char::is_control);
        let user = user.filter(is_readable).ok_or(Unreadable(400, "Bad User In Refer-To"))?;
        if user.is_empty() && replaces.is_none() {
            return Err(Unreadable(400, "Refer-To Names Nobody"));
        }
        Ok(ReferTo { user, replaces })
    }
}

/// The Replaces among the headers of a URI. Of the others none may be set by whoever wrote the URI (RFC 3261 §19.1.5).
fn read_replaces(uri: &Uri) -> Result<Option<Replaces>, Unreadable> {
    const BAD: Unreadable = Unreadable(400, "Bad Replaces In Refer-To");
    let headers = uri.headers.as_deref().unwrap_or_default();
    let named = |piece: &&str| piece.split_once('=').is_some_and(|(name, _)| name.eq_ignore_ascii_case("Replaces"));
    let mut all = headers.split('&').filter(named);
    let Some(first) = all.next() else { return Ok(None) };
    if all.next().is_some() {
        return Err(BAD);
    }
    let value = first.split_once('=').map_or("", |(_, value)| value);
    let text = unescape(value).filter(|text| text.len() <= REPLACES_LENGTH_MAX).ok_or(BAD)?;
    Replaces::parse(&text).map(Some).ok_or(BAD)
}

/// `%XX` decoded; `None` when an escape is torn or what comes out is no text.
fn unescape(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        let (high, low) = (digit()?, digit()?);
        out.push((high << 4 | low) as u8);
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ReferTo, Unreadable> {
        let mut headers = Headers::new();
        headers.push("Refer-To", text.to_owned());
        ReferTo::read(&headers)
    }

    #[test]
    fn a_name_a_number_and_an_escaped_replaces_are_read() {
        let user = |text: &str| read(text).map(|to| to.user);
        assert_eq!(user("<sip:bruno@vigie>").as_deref(), Ok("bruno"));
        assert_eq!(user("sip:bruno@vigie;user=phone").as_deref(), Ok("bruno"));
        assert_eq!(user("\"B\" <sips:%2B33612345678;x=y@vigie;method=INVITE>").as_deref(), Ok("+33612345678"));
        assert_eq!(user("<tel:+33612345678;phone-context=x>").as_deref(), Ok("+33612345678"));
        let text = "<sip:b@h?Subject=x&Replaces=12345%40192.168.118.3%3Bto-tag%3D12345%3Bfrom-tag%3D5FFE-3994>";
        let replaces = read(text).unwrap().replaces.unwrap();
        assert_eq!(replaces.tags(), ("12345@192.168.118.3", ["12345", "5FFE-3994"]));
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_a_reason() {
        let status = |text: &str| read(text).map_err(|Unreadable(status, _)| status);
        let long = format!("<sip:{}@h>", "a".repeat(100_000));
        for text in [
            "",
            "bruno",
            "<sip:h>",
            "<sip:a@h>, <sip:b@h>",
            "<sip:a%0d%0ab@h>",
            "<sip:a%4@h>",
            "<sip:a%ff@h>",
            "<sip:a@h?Replaces=x>",
            "<sip:a@h?Replaces=x%3Bto-tag%3D1%3Bfrom-tag%3>",
            "<sip:a@h?Replaces=x%3Bto-tag%3D1%3Bfrom-tag%3D2&replaces=x%3Bto-tag%3D1%3Bfrom-tag%3D2>",
            &long,
        ] {
            assert_eq!(status(text), Err(400), "{text}");
        }
        assert_eq!(status("<mailto:a@h>"), Err(416));
        assert_eq!(status("<sip:a@h;method=BYE>"), Err(403));
    }
}
