//! Lines that accept a call only when it is answered: what a caller hears before that, and how it ends without an answer.

use super::harness::until;
use super::phone::Phone;
use super::server::{Server, Setup};
use super::sound::frequency;
use super::text::{Text, token};

async fn start() -> Server {
    let change = |id: &str| (format!("[lines.{id}]\n"), format!("[lines.{id}]\naccept = \"answered\"\n"));
    let ((plain, plain_early), (greeted, greeted_early)) = (change("plain"), change("greeted"));
    Setup::new().change(&plain, &plain_early).change(&greeted, &greeted_early).start().await
}

/// Confirms a reliable answer (RFC 3262 §4).
async fn confirm(caller: &Phone, early: &Text) -> Text {
    let of = |name: &str| format!("{name}: {}\r\n", early.header(name));
    let uri = early.contact();
    let prack = format!(
        "PRACK {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {};rport;branch=z9hG4bK{}\r\nMax-Forwards: 70\r\n{}{}{}CSeq: {} PRACK\r\n\
         RAck: {} {}\r\nContent-Length: 0\r\n\r\n",
        caller.local,
        token(),
        of("From"),
        of("To"),
        of("Call-ID"),
        caller.next_number(),
        early.header("RSeq"),
        early.header("CSeq")
    );
    caller.request(&prack).await
}

#[tokio::test]
async fn the_greeting_is_heard_before_the_call_is_accepted_and_the_answer_accepts_it() {
    let server = start().await;
    let anne = Phone::regulator(&server, "anne").await;
    let caller = Phone::caller(&server, "+33612345678").await;
    caller.dial(caller.invite("0261910102").replace("Max-Forwards", "Supported: 100rel\r\nMax-Forwards")).await;
    let early = caller.receives("SIP/2.0 183").await;
    assert_eq!(early.header("Require"), "100rel");
    caller.voice.aim(early.body());
    caller.voice.hears(frequency("greeting"), 200).await;
    assert!(!caller.is_talking(), "not accepted yet");
    until("the unconfirmed 183 comes again", || {
        std::future::ready((caller.received("SIP/2.0 183").len() > 1).then_some(()))
    })
    .await;
    assert_eq!(confirm(&caller, &early).await.status(), 200);
    caller.talks().await;
    anne.voice.hears(440.0, 300).await;
    assert_eq!(caller.receives("SIP/2.0 200 OK").await.header("Call-ID"), early.header("Call-ID"));
    anne.hang_up().await;
    caller.is_over().await;
    let story = server.api.sealed().await;
    let call = &story["call"];
    assert!(call["accepted_at"].is_string(), "{call:#}");
    assert_eq!(call["accepted_at"], call["answered_at"], "{call:#}");
}

#[tokio::test]
async fn nobody_on_duty_is_said_early_and_the_call_refused() {
    let server = start().await;
    let caller = Phone::caller(&server, "+33612345678").await;
    caller.dial(caller.invite("0261910101")).await;
    let early = caller.receives("SIP/2.0 183").await;
    assert_eq!(early.header("Require"), "", "the caller does not know 100rel");
    caller.voice.aim(early.body());
    caller.voice.hears(frequency("nobody"), 200).await;
    caller.receives("SIP/2.0 480").await;
    assert!(!caller.is_talking());
    let story = server.api.ended().await;
    assert_eq!(story["call"]["outcome"].as_str(), Some("nobody-on-duty"), "{story:#}");
    assert!(story["call"]["accepted_at"].is_null(), "{story:#}");
}
