//! Whoever fails too often is banned; who belongs here goes on working.

use std::time::Duration;

use super::bench::*;
use crate::model::centre::BanRules;
use crate::model::{BanKind, BanView, Reply};
use crate::useragent::Rules;

const STRANGER: &str = "198.51.100.7:5060";

fn rules() -> Rules {
    let bans = BanRules { failures_max: 5, strays_max: 20, account_failures_max: 8, ..BanRules::default() };
    Rules { bans, ..Rules::default() }
}

/// One guess at a password: a challenge asked for and answered wrongly; what came back.
fn guess(bench: &mut Bench, user: &str, from: &str, cseq: u32) -> Vec<String> {
    let mut texts = bench.receive(from, &register(user, from, cseq, ""));
    let Some(challenge) = texts.last().cloned() else { return texts };
    let algorithm = param(header(&challenge, "WWW-Authenticate"), "algorithm");
    let right = answer(&challenge, "bob", "REGISTER", "sip:127.0.0.1", (algorithm, 1));
    let wrong = right.replace("username=\"bob\"", &format!("username=\"{user}\""));
    let wrong = wrong.replace(param(&right, "response"), &"0".repeat(32));
    texts.extend(bench.receive(from, &register(user, from, cseq + 1, &wrong)));
    texts
}

fn bans(bench: &Bench) -> Vec<BanView> {
    let Reply::Bans(bans) = bench.ua.bans(bench.now) else { panic!("no bans") };
    bans
}

fn banned(bench: &Bench) -> Vec<String> {
    bans(bench).into_iter().map(|ban| ban.who).collect()
}

#[test]
fn five_wrong_passwords_ban_an_address_until_the_ban_ends_and_it_is_told_once() {
    let mut bench = Bench::with(rules(), 100);
    for n in 0..5 {
        assert_eq!(statuses(&guess(&mut bench, "bob", STRANGER, 2 * n + 1)), ["401", "401"], "{n}");
    }
    assert_eq!(bench.receive(STRANGER, &register("bob", STRANGER, 20, "")), [""; 0]);
    assert_eq!(banned(&bench), ["198.51.100.7"]);
    assert_eq!((bans(&bench)[0].kind, bans(&bench)[0].failures), (BanKind::Source, 5));
    assert_eq!(bench.alarms.iter().filter(|alarm| alarm.kind == "sip-ban").count(), 1);
    assert_eq!(status(&bench.register("bob", PHONE, "MD5")), "200", "the account itself goes on");
    bench.pass(Duration::from_secs(601));
    assert!(banned(&bench).is_empty());
    assert_eq!(status(&bench.register("bob", STRANGER, "MD5")), "200");
}

#[test]
fn a_phone_that_asks_for_challenges_or_brings_an_old_one_has_done_nothing_wrong() {
    let mut bench = Bench::with(rules(), 100);
    let challenge = bench.receive(STRANGER, &register("ana", STRANGER, 1, "")).pop().unwrap();
    let old = answer(&challenge, "ana", "REGISTER", "sip:127.0.0.1", ("MD5", 1));
    bench.pass(Duration::from_secs(400));
    for n in 0..100 {
        bench.receive(STRANGER, &register("ana", STRANGER, 2 * n + 2, ""));
        bench.receive(STRANGER, &register("ana", STRANGER, 2 * n + 3, &old));
    }
    assert!(banned(&bench).is_empty(), "{:?}", bans(&bench));
}

#[test]
fn a_challenge_sent_elsewhere_gets_nobody_banned_for_failures() {
    let mut bench = Bench::with(rules(), 100);
    let challenge = bench.receive(STRANGER, &register("bob", STRANGER, 1, "")).pop().unwrap();
    let line = answer(&challenge, "bob", "REGISTER", "sip:127.0.0.1", ("MD5", 1));
    let wrong = line.replace(param(&line, "response"), &"0".repeat(32));
    // The stranger writes the address of a phone that is not registered yet onto its datagrams.
    for n in 0..19 {
        bench.receive(PHONE, &register("bob", PHONE, n + 2, &wrong));
    }
    assert!(banned(&bench).is_empty(), "{:?}", bans(&bench));
}

