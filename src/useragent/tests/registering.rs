//! Phones register, and strangers do not.

use std::time::Duration;

use super::bench::*;
use crate::call::signal::Signal;
use crate::model::Fact;
use crate::model::centre::DigestChoice;
use crate::useragent::Rules;

#[test]
fn a_phone_registers_with_each_algorithm_it_is_offered() {
    let mut bench = Bench::new();
    for (user, algorithm) in [("ana", "MD5"), ("bob", "SHA-256"), ("bob", "MD5"), ("cleo", "SHA-256")] {
        let mut bench = Bench::new();
        let response = bench.register(user, PHONE, algorithm);
        assert_eq!(status(&response), "200", "{response}");
        assert_eq!(header(&response, "Contact"), format!("<sip:{user}@{PHONE}>;expires=300"));
        assert!(header(&response, "Date").ends_with("GMT"), "{response}");
        let registered = |s: &Signal| matches!(s, Signal::Registered { regulator, refreshed: false, .. } if regulator.as_str() == user);
        assert!(bench.signals.iter().any(registered));
        assert!(bench.facts.iter().any(|f| matches!(f, Fact::Binding(b) if b.source == PHONE)));
    }
    let challenge = bench.receive(PHONE, &register("bob", PHONE, 1, "")).pop().unwrap();
    let algorithms: Vec<_> =
        headers(&challenge, "WWW-Authenticate").into_iter().map(|c| param(c, "algorithm").to_owned()).collect();
    assert_eq!(algorithms, ["SHA-256", "MD5"], "RFC 8760: the preferred one first");
}

