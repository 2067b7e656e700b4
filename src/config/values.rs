//! One value of the file each: type, form and range checked.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeValue;

use super::document::{Trouble, kind, nearest};
use crate::model::centre::AddressBlock;
use crate::model::ids::is_valid_id;
use crate::model::{E164, Needs, Transport};

/// The longest text taken, in characters.
const TEXT_LENGTH_MAX: usize = 512;

fn trouble<T>(problem: impl Into<String>, remedy: impl Into<String>) -> Result<T, Trouble> {
    Err((problem.into(), remedy.into()))
}

/// A text that is not empty.
pub(super) fn text(value: &DeValue<'_>) -> Result<String, Trouble> {
    match value.as_str() {
        None => trouble(format!("must be a text, not {}", kind(value)), "put it in double quotes"),
        Some(text) if text.trim().is_empty() => trouble("is empty", "write something, or take the key out"),
        Some(text) if text.chars().count() > TEXT_LENGTH_MAX || text.chars().any(char::is_control) => trouble(
            "is too long or holds control characters",
            format!("use at most {TEXT_LENGTH_MAX} plain characters"),
        ),
        Some(text) => Ok(text.to_owned()),
    }
}

/// A path; relative ones are the caller's to place.
pub(super) fn path(value: &DeValue<'_>) -> Result<PathBuf, Trouble> {
    text(value).map(PathBuf::from)
}

/// The id of something configured elsewhere.
pub(super) fn id(value: &DeValue<'_>) -> Result<String, Trouble> {
    let text = text(value)?;
    if is_valid_id(&text) {
        return Ok(text);
    }
    trouble(format!("`{text}` is no id"), "ids have 1 to 64 of a–z, 0–9, `-`, `_`, `.` and do not start with a dot")
}

/// An expression of skills: `regulation >= 50 and (lang-en >= 30 or physician)`.
pub(super) fn needs(value: &DeValue<'_>) -> Result<Needs, Trouble> {
    let written = text(value)?;
    match written.parse::<Needs>() {
        Ok(needs) => Ok(needs),
        // What the error says after its colon is what to do.
        Err(error) => {
            let said = error.to_string();
            let (problem, remedy) =
                said.split_once(": ").unwrap_or((&said, "such as \"regulation >= 50 and lang-en\""));
            trouble(format!("`{written}` is no expression of skills: {problem}"), remedy)
        }
    }
}

/// `true` or `false`.
pub(super) fn flag(value: &DeValue<'_>) -> Result<bool, Trouble> {
    match value.as_bool() {
        Some(flag) => Ok(flag),
        None => trouble(format!("must be true or false, not {}", kind(value)), "write true or false, without quotes"),
    }
}

/// A whole number in a range.
pub(super) fn whole<T: TryFrom<i64>>(range: RangeInclusive<i64>) -> impl Fn(&DeValue<'_>) -> Result<T, Trouble> {
    move |value| {
        let remedy = format!("write a whole number from {} to {}, without quotes", range.start(), range.end());
        let Some(integer) = value.as_integer() else {
            return trouble(format!("must be a whole number, not {}", kind(value)), remedy);
        };
        let number = i64::from_str_radix(integer.as_str(), integer.radix()).ok().filter(|n| range.contains(n));
        match number.and_then(|number| T::try_from(number).ok()) {
            Some(number) => Ok(number),
            None => trouble(format!("{} is out of range", integer.as_str()), remedy),
        }
    }
}

/// A number with or without decimals, in a range.
pub(super) fn decimal(range: RangeInclusive<f64>) -> impl Fn(&DeValue<'_>) -> Result<f64, Trouble> {
    move |value| {
        let remedy = format!("write a number from {} to {}, without quotes", range.start(), range.end());
        let written = match value {
            DeValue::Integer(integer) => integer.as_str(),
            DeValue::Float(float) => float.as_str(),
            DeValue::String(_) | DeValue::Boolean(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
                return trouble(format!("must be a number, not {}", kind(value)), remedy);
            }
        };
        match written.parse::<f64>().ok().filter(|number| range.contains(number)) {
            Some(number) => Ok(number),
            None => trouble(format!("{written} is out of range"), remedy),
        }
    }
}