#[test]
fn an_address_with_a_registered_phone_and_a_trunk_are_never_banned() {
    let mut bench = Bench::with(rules(), 100);
    assert_eq!(status(&bench.register("ana", PHONE, "MD5")), "200");
    for n in 0..100 {
        guess(&mut bench, "zoe", PHONE, 10 + 2 * n);
        bench.receive(PHONE, "nonsense\n\n");
        bench.receive(TRUNK, "nonsense\n\n");
        bench.receive(TRUNK, &register("ana", TRUNK, n, ""));
    }
    assert!(banned(&bench).is_empty(), "{:?}", bans(&bench));
    assert_eq!(status(&bench.register("bob", PHONE, "MD5")), "200");
}

#[test]
fn an_account_under_attack_from_everywhere_is_believed_only_where_it_is_registered() {
    let mut bench = Bench::with(rules(), 100);
    assert_eq!(status(&bench.register("bob", PHONE, "MD5")), "200");
    for n in 0..8 {
        guess(&mut bench, "bob", &format!("198.51.100.{n}:5060"), 1);
    }
    assert_eq!((banned(&bench), bans(&bench)[0].kind), (vec!["bob".to_owned()], BanKind::Account));
    assert_eq!(
        status(&bench.register("bob", "198.51.100.99:5060", "MD5")),
        "401",
        "the right password is not believed"
    );
    let again = register("bob", PHONE, 12, "");
    let challenge = bench.receive(PHONE, &again).pop().unwrap();
    let line = answer(&challenge, "bob", "REGISTER", "sip:127.0.0.1", ("MD5", 1));
    assert_eq!(statuses(&bench.receive(PHONE, &register("bob", PHONE, 13, &line))), ["200"], "its phone goes on");
    assert_eq!(status(&bench.register("ana", "198.51.100.99:5060", "MD5")), "200", "and so does everybody else");
}

#[test]
fn a_sweep_over_names_that_nobody_has_bans_the_sweeper() {
    let mut bench = Bench::with(rules(), 100);
    let answered = (0..100).filter(|n| {
        let user = format!("{}", 100 + n);
        !bench.receive(STRANGER, &register(&user, STRANGER, 1, "")).is_empty()
    });
    assert_eq!(answered.count(), 20);
    assert_eq!(banned(&bench), ["198.51.100.7"]);
}

#[test]
fn a_flood_of_calls_from_a_stranger_or_of_nonsense_bans_it() {
    for text in [Request::default().text(), "nonsense\n\n".to_owned()] {
        let mut bench = Bench::with(rules(), 100);
        (0..20).for_each(|_| drop(bench.receive(STRANGER, &text)));
        assert_eq!(banned(&bench), ["198.51.100.7"], "{text}");
        assert_eq!(bench.receive(STRANGER, &text), [""; 0]);
    }
}

#[test]
fn a_lifted_ban_lets_the_address_in_again() {
    let mut bench = Bench::with(rules(), 100);
    (0..5).for_each(|n| drop(guess(&mut bench, "bob", STRANGER, 2 * n + 1)));
    let mut out = Vec::new();
    assert_eq!(bench.ua.unban("198.51.100.7", bench.now, &mut out), Reply::Done);
    assert_eq!(bench.ua.unban("198.51.100.7", bench.now, &mut out), Reply::Unknown);
    assert_eq!(status(&bench.register("bob", STRANGER, "MD5")), "200");
}

#[test]
fn an_account_that_asks_too_much_a_second_is_told_to_wait_and_the_others_are_not() {
    let mut bench = Bench::with(Rules { account_rate_max: 10, ..rules() }, 100);
    let challenge = bench.receive(PHONE, &register("bob", PHONE, 1, "")).pop().unwrap();
    let told: Vec<String> = (1..=15)
        .map(|n| {
            let line = answer(&challenge, "bob", "REGISTER", "sip:127.0.0.1", ("MD5", n));
            bench.receive(PHONE, &register("bob", PHONE, n + 1, &line)).pop().unwrap()
        })
        .collect();
    assert_eq!(told.iter().map(|text| status(text)).collect::<Vec<_>>(), [vec!["200"; 10], vec!["503"; 5]].concat());
    assert_eq!(header(&told[14], "Retry-After"), "5");
    let repeated = answer(&challenge, "bob", "REGISTER", "sip:127.0.0.1", ("MD5", 10));
    let repeated = register("bob", PHONE, 11, &repeated);
    assert_eq!(statuses(&bench.receive(PHONE, &repeated)), ["200"], "what was answered is answered again");
    assert_eq!(status(&bench.register("ana", PHONE, "MD5")), "200", "another account of the same address");
    bench.pass(Duration::from_secs(1));
    assert_eq!(status(&bench.register("bob", "127.0.0.1:5072", "MD5")), "200");
    assert!(banned(&bench).is_empty());
}
