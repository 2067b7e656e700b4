//! What a trunk says of a call: read from it alone, kept, and passed on as far as the caller allows.

use super::bench::*;
use crate::call::signal::{Dial, Incoming, LegOrder, Party, Signal};
use crate::model::{CallContext, CallId, Caller, Chance, Codec, E164, LegId, Utc};
use crate::useragent::context::{KEPT_LENGTH_MAX, LINES_MAX};

const CARRIER: &str = "P-Asserted-Identity: \"Jean\" <sip:+33612345678@carrier.example>\nP-Asserted-Identity: <tel:+33612345678>\n\
    Diversion: <sip:+33235000001@c>;reason=no-answer;counter=1, <sip:0235000002@c>;reason=user-busy;privacy=full\n\
    History-Info: <sip:+33235000009@c?Reason=SIP%3Bcause%3D302>;index=1\n\
    Geolocation: <cid:loc@h>, <https://lis.example/x>\nGeolocation-Routing: yes\n\
    User-to-User: 00a2;encoding=hex\nCall-Info: <https://c.example/card>;purpose=card\n";
const PIDF: &str = "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\"><tuple id=\"a\"><status><geopriv><location-info>\
    <Circle><pos>49.4431 1.0993</pos><radius>30</radius></Circle></location-info><method>Cell</method></geopriv></status>\
    </tuple></presence>";

fn offer() -> String {
    sdp("127.0.0.2", 7000, "8 0 101", "sendrecv")
}

/// An INVITE with these headers and a body of this type, from the trunk.
fn invite(more: &str, kind: &str, body: &str) -> String {
    let more = format!("{more}Content-Type: {kind}\n");
    let text = Request { more: &more, body, ..Request::default() }.text();
    text.replacen("Content-Type: application/sdp\n", "", 1)
}

/// Parts, each its head lines and its body, in a multipart of boundary `b`.
fn multipart(parts: &[(&str, &str)]) -> String {
    let parts = parts.iter().map(|(head, body)| format!("--b\n{head}\n\n{body}\n"));
    format!("{}--b--\n", parts.collect::<String>())
}

fn incoming(bench: &mut Bench, text: &str) -> Incoming {
    assert_eq!(statuses(&bench.receive(TRUNK, text)), ["100"], "{text}");
    let found = bench.signals().into_iter().find_map(|signal| match signal {
        Signal::Incoming(incoming) => Some(*incoming),
        _ => None,
    });
    found.expect("a call came in")
}

#[test]
fn a_carrier_s_headers_and_its_location_are_kept_and_read() {
    let sdp = offer();
    let body = multipart(&[
        ("Content-Type: application/sdp", &sdp),
        ("Content-Type: application/pidf+xml\nContent-ID: <loc@h>", PIDF),
    ]);
    let call = incoming(&mut Bench::new(), &invite(CARRIER, "multipart/mixed;boundary=b", &body));
    assert_eq!(call.remote.rtp, address("127.0.0.2:7000"));
    let context = call.context;
    let names: Vec<_> = context.raw.iter().map(|(name, _)| name.as_str()).collect();
    let expected = "P-Asserted-Identity P-Asserted-Identity Diversion History-Info Geolocation Geolocation-Routing User-to-User Call-Info";
    assert_eq!(names.join(" "), expected);
    let told: Vec<_> = context
        .diversions
        .iter()
        .map(|d| (d.e164.as_ref().map(E164::as_str), d.reason.as_deref(), d.private))
        .collect();
    assert_eq!(
        told,
        [(Some("+33235000001"), Some("no-answer"), false), (Some("+33235000002"), Some("user-busy"), true)]
    );
    let location = context.location.expect("a location");
    assert_eq!(
        (location.latitude, location.radius_m, location.method.as_deref()),
        (Some(49.4431), Some(30.0), Some("Cell"))
    );
    assert_eq!(location.reference.as_deref(), Some("https://lis.example/x"));
    assert_eq!(location.document.as_deref(), Some(PIDF));
    assert_eq!(context.user_to_user.as_deref(), Some("00a2;encoding=hex"));
    assert_eq!(context.call_info.first().map(|info| info.purpose.as_deref()), Some(Some("card")));
}