/// A span of time in a range: `"30s"`, `"1h30m"`, `"250ms"`.
pub(super) fn duration(range: RangeInclusive<Duration>) -> impl Fn(&DeValue<'_>) -> Result<Duration, Trouble> {
    move |value| {
        let remedy = format!(
            "write a text from \"{}\" to \"{}\", with the units h, m, s, ms",
            show_duration(*range.start()),
            show_duration(*range.end())
        );
        let Some(written) = value.as_str() else {
            return trouble(format!("must be a duration in quotes, not {}", kind(value)), remedy);
        };
        match parse_duration(written) {
            None => trouble(format!("`{written}` is no duration"), remedy),
            Some(span) if !range.contains(&span) => trouble(format!("{written} is out of range"), remedy),
            Some(span) => Ok(span),
        }
    }
}

/// Reads `1h30m`, `90s`, `250ms`: whole numbers with units, the larger unit first, each at most once.
pub(super) fn parse_duration(written: &str) -> Option<Duration> {
    const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];
    let (mut rest, mut units, mut total) = (written.trim(), UNITS.iter(), 0_u64);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest.get(..digits)?.parse().ok()?;
        rest = rest.get(digits..)?;
        let letters = rest.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(rest.len());
        let unit = rest.get(..letters)?;
        let (_, in_ms) = units.by_ref().find(|(name, _)| *name == unit)?;
        total = total.checked_add(number.checked_mul(*in_ms)?)?;
        rest = rest.get(letters..)?.trim_start();
    }
    Some(Duration::from_millis(total))
}

/// A duration as the file writes it.
pub(super) fn show_duration(span: Duration) -> String {
    let ms = span.as_millis();
    let parts = [("h", ms / 3_600_000), ("m", ms / 60_000 % 60), ("s", ms / 1000 % 60), ("ms", ms % 1000)];
    let shown: String = parts.iter().filter(|(_, n)| *n > 0).map(|(unit, n)| format!("{n}{unit}")).collect();
    if shown.is_empty() { "0s".into() } else { shown }
}

/// An amount of bytes in a range: `"64MiB"`, `"512KiB"`, `"1GiB"`.
pub(super) fn size(range: RangeInclusive<u64>) -> impl Fn(&DeValue<'_>) -> Result<u64, Trouble> {
    move |value| {
        let remedy = format!(
            "write a text from \"{}KiB\" to \"{}MiB\", with the unit KiB, MiB or GiB",
            range.start() >> 10,
            range.end() >> 20
        );
        let Some(written) = value.as_str() else {
            return trouble(format!("must be a size in quotes, not {}", kind(value)), remedy);
        };
        match parse_size(written) {
            None => trouble(format!("`{written}` is no size"), remedy),
            Some(bytes) if !range.contains(&bytes) => trouble(format!("{written} is out of range"), remedy),
            Some(bytes) => Ok(bytes),
        }
    }
}

