//! Who calls and what was dialled, as the trunk wrote it; and the caller as a regulator's phone is shown it.

use crate::model::{Caller, NumberPlan};
use crate::sip::{NameAddr, Request, Uri};

use super::rules::TEXT_LENGTH_MAX;

/// The user part of the Request-URI, or the number of a `tel:`, verbatim; empty when there is none.
pub(super) fn dialled(request: &Request) -> String {
    cut(Uri::parse(&request.uri).and_then(|uri| uri.user).unwrap_or_default())
}

/// Who calls over a trunk that writes numbers as `numbers` says.
pub(super) fn read_caller(request: &Request, numbers: &NumberPlan) -> Caller {
    let from = request.headers.from();
    let uri = from.as_ref().and_then(NameAddr::to_uri);
    let asserted = request.headers.addresses("P-Asserted-Identity");
    // RFC 3325 §9.1: there may be two, a sip: and a tel: one.
    let asserted_number = asserted.iter().find_map(|address| numbers.normalise(&user_of(&address.to_uri()?)?));
    let own_number = || numbers.normalise(&user_of(uri.as_ref()?)?);
    let raw = uri.as_ref().and_then(|uri| uri.user.clone()).unwrap_or_default();
    let is_nameless = raw.eq_ignore_ascii_case("anonymous")
        || uri.as_ref().is_some_and(|uri| uri.host.eq_ignore_ascii_case("anonymous.invalid"));
    Caller {
        e164: asserted_number.or_else(own_number),
        raw: cut(raw),
        display_name: from.and_then(|from| from.display).map(cut),
        asserted_identity: request.headers.first("P-Asserted-Identity").map(|value| cut(value.into_owned())),
        anonymous: is_nameless || request.headers.privacy().hides_identity,
    }
}

fn user_of(uri: &Uri) -> Option<String> {
    uri.user_decoded()
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(TEXT_LENGTH_MAX));
    text
}

/// The From of a call to a phone: `"<label> <caller>" <sip:<caller>@<realm>>`. An anonymous caller's number and
/// name appear nowhere in it (RFC 3323 §4.1).
pub(super) fn shown(caller: &Caller, label: &str, realm: &str) -> NameAddr {
    let number = caller.e164.as_ref().map_or(caller.raw.as_str(), |number| number.as_str());
    let user: String = number.chars().filter(|c| c.is_ascii_alphanumeric() || "+-_.*#".contains(*c)).collect();
    let user = user.replace('#', "%23");
    let is_hidden = caller.anonymous || user.is_empty();
    let uri = match is_hidden {
        true => "sip:anonymous@anonymous.invalid".to_owned(),
        false => format!("sip:{user}@{realm}"),
    };
    let mut address = NameAddr::new(uri);
    let words = [label, if is_hidden { "" } else { number }];
    let display = words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    address.display = Some(display).filter(|display| !display.is_empty());
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_wrote_as_its_number_cannot_break_our_from() {
        let caller = Caller { raw: "1>;tag=x\r\nVia: y#".into(), ..Caller::default() };
        assert_eq!(shown(&caller, "", "vigie").uri, "sip:1tagxViay%23@vigie");
    }
}