#[test]
fn a_challenge_offers_what_listener_and_regulator_both_allow() {
    let offered = |digest, user| {
        let mut bench = Bench::with(Rules { digests: vec![digest], ..Rules::default() }, 100);
        let challenge = bench.receive(PHONE, &register(user, PHONE, 1, "")).pop().unwrap();
        headers(&challenge, "WWW-Authenticate")
            .into_iter()
            .map(|c| param(c, "algorithm").to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(offered(DigestChoice::Both, "bob"), ["SHA-256", "MD5"]);
    assert_eq!(offered(DigestChoice::Md5, "bob"), ["MD5"]);
    assert_eq!(offered(DigestChoice::Sha256, "bob"), ["SHA-256"]);
    assert_eq!(offered(DigestChoice::Both, "ana"), ["MD5"]);
    assert_eq!(offered(DigestChoice::Sha256, "ana"), ["MD5"], "nothing in common: the regulator's own");
}

#[test]
fn a_response_used_again_is_stale_and_a_wrong_one_is_not() {
    let mut bench = Bench::new();
    let challenge = bench.receive(PHONE, &register("ana", PHONE, 1, "")).pop().unwrap();
    let line = answer(&challenge, "ana", "REGISTER", "sip:127.0.0.1", ("MD5", 1));
    assert_eq!(statuses(&bench.receive(PHONE, &register("ana", PHONE, 2, &line))), ["200"]);
    let replayed = bench.receive(PHONE, &register("ana", PHONE, 3, &line)).pop().unwrap();
    assert_eq!(status(&replayed), "401");
    assert_eq!(param(header(&replayed, "WWW-Authenticate"), "stale"), "true");
    let next = answer(&challenge, "ana", "REGISTER", "sip:127.0.0.1", ("MD5", 2));
    assert_eq!(statuses(&bench.receive(PHONE, &register("ana", PHONE, 4, &next))), ["200"]);
    let wrong = next.replace("nc=00000002", "nc=00000003");
    let refused = bench.receive(PHONE, &register("ana", PHONE, 5, &wrong)).pop().unwrap();
    assert_ne!(param(header(&refused, "WWW-Authenticate"), "stale"), "true");
    let late = answer(&challenge, "ana", "REGISTER", "sip:127.0.0.1", ("MD5", 4));
    bench.pass(Duration::from_secs(299));
    bench.pass(Duration::from_secs(2));
    let stale = bench.receive(PHONE, &register("ana", PHONE, 6, &late)).pop().unwrap();
    assert_eq!(param(header(&stale, "WWW-Authenticate"), "stale"), "true");
}

#[test]
fn an_unknown_user_gets_answers_of_the_same_shape() {
    let shape = |user: &str| {
        let mut bench = Bench::new();
        let challenge = bench.receive(PHONE, &register(user, PHONE, 1, "")).pop().unwrap();
        let algorithm = param(header(&challenge, "WWW-Authenticate"), "algorithm").to_owned();
        let line = answer(&challenge, user, "REGISTER", "sip:127.0.0.1", (&algorithm, 1))
            .replace("nc=00000001", "nc=00000009");
        let refused = bench.receive(PHONE, &register(user, PHONE, 2, &line)).pop().unwrap();
        let names = |text: &str| -> Vec<String> {
            let head = text.split("\r\n\r\n").next().unwrap();
            head.lines().map(|line| line.split(':').next().unwrap().to_owned()).collect()
        };
        let once = |mut list: Vec<String>| {
            list.dedup();
            list
        };
        (once(names(&challenge)), once(names(&refused)))
    };
    assert_eq!(shape("ana"), shape("nobody"));
    assert_eq!(shape("bob"), shape("someone"));
}

#[test]
fn nobody_registers_as_somebody_else_or_from_a_trunk() {
    let mut bench = Bench::new();
    let challenge = bench.receive(PHONE, &register("ana", PHONE, 1, "")).pop().unwrap();
    let line = answer(&challenge, "ana", "REGISTER", "sip:127.0.0.1", ("MD5", 1));
    let text = register("ana", PHONE, 2, &line).replace("To: <sip:ana@", "To: <sip:bob@");
    assert_eq!(statuses(&bench.receive(PHONE, &text)), ["403"]);
    assert_eq!(statuses(&bench.receive(TRUNK, &register("ana", TRUNK, 1, ""))), ["403"]);
    assert!(bench.signals.is_empty() && bench.facts.is_empty());
}

fn registered(more: &str, text: impl Fn(String) -> String) -> (Bench, String) {
    let mut bench = Bench::new();
    let challenge = bench.receive(PHONE, &register("ana", PHONE, 1, "")).pop().unwrap();
    let line = answer(&challenge, "ana", "REGISTER", "sip:127.0.0.1", ("MD5", 1));
    let response = bench.receive(PHONE, &text(register("ana", PHONE, 2, &(line + more)))).pop().unwrap();
    (bench, response)
}

#[test]
fn a_registration_that_is_too_short_is_told_the_least() {
    let (bench, response) = registered("", |text| text.replace("Expires: 300", "Expires: 5"));
    assert_eq!((status(&response), header(&response, "Min-Expires")), ("423", "30"));
    assert!(bench.signals.is_empty());
}

#[test]
fn a_contact_s_own_expiry_wins_and_the_longest_is_bounded() {
    let (_, response) = registered("", |text| text.replace("@127.0.0.1:5070>\n", "@127.0.0.1:5070>;expires=90000\n"));
    assert!(header(&response, "Contact").ends_with(";expires=600"), "{response}");
}

#[test]
fn a_registration_that_requires_an_extension_is_told_which() {
    let (_, response) = registered("Require: path\n", |text| text);
    assert_eq!((status(&response), header(&response, "Unsupported")), ("420", "path"));
}

#[test]
fn a_star_removes_every_binding_and_only_with_expires_0() {
    let (_, response) = registered("", |text| text.replace("<sip:ana@127.0.0.1:5070>\nExpires", "*\nExpires"));
    assert_eq!(status(&response), "400");
    let mut bench = Bench::new();
    let first = bench.register("ana", PHONE, "MD5");
    assert_eq!(status(&first), "200");
    let challenge = bench.receive(PHONE, &register("ana", PHONE, 3, "")).pop().unwrap();
    let line = answer(&challenge, "ana", "REGISTER", "sip:127.0.0.1", ("MD5", 1));
    let text = register("ana", PHONE, 4, &line);
    let text = text.replace("<sip:ana@127.0.0.1:5070>\nExpires: 300", "*\nExpires: 0");
    let response = bench.receive(PHONE, &text).pop().unwrap();
    assert_eq!((status(&response), headers(&response, "Contact").len()), ("200", 0));
    assert!(matches!(bench.signals.last(), Some(Signal::Unregistered { .. })));
    assert!(matches!(bench.facts.last(), Some(Fact::BindingGone { .. })));
}

#[test]
fn a_binding_expires_and_lives_over_a_restart() {
    let mut bench = Bench::new();
    bench.register("ana", PHONE, "MD5");
    let binding = bench.facts.iter().find_map(|f| match f {
        Fact::Binding(b) => Some(b.clone()),
        _ => None,
    });
    let mut again = Bench::new();
    again.restore(binding.into_iter().collect());
    assert!(matches!(again.signals()[..], [Signal::Registered { .. }]));
    again.pass(Duration::from_secs(299));
    assert!(again.signals().is_empty());
    again.pass(Duration::from_secs(1));
    assert!(matches!(again.signals()[..], [Signal::Unregistered { .. }]));
}

#[test]
fn options_is_answered_and_other_methods_are_refused_without_a_trace() {
    let mut bench = Bench::new();
    let text = |method: &str| register("ana", PHONE, 1, "").replace("REGISTER", method);
    let response = bench.receive(PHONE, &text("OPTIONS")).pop().unwrap();
    assert_eq!((status(&response), header(&response, "Accept")), ("200", crate::useragent::rules::ACCEPTED));
    assert!(header(&response, "Allow").contains("INVITE"));
    let refused = bench.receive(PHONE, &text("MESSAGE")).pop().unwrap();
    assert_eq!(status(&refused), "405");
    assert!(header(&refused, "Allow").contains("BYE"));
    assert_eq!(statuses(&bench.receive(PHONE, &text("BREW"))), ["501"]);
    assert_eq!(
        statuses(&bench.receive(PHONE, &text("BYE").replace("127.0.0.1>\nCall", "127.0.0.1>;tag=x\nCall"))),
        ["481"]
    );
    assert!(bench.signals.is_empty() && bench.facts.is_empty());
}

#[test]
fn an_invite_from_a_stranger_is_refused_and_one_in_a_regulator_s_name_is_challenged() {
    let mut bench = Bench::new();
    let invite = |user: &str| {
        register(user, PHONE, 1, "")
            .replace("REGISTER sip:127.0.0.1", "INVITE sip:*11@127.0.0.1")
            .replace("REGISTER", "INVITE")
    };
    for user in ["ana", "nobody"] {
        let responses = bench.receive(PHONE, &invite(user));
        assert_eq!(status(responses.last().unwrap()), "407", "{user}");
    }
    let stranger = invite("+33612345678").replace("sip:+33612345678@127.0.0.1>", "sip:+33612345678@198.51.100.1>");
    assert_eq!(status(bench.receive("198.51.100.1:5060", &stranger).last().unwrap()), "403");
    assert!(bench.signals.is_empty() && bench.facts.is_empty());
}

#[test]
fn a_registered_regulator_dials_a_feature_code() {
    let mut bench = Bench::new();
    let invite = |cseq: u32, more: &str| {
        let body = sdp("127.0.0.1", 6000, "8 0 101", "sendrecv").replace('\n', "\r\n");
        let text = register("ana", PHONE, cseq, more);
        let text = text.replace("REGISTER sip:127.0.0.1", "INVITE sip:*11@127.0.0.1").replace("REGISTER", "INVITE");
        text.replace("z9hG4bKr", "z9hG4bKi").replace("reg-ana", "dial").replace(
            "Content-Length: 0\n\n",
            &format!("Content-Type: application/sdp\nContent-Length: {}\n\n{body}", body.len()),
        )
    };
    let challenge = bench.receive(PHONE, &invite(1, "")).pop().unwrap();
    let line = answer(&challenge, "ana", "INVITE", "sip:*11@127.0.0.1", ("MD5", 1));
    let refused = bench.receive(PHONE, &invite(2, &line));
    assert_eq!(status(refused.last().unwrap()), "403", "right password, but not registered");
    bench.register("ana", PHONE, "MD5");
    let challenge = bench.receive(PHONE, &invite(3, "")).pop().unwrap();
    let line = answer(&challenge, "ana", "INVITE", "sip:*11@127.0.0.1", ("MD5", 1));
    bench.signals();
    bench.receive(PHONE, &invite(4, &line));
    let dialled = bench.signals();
    assert!(
        matches!(&dialled[..], [Signal::Dialled(d)] if d.digits == "*11" && d.regulator.as_str() == "ana"),
        "{dialled:?}"
    );
}

#[test]
fn of_several_credentials_the_one_for_us_counts() {
    let mut bench = Bench::new();
    let challenge = bench.receive(PHONE, &register("bob", PHONE, 1, "")).pop().unwrap();
    let ours = answer(&challenge, "bob", "REGISTER", "sip:127.0.0.1", ("SHA-256", 1));
    let also = answer(&challenge, "bob", "REGISTER", "sip:127.0.0.1", ("MD5", 1));
    let other = ours.replace("realm=\"vigie\"", "realm=\"elsewhere\"");
    let old = ours.replace("nonce=\"0", "nonce=\"1");
    let wrong = ours.replace("response=\"", "response=\"0");
    let all = format!("{other}Authorization: Basic Ym9iOnNlY3JldA==\n{old}{wrong}{ours}{also}");
    assert_eq!(statuses(&bench.receive(PHONE, &register("bob", PHONE, 2, &all))), ["200"]);
}

#[test]
fn a_regulator_has_several_devices_and_the_list_tells_them_all() {
    let mut bench = Bench::new();
    bench.register("ana", PHONE, "MD5");
    let second = bench.register("ana", "127.0.0.1:5072", "MD5");
    assert_eq!(headers(&second, "Contact").len(), 2, "{second}");
    let devices: Vec<_> = bench.signals().into_iter().filter(|s| matches!(s, Signal::Registered { .. })).collect();
    assert!(
        matches!(&devices[..], [Signal::Registered { device: a, .. }, Signal::Registered { device: b, .. }] if a != b)
    );
}
