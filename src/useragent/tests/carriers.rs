//! Registering with a carrier, and asking whether its places live.

use std::time::Duration;

use super::bench::{Bench, address, centre, header, param, status, statuses};
use crate::model::centre::{TrunkOutgoing, TrunkReach, TrunkRegistration};
use crate::model::command::TrunkView;
use crate::model::{Centre, Reply};
use crate::sip::digest::Algorithm;
use crate::useragent::Rules;

pub const FIRST: &str = "192.0.2.1:5060";
pub const SECOND: &str = "192.0.2.2:5060";
pub const PASSWORD: &str = "carrier's own";

/// The usual centre, whose trunk has an account with a carrier.
pub fn centre_with_carrier(registers: bool, options_every: Option<Duration>) -> Centre {
    let mut centre = centre(100);
    let trunk = centre.trunks.get_mut(&"carrier".into()).expect("the trunk");
    trunk.reach = Some(TrunkReach { host: "sip.carrier.example".into(), port: None, transport: None });
    trunk.registration = Some(TrunkRegistration {
        user: "centre".into(),
        digest_user: "c-17".into(),
        domain: "carrier.example".into(),
        expires: Duration::from_secs(3600),
        registers,
    });
    trunk.options_every = options_every;
    trunk.dials = vec!["+33".into()];
    trunk.outgoing = TrunkOutgoing::default();
    centre
}

pub fn bench_of(centre: Centre) -> Bench {
    let mut bench = Bench::of(Rules::default(), centre);
    let ua = std::mem::replace(&mut bench.ua, Bench::new().ua);
    bench.ua = ua.with_trunk_passwords([("carrier".into(), PASSWORD.to_owned())].into());
    bench
}

/// A user agent that registers, before anything is resolved.
fn registering() -> Bench {
    bench_of(centre_with_carrier(true, None))
}

/// A response of the carrier's to a request of ours.
pub fn respond(request: &str, status_line: &str, more: &str) -> String {
    let copied: Vec<String> =
        ["Via", "From", "Call-ID", "CSeq"].map(|name| format!("{name}: {}\n", header(request, name))).into();
    let to = header(request, "To");
    format!("SIP/2.0 {status_line}\n{}To: {to};tag=far\n{more}Content-Length: 0\n\n", copied.concat())
}

fn granted(request: &str, seconds: u32) -> String {
    respond(request, "200 OK", &format!("Contact: {};expires={seconds}\n", header(request, "Contact")))
}

fn challenge(nonce: &str, more: &str) -> String {
    format!("WWW-Authenticate: Digest realm=\"carrier\", nonce=\"{nonce}\", algorithm=MD5, qop=\"auth\"{more}\n")
}

/// Whether the request carries the right answer to a challenge with this nonce.
pub fn is_proven(request: &str, name: &str, nonce: &str, algorithm: Algorithm) -> bool {
    let given = header(request, name);
    let uri = request.split(' ').nth(1).unwrap_or_default();
    let ha1 = algorithm.ha1("c-17", "carrier", PASSWORD);
    let ha2 = algorithm.hash(&[status(request), uri]);
    let (nc, cnonce) = (param(given, "nc"), param(given, "cnonce"));
    param(given, "nonce") == nonce
        && param(given, "username") == "c-17"
        && param(given, "response") == algorithm.hash(&[&ha1, nonce, nc, cnonce, "auth", &ha2])
}

fn view(bench: &Bench) -> TrunkView {
    match bench.ua.trunks(bench.now) {
        Reply::Trunks(mut trunks) => trunks.remove(0),
        reply => panic!("{reply:?}"),
    }
}

fn kinds(bench: &Bench) -> Vec<&str> {
    bench.alarms.iter().map(|alarm| alarm.kind.as_str()).collect()
}