#[test]
fn history_tells_who_diverted_when_no_diversion_does() {
    let more = "History-Info: <sip:+33235000009@c?Reason=SIP%3Bcause%3D302>;index=1, <sip:+33233010101@c>;index=1.1\n";
    let call = incoming(&mut Bench::new(), &invite(more, "application/sdp", &offer()));
    let told: Vec<_> = call.context.diversions.iter().map(|d| (d.from.as_str(), d.reason.as_deref())).collect();
    assert_eq!(told, [("sip:+33235000009@c", Some("302"))]);
}

#[test]
fn an_anonymous_caller_is_located_all_the_same() {
    let more = "Privacy: id;header\nGeolocation: <cid:loc@h>\n";
    let body = multipart(&[("Content-Type: application/sdp", &offer()), ("Content-Type: application/pidf+xml", PIDF)]);
    let call = incoming(&mut Bench::new(), &invite(more, "multipart/related;boundary=\"b\"", &body));
    assert!(call.caller.anonymous);
    assert_eq!(call.context.location.and_then(|l| l.longitude), Some(1.0993));
}

#[test]
fn a_location_that_cannot_be_read_is_kept_as_it_is_and_loses_no_call() {
    let body = multipart(&[
        ("Content-Type: application/sdp", &offer()),
        ("Content-Type: application/pidf+xml\nContent-ID: <loc@h>", "<presence><torn"),
    ]);
    let call = incoming(&mut Bench::new(), &invite("Geolocation: <cid:loc@h>\n", "multipart/mixed;boundary=b", &body));
    let location = call.context.location.expect("kept");
    assert_eq!((location.document.as_deref(), location.latitude), (Some("<presence><torn"), None));
}

#[test]
fn what_is_kept_of_a_flood_is_bounded() {
    let more = format!("Diversion: <sip:1@c>;reason=\"{}\"\n", "x".repeat(3000)).repeat(15);
    let call = incoming(&mut Bench::new(), &invite(&more, "application/sdp", &offer()));
    assert!(call.context.raw.iter().map(|(_, value)| value.len()).sum::<usize>() <= KEPT_LENGTH_MAX);
    let many = "Call-Info: <https://h/x>\n".repeat(200);
    let call = incoming(&mut Bench::new(), &invite(&many, "application/sdp", &offer()));
    assert_eq!(call.context.raw.len(), LINES_MAX);
    assert!(serde_json::to_string(&call.context).expect("JSON").len() < 4 * KEPT_LENGTH_MAX);
}

#[test]
fn a_body_is_refused_with_what_is_wrong_with_it() {
    let sdp = offer();
    let isup = |handling: &str| {
        let head = format!("Content-Type: application/isup\nContent-Disposition: signal;handling={handling}");
        multipart(&[("Content-Type: application/sdp", &sdp), (&head, "x")])
    };
    let mixed = "multipart/mixed;boundary=b";
    for (kind, body, first_line) in [
        (mixed, "--b--".to_owned(), "SIP/2.0 400 Multipart Body Without Parts"),
        (mixed, String::new(), "SIP/2.0 400 Multipart Body Without Parts"),
        ("multipart/mixed", "--b--".to_owned(), "SIP/2.0 400 Multipart Boundary Missing Or Too Long"),
        (mixed, "--b\n\nx\n".repeat(100), "SIP/2.0 400 Too Many Body Parts"),
        (mixed, isup("required"), "SIP/2.0 415 Unsupported Media Type"),
        (mixed, multipart(&[("Content-Type: application/sdp", "")]), "SIP/2.0 488 SDP Empty Or Too Long"),
        ("text/plain", "hello".to_owned(), "SIP/2.0 415 Unsupported Media Type"),
    ] {
        let mut bench = Bench::new();
        let answer = bench.receive(TRUNK, &invite("", kind, &body)).pop().expect("an answer");
        assert_eq!(answer.lines().next(), Some(first_line), "{kind} {body:.40}");
        assert!(bench.signals().is_empty());
    }
    incoming(&mut Bench::new(), &invite("", mixed, &isup("optional")));
    let forgetful = multipart(&[("Content-Type: application/sdp", &sdp), ("Content-Type: application/isup", "x")]);
    incoming(&mut Bench::new(), &invite("", mixed, &forgetful));
}

