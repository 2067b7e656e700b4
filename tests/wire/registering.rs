//! Registration: digest, unknown users, the end of a registration, and the feature codes.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

use super::baresip::Baresip;
use super::harness::{free_port, until};
use super::phone::Phone;
use super::server::Setup;
use super::sipp;

/// The names of a message's headers, in order, and its first line.
fn shape(text: &str) -> Vec<String> {
    let head = text.split("\r\n\r\n").next().unwrap_or_default();
    head.lines().map(|line| line.split(':').next().unwrap_or_default().to_owned()).collect()
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_an_unknown_user_gets_the_very_same_answers() {
    let server = Setup::new().start().await;
    let known = Phone::start([127, 0, 0, 1], server.centre.sip, "anne").await;
    let unknown = Phone::start([127, 0, 0, 1], server.centre.sip, "nobody-of-ours").await;

    assert_eq!(known.register("not her password", 600).await, 401);
    assert_eq!(unknown.register("any password", 600).await, 401);

    let shapes =
        [&known, &unknown].map(|phone| phone.received("SIP/2.0").iter().map(|one| shape(&one.0)).collect::<Vec<_>>());
    assert_eq!(shapes[0].len(), 2, "a challenge, and another after the wrong proof");
    assert_eq!(shapes[0], shapes[1]);
    assert_eq!(server.api.regulator("anne").await, "offline");
}

#[tokio::test]
async fn registering_makes_ready_and_unregistering_takes_off_duty() {
    let server = Setup::new().start().await;
    let port = free_port();
    sipp::register(&server, "anne", port, ("600", "200")).await;
    server.api.regulator_is("anne", "ready").await;

    sipp::register(&server, "anne", port, ("0", "200")).await;
    server.api.regulator_is("anne", "offline").await;

    sipp::register(&server, "anne", port, ("1", "423")).await;
    assert_eq!(server.api.regulator("anne").await, "offline");
}

#[tokio::test]
async fn a_registration_never_comes_from_a_trunk() {
    let server = Setup::new().start().await;
    let phone = Phone::start(server.centre.place.trunk, server.centre.sip, "anne").await;
    assert_eq!(phone.register(&server.password("anne"), 600).await, 403);
    assert_eq!(server.api.regulator("anne").await, "offline");
}

#[tokio::test]
async fn feature_codes_pause_and_make_ready_again() {
    let server = Setup::new().start().await;
    let anne = Baresip::regulator(&server, "anne", 1000.0).await;

    anne.dial(&server, "*10");
    server.api.regulator_is("anne", "paused own").await;
    let is_over = |times: usize| anne.process.output().matches("session closed").count() >= times;
    until("the confirmation of *10 is over", || std::future::ready(is_over(1).then_some(()))).await;
    anne.dial(&server, "*11");
    server.api.regulator_is("anne", "ready").await;
    until("the confirmation of *11 is over", || std::future::ready(is_over(2).then_some(()))).await;
    assert!(server.api.calls().await.is_empty(), "an errand is no call");
}

#[tokio::test]
async fn an_operator_pauses_a_regulator_makes_her_ready_and_ends_a_call() {
    let server = Setup::new().start().await;
    let anne = Phone::regulator(&server, "anne").await;
    let lunch = serde_json::json!({ "reason": "lunch" });
    assert_eq!(server.api.post("/regulators/anne/pause", Some(lunch)).await, 200);
    assert_eq!(server.api.regulator("anne").await, "paused operator");
    assert_eq!(server.api.post("/regulators/anne/ready", None).await, 200);
    assert_eq!(server.api.regulator("anne").await, "ready");

    let caller = Phone::caller(&server, "+33612345678").await;
    caller.dial_in("0261910101").await;
    anne.talks().await;
    let id = server.api.calls().await[0]["id"].as_str().expect("an id").to_owned();
    assert_eq!(server.api.post(&format!("/calls/{id}/end"), None).await, 204);
    caller.is_over().await;
    anne.is_over().await;
    assert_eq!(server.api.sealed().await["call"]["ended_by"].as_str(), Some("operator"));
}

/// A terminal that is held, a log's reader that is stuck.
#[tokio::test]
async fn a_log_that_nobody_reads_holds_up_nothing() {
    let centre = Setup::new().write();
    let log = centre.place.path("vigie.log");
    let made = std::process::Command::new("mkfifo").arg(&log).status();
    assert!(made.expect("mkfifo runs").success());
    let mut pipe = std::fs::OpenOptions::new();
    let pipe = pipe.read(true).write(true).custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed()).open(&log);
    let mut pipe = pipe.expect("the pipe");
    let server = centre.start().await;
    while pipe.write(&[b'.'; 512]).is_ok() {}

    let port = free_port();
    for _ in 0..3 {
        sipp::register(&server, "anne", port, ("600", "200")).await;
        server.api.regulator_is("anne", "ready").await;
        sipp::register(&server, "anne", port, ("0", "200")).await;
        server.api.regulator_is("anne", "offline").await;
    }
}