fn parse_size(written: &str) -> Option<u64> {
    let digits = written.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = written.get(..digits)?.parse().ok()?;
    let factor = match written.get(digits..)?.trim() {
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(factor)
}

/// One of a few words.
pub(super) fn choice<T: Copy>(words: &[(&'static str, T)]) -> impl Fn(&DeValue<'_>) -> Result<T, Trouble> {
    move |value| {
        let written = text(value)?;
        if let Some((_, choice)) = words.iter().find(|(word, _)| *word == written) {
            return Ok(*choice);
        }
        let remedy = match nearest(&written, words.iter().map(|(word, _)| *word)) {
            Some(word) => format!("did you mean \"{word}\"?"),
            None => {
                let all: Vec<String> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
                format!("write one of {}", all.join(", "))
            }
        };
        trouble(format!("`{written}` is not known here"), remedy)
    }
}

/// An IPv4 or IPv6 address.
pub(super) fn address(value: &DeValue<'_>) -> Result<IpAddr, Trouble> {
    let written = text(value)?;
    match written.parse() {
        Ok(address) => Ok(address),
        Err(_) => trouble(format!("`{written}` is no IP address"), "write it in figures, such as \"192.0.2.7\""),
    }
}

/// An address and a port.
pub(super) fn socket_address(value: &DeValue<'_>) -> Result<SocketAddr, Trouble> {
    parse_socket_address(&text(value)?)
}

fn parse_socket_address(written: &str) -> Result<SocketAddr, Trouble> {
    match written.parse() {
        Ok(address) => Ok(address),
        Err(_) => trouble(
            format!("`{written}` is no address with a port"),
            "write it such as \"192.0.2.7:8060\" or \"[2001:db8::7]:8060\"",
        ),
    }
}

/// A SIP listener: what it carries, and an address with a port.
pub(super) fn listener(value: &DeValue<'_>) -> Result<(Transport, SocketAddr), Trouble> {
    let written = text(value)?;
    let parts = written.split_once(':').and_then(|(name, address)| Some((Transport::parse(name)?, address)));
    match parts {
        Some((transport, address)) => Ok((transport, parse_socket_address(address)?)),
        None => trouble(
            format!("`{written}` names no transport"),
            format!("write udp:, tcp:, tls:, ws: or wss: and ADDRESS:PORT, here perhaps \"udp:{written}\""),
        ),
    }
}

/// The origin of a web page (RFC 6454 §7): `https://desk.example`, with the port when it is not the scheme's own.
pub(super) fn origin(value: &DeValue<'_>) -> Result<String, Trouble> {
    let written = text(value)?.to_ascii_lowercase();
    let host = written.strip_prefix("https://").or_else(|| written.strip_prefix("http://")).unwrap_or_default();
    if host.is_empty() || host.contains(['/', ' ', '*']) {
        return trouble(
            format!("`{written}` is no origin of a web page"),
            "write scheme and host without a path, such as \"https://desk.example\" or \"https://desk.example:8443\"",
        );
    }
    Ok(written)
}

/// An address or a block of them.
pub(super) fn address_block(value: &DeValue<'_>) -> Result<AddressBlock, Trouble> {
    let written = text(value)?;
    match AddressBlock::parse(&written) {
        Some(block) => Ok(block),
        None => trouble(
            format!("`{written}` is neither an address nor a block of them"),
            "write \"192.0.2.7\" or \"192.0.2.0/24\"; ask the carrier for its addresses if you only have a name",
        ),
    }
}

/// A DNS server: an address, with or without its port.
pub(super) fn nameserver(value: &DeValue<'_>) -> Result<SocketAddr, Trouble> {
    let written = text(value)?;
    match (written.parse::<IpAddr>(), written.parse()) {
        (Ok(address), _) => Ok(SocketAddr::new(address, 53)),
        (Err(_), Ok(address)) => Ok(address),
        (Err(_), Err(_)) => {
            trouble(format!("`{written}` is no DNS server's address"), "write \"192.0.2.53\" or \"127.0.0.1:5353\"")
        }
    }
}

/// The name or the address of a machine or a domain: `sip.carrier.example`, `192.0.2.7`, `2001:db8::7`.
pub(super) fn host(value: &DeValue<'_>) -> Result<String, Trouble> {
    let written = text(value)?;
    let is_label = |label: &str| {
        let is_inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        (1..=63).contains(&label.len()) && label.bytes().all(is_inner)
    };
    // RFC 1035 §2.3.4: a name has at most 253 characters.
    let is_name = written.len() <= 253 && written.trim_end_matches('.').split('.').all(is_label);
    // `192.0.2` and `192.0.2.300` are slips, not names.
    let is_figures = written.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if written.parse::<IpAddr>().is_ok() || (is_name && !is_figures) {
        return Ok(written.trim_end_matches('.').to_ascii_lowercase());
    }
    trouble(
        format!("`{written}` is neither a domain nor an address"),
        "write it alone, without sip: and without a port: \"sip.carrier.example\" or \"192.0.2.7\"",
    )
}

/// A user's name in SIP: what a URI and a digest can carry without being written otherwise.
pub(super) fn user(value: &DeValue<'_>) -> Result<String, Trouble> {
    let written = text(value)?;
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,/".contains(&b);
    if written.len() <= 128 && written.bytes().all(is_plain) {
        return Ok(written);
    }
    trouble(
        format!("`{written}` is no user's name of SIP"),
        "write what stands before the @ of the account that the carrier gave, at most 128 letters and digits",
    )
}

/// The beginning of outside numbers: `+33`, `15`.
pub(super) fn dial_prefix(value: &DeValue<'_>) -> Result<String, Trouble> {
    let written = text(value)?;
    let digits = written.strip_prefix('+').unwrap_or(&written);
    if (1..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(written);
    }
    trouble(
        format!("`{written}` is no beginning of a number"),
        "write \"+33\" for every number of the country 33, \"+\" and more digits for fewer, or a short number such as \"15\"",
    )
}

/// A number in E.164 form.
pub(super) fn number(value: &DeValue<'_>) -> Result<E164, Trouble> {
    let written = text(value)?;
    match E164::parse(&written) {
        Some(number) => Ok(number),
        None => trouble(
            format!("`{written}` is no number in E.164 form"),
            "write + and the country code, without spaces: \"+33199000101\" for 01 99 00 01 01",
        ),
    }
}

/// Digits, at least `least` and at most 4 of them.
pub(super) fn digits(least: usize) -> impl Fn(&DeValue<'_>) -> Result<String, Trouble> {
    move |value| match value.as_str() {
        Some(written) if (least..=4).contains(&written.len()) && written.bytes().all(|b| b.is_ascii_digit()) => {
            Ok(written.to_owned())
        }
        Some(_) | None => trouble("must be digits", format!("write {least} to 4 digits in quotes, such as \"33\"")),
    }
}

/// A language tag (BCP 47), in its short forms: `fr`, `en`, `pt-BR`.
pub(super) fn language(value: &DeValue<'_>) -> Result<String, Trouble> {
    let written = text(value)?;
    let mut parts = written.split('-');
    let primary = parts.next().unwrap_or_default();
    let is_tag = (2..=3).contains(&primary.len())
        && primary.bytes().all(|b| b.is_ascii_lowercase())
        && parts.all(|part| (2..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric()));
    if is_tag {
        Ok(written)
    } else {
        trouble(format!("`{written}` is no language tag"), "write it such as \"fr\" or \"en\"")
    }
}

/// First and last UDP port: `"20000-29999"`.
pub(super) fn ports(value: &DeValue<'_>) -> Result<(u16, u16), Trouble> {
    let remedy = "write the first and the last port, such as \"20000-29999\"; from 1024 on";
    let written = text(value)?;
    let both = written
        .split_once('-')
        .and_then(|(first, last)| Some((first.trim().parse::<u16>().ok()?, last.trim().parse::<u16>().ok()?)));
    match both {
        None => trouble(format!("`{written}` is no range of ports"), remedy),
        Some((first, last)) if first < 1024 || last <= first || last - first < 7 => {
            trouble(format!("{first} to {last} is no range that can serve"), format!("{remedy}, at least 8 of them"))
        }
        Some(both) => Ok(both),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_reads_back_as_it_is_shown() {
        for (written, ms) in [("30s", 30_000), ("1h30m", 5_400_000), ("250ms", 250), ("1m 30s", 90_000), ("0s", 0)] {
            let span = parse_duration(written);
            assert_eq!(span, Some(Duration::from_millis(ms)), "{written}");
            assert_eq!(parse_duration(&show_duration(Duration::from_millis(ms))), span);
        }
        for wrong in ["", "30", "s", "30 s", "3s1m", "1s2s", "-1s", "1.5s", "99999999999999999999h", "1d"] {
            assert_eq!(parse_duration(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_size_needs_its_unit() {
        assert_eq!(parse_size("64MiB"), Some(64 << 20));
        assert_eq!([parse_size("64"), parse_size("64MB"), parse_size("MiB"), parse_size("99999999999GiB")], [None; 4]);
    }
}