#[test]
fn a_regulator_s_own_call_brings_no_context() {
    let mut bench = Bench::new();
    bench.register("ana", PHONE, "MD5");
    let text = invite(CARRIER, "application/sdp", &offer()).replace("0612345678@carrier.example", "ana@127.0.0.1");
    let challenge = bench.receive(PHONE, &text).pop().expect("a challenge");
    let line = answer(&challenge, "ana", "INVITE", "sip:+33233010101@127.0.0.1", ("MD5", 1));
    let again = text.replace("z9hG4bK1", "z9hG4bK2").replace("CSeq: 1", "CSeq: 2");
    let again = again.replacen("Contact:", &format!("{line}Contact:"), 1);
    bench.signals();
    bench.receive(PHONE, &again);
    assert!(matches!(&bench.signals()[..], [Signal::Dialled(_)]), "told as dialled, which has no context");
}

/// The INVITE to a phone for a caller of whom the trunk said this.
fn dialled(anonymous: bool, privacy: &str) -> String {
    let mut bench = Bench::new();
    bench.register("ana", PHONE, "MD5");
    let found = bench.signals().into_iter().find_map(|signal| match signal {
        Signal::Registered { device, .. } => Some(device),
        _ => None,
    });
    let privacy = if privacy.is_empty() { String::new() } else { format!("Privacy: {privacy}\n") };
    let text = invite(&format!("{CARRIER}{privacy}"), "application/sdp", &offer());
    let Incoming { caller, context, .. } = incoming(&mut bench, &text);
    let call = CallId::new(Utc(1), &mut Chance::from_number(5));
    let caller = Caller { anonymous: anonymous || caller.anonymous, ..caller };
    let order = Dial {
        leg: LegId { call, number: 1 },
        to: Party::Device { regulator: "ana".into(), device: found.expect("a device registered") },
        context,
        local: address("127.0.0.1:30002"),
        prefer: Codec::Pcma,
        caller,
        label: "Rouen".into(),
        call,
        manner: Default::default(),
    };
    bench.order(LegOrder::Dial(Box::new(order))).pop().expect("an INVITE")
}

#[test]
fn a_phone_is_told_as_much_as_the_caller_allows() {
    for (anonymous, privacy, identity, user_to_user, call_info) in [
        (false, "", true, true, true),
        (false, "none", true, true, true),
        (false, "id", false, true, false),
        (false, "user", false, false, false),
        (false, "header;critical", false, false, false),
        (true, "", false, true, false),
    ] {
        let invite = dialled(anonymous, privacy);
        let has = |name: &str| !headers(&invite, name).is_empty();
        let told = (has("P-Asserted-Identity"), has("User-to-User"), has("Call-Info"));
        assert_eq!(told, (identity, user_to_user, call_info), "{anonymous} {privacy}\n{invite}");
        assert_eq!(invite.contains("612345678"), identity, "{invite}");
        assert!(!has("Diversion") && !has("History-Info") && !has("Geolocation"), "{invite}");
    }
    let shown = dialled(false, "");
    assert_eq!(header(&shown, "P-Asserted-Identity"), "\"Rouen +33612345678\" <sip:+33612345678@vigie>");
    assert_eq!(header(&shown, "User-to-User"), "00a2;encoding=hex");
    assert_eq!(header(&shown, "Call-Info"), "<https://c.example/card>;purpose=card");
}

#[test]
fn a_context_s_bounds_hold_without_a_trunk_saying_anything() {
    let call = incoming(&mut Bench::new(), &invite("", "application/sdp", &offer()));
    assert_eq!(*call.context, CallContext::default());
}
