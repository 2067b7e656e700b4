//! INVITE with Replaces, and calls dialled beside others.

use super::bench::*;
use super::talking::*;
use crate::call::signal::LegOrder;
use crate::model::LegId;

const BOB: &str = "127.0.0.1:5072";

fn low(leg: LegId) -> u64 {
    leg.call.0.as_u64_pair().1
}

/// What cleo's INVITE with this Replaces gets, and the leg that it is to take the place of.
fn dial_replacing(bench: &mut Bench, call_id: &str, replaces: &str) -> (String, Option<LegId>) {
    bench.signals();
    let (texts, _) = dial(bench, ("cleo", "127.0.0.1:5074"), (call_id, "bob"), &format!("Replaces: {replaces}\n"));
    (status(texts.last().unwrap()).to_owned(), dialled(bench).and_then(|dialled| dialled.replaces))
}

#[test]
fn an_invite_takes_the_place_of_the_leg_that_it_names() {
    let mut bench = Bench::new();
    let bob = picked_up(&mut bench, "bob", BOB, name(6, 1));
    bench.register("cleo", "127.0.0.1:5074", "SHA-256");
    let turned = format!("{};from-tag={};to-tag={}", bob.call_id, bob.our_tag, bob.own_tag);
    for (call_id, replaces) in [("r1", bob.replaces()), ("r2", turned)] {
        assert_eq!(dial_replacing(&mut bench, call_id, &replaces), ("100".to_owned(), Some(bob.leg)));
        let new = dialled(&bench).unwrap().leg;
        assert_eq!((low(new), new.call == bob.leg.call), (low(bob.leg), false));
    }
    let none = "nothing;to-tag=a;from-tag=b";
    assert_eq!(dial_replacing(&mut bench, "r3", none), ("481".to_owned(), None));
    let early = format!("{};early-only", bob.replaces());
    assert_eq!(dial_replacing(&mut bench, "r4", &early), ("486".to_owned(), None));
    assert_eq!(dial_replacing(&mut bench, "r5", "x;to-tag=1"), ("400".to_owned(), None));
    let twice = format!("{}\nReplaces: {}", bob.replaces(), bob.replaces());
    assert_eq!(dial_replacing(&mut bench, "r6", &twice), ("400".to_owned(), None));
    bench.receive(BOB, &bob.clone().request("BYE", ""));
    assert_eq!(dial_replacing(&mut bench, "r7", &bob.replaces()), ("603".to_owned(), None));
}

#[test]
fn a_phone_that_still_rings_may_be_replaced_and_one_that_still_dials_may_not() {
    let mut bench = Bench::new();
    let invite = ring(&mut bench, "bob", BOB, name(6, 1));
    answer_invite(&mut bench, (BOB, &invite), ("180", "bob-tag"));
    bench.register("cleo", "127.0.0.1:5074", "SHA-256");
    let (call_id, our_tag) = (header(&invite, "Call-ID"), tag(header(&invite, "From")));
    let ringing = format!("{call_id};from-tag={our_tag};to-tag=bob-tag;early-only");
    assert_eq!(dial_replacing(&mut bench, "r1", &ringing), ("100".to_owned(), Some(name(6, 1))));

    let (_, ana) = {
        bench.register("ana", PHONE, "MD5");
        dial(&mut bench, ("ana", PHONE), ("out", "bob"), "")
    };
    let our_tag = bench.ua.legs.find(ana.leg).unwrap().dialog.local_tag.clone();
    let dialling = format!("out;to-tag={our_tag};from-tag={}", ana.own_tag);
    assert_eq!(dial_replacing(&mut bench, "r2", &dialling), ("481".to_owned(), None));
}

#[test]
fn the_caller_s_own_leg_is_nobody_s_to_take_and_a_carrier_takes_none() {
    let mut bench = Bench::new();
    bench.register("cleo", "127.0.0.1:5074", "SHA-256");
    let offer = sdp("127.0.0.2", 7000, "8 101", "sendrecv");
    bench.receive(TRUNK, &Request { body: &offer, ..Request::default() }.text());
    let leg = bench.incoming_leg();
    let ok = bench.order(LegOrder::Accept { leg, local: address("127.0.0.1:30000") }).pop().unwrap();
    let callers = format!("call-1;to-tag={};from-tag=far", tag(header(&ok, "To")));
    assert_eq!(dial_replacing(&mut bench, "r1", &callers), ("403".to_owned(), None));
    bench.signals();
    for (n, more, code) in
        [(2, format!("Replaces: {callers}\n"), "403"), (3, format!("Replaces: {callers}\nRequire: replaces\n"), "420")]
    {
        let (branch, call) = (format!("z9hG4bK{n}"), format!("call-{n}"));
        let invite = Request { branch: &branch, call: &call, more: &more, body: &offer, ..Request::default() };
        assert_eq!(statuses(&bench.receive(TRUNK, &invite.text())), [code]);
    }
    assert!(bench.signals().is_empty());
}

#[test]
fn a_call_dialled_from_within_another_lives_on_the_same_media_thread() {
    let mut bench = Bench::new();
    let ana = picked_up(&mut bench, "ana", PHONE, name(5, 1));
    let bob = picked_up(&mut bench, "bob", BOB, name(6, 1));
    let (_, consulted) = dial(&mut bench, ("ana", PHONE), ("c1", "bob"), "");
    assert_eq!(low(consulted.leg), low(ana.leg));
    assert!(consulted.leg.call != ana.leg.call && low(consulted.leg) != low(bob.leg));
    bench.receive(BOB, &bob.clone().request("BYE", ""));
    let (_, alone) = dial(&mut bench, ("bob", BOB), ("c2", "ana"), "");
    assert!(low(alone.leg) != low(bob.leg), "an ended leg binds nobody");
}

#[test]
fn many_calls_beside_one_all_have_names_of_their_own() {
    let mut bench = Bench::new();
    let ana = picked_up(&mut bench, "ana", PHONE, name(5, 1));
    let mut calls = std::collections::BTreeSet::from([ana.leg.call]);
    for n in 0..200 {
        let (_, phone) = dial(&mut bench, ("ana", PHONE), (&format!("c{n}"), "bob"), "");
        assert!(calls.insert(phone.leg.call), "call {n}");
        // The utmost that an account may ask for.
        bench.pass(std::time::Duration::from_millis(20));
    }
}

#[test]
fn what_we_can_do_is_said() {
    let mut bench = Bench::new();
    let options = register("ana", PHONE, 1, "").replace("REGISTER", "OPTIONS");
    let ok = bench.receive(PHONE, &options).pop().unwrap();
    let listed = |name: &str, word: &str| header(&ok, name).split(", ").any(|listed| listed == word);
    for (name, word) in [
        ("Supported", "replaces"),
        ("Supported", "norefersub"),
        ("Allow", "REFER"),
        ("Allow", "SUBSCRIBE"),
        ("Allow", "NOTIFY"),
        ("Allow-Events", "dialog"),
        ("Allow-Events", "refer"),
    ] {
        assert!(listed(name, word), "{name}: {word} in {ok}");
    }
}
