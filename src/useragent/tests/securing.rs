//! SRTP keys in SDP (SDES, RFC 4568): offered, answered, demanded and refused.

use super::bench::*;
use super::far::{accept, answer_to, asked, dialled};
use crate::call::signal::{LegOrder, RefusalKind, Signal};
use crate::model::srtp::{Profile, SrtpPolicy};
use crate::model::{Codec, Direction, Fact, RemoteMedia};
use crate::useragent::Rules;

const KEY_A: &str = "PS1uQCVeeCFCanVmcjkpPywjNWhcYDAZE9BkfUw5";
const KEY_B: &str = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";

/// A centre whose trunk and whose Ana are so.
fn bench(srtp: SrtpPolicy) -> Bench {
    let mut centre = centre(100);
    centre.trunks.values_mut().for_each(|trunk| trunk.srtp = srtp);
    centre.regulators.values_mut().for_each(|person| person.srtp = srtp);
    Bench::of(Rules::default(), centre)
}

/// An SDP over this profile with these lines behind it.
fn media(proto: &str, more: &str) -> String {
    sdp("127.0.0.2", 7000, "8 101", "sendrecv").replace("RTP/AVP", proto) + more
}

fn line(tag: u32, suite: &str, key: &str) -> String {
    format!("a=crypto:{tag} {suite} inline:{key}\n")
}

/// The crypto lines of a message: number, suite, key.
fn lines(text: &str) -> Vec<(u32, String, String)> {
    let read = |line: &str| {
        let (number, rest) = line.strip_prefix("a=crypto:")?.split_once(' ')?;
        let (suite, key) = rest.split_once(" inline:")?;
        Some((number.parse().ok()?, suite.to_owned(), key.to_owned()))
    };
    body(text).lines().filter_map(read).collect()
}

fn proto(text: &str) -> &str {
    let line = body(text).lines().find(|line| line.starts_with("m=audio")).unwrap_or_default();
    line.split(' ').nth(2).unwrap_or_default()
}

fn invite(body: &str) -> String {
    Request { body, ..Request::default() }.text()
}

/// The keys of both ways, as SDP writes them.
fn keys(remote: &RemoteMedia) -> Option<(Profile, Vec<u8>, Vec<u8>)> {
    let crypto = remote.crypto.as_deref()?;
    assert_eq!(crypto.ours.profile(), crypto.theirs.profile());
    Some((crypto.ours.profile(), crypto.ours.to_bytes(), crypto.theirs.to_bytes()))
}

fn bytes(key: &str) -> Vec<u8> {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.decode(key).expect("a key")
}

#[test]
fn an_offer_with_keys_is_answered_with_ours_under_the_number_of_the_first_suite_that_we_have() {
    for (policy, offered) in [
        (SrtpPolicy::Preferred, "RTP/AVP"),
        (SrtpPolicy::Preferred, "RTP/SAVP"),
        (SrtpPolicy::Required, "RTP/SAVP"),
        (SrtpPolicy::Required, "RTP/AVP"),
    ] {
        let mut bench = bench(policy);
        let more = line(4, "AES_256_CM_HMAC_SHA1_80", KEY_A)
            + &line(5, "AES_CM_128_HMAC_SHA1_32", KEY_A)
            + &line(6, "AES_CM_128_HMAC_SHA1_80", KEY_B);
        bench.receive(TRUNK, &invite(&media(offered, &more)));
        let leg = bench.incoming_leg();
        let ok = bench.order(accept(leg)).pop().expect("a 200");
        let (answered, agreed) = (lines(&ok), keys(&remote_of(&bench.signals())).expect("keys"));
        assert_eq!(proto(&ok), offered);
        assert_eq!(answered.len(), 1, "{ok}");
        assert_eq!((answered[0].0, answered[0].1.as_str()), (5, "AES_CM_128_HMAC_SHA1_32"));
        assert_eq!(agreed, (Profile::Sha1Tag32, bytes(&answered[0].2), bytes(KEY_A)));
    }
}

#[test]
fn what_the_policy_does_not_allow_is_refused_with_488_and_says_why() {
    let keyed = line(1, "AES_CM_128_HMAC_SHA1_80", KEY_A);
    let keyless = line(1, "AES_256_CM_HMAC_SHA1_80", KEY_A);
    for (policy, offered) in [
        (SrtpPolicy::Required, media("RTP/AVP", "")),
        (SrtpPolicy::Required, media("RTP/AVP", &keyless)),
        (SrtpPolicy::Required, media("RTP/SAVP", "")),
        (SrtpPolicy::Preferred, media("RTP/SAVP", &keyless)),
        (SrtpPolicy::Off, media("RTP/SAVP", &keyed)),
    ] {
        let answers = bench(policy).receive(TRUNK, &invite(&offered));
        let refusal = answers.last().expect("an answer");
        assert_eq!(status(refusal), "488", "{policy:?} {offered}");
        assert!(header(refusal, "Warning").starts_with("302 "), "{refusal}");
    }
}

#[test]
fn who_offers_nothing_or_both_gets_the_best_that_the_policy_allows() {
    let keyed = line(1, "AES_CM_128_HMAC_SHA1_80", KEY_A);
    let both = media("RTP/AVP", "") + &format!("m=audio 7010 RTP/SAVP 8\n{keyed}");
    for (policy, offered, port) in [
        (SrtpPolicy::Preferred, media("RTP/AVP", ""), None),
        (SrtpPolicy::Off, media("RTP/AVP", &keyed), None),
        (SrtpPolicy::Off, both.clone(), None),
        (SrtpPolicy::Preferred, both.clone(), Some(7010)),
        (SrtpPolicy::Required, both, Some(7010)),
    ] {
        let mut bench = bench(policy);
        bench.receive(TRUNK, &invite(&offered));
        let leg = bench.incoming_leg();
        let ok = bench.order(accept(leg)).pop().expect("a 200");
        let remote = remote_of(&bench.signals());
        assert_eq!((lines(&ok).len(), keys(&remote).is_some()), (port.map_or((0, false), |_| (1, true))), "{ok}");
        assert_eq!(remote.rtp.port(), port.unwrap_or(7000));
    }
}

