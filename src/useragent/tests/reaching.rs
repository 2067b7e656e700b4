//! Calls over a carrier: outside numbers dialled, places tried in turn, challenges answered, limits kept.

use std::time::Duration;

use super::bench::{Bench, Request, address, body, header, sdp, status, statuses, tag};
use super::carriers::{FIRST, SECOND, bench_of, centre_with_carrier, is_proven, respond};
use crate::call::signal::{Dial, LegOrder, Party, RefusalKind, Signal};
use crate::model::centre::NumberForm;
use crate::model::{CallId, Caller, Centre, Chance, Codec, E164, EndedBy, LegId, Utc};
use crate::sip::digest::Algorithm;

fn reached(centre: Centre, places: &[&str]) -> Bench {
    let mut bench = bench_of(centre);
    bench.resolved(places);
    bench.sent.clear();
    bench
}

fn caller() -> Caller {
    Caller { raw: "0612345678".into(), e164: E164::parse("+33612345678"), ..Caller::default() }
}

fn leg(number: u16) -> LegId {
    LegId { call: CallId::new(Utc(1), &mut Chance::from_number(5)), number }
}

fn dial_number(bench: &mut Bench, leg: LegId, number: &str, caller: Caller) -> Vec<String> {
    let to = Party::Number { trunk: "carrier".into(), number: number.into() };
    let (local, label, context) = (address("127.0.0.1:30002"), "Cherbourg".into(), Box::default());
    let order = Dial {
        leg,
        to,
        local,
        prefer: Codec::Pcma,
        caller,
        label,
        call: leg.call,
        context,
        manner: Default::default(),
    };
    bench.order(LegOrder::Dial(Box::new(order)))
}

fn dial(places: &[&str]) -> (Bench, String) {
    let mut bench = reached(centre_with_carrier(false, None), places);
    let invite = dial_number(&mut bench, leg(1), "+33299887766", caller()).pop().expect("an INVITE");
    (bench, invite)
}

fn ok(invite: &str) -> String {
    let answer = sdp("192.0.2.1", 40_000, "8", "sendrecv");
    let more = format!("Contact: <sip:gw@192.0.2.1>\nContent-Type: application/sdp\nX: {}\n", answer.len());
    respond(invite, "200 OK", &more).replace(
        "Content-Length: 0\n\n",
        &format!("Content-Length: {}\n\n{answer}", answer.replace('\n', "\r\n").len()),
    )
}

#[test]
fn a_number_is_written_as_the_carrier_wants_it_and_shows_whose_call_it_is() {
    let (bench, invite) = dial(&[FIRST]);
    assert!(invite.starts_with("INVITE sip:+33299887766@carrier.example;user=phone SIP/2.0\r\n"), "{invite}");
    assert!(header(&invite, "From").starts_with("<sip:centre@carrier.example>;tag="), "{invite}");
    assert_eq!(header(&invite, "P-Asserted-Identity"), "<sip:centre@carrier.example>");
    assert!(!invite.contains("0612345678") && !invite.contains("+33612345678"), "the caller is not shown: {invite}");
    assert!(!invite.contains("X-Vigie-Call") && body(&invite).contains("m=audio 30002"));
    assert_eq!(bench.sent[0].0, address(FIRST));
    let mut centre = centre_with_carrier(false, None);
    let trunk = centre.trunks.get_mut(&"carrier".into()).expect("the trunk");
    trunk.outgoing.form = NumberForm::National;
    trunk.outgoing.shown = E164::parse("+33199000199");
    trunk.outgoing.shows_caller = true;
    let mut bench = reached(centre, &[FIRST]);
    let invite = dial_number(&mut bench, leg(1), "+33299887766", caller()).pop().expect("an INVITE");
    assert!(invite.starts_with("INVITE sip:0299887766@carrier.example;user=phone SIP/2.0\r\n"), "{invite}");
    assert!(header(&invite, "From").contains("<sip:+33612345678@carrier.example>"), "{invite}");
    assert_eq!(header(&invite, "P-Asserted-Identity"), "<sip:0199000199@carrier.example>");
    let hidden = Caller { anonymous: true, ..caller() };
    let invite = dial_number(&mut bench, leg(2), "15", hidden).pop().expect("an INVITE");
    assert!(invite.starts_with("INVITE sip:15@carrier.example;user=phone SIP/2.0\r\n"), "{invite}");
    assert!(header(&invite, "From").contains("anonymous.invalid") && header(&invite, "Privacy") == "id");
}

