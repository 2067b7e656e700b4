//! Who calls and what was dialled, as the trunk wrote it; and the caller as a regulator's phone is shown it.

use crate::model::centre::VerifiedBy;
use crate::model::{Caller, NumberPlan};
use crate::sip::{NameAddr, Request, Uri};

use super::rules::TEXT_LENGTH_MAX;

/// The user part of the Request-URI, or the number of a `tel:`, as the trunk wrote it, unescaped (`%2B33…` is a
/// `+33…`: RFC 3261 §19.1.2); empty when there is none.
pub(super) fn dialled(request: &Request) -> String {
    cut(Uri::parse(&request.uri).and_then(|uri| uri.user_decoded()).unwrap_or_default())
}

/// Who calls over a trunk that writes numbers as `numbers` says.
pub(super) fn read_caller(request: &Request, numbers: &NumberPlan, vouched: VerifiedBy) -> Caller {
    let from = request.headers.from();
    let uri = from.as_ref().and_then(NameAddr::to_uri);
    let asserted = request.headers.addresses("P-Asserted-Identity");
    // RFC 3325 §9.1: there may be two, a sip: and a tel: one, of the same party. Numbers that contradict one another
    // assert nothing: one of them may have slipped through from the caller.
    let mut asserted = asserted.iter().filter_map(|address| numbers.normalise(&user_of(&address.to_uri()?)?));
    let asserted_number = asserted.next().filter(|first| asserted.all(|other| other == *first));
    let is_asserted = asserted_number.is_some();
    let own_number = || numbers.normalise(&user_of(uri.as_ref()?)?);
    let raw = uri.as_ref().and_then(|uri| uri.user.clone()).unwrap_or_default();
    let is_nameless = raw.eq_ignore_ascii_case("anonymous")
        || uri.as_ref().is_some_and(|uri| uri.host.eq_ignore_ascii_case("anonymous.invalid"));
    Caller {
        e164: asserted_number.or_else(own_number),
        raw: cut(raw),
        display_name: from.and_then(|from| from.display).map(cut),
        asserted_identity: identity(request),
        anonymous: is_nameless || request.headers.privacy().hides_identity,
        verified: match verstat(request) {
            Some(valid) => valid,
            None => is_asserted || vouched == VerifiedBy::Carrier,
        },
    }
}

/// What the carrier's own check of the number came to, when it says so (`verstat`, 3GPP TS 24.229 §7.2A.20): a failure
/// anywhere counts.
fn verstat(request: &Request) -> Option<bool> {
    let from = request.headers.from();
    let asserted = request.headers.addresses("P-Asserted-Identity");
    let written: Vec<String> =
        asserted.iter().chain(from.as_ref()).map(|address| address.uri.to_ascii_lowercase()).collect();
    let says = |word: &str| written.iter().any(|uri| uri.contains(&format!("verstat=tn-validation-{word}")));
    if says("failed") {
        return Some(false);
    }
    says("passed").then_some(true)
}

/// Every P-Asserted-Identity as it was written.
fn identity(request: &Request) -> Option<String> {
    let all: Vec<_> = request.headers.all("P-Asserted-Identity").collect();
    (!all.is_empty()).then(|| cut(all.join(", ")))
}

fn user_of(uri: &Uri) -> Option<String> {
    uri.user_decoded()
}

pub(super) fn cut(mut text: String) -> String {
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
    fn both_asserted_identities_are_kept_and_the_first_number_counts() {
        let text = "INVITE sip:1@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:anonymous@h>;tag=1\r\nTo: <sip:1@h>\r\n\
            Call-ID: 1\r\nCSeq: 1 INVITE\r\nP-Asserted-Identity: \"J\" <sip:jean@h>\r\nP-Asserted-Identity: <tel:+33612345678>\r\n\r\n";
        let Ok(crate::sip::Message::Request(request)) = crate::sip::Message::parse(&text.into()) else {
            panic!("{text}")
        };
        let caller = read_caller(&request, &NumberPlan::default(), VerifiedBy::Carrier);
        assert_eq!(caller.asserted_identity.as_deref(), Some("\"J\" <sip:jean@h>, <tel:+33612345678>"));
        assert_eq!(caller.e164.map(|number| number.as_str().to_owned()).as_deref(), Some("+33612345678"));
        assert!(caller.anonymous);
    }

    #[test]
    fn asserted_numbers_that_contradict_one_another_assert_nothing() {
        let read = |identities: &str| {
            let text = format!(
                "INVITE sip:1@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:+33611111111@h>;tag=1\r\nTo: <sip:1@h>\r\n\
                 Call-ID: 1\r\nCSeq: 1 INVITE\r\n{identities}\r\n"
            );
            let Ok(crate::sip::Message::Request(request)) = crate::sip::Message::parse(&text.into()) else { panic!() };
            read_caller(&request, &NumberPlan::default(), VerifiedBy::Carrier)
        };
        let two = "P-Asserted-Identity: <sip:+33622222222@h>\r\nP-Asserted-Identity: <sip:+33633333333@h>\r\n";
        let caller = read(two);
        assert_eq!(caller.e164.map(|n| n.as_str().to_owned()).as_deref(), Some("+33611111111"));
        assert_eq!(caller.asserted_identity.as_deref(), Some("<sip:+33622222222@h>, <sip:+33633333333@h>"));
        let same = "P-Asserted-Identity: <sip:+33622222222@h>, <tel:+33622222222>\r\n";
        assert_eq!(read(same).e164.map(|n| n.as_str().to_owned()).as_deref(), Some("+33622222222"));
    }

    #[test]
    fn a_number_is_verified_by_whom_the_trunk_says() {
        let read = |from: &str, identity: &str, by| {
            let text = format!(
                "INVITE sip:1@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:{from}@h>;tag=1\r\nTo: <sip:1@h>\r\n\
                 Call-ID: 1\r\nCSeq: 1 INVITE\r\n{identity}\r\n"
            );
            let Ok(crate::sip::Message::Request(request)) = crate::sip::Message::parse(&text.into()) else { panic!() };
            let caller = read_caller(&request, &NumberPlan::default(), by);
            (caller.e164.map(|number| number.as_str().to_owned()), caller.verified)
        };
        let asserted = "P-Asserted-Identity: <sip:+33622222222@h>\r\n";
        let number = |text: &str| Some(text.to_owned());
        assert_eq!(read("+33611111111", "", VerifiedBy::Carrier), (number("+33611111111"), true));
        assert_eq!(read("+33611111111", "", VerifiedBy::Asserted), (number("+33611111111"), false));
        assert_eq!(read("+33611111111", asserted, VerifiedBy::Asserted), (number("+33622222222"), true));
        let failed = "+33611111111;verstat=TN-Validation-Failed";
        assert_eq!(read(failed, "", VerifiedBy::Carrier), (number("+33611111111"), false));
        let passed = "+33611111111;verstat=TN-Validation-Passed";
        assert_eq!(read(passed, "", VerifiedBy::Asserted), (number("+33611111111"), true));
    }

    #[test]
    fn what_a_peer_wrote_as_its_number_cannot_break_our_from() {
        let caller = Caller { raw: "1>;tag=x\r\nVia: y#".into(), ..Caller::default() };
        assert_eq!(shown(&caller, "", "vigie").uri, "sip:1tagxViay%23@vigie");
    }
}
