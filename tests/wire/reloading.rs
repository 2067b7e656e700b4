//! Another configuration under live calls: what is in force changes, what lives goes on.

use serde_json::Value;

use super::harness::until;
use super::phone::Phone;
use super::server::{Server, Setup};
use super::sound::frequency;
use super::voice::Words;

/// A line of its own, and somebody for it.
const MORE: &str = r#"
[lines.night]
name = "Night"
association = "sos-test"
ddis = ["+33261910109"]
region = "south"
skills = { regulation = 50, lang-en = 50 }
wrap_up = "1s"
greeting = "night"
music = "music"

[regulators.zoe]
name = "Zoe"
association = "sos-test"
skills = { regulation = 80, lang-en = 90 }
regions = { south = 0 }

[sounds]
night = "sounds/sorry.wav"
"#;

fn text(server: &Server) -> String {
    std::fs::read_to_string(&server.centre.config).expect("the configuration")
}

fn write(server: &Server, text: &str) {
    std::fs::write(&server.centre.config, text).expect("written");
}

/// `vigie reload` with these arguments: its exit status and everything that it said.
fn reload(server: &Server, arguments: &[&str]) -> (Option<i32>, String) {
    let config = server.centre.config.to_str().expect("a plain path");
    let output = server.centre.vigie(&[&["reload", "--config", config], arguments].concat());
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

#[tokio::test]
async fn a_new_line_and_a_new_person_work_at_once_and_the_call_that_talks_notices_nothing() {
    let server = Setup::new().start().await;
    let (anne, caller) = Phone::pair(&server, "0261910101").await;
    anne.voice.says(Words::Tone(1000.0));
    caller.voice.hears(1000.0, 300).await;

    write(&server, &text(&server).replace("[sounds]", MORE));
    let (status, said) = reload(&server, &["--dry-run"]);
    assert_eq!(status, Some(0), "{said}");
    assert!(
        said.contains("Would change:") && said.contains("added lines.night") && said.contains("regulators.zoe"),
        "{said}"
    );
    assert!(
        !std::fs::read_to_string(server.centre.place.path("state/secrets/passwords.txt"))
            .expect("there")
            .contains("zoe")
    );

    let (status, said) = reload(&server, &[]);
    assert_eq!(status, Some(0), "{said}");
    assert!(
        said.contains("In force now:") && said.contains("The 1 calls of the last 24 hours:\n  would all be taken"),
        "{said}"
    );
    let state = server.api.json("/configuration").await;
    assert_eq!((state["is_changed"].as_bool(), state["is_sound"].as_bool()), (Some(false), Some(true)));

    // The call and its regulator are what they were.
    assert_eq!(server.api.regulator("anne").await, "talking");
    let before = caller.voice.heard_ms(1000.0);
    until("the caller goes on hearing", || async { (caller.voice.heard_ms(1000.0) > before + 300).then_some(()) })
        .await;

    // Who was not there before answers the line that was not there before, after its own greeting.
    let zoe = Phone::regulator(&server, "zoe").await;
    server.api.regulator_is("zoe", "ready").await;
    let second = Phone::caller(&server, "+33612345679").await;
    second.dial_in("0261910109").await;
    zoe.talks().await;
    second.talks().await;
    assert!(second.voice.heard_ms(frequency("sorry")) >= 300, "the new line's greeting");
    second.hang_up().await;
    caller.hang_up().await;
    server.api.regulator_is("anne", "ready").await;
    let story = server.api.story("the second call", |story| story["call"]["line"] == "night").await;
    assert_eq!(story["call"]["regulator"].as_str(), Some("zoe"));
    let audit = server.api.json("/audit").await;
    let acts: Vec<&str> =
        audit["items"].as_array().into_iter().flatten().filter_map(|row| row["act"].as_str()).collect();
    assert_eq!(acts.iter().filter(|act| act.starts_with("configuration.")).count(), 2, "{acts:?}");
}

#[tokio::test]
async fn who_waits_keeps_the_place_and_who_leaves_the_file_leaves_when_the_call_is_over() {
    let server = Setup::new().start().await;
    let (anne, first) = Phone::pair(&server, "0261910101").await;
    let second = Phone::caller(&server, "+33612345679").await;
    second.dial_in("0261910101").await;
    let room = until("the second caller waits", || async {
        let room = server.api.json("/room").await;
        room["waiting"].as_array().is_some_and(|waiting| waiting.len() == 1).then_some(room)
    })
    .await;
    let call = room["waiting"][0]["call"].clone();

    // Anne leaves; nobody else is there, so the one who waits would be stranded.
    let changed = text(&server).replace("[regulators.anne]\nname = \"Anne\"", "[regulators.clara]\nname = \"Clara\"");
    write(&server, &changed);
    let (status, said) = reload(&server, &["--json"]);
    assert_eq!(status, Some(0), "{said}");
    let report: Value = serde_json::from_str(&said).expect("an object");
    assert_eq!(report["is_applied"].as_bool(), Some(true));
    assert_eq!(report["room"]["leaving"][0].as_str(), Some("anne"));
    assert_eq!((&report["room"]["stranded"][0]["call"], report["room"]["waiting"].as_u64()), (&call, Some(1)));
    assert_eq!(report["last_day"]["answered_by_others"].as_u64(), Some(1), "the call that Anne talks on");

    // She goes on talking, and has no phone once she has hung up; the caller keeps the place for Clara.
    assert_eq!(server.api.regulator("anne").await, "talking");
    anne.hang_up().await;
    first.is_over().await;
    server.api.regulator_is("anne", "offline").await;
    let clara = Phone::start([127, 0, 0, 1], server.centre.sip, "clara").await;
    assert_eq!(clara.register(&server.password("clara"), 600).await, 200);
    clara.talks().await;
    second.talks().await;
    second.hang_up().await;
    let story = server
        .api
        .story("the second call", |story| story["call"]["id"] == call && !story["call"]["ended_at"].is_null())
        .await;
    assert_eq!(story["call"]["regulator"].as_str(), Some("clara"));
}

#[tokio::test]
async fn a_file_with_errors_or_for_a_restart_changes_nothing_and_says_what_to_do() {
    let server = Setup::new().start().await;
    let sound = text(&server);
    let since = server.api.json("/configuration").await["in_force_since"].clone();
    for (from, to, status, expected) in [
        ("skills = { regulation = 80 }", "skills = { regulatoin = 80 }", 422, "regulatoin"),
        ("calls_max = 40", "calls_max = 0", 422, "calls_max"),
        ("silence_max = \"5s\"", "silence_max = \"6s\"", 409, "media.silence_max"),
    ] {
        write(&server, &sound.replacen(from, to, 1));
        assert_eq!(server.api.post("/configuration/reload", None).await, status, "{to}");
        let (exit, said) = reload(&server, &[]);
        assert_eq!(exit, Some(1));
        assert!(said.contains(expected), "{to}: {said}");
        // SIGHUP says it in the log, and the server lives.
        server.process.signal(rustix::process::Signal::HUP);
        until("the log says why", || async { server.process.output().contains(expected).then_some(()) }).await;
    }
    write(&server, &sound);
    let state = server.api.json("/configuration").await;
    assert_eq!((state["is_changed"].as_bool(), &state["in_force_since"]), (Some(false), &since));
    let (_anne, caller) = Phone::pair(&server, "0261910101").await;
    caller.hang_up().await;
}
