//! SIPp's own scenarios and those of `sipp/`: every way in which a dialog may go.

use std::time::Duration;

use super::harness::{until, within};
use super::phone::{Manner, Phone};
use super::server::{Server, Setup};
use super::sipp::{Sipp, voice};
use super::voice::Words;

/// SIPp's voice in PCMA.
const VOICE: f64 = 440.0;

async fn nothing_lives(server: &Server) {
    until("no call lives", || async {
        (server.api.json("/room").await["calls_live"].as_u64() == Some(0)).then_some(())
    })
    .await;
}

fn said(server: &Server) -> String {
    voice(server, vigie::model::Codec::Pcma, VOICE)
}

/// A caller of the trunk in one of the scenarios.
fn calls(server: &Server, scenario: &str, values: &[(&str, &str)]) -> Sipp {
    Sipp::start(server, scenario, server.centre.place.trunk, "0261910101", values)
}

#[tokio::test]
async fn sipps_own_uac_calls_sipps_own_uas() {
    let server = Setup::new().change("silence_max = \"5s\"", "silence_max = \"60s\"").start().await;
    let phone = Sipp::phone(&server, "anne", "bundled uas", &[]).await;
    // Else it hangs up with its ACK, and a slow machine's phone is still ringing then.
    let caller = calls(&server, "bundled uac", &[("CALLS", "1"), ("<pause/>", "<pause milliseconds=\"3000\"/>")]);
    caller.passes().await;
    phone.passes().await;
    let story = server.api.ended().await;
    assert_eq!(story["call"]["outcome"].as_str(), Some("answered"), "{story:#}");
    nothing_lives(&server).await;
}

