//! Accounts that are good for a time; phones that pick up by themselves; the number that is shown outside.

use std::time::Duration;

use super::bench::*;
use super::carriers::{FIRST, bench_of, centre_with_carrier};
use crate::call::signal::{Dial, DialManner, LegOrder, Party, Signal};
use crate::model::outbound::Period;
use crate::model::{CallId, Caller, Centre, Chance, Codec, E164, LegId, Utc};
use crate::useragent::Rules;

/// A bench whose "ana" is good from `from` to `until`, in seconds of the bench's clock.
fn bench_with(from: u64, until: u64) -> Bench {
    let now = Bench::new().now;
    let at = |seconds| Some(now.after(Duration::from_secs(seconds)).utc);
    let period = Period { from: at(from), until: at(until) };
    let mut centre = centre(100);
    centre.regulators.get_mut(&"ana".into()).expect("ana").terms.valid = vec![period];
    Bench::of(Rules::default(), centre)
}

#[test]
fn an_account_registers_in_its_time_and_no_binding_outlives_it() {
    let mut bench = bench_with(100, 160);
    assert_eq!(status(&bench.register("ana", PHONE, "MD5")), "403");
    assert_eq!(status(&bench.register("bob", PHONE, "MD5")), "200", "everybody else is served");
    bench.pass(Duration::from_secs(100));
    bench.signals();
    let granted = bench.register("ana", PHONE, "MD5");
    assert_eq!(header(&granted, "Contact"), format!("<sip:ana@{PHONE}>;expires=60"));
    bench.pass(Duration::from_secs(61));
    let is_gone = |s: &Signal| matches!(s, Signal::Unregistered { regulator, .. } if regulator.as_str() == "ana");
    assert!(bench.signals().iter().any(is_gone));
    assert_eq!(status(&bench.register("ana", PHONE, "MD5")), "403");
}

#[test]
fn an_account_that_a_reload_ends_loses_its_phones_then_and_not_when_their_registration_would_end() {
    for (until, gone_after) in [(0, 0), (60, 60)] {
        let mut bench = Bench::new();
        for who in ["ana", "bob"] {
            assert_eq!(status(&bench.register(who, PHONE, "MD5")), "200");
        }
        bench.signals();
        let mut changed = centre(100);
        let end = bench.now.after(Duration::from_secs(until)).utc;
        let person = changed.regulators.get_mut(&"ana".into()).expect("ana");
        person.terms.valid = vec![Period { from: None, until: Some(end) }];
        bench.recentre(changed);
        if gone_after > 0 {
            assert!(bench.signals().is_empty(), "good until then");
            bench.pass(Duration::from_secs(gone_after));
        }
        let gone: Vec<String> = bench
            .signals()
            .into_iter()
            .filter_map(|signal| match signal {
                Signal::Unregistered { regulator, .. } => Some(regulator.to_string()),
                _ => None,
            })
            .collect();
        assert_eq!(gone, ["ana"], "at {until}");
        // Otherwise the same request would get the same answer again.
        bench.pass(Duration::from_secs(40));
        assert_eq!(status(&bench.register("ana", PHONE, "MD5")), "403");
    }
}

fn dial(bench: &mut Bench, to: Party, caller: Caller, manner: DialManner) -> String {
    let call = CallId::new(Utc(1), &mut Chance::from_number(5));
    let order = Dial {
        leg: LegId { call, number: 1 },
        to,
        local: address("127.0.0.1:30002"),
        prefer: Codec::Pcma,
        caller,
        label: "Rouen".into(),
        call,
        context: Box::default(),
        manner,
    };
    bench.order(LegOrder::Dial(Box::new(order))).pop().expect("an INVITE")
}

#[test]
fn a_phone_that_picks_up_by_itself_is_asked_in_every_way_that_phones_know() {
    let mut bench = Bench::new();
    bench.register("ana", PHONE, "MD5");
    let device = bench.signals().into_iter().find_map(|signal| match signal {
        Signal::Registered { device, .. } => Some(device),
        _ => None,
    });
    let to = Party::Device { regulator: "ana".into(), device: device.expect("a device") };
    let manner = DialManner { auto_answer_after: Some(Duration::from_secs(2)), ..DialManner::default() };
    let invite = dial(&mut bench, to, Caller::default(), manner);
    assert!(headers(&invite, "Call-Info").iter().any(|value| value.ends_with(";answer-after=2")), "{invite}");
    assert!(header(&invite, "Alert-Info").ends_with(";info=alert-autoanswer;delay=2"), "{invite}");
    assert_eq!(header(&invite, "Answer-Mode"), "Auto");
}

#[test]
fn who_is_called_back_sees_the_number_of_the_association_and_a_caller_handed_on_may_be_shown() {
    let number = E164::parse("+33261910101");
    let to = || Party::Number { trunk: "carrier".into(), number: "+33612345678".into() };
    let manner = || DialManner { number_shown: number.clone(), ..DialManner::default() };
    let caller = Caller { raw: "0699999999".into(), e164: E164::parse("+33699999999"), ..Caller::default() };
    for shows_caller in [false, true] {
        let mut bench = bench_of(centre_of(shows_caller));
        bench.resolved(&[FIRST]);
        let regulator = Caller { raw: "ana".into(), ..Caller::default() };
        let called_back = dial(&mut bench, to(), regulator, manner());
        for name in ["From", "P-Asserted-Identity"] {
            assert!(header(&called_back, name).contains("<sip:+33261910101@"), "{called_back}");
        }
        let mut bench = bench_of(centre_of(shows_caller));
        bench.resolved(&[FIRST]);
        let handed_on = dial(&mut bench, to(), caller.clone(), manner());
        let shown = if shows_caller { "+33699999999" } else { "+33261910101" };
        assert!(header(&handed_on, "From").contains(shown), "{handed_on}");
        assert!(header(&handed_on, "P-Asserted-Identity").contains("+33261910101"), "{handed_on}");
    }
}

fn centre_of(shows_caller: bool) -> Centre {
    let mut centre = centre_with_carrier(false, None);
    centre.trunks.get_mut(&"carrier".into()).expect("the trunk").outgoing.shows_caller = shows_caller;
    centre
}
