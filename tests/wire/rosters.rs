//! Accounts that come and go by the week: a CSV file is imported from the command line, and only who is valid takes calls.

use jiff::{SignedDuration, Timestamp};

use super::harness::until;
use super::phone::Phone;
use super::server::{Server, Setup};

/// `vigie` with these arguments, which must do it.
fn run(server: &Server, arguments: &[&str]) -> String {
    let config = server.centre.config.to_str().expect("a plain path");
    let output = server.centre.vigie(&[arguments, &["--config", config]].concat());
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "{arguments:?}: {said}");
    said
}

/// So many seconds from now.
fn ahead(seconds: i64) -> String {
    (Timestamp::now() + SignedDuration::from_secs(seconds)).to_string()
}

async fn registers(server: &Server, who: &str) -> (Phone, u16) {
    let phone = Phone::start([127, 0, 0, 1], server.centre.sip, who).await;
    let status = phone.register(&server.password(who), 600).await;
    (phone, status)
}

#[tokio::test]
async fn imported_people_take_calls_while_their_account_is_valid_and_at_no_other_time() {
    let server = Setup::new().start().await;
    let day = 86_400;
    let rows = [
        ("clara", ahead(-day), ahead(day)),
        ("dora", ahead(day), ahead(2 * day)),
        ("emil", ahead(-2 * day), ahead(-day)),
        // Two weeks with another between them, which is now.
        ("fanny", ahead(-3 * day), ahead(-2 * day)),
        ("fanny", ahead(2 * day), ahead(3 * day)),
    ];
    let mut text = "id;name;association;skills;regions;valid_from;valid_until\n".to_owned();
    for (id, from, until) in rows {
        // A further week says nothing but itself.
        let is_known = text.contains(&format!("\n{id};"));
        let who = if is_known { ";;;".to_owned() } else { format!("{id};sos-test;regulation=80;north=0") };
        text += &format!("{id};{who};{from};{until}\n");
    }
    let file = server.centre.place.path("roster.csv");
    std::fs::write(&file, text.replace("dora;sos-test", "dora;sos-tset")).expect("written");
    let config = server.centre.config.to_str().expect("a plain path");
    let file = file.to_str().expect("a plain path");
    let refused = server.centre.vigie(&["import", file, "--config", config]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("roster.csv:3:") && said.contains("`sos-test`?"), "{said}");
    assert!(!server.centre.place.path("state/people.csv").exists(), "nothing was written");

    std::fs::write(file, text).expect("written");
    assert!(run(&server, &["import", file, "--check"]).contains("added: 4"));
    assert!(run(&server, &["import", file]).contains("added: 4  clara dora emil fanny"));
    let said = run(&server, &["reload"]);
    assert!(said.contains("regulators.clara"), "{said}");

    for stranger in ["dora", "emil", "fanny"] {
        let (_phone, status) = registers(&server, stranger).await;
        assert_eq!(status, 403, "{stranger} is not valid now");
        assert_eq!(server.api.regulator(stranger).await, "offline");
    }
    let (clara, status) = registers(&server, "clara").await;
    assert_eq!(status, 200);
    let caller = Phone::caller(&server, "+33612345678").await;
    caller.dial_in("0261910101").await;
    clara.talks().await;
    caller.hang_up().await;
    clara.is_over().await;
    assert_eq!(server.api.ended().await["call"]["regulator"].as_str(), Some("clara"));
}

#[tokio::test]
async fn an_account_that_ends_in_mid_call_keeps_the_call_and_takes_no_other() {
    let server = Setup::new().start().await;
    let file = server.centre.place.path("roster.csv");
    let end = ahead(20);
    let row = format!("id,association,skills,regions,valid_until\ngina,sos-test,regulation=80,north=0,{end}\n");
    std::fs::write(&file, row).expect("written");
    run(&server, &["import", file.to_str().expect("a plain path")]);
    run(&server, &["reload"]);
    let (gina, status) = registers(&server, "gina").await;
    assert_eq!(status, 200);
    let caller = Phone::caller(&server, "+33612345678").await;
    caller.dial_in("0261910101").await;
    gina.talks().await;
    let end: Timestamp = end.parse().expect("a time");
    until("the account has ended", || std::future::ready((Timestamp::now() > end).then_some(()))).await;
    gina.voice.hears(440.0, 500).await;
    assert_eq!(server.api.regulator("gina").await, "talking", "a live call goes on");
    caller.hang_up().await;
    gina.is_over().await;
    server.api.regulator_is("gina", "offline").await;
    assert_eq!(gina.register(&server.password("gina"), 600).await, 403);
    let late = Phone::caller(&server, "+33612345679").await;
    late.dial_in("0261910101").await;
    late.is_over().await;
    let told = |story: &serde_json::Value| story["call"]["outcome"] == "nobody-on-duty";
    server.api.story("nobody is on duty any more", told).await;
    assert_eq!(gina.calls_received(), 1);
}
