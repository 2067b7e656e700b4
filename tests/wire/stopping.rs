//! Ctrl-C: no new calls, the live ones may end; a second one ends them.

use super::harness::until;
use super::phone::Phone;
use super::server::{Server, Setup};
use super::voice::Words;

async fn talking() -> (Server, Phone, Phone) {
    let server = Setup::new().start().await;
    let (anne, caller) = Phone::pair(&server, "0261910101").await;
    anne.voice.says(Words::Tone(1000.0));
    caller.voice.hears(1000.0, 300).await;
    (server, anne, caller)
}

#[tokio::test]
async fn ctrl_c_refuses_new_calls_and_lets_the_live_one_end() {
    let (mut server, anne, caller) = talking().await;
    server.interrupt();
    until("the server says that it is not ready", || async {
        (server.api.status("/readyz").await == Some(503)).then_some(())
    })
    .await;
    let late = Phone::caller(&server, "+33687654321").await;
    let refused = late.request(&late.invite("0261910101")).await;
    assert_eq!(refused.status(), 503);
    assert!(!refused.header("Retry-After").is_empty(), "{}", refused.0);
    caller.voice.hears(1000.0, 500).await;
    assert!(server.process.ended().is_none());

    caller.hang_up().await;
    anne.is_over().await;
    assert!(server.end().await.success());
    let sealed = server.verify();
    assert_eq!(sealed.0, Some(0), "{}", sealed.1);
    assert!(sealed.1.contains("1 recording"), "{}", sealed.1);
    server.start_again().await;
    assert_eq!(server.api.sealed().await["recording"]["recovered"].as_bool(), Some(false));
}

#[tokio::test]
async fn a_second_ctrl_c_ends_the_live_call_and_its_recording_is_sealed() {
    let (mut server, anne, caller) = talking().await;
    server.interrupt();
    until("the server drains", || async { (server.api.status("/readyz").await == Some(503)).then_some(()) }).await;
    server.interrupt();
    caller.is_over().await;
    anne.is_over().await;
    assert!(server.end().await.success());
    server.assert_sound();
    server.start_again().await;
    let story = server.api.sealed().await;
    assert_eq!(story["call"]["ended_by"].as_str(), Some("shutdown"));
    assert_eq!(story["recording"]["recovered"].as_bool(), Some(false));
}