#[tokio::test]
async fn thirty_of_sipps_own_branchc_call_and_hang_up() {
    let server = Setup::new().change("silence_max = \"5s\"", "silence_max = \"60s\"").start().await;
    let _anne = Phone::regulator(&server, "anne").await;
    // SIPp's registrar takes anybody's REGISTER; from a trunk's address Vigie takes nobody's. Everything else, and the
    // branch that the 25th call takes, is as SIPp has it.
    let refused =
        ("<recv response=\"200\" rtd=\"true\" next=\"5\">", "<recv response=\"403\" rtd=\"true\" next=\"5\">");
    calls(&server, "bundled branchc", &[("CALLS", "30"), refused]).passes().await;
    nothing_lives(&server).await;
    until("thirty calls are told", || async {
        let calls = server.api.json("/calls?limit=100").await["items"].as_array().expect("calls").clone();
        (calls.iter().filter(|call| !call["outcome"].is_null()).count() == 30).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_caller_who_offers_nothing_answers_our_offer_in_the_ack() {
    let server = Setup::new().start().await;
    let anne = Phone::regulator(&server, "anne").await;
    let caller = calls(&server, "late-offer", &[("VOICE", &said(&server))]);
    anne.talks().await;
    anne.voice.hears(VOICE, 500).await;
    anne.hang_up().await;
    caller.passes().await;
    nothing_lives(&server).await;
}

#[tokio::test]
async fn the_second_of_two_200s_is_acknowledged_and_hung_up_and_the_first_has_the_call() {
    let server = Setup::new().start().await;
    let phone = Sipp::phone(&server, "anne", "forked-200", &[("VOICE", &said(&server))]).await;
    let caller = Phone::caller(&server, "+33612345678").await;
    caller.voice.says(Words::Tone(1000.0));
    caller.dial_in("0261910101").await;
    caller.voice.hears(VOICE, 500).await;
    caller.hang_up().await;
    phone.passes().await;
    nothing_lives(&server).await;
}

#[tokio::test]
async fn an_ack_of_another_transaction_or_dialog_confirms_nothing() {
    let server = Setup::new().start().await;
    let _anne = Phone::regulator(&server, "anne").await;
    calls(&server, "bad-ack", &[]).passes().await;
    let story = server.api.ended().await;
    assert_eq!(story["call"]["ended_by"].as_str(), Some("caller"), "{story:#}");
    assert!(server.metric("vigie_sip_retransmitted_total").await >= 1.0, "the 200 is repeated until its ACK");
    nothing_lives(&server).await;
}

#[tokio::test]
async fn everything_doubled_is_one_call() {
    let server = Setup::new().start().await;
    let anne = Phone::regulator(&server, "anne").await;
    calls(&server, "repeats", &[]).passes().await;
    nothing_lives(&server).await;
    assert_eq!(server.api.calls().await.len(), 1);
    assert_eq!(anne.calls_received(), 1);
}

#[tokio::test]
async fn our_requests_follow_the_recorded_route_loose_and_strict() {
    let server = Setup::new().start().await;
    let anne = Phone::regulator(&server, "anne").await;
    let loose = "<sip:[local_ip]:[local_port];lr>, <sip:203.0.113.9;lr>";
    let strict = "<sip:[local_ip]:[local_port]>, <sip:203.0.113.9;lr>";
    let contact = "sip:sipp@[0-9.]+:[0-9]+";
    let cases = [
        [("ROUTE", loose), ("ASKED", contact), ("FIRST", "^ ?.sip:[0-9.]+:[0-9]+;lr>"), ("ECHOED", ";lr")],
        [
            ("ROUTE", strict),
            ("ASKED", "sip:127[0-9.]+:[0-9]+"),
            ("FIRST", "^ ?.sip:203.0.113.9;lr>"),
            ("ECHOED", "203.0.113.9"),
        ],
    ];
    for values in cases {
        server.api.regulator_is("anne", "ready").await;
        let caller = calls(&server, "routed", &values);
        anne.talks().await;
        anne.hang_up().await;
        caller.passes().await;
    }
    nothing_lives(&server).await;
}

#[tokio::test]
async fn a_call_is_held_by_sendonly_by_inactive_and_by_the_address_of_nothing() {
    let server = Setup::new().start().await;
    let _anne = Phone::regulator(&server, "anne").await;
    calls(&server, "holds", &[("VOICE", &said(&server))]).passes().await;
    let types = super::api::event_types(&server.api.sealed().await);
    let count = |kind: &str| types.iter().filter(|one| *one == kind).count();
    assert_eq!((count("call.held"), count("call.resumed")), (3, 3), "{types:?}");
    nothing_lives(&server).await;
}

#[tokio::test]
async fn requests_out_of_order_get_500_and_requests_of_no_dialog_481() {
    let server = Setup::new().start().await;
    let _anne = Phone::regulator(&server, "anne").await;
    calls(&server, "out-of-order", &[]).passes().await;
    nothing_lives(&server).await;
}

#[tokio::test]
async fn too_short_a_timer_is_refused_and_a_refresh_of_either_kind_is_granted() {
    let server = Setup::new().start().await;
    let _anne = Phone::regulator(&server, "anne").await;
    calls(&server, "timer", &[]).passes().await;
    nothing_lives(&server).await;
}

#[tokio::test]
async fn our_own_refresh_meets_one_of_the_callers_and_comes_again() {
    let server = Setup::new().change("silence_max = \"5s\"", "silence_max = \"5m\"").start().await;
    let anne = Phone::regulator(&server, "anne").await;
    let caller = calls(&server, "glare", &[]);
    anne.talks().await;
    caller.passes().await;
    let story = server.api.ended().await;
    assert_eq!(story["call"]["ended_by"].as_str(), Some("caller"), "{story:#}");
    nothing_lives(&server).await;
}

#[tokio::test]
async fn a_phones_reliable_answers_are_acknowledged_and_its_update_holds() {
    let server = Setup::new().start().await;
    let phone = Sipp::phone(&server, "anne", "reliable", &[("VOICE", &said(&server))]).await;
    let caller = Phone::caller(&server, "+33612345678").await;
    caller.voice.says(Words::Tone(1000.0));
    caller.dial_in("0261910101").await;
    caller.voice.hears(VOICE, 500).await;
    caller.voice.hears(super::sound::frequency("music"), 300).await;
    caller.voice.hears(VOICE, 300).await;
    server.api.story("it is taken back", |story| super::api::event_types(story).contains(&"call.resumed".into())).await;
    caller.hang_up().await;
    phone.passes().await;
    nothing_lives(&server).await;
}

/// The plain line, accepted only when a regulator answers.
fn accepted_late() -> Setup {
    Setup::new().change("name = \"Plain\"\n", "name = \"Plain\"\naccept = \"answered\"\n")
}

#[tokio::test]
async fn of_invites_that_overlap_the_later_is_told_to_come_again_and_the_call_goes_on() {
    let server = accepted_late().start().await;
    let anne = Phone::regulator(&server, "anne").await;
    anne.is(Manner::Rings);
    let caller = calls(&server, "overlaps", &[("LATER", "500")]);
    anne.rings().await;
    until("the second INVITE is refused", || std::future::ready((caller.told("rings") == 1).then_some(()))).await;
    anne.pick_up().await;
    caller.passes().await;
    let story = server.api.ended().await;
    assert_eq!(story["call"]["outcome"].as_str(), Some("answered"), "{story:#}");
    nothing_lives(&server).await;
}

#[tokio::test]
async fn a_caller_who_demands_100rel_has_our_183_again_until_its_prack_names_it() {
    let server = accepted_late().start().await;
    let anne = Phone::regulator(&server, "anne").await;
    anne.is(Manner::Rings);
    let caller = calls(&server, "pracks", &[]);
    until("it has confirmed", || std::future::ready((caller.told("confirmed") == 1).then_some(()))).await;
    assert!(server.metric("vigie_sip_retransmitted_total").await >= 1.0, "the 183 is repeated until its PRACK");
    anne.rings().await;
    anne.pick_up().await;
    server.api.regulator_is("anne", "talking").await;
    anne.hang_up().await;
    caller.passes().await;
    nothing_lives(&server).await;
}

#[tokio::test]
async fn a_phone_hands_its_caller_on_by_refer_sees_the_progress_and_a_dead_call_knows_no_refer() {
    let server = Setup::new().start().await;
    let values = [("VOICE", said(&server)), ("COLLEAGUE", "bruno".to_owned())];
    let values = values.each_ref().map(|(name, value)| (*name, value.as_str()));
    let bruno = Phone::regulator(&server, "bruno").await;
    bruno.is(Manner::Rings);
    // He gets no calls of the line then; colleagues reach him.
    assert_eq!(server.api.post("/regulators/bruno/pause", Some(serde_json::json!({ "reason": "lunch" }))).await, 200);
    let phone = Sipp::phone(&server, "anne", "refers", &values).await;
    let caller = Phone::caller(&server, "+33612345678").await;
    caller.voice.says(Words::Tone(1000.0));
    caller.dial_in("0261910101").await;
    bruno.rings().await;
    until("a NOTIFY says that he rings", || std::future::ready((phone.told("rings") == 1).then_some(()))).await;
    bruno.pick_up().await;
    bruno.voice.hears(1000.0, 500).await;
    until("the last NOTIFY says 200 and ends it", || std::future::ready((phone.told("done") == 1).then_some(()))).await;
    phone.passes().await;
    caller.hang_up().await;
    bruno.is_over().await;
    let story = server.api.sealed().await;
    let types = super::api::event_types(&story);
    assert!(types.contains(&"call.transferred".to_owned()), "{types:?}");
    nothing_lives(&server).await;
}

#[tokio::test]
async fn a_caller_who_never_refreshes_is_hung_up_in_time_and_told_why() {
    let server = Setup::new().change("silence_max = \"5s\"", "silence_max = \"5m\"").start().await;
    let _anne = Phone::regulator(&server, "anne").await;
    let caller = calls(&server, "never-refreshes", &[]);
    within(Duration::from_secs(180), "it is hung up", || {
        std::future::ready((caller.told("because ") == 1).then_some(()))
    })
    .await;
    assert_eq!(caller.told("because SIP ;cause=408 ;text="), 1, "RFC 3326");
    caller.passes().await;
    nothing_lives(&server).await;
}