/// Lets time pass until something is sent, at most so long.
fn wait(bench: &mut Bench, longest_s: u64) -> Vec<String> {
    (0..longest_s).map(|_| bench.pass(seconds(1))).find(|sent| !sent.is_empty()).unwrap_or_default()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_registration_is_proven_granted_and_refreshed_before_it_ends() {
    let mut bench = registering();
    assert!(bench.pass(seconds(60)).is_empty(), "nothing is sent before a place is known");
    let first = bench.resolved(&[FIRST]).remove(0);
    assert!(first.starts_with("REGISTER sip:carrier.example SIP/2.0\r\n"), "{first}");
    assert!(header(&first, "To").starts_with("<sip:centre@carrier.example>"));
    assert_eq!((header(&first, "Contact"), header(&first, "Expires")), ("<sip:centre@127.0.0.1:5060>", "3600"));
    assert_eq!((header(&first, "Authorization"), bench.sent[0].0), ("", address(FIRST)));
    let second = bench.receive(FIRST, &respond(&first, "401 Unauthorized", &challenge("n1", ""))).remove(0);
    assert!(is_proven(&second, "Authorization", "n1", Algorithm::Md5), "{second}");
    assert_eq!(header(&second, "Call-ID"), header(&first, "Call-ID"));
    assert_eq!((header(&first, "CSeq"), header(&second, "CSeq")), ("1 REGISTER", "2 REGISTER"));
    bench.receive(FIRST, &granted(&second, 600));
    assert_eq!(view(&bench).registration.as_deref(), Some("registered"));
    assert_eq!(view(&bench).registered_until, Some(bench.now.after(seconds(600)).utc));
    assert!(bench.pass(seconds(479)).is_empty());
    let third = wait(&mut bench, 40).remove(0);
    assert!(is_proven(&third, "Authorization", "n1", Algorithm::Md5), "the nonce is used again: {third}");
    assert_eq!(param(header(&third, "Authorization"), "nc"), "00000002");
    let fourth = bench.receive(FIRST, &respond(&third, "401 Unauthorized", &challenge("n2", ", stale=true"))).remove(0);
    assert!(is_proven(&fourth, "Authorization", "n2", Algorithm::Md5), "{fourth}");
    bench.receive(FIRST, &granted(&fourth, 600));
    assert_eq!((view(&bench).trouble, bench.alarms.len()), (None, 0));
}

#[test]
fn of_several_challenges_the_carriers_first_is_answered_and_a_proxys_in_its_own_header() {
    let mut bench = registering();
    let first = bench.resolved(&[FIRST]).remove(0);
    let two = "WWW-Authenticate: Digest realm=\"carrier\", nonce=\"s\", algorithm=SHA-512-256, qop=\"auth\"\n\
               WWW-Authenticate: Digest realm=\"carrier\", nonce=\"n\", algorithm=SHA-256, qop=\"auth,auth-int\"\n\
               WWW-Authenticate: Digest realm=\"carrier\", nonce=\"m\", qop=\"auth\"\n";
    let second = bench.receive(FIRST, &respond(&first, "401 Unauthorized", two)).remove(0);
    assert!(is_proven(&second, "Authorization", "n", Algorithm::Sha256), "{second}");
    let mut bench = registering();
    let first = bench.resolved(&[FIRST]).remove(0);
    let proxy = challenge("p", "").replace("WWW", "Proxy");
    let second = bench.receive(FIRST, &respond(&first, "407 Proxy Authentication Required", &proxy)).remove(0);
    assert!(is_proven(&second, "Proxy-Authorization", "p", Algorithm::Md5), "{second}");
}

#[test]
fn a_wrong_password_is_told_once_and_tried_rarely() {
    let mut bench = registering();
    let mut register = bench.resolved(&[FIRST]).remove(0);
    register = bench.receive(FIRST, &respond(&register, "401 Unauthorized", &challenge("n1", ""))).remove(0);
    assert!(bench.receive(FIRST, &respond(&register, "401 Unauthorized", &challenge("n2", ""))).is_empty());
    assert_eq!(kinds(&bench), ["trunk-refused"]);
    assert!(bench.alarms[0].text.contains("password file") && !bench.alarms[0].text.contains(PASSWORD));
    assert_eq!(view(&bench).registration.as_deref(), Some("refused"));
    assert!(bench.pass(seconds(240)).is_empty());
    let again = wait(&mut bench, 120).remove(0);
    assert_eq!(header(&again, "Authorization"), "");
    bench.receive(FIRST, &granted(&again, 600));
    assert_eq!(kinds(&bench), ["trunk-refused", "trunk-back"]);
}

#[test]
fn a_carrier_that_wants_longer_registrations_gets_them() {
    let mut bench = registering();
    let first = bench.resolved(&[FIRST]).remove(0);
    let second = bench.receive(FIRST, &respond(&first, "423 Interval Too Brief", "Min-Expires: 7200\n")).remove(0);
    assert_eq!(header(&second, "Expires"), "7200");
    bench.receive(FIRST, &respond(&second, "200 OK", "Expires: 7200\n"));
    assert_eq!(view(&bench).registered_until, Some(bench.now.after(seconds(7200)).utc));
    let mut bench = registering();
    let first = bench.resolved(&[FIRST]).remove(0);
    bench.receive(FIRST, &respond(&first, "423 Interval Too Brief", "Min-Expires: 60\n"));
    assert_eq!(kinds(&bench), ["trunk-refused"], "a shorter time is no way out");
}

#[test]
fn refusals_are_told_and_what_has_no_end_is_not_asked_for_ever() {
    for refusal in ["403 Forbidden", "404 Not Found", "302 Moved Temporarily", "603 Decline"] {
        let mut bench = registering();
        let first = bench.resolved(&[FIRST, SECOND]).remove(0);
        assert!(bench.receive(FIRST, &respond(&first, refusal, "")).is_empty(), "{refusal}");
        assert_eq!(kinds(&bench), ["trunk-refused"], "{refusal}");
        assert!(bench.alarms[0].text.contains(refusal), "{}", bench.alarms[0].text);
    }
    let mut bench = registering();
    let mut register = bench.resolved(&[FIRST]).remove(0);
    let mut asked = 1;
    for number in 0..20 {
        let stale = challenge(&format!("n{number}"), ", stale=true");
        match bench.receive(FIRST, &respond(&register, "401 Unauthorized", &stale)).pop() {
            Some(next) => register = next,
            None => break,
        }
        asked += 1;
    }
    assert_eq!((asked, kinds(&bench)), (4, vec!["trunk-refused"]), "a carrier that finds every nonce old");
}

#[test]
fn a_registration_that_fails_at_one_place_is_asked_of_the_next() {
    for (answer, after) in [("503 Service Unavailable", 0), ("500 Server Error", 0), ("", 8)] {
        let mut bench = registering();
        let first = bench.resolved(&[FIRST, SECOND]).remove(0);
        let sent = match answer {
            "" => bench.pass(seconds(after)),
            answer => bench.receive(FIRST, &respond(&first, answer, "")),
        };
        let second = sent.iter().find(|text| header(text, "CSeq") == "2 REGISTER").expect("asked again");
        assert_eq!(bench.sent.last().expect("sent").0, address(SECOND), "{answer}");
        bench.receive(SECOND, &granted(second, 600));
        assert_eq!(view(&bench).registration.as_deref(), Some("registered"));
        assert_eq!(view(&bench).targets[0].address, format!("udp:{SECOND}"));
        assert!(bench.alarms.is_empty());
        bench.pass(seconds(600));
        assert_eq!(bench.sent.last().expect("refreshed").0, address(SECOND), "where it is registered");
    }
}

#[test]
fn a_place_that_nothing_can_be_sent_to_is_left_at_once() {
    let mut bench = registering();
    bench.resolved(&[FIRST, SECOND]);
    let sent = bench.cut(FIRST);
    assert_eq!((statuses(&sent), bench.sent.last().expect("sent").0), (vec!["REGISTER"], address(SECOND)));
    assert!(bench.cut(FIRST).is_empty(), "told again, nothing more happens");
}

#[test]
fn a_carrier_that_is_gone_is_told_once_looked_up_again_and_asked_less_and_less() {
    let mut bench = registering();
    bench.resolved(&[FIRST, SECOND]);
    let mut asked = Vec::new();
    for minute in 0..60 {
        let registers = bench.pass(seconds(60));
        let new: std::collections::BTreeSet<&str> = registers.iter().map(|text| header(text, "CSeq")).collect();
        asked.push((minute, new.len()));
    }
    assert_eq!(kinds(&bench), ["trunk-unreachable"]);
    assert_eq!(view(&bench).registration.as_deref(), Some("unreachable"));
    assert!(view(&bench).trouble.is_some_and(|why| why.contains("no answer in 8 s")));
    assert!(asked[0].1 >= 3, "at first soon: {asked:?}");
    let late: usize = asked[30..].iter().map(|(_, count)| count).sum();
    assert!((10..=30).contains(&late), "later seldom, but never not: {asked:?}");
    assert!(bench.resolves >= 5, "{}", bench.resolves);
    // The carrier has moved: a new place is asked at once.
    bench.resolved(&["192.0.2.9:5060"]);
    bench.pass(seconds(7));
    let found = bench.sent.iter().rev().find(|(place, _)| *place == address("192.0.2.9:5060"));
    let moved = found.expect("asked").1.clone();
    bench.receive("192.0.2.9:5060", &granted(&moved, 600));
    assert_eq!(kinds(&bench), ["trunk-unreachable", "trunk-back"]);
}

#[test]
fn a_name_that_leads_nowhere_is_told_and_old_places_are_kept() {
    let mut bench = registering();
    bench.resolved(&[]);
    assert_eq!(kinds(&bench), ["trunk-unreachable"]);
    assert!(bench.alarms[0].text.contains("no such name"), "{}", bench.alarms[0].text);
    let first = bench.resolved(&[FIRST]).remove(0);
    bench.receive(FIRST, &granted(&first, 600));
    bench.resolved(&[]);
    assert_eq!(kinds(&bench), ["trunk-unreachable", "trunk-back"]);
    assert_eq!(view(&bench).targets.len(), 1);
}

#[test]
fn a_busy_carriers_retry_after_is_heeded() {
    let mut bench = registering();
    let first = bench.resolved(&[FIRST]).remove(0);
    bench.receive(FIRST, &respond(&first, "503 Service Unavailable", "Retry-After: 120 (maintenance)\n"));
    assert!(bench.pass(seconds(119)).is_empty());
    assert_eq!(statuses(&bench.pass(seconds(2)))[0], "REGISTER");
}

#[test]
fn a_registration_ends_with_the_server_even_when_the_carrier_asks_for_proof_again() {
    let mut bench = registering();
    let first = bench.resolved(&[FIRST]).remove(0);
    bench.receive(FIRST, &granted(&first, 600));
    let bye = bench.retire().remove(0);
    assert_eq!((status(&bye), header(&bye, "Expires")), ("REGISTER", "0"));
    let proven = bench.receive(FIRST, &respond(&bye, "401 Unauthorized", &challenge("n", ""))).remove(0);
    assert!(is_proven(&proven, "Authorization", "n", Algorithm::Md5) && header(&proven, "Expires") == "0");
    bench.receive(FIRST, &respond(&proven, "200 OK", ""));
    assert!(bench.pass(seconds(4000)).is_empty());
}

#[test]
fn a_lost_connection_over_which_we_are_registered_is_made_anew() {
    let mut bench = registering();
    let first = bench.resolved(&[FIRST]).remove(0);
    bench.receive(FIRST, &granted(&first, 600));
    assert!(bench.cut(FIRST).is_empty());
    assert_eq!(statuses(&bench.pass(seconds(2)))[0], "REGISTER");
}

/// A carrier that is asked every 30 s and not registered with.
fn asking() -> Bench {
    bench_of(centre_with_carrier(false, Some(seconds(30))))
}

fn are_up(bench: &Bench) -> Vec<Option<bool>> {
    view(bench).targets.iter().map(|target| target.is_up).collect()
}

#[test]
fn any_answer_but_a_busy_one_shows_that_a_place_lives() {
    for (answer, expected) in [("200 OK", true), ("404 Not Found", true), ("403 Forbidden", true)] {
        let mut bench = asking();
        let options = bench.resolved(&[FIRST]).remove(0);
        assert!(options.starts_with("OPTIONS sip:carrier.example SIP/2.0\r\n"), "{options}");
        assert_eq!(are_up(&bench), [None]);
        bench.receive(FIRST, &respond(&options, answer, ""));
        assert_eq!(are_up(&bench), [Some(expected)], "{answer}");
        assert!(bench.pass(seconds(29)).is_empty());
        assert_eq!(statuses(&bench.pass(seconds(2)))[0], "OPTIONS");
    }
}

#[test]
fn a_place_is_down_after_two_misses_and_up_with_its_first_answer() {
    for answer in ["503 Service Unavailable", "408 Request Timeout"] {
        let mut bench = asking();
        let options = bench.resolved(&[FIRST]).remove(0);
        bench.receive(FIRST, &respond(&options, answer, ""));
        assert_eq!(are_up(&bench), [None], "one may be lost");
        let second = bench.pass(seconds(3)).remove(0);
        bench.receive(FIRST, &respond(&second, answer, ""));
        assert_eq!((are_up(&bench), kinds(&bench)), (vec![Some(false)], vec!["trunk-unreachable"]));
        let third = bench.pass(seconds(31)).remove(0);
        bench.receive(FIRST, &respond(&third, "200 OK", ""));
        assert_eq!((are_up(&bench), kinds(&bench)), (vec![Some(true)], vec!["trunk-unreachable", "trunk-back"]));
    }
    let mut bench = asking();
    bench.resolved(&[FIRST]);
    bench.pass(seconds(20));
    assert_eq!(are_up(&bench), [Some(false)], "silence is a miss too");
}

#[test]
fn one_place_down_of_two_is_no_alarm_and_the_other_is_in_use() {
    let mut bench = asking();
    let asked = bench.resolved(&[FIRST, SECOND]);
    bench.receive(SECOND, &respond(&asked[1], "200 OK", ""));
    bench.pass(seconds(20));
    let up: Vec<_> = view(&bench).targets.into_iter().map(|target| (target.address, target.is_up)).collect();
    assert_eq!(up, [(format!("udp:{SECOND}"), Some(true)), (format!("udp:{FIRST}"), Some(false))]);
    assert!(bench.alarms.is_empty());
}