#[test]
fn a_carriers_challenge_to_our_call_is_answered_once() {
    let (mut bench, invite) = dial(&[FIRST]);
    let challenge = "Proxy-Authenticate: Digest realm=\"carrier\", nonce=\"n\", algorithm=SHA-256, qop=\"auth\"\n";
    let refusal = |invite: &str| respond(invite, "407 Proxy Authentication Required", challenge);
    let sent = bench.receive(FIRST, &refusal(&invite));
    assert_eq!(statuses(&sent), ["ACK", "INVITE"]);
    let proven = &sent[1];
    assert!(is_proven(proven, "Proxy-Authorization", "n", Algorithm::Sha256), "{proven}");
    assert_eq!((header(proven, "CSeq"), header(proven, "Call-ID")), ("2 INVITE", header(&invite, "Call-ID")));
    assert_eq!(tag(header(proven, "From")), tag(header(&invite, "From")));
    assert_ne!(header(proven, "Via"), header(&invite, "Via"), "the branch is a new one");
    assert!(!header(proven, "To").contains("tag="), "{proven}");
    assert!(bench.signals().is_empty(), "the switch hears nothing of it");
    let taken = bench.receive(FIRST, &ok(proven));
    assert_eq!((statuses(&taken), header(&taken[0], "CSeq")), (vec!["ACK"], "2 ACK"));
    assert!(matches!(&bench.signals()[..], [Signal::Accepted { .. }]));
    let (mut bench, invite) = dial(&[FIRST]);
    let proven = bench.receive(FIRST, &refusal(&invite)).remove(1);
    assert_eq!(statuses(&bench.receive(FIRST, &refusal(&proven))), ["ACK"]);
    assert!(matches!(&bench.signals()[..], [Signal::Refused { .. }]), "a wrong password is not tried for ever");
}

#[test]
fn a_call_that_one_place_cannot_take_goes_to_the_next() {
    for answer in ["503 Service Unavailable", "408 Request Timeout", "", "cut"] {
        let (mut bench, invite) = dial(&[FIRST, SECOND]);
        let sent = match answer {
            "" => bench.pass(Duration::from_secs(5)),
            "cut" => bench.cut(FIRST),
            answer => bench.receive(FIRST, &respond(&invite, answer, "")),
        };
        let second = sent.iter().find(|text| header(text, "CSeq") == "2 INVITE").unwrap_or_else(|| panic!("{answer}"));
        assert_eq!(bench.sent.iter().filter(|(place, _)| *place == address(SECOND)).count(), 1, "{answer}");
        assert_eq!(header(second, "Call-ID"), header(&invite, "Call-ID"));
        assert!(bench.signals().is_empty(), "{answer}: the switch hears nothing of it");
        bench.receive(SECOND, &ok(second));
        assert!(matches!(&bench.signals()[..], [Signal::Accepted { .. }]), "{answer}");
        // The next call begins where the last one was taken.
        let next = dial_number(&mut bench, leg(2), "+33299887766", caller());
        assert_eq!((next.len(), bench.sent.last().expect("sent").0), (1, address(SECOND)), "{answer}");
    }
}

#[test]
fn when_no_place_takes_the_call_the_switch_hears_of_it_once() {
    let (mut bench, invite) = dial(&[FIRST, SECOND]);
    let second = bench.receive(FIRST, &respond(&invite, "503 Service Unavailable", "")).remove(1);
    bench.receive(SECOND, &respond(&second, "503 Service Unavailable", ""));
    let signals = bench.signals();
    assert!(matches!(&signals[..], [Signal::Refused { refusal, .. }] if refusal.kind == RefusalKind::Unreachable));
    let (mut bench, _) = dial(&[FIRST, SECOND]);
    bench.pass(Duration::from_secs(60));
    let signals = bench.signals();
    assert!(matches!(&signals[..], [Signal::Refused { .. }]), "{signals:?}");
    let (mut bench, invite) = dial(&[FIRST, SECOND]);
    assert_eq!(statuses(&bench.receive(FIRST, &respond(&invite, "486 Busy Here", ""))), ["ACK"]);
    assert!(matches!(&bench.signals()[..], [Signal::Refused { refusal, .. }] if refusal.kind == RefusalKind::Busy));
}