#[test]
fn a_phone_is_offered_what_the_policy_says_and_its_answer_is_weighed() {
    for (policy, offered, count) in
        [(SrtpPolicy::Off, "RTP/AVP", 0), (SrtpPolicy::Preferred, "RTP/AVP", 3), (SrtpPolicy::Required, "RTP/SAVP", 3)]
    {
        let (mut bench, leg, invite) = dialled(bench(policy));
        let ours = lines(&invite);
        assert_eq!((proto(&invite), ours.len()), (offered, count));
        // No key is used for two suites.
        let mut distinct: Vec<_> = ours.iter().map(|(_, _, key)| key[..20].to_owned()).collect();
        distinct.dedup();
        assert_eq!(distinct.len(), count);
        let answer = |more: &str| answer_to(&invite, "200", "phone", "", &media(offered, more));
        let Some((tag, suite, key)) = ours.first().cloned() else { continue };
        assert_eq!((tag, suite.as_str()), (1, "AES_CM_128_HMAC_SHA1_80"));
        assert_eq!(statuses(&bench.receive(PHONE, &answer(&line(tag, &suite, KEY_A)))), ["ACK"]);
        let agreed = keys(&remote_of(&bench.signals())).expect("keys");
        assert_eq!(agreed, (Profile::Sha1Tag80, bytes(&key), bytes(KEY_A)));
        // Our next offer repeats that key, and no other suite comes up again.
        let direction = Direction::SendOnly;
        let again = bench.order(LegOrder::Reoffer { leg, codec: Codec::Pcma, direction }).pop().expect("a re-INVITE");
        assert_eq!((proto(&again), lines(&again)), (offered, vec![(tag, suite, key)]));
    }
}

#[test]
fn a_phone_that_answers_without_keys_is_talked_to_plainly_or_hung_up() {
    let (mut bench, _, invite) = dialled(bench(SrtpPolicy::Preferred));
    let plain = answer_to(&invite, "200", "phone", "", &media("RTP/AVP", ""));
    assert_eq!(statuses(&bench.receive(PHONE, &plain)), ["ACK"]);
    assert_eq!(keys(&remote_of(&bench.signals())), None);
    let (mut bench, leg, invite) = dialled(super::securing::bench(SrtpPolicy::Required));
    bench.signals();
    let plain = answer_to(&invite, "200", "phone", "", &media("RTP/SAVP", ""));
    assert_eq!(statuses(&bench.receive(PHONE, &plain)), ["ACK", "BYE"]);
    let refused = bench.signals();
    assert!(
        matches!(&refused[..], [Signal::Refused { leg: whose, refusal }]
            if *whose == leg && refusal.kind == RefusalKind::Unreachable && refusal.detail.contains("SRTP")),
        "{refused:?}"
    );
}

#[test]
fn a_re_invite_keeps_our_key_and_a_key_of_theirs_that_changes_is_told() {
    let mut bench = bench(SrtpPolicy::Preferred);
    let with = |key: &str| media("RTP/SAVP", &line(1, "AES_CM_128_HMAC_SHA1_80", key));
    bench.receive(TRUNK, &invite(&with(KEY_A)));
    let leg = bench.incoming_leg();
    let ok = bench.order(accept(leg)).pop().expect("a 200");
    let to_tag = tag(header(&ok, "To")).to_owned();
    bench.receive(TRUNK, &asked("ACK", 1, &to_tag, "", ""));
    bench.signals();
    for (number, body, told) in [(2, with(KEY_A), false), (3, with(KEY_B), true)] {
        let again = bench.receive(TRUNK, &asked("INVITE", number, &to_tag, "", &body));
        let again = again.last().expect("a 200");
        assert_eq!(lines(again), lines(&ok));
        bench.receive(TRUNK, &asked("ACK", number, &to_tag, "", ""));
        let signals = bench.signals();
        assert_eq!(signals.len(), usize::from(told), "{signals:?}");
        if told {
            assert_eq!(keys(&remote_of(&signals)).map(|(_, _, theirs)| theirs), Some(bytes(KEY_B)));
        }
    }
    // Plain RTP instead is the far end's choice where the policy leaves it one.
    let plain = bench.receive(TRUNK, &asked("INVITE", 4, &to_tag, "", &media("RTP/AVP", "")));
    assert_eq!((status(plain.last().expect("a 200")), lines(&plain[0]).len()), ("200", 0));
    assert_eq!(keys(&remote_of(&bench.signals())), None);
}

#[test]
fn no_key_is_in_the_ladder_or_in_what_is_printed() {
    let mut bench = bench(SrtpPolicy::Required);
    bench.receive(TRUNK, &invite(&media("RTP/SAVP", &line(1, "AES_CM_128_HMAC_SHA1_80", KEY_A))));
    let leg = bench.incoming_leg();
    let ok = bench.order(accept(leg)).pop().expect("a 200");
    let ours = lines(&ok)[0].2.clone();
    let traces: Vec<_> = bench.facts.iter().filter(|fact| matches!(fact, Fact::SipMessage(_))).collect();
    let printed = format!("{traces:?} {:?} {:?}", bench.signals, bytes(KEY_A).len());
    assert!(!printed.contains(KEY_A) && !printed.contains(&ours), "{printed}");
    assert!(printed.contains("inline:***"));
}
