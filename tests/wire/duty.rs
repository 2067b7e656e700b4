//! A regulator's duty: the rest after a call ended and extended, a forced log-out.

use serde_json::json;

use super::phone::Phone;
use super::server::Setup;

/// Dials a feature code from another phone of the person, and waits until its call is over.
async fn dial_feature(phone: &Phone, password: &str, code: &str) {
    phone.dial_as(password, code).await;
    phone.talks().await;
    phone.is_over().await;
}

#[tokio::test]
async fn a_rest_is_extended_and_ended_by_the_supervisor_and_from_the_phone() {
    let server = Setup::new().change("wrap_up = \"1s\"", "wrap_up = \"20s\"").start().await;
    let anne = Phone::regulator(&server, "anne").await;
    let caller = Phone::caller(&server, "+33612345678").await;
    for code in [false, true] {
        caller.dial_in("0261910101").await;
        anne.talks().await;
        let path = "/regulators/anne/wrap-up";
        assert_eq!(server.api.post(&format!("{path}/end"), None).await, 409, "she talks");
        caller.hang_up().await;
        anne.is_over().await;
        server.api.regulator_is("anne", "wrap-up").await;
        let until = async || server.api.json("/regulators/anne").await["until"].as_str().expect("an end").to_owned();
        let before = until().await;
        if code {
            dial_feature(&anne, &server.password("anne"), "*12").await;
        } else {
            assert_eq!(server.api.post(&format!("{path}/extend"), Some(json!({ "seconds": 60 }))).await, 200);
        }
        let (was, is): (jiff::Timestamp, jiff::Timestamp) =
            (before.parse().expect("a time"), until().await.parse().expect("a time"));
        assert_eq!(is.duration_since(was).as_secs(), 60);
        assert_eq!(server.api.regulator("anne").await, "wrap-up");
        if code {
            dial_feature(&anne, &server.password("anne"), "*11").await;
        } else {
            assert_eq!(server.api.post(&format!("{path}/end"), None).await, 200);
        }
        assert_eq!(server.api.regulator("anne").await, "ready");
        assert_eq!(server.api.post(&format!("{path}/extend"), None).await, 409, "she does not rest");
    }
}

#[tokio::test]
async fn who_is_logged_out_finishes_the_call_and_is_not_made_ready_by_registering_again() {
    let mut server = Setup::new().start().await;
    let (anne, caller) = Phone::pair(&server, "0261910101").await;
    let words = json!({ "reason": "left without logging out" });
    assert_eq!(server.api.post("/regulators/anne/log-out", Some(words)).await, 200);
    assert_eq!(server.api.regulator("anne").await, "talking", "the caller is not cut off");
    caller.hang_up().await;
    anne.is_over().await;
    server.api.regulator_is("anne", "offline").await;

    // Not even over a restart.
    server.interrupt();
    server.end().await;
    server.start_again().await;
    let password = server.password("anne");
    let phone = Phone::start([127, 0, 0, 1], server.centre.sip, "anne").await;
    assert_eq!(phone.register(&password, 600).await, 200);
    server.api.regulator_is("anne", "paused logged-out").await;
    let shown = server.api.json("/regulators/anne").await;
    assert_eq!(shown["pause"]["detail"].as_str(), Some("left without logging out"));
    dial_feature(&phone, &password, "*11").await;
    assert_eq!(server.api.regulator("anne").await, "ready");
}

#[tokio::test]
async fn a_log_out_while_it_rings_gives_the_caller_to_a_colleague() {
    let server = Setup::new().start().await;
    let anne = Phone::regulator(&server, "anne").await;
    anne.is(super::phone::Manner::Rings);
    let caller = Phone::caller(&server, "+33612345678").await;
    caller.dial_in("0261910101").await;
    anne.rings().await;
    let bruno = Phone::regulator(&server, "bruno").await;
    assert_eq!(server.api.post("/regulators/anne/log-out", None).await, 200);
    bruno.talks().await;
    anne.is_over().await;
    assert_eq!(server.api.regulator("anne").await, "offline");
}