#[test]
fn a_place_that_was_given_up_and_answers_after_all_has_the_call() {
    let (mut bench, invite) = dial(&[FIRST, SECOND]);
    let sent = bench.pass(Duration::from_secs(5));
    let second = sent.iter().find(|text| header(text, "CSeq") == "2 INVITE").expect("the next place");
    bench.receive(SECOND, &respond(second, "180 Ringing", ""));
    let late = bench.receive(FIRST, &ok(&invite));
    assert!(statuses(&late).contains(&"ACK") && statuses(&late).contains(&"CANCEL"), "{late:?}");
    assert!(matches!(bench.signals().last(), Some(Signal::Accepted { .. })));
    let end = bench.order(LegOrder::Hangup { leg: leg(1), why: EndedBy::Operator });
    assert_eq!(statuses(&end), ["BYE"]);
}

#[test]
fn a_dialled_number_counts_in_the_trunks_calls() {
    let mut centre = centre_with_carrier(false, None);
    centre.trunks.get_mut(&"carrier".into()).expect("the trunk").calls_max = 1;
    let mut bench = reached(centre, &[FIRST]);
    assert_eq!(dial_number(&mut bench, leg(1), "+33299887766", caller()).len(), 1);
    assert!(dial_number(&mut bench, leg(2), "+33299887766", caller()).is_empty());
    let signals = bench.signals();
    assert!(matches!(&signals[..], [Signal::Refused { refusal, .. }] if refusal.detail.contains("calls_max")));
    bench.order(LegOrder::Hangup { leg: leg(1), why: EndedBy::Operator });
    bench.pass(Duration::from_secs(120));
    assert_eq!(dial_number(&mut bench, leg(3), "+33299887766", caller()).len(), 1);
}

#[test]
fn nothing_is_kept_of_dialled_numbers_once_they_are_over() {
    let (mut bench, invite) = dial(&[FIRST, SECOND]);
    bench.receive(FIRST, &respond(&invite, "503 Service Unavailable", ""));
    bench.order(LegOrder::Hangup { leg: leg(1), why: EndedBy::Operator });
    bench.pass(Duration::from_secs(200));
    assert!(bench.ua.count_kept().iter().all(|(_, count)| *count == 0), "{:?}", bench.ua.count_kept());
}

#[test]
fn a_call_from_where_the_carriers_name_leads_is_the_carriers_and_to_names_what_was_dialled() {
    let mut centre = centre_with_carrier(true, None);
    centre.trunks.get_mut(&"carrier".into()).expect("the trunk").peers.clear();
    let mut bench = bench_of(centre);
    let offer = sdp("192.0.2.1", 40_000, "8", "sendrecv");
    let invite = Request { body: &offer, ..Request::default() }.text();
    assert_ne!(statuses(&bench.receive(FIRST, &invite)), ["100"], "before DNS has spoken it is a stranger's");
    bench.resolved(&[FIRST]);
    let other = Request { branch: "z9hG4bK2", call: "call-2", body: &offer, ..Request::default() }.text();
    let other = other.replacen("sip:+33233010101@", "sip:centre@", 1);
    assert_eq!(status(&bench.receive("192.0.2.1:9999", &other)[0]), "100");
    let signals = bench.signals();
    assert!(matches!(&signals[..], [Signal::Incoming(call)] if call.ddi == "+33233010101"), "{signals:?}");
}

#[test]
fn more_calls_a_second_than_a_trunk_may_bring_are_refused_at_once_and_told_once() {
    let mut centre = centre_with_carrier(false, None);
    centre.trunks.get_mut(&"carrier".into()).expect("the trunk").rate_max = 5;
    let mut bench = bench_of(centre);
    let offer = sdp("127.0.0.2", 40_000, "8", "sendrecv");
    let ring = |bench: &mut Bench, number: usize| {
        let (branch, call) = (format!("z9hG4bKr{number}"), format!("rate-{number}"));
        let invite = Request { branch: &branch, call: &call, body: &offer, ..Request::default() }.text();
        bench.receive("127.0.0.2:5080", &invite).remove(0)
    };
    let answers: Vec<String> = (0..12).map(|number| ring(&mut bench, number)).collect();
    assert_eq!(answers.iter().filter(|answer| status(answer) == "100").count(), 5);
    let refused = answers.last().expect("twelve");
    assert_eq!((status(refused), header(refused, "Retry-After")), ("503", "5"));
    assert_eq!(bench.alarms.len(), 1);
    bench.pass(Duration::from_secs(1));
    assert_eq!(status(&ring(&mut bench, 100)), "100");
}
