//! Years later: what is due goes when two people agree and the clock is believed, what is held stays, and all of it is proven.

use std::process::Command;

use super::harness::until;
use super::phone::Phone;
use super::server::{Server, Setup};
use super::voice::Words;

/// `vigie` with these words and the centre's configuration: whether it succeeded, and what it said.
pub fn vigie(server: &Server, words: &[&str]) -> (bool, String) {
    let config = server.centre.config.display().to_string();
    let output = server.centre.vigie(&[words, &["--config", &config]].concat());
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    (output.status.success(), said)
}

pub fn must(server: &Server, words: &[&str]) -> String {
    let (done, said) = vigie(server, words);
    assert!(done, "{words:?}: {said}");
    said
}

/// Two recordings of two calls; the ids, the older first.
async fn two_recordings(server: &Server) -> [String; 2] {
    let mut ids: Vec<String> = Vec::new();
    let anne = Phone::regulator(server, "anne").await;
    anne.voice.says(Words::Tone(1000.0));
    for number in ["+33612345678", "+33687654321"] {
        let caller = Phone::caller(server, number).await;
        caller.dial_in("0261910101").await;
        caller.voice.hears(1000.0, 300).await;
        caller.hang_up().await;
        let story = server.api.story("the call is sealed", |story| {
            let id = story["call"]["id"].as_str().unwrap_or_default();
            story["recording"].is_object() && !ids.iter().any(|known| known == id)
        });
        let id = story.await["call"]["id"].as_str().expect("an id").to_owned();
        ids.push(id);
    }
    ids.try_into().expect("two")
}

#[tokio::test]
async fn six_years_later_two_people_delete_what_is_due_and_what_is_held_stays() {
    let mut server = Setup::new().start().await;
    let [due, held] = two_recordings(&server).await;
    let root = server.centre.place.folder.clone();
    let place = |name: &str| root.join(name).display().to_string();
    let (recordings, database) = (place("recordings"), place("state/vigie.db"));
    let (mine, yours) = (place("state/secrets/api-token-admin"), place("state/secrets/api-token-compliance"));
    let folder_of = |call: &str| {
        let found =
            Command::new("find").args([recordings.as_str(), "-type", "d", "-name", call]).output().expect("find");
        std::path::PathBuf::from(String::from_utf8_lossy(&found.stdout).trim())
    };
    let (folder, other) = (folder_of(&due), folder_of(&held));
    must(&server, &["custody", "hold", &held, "--reason", "a complaint", "--case", "RG 26/1", "--token-file", &mine]);
    let (done, said) = vigie(&server, &["custody", "release", "1", "--reason", "closed", "--token-file", &mine]);
    assert!(!done && said.contains("409"), "who placed a hold releases none: {said}");
    let (done, said) = vigie(&server, &["custody", "propose", "--reason", "too early"]);
    assert!(!done && said.contains("no recording's time is over"), "{said}");
    server.interrupt();
    server.end().await;

    server.start_again_at("+2200d").await;
    let (done, said) = vigie(&server, &["custody", "propose", "--reason", "yearly clearing"]);
    assert!(!done && said.contains("the clock is not believed"), "{said}");
    assert!(must(&server, &["custody", "clock"]).contains("NOT believed"));
    must(&server, &["custody", "clock", "--confirm", "compared with the church's"]);
    let said = must(&server, &["custody", "propose", "--reason", "yearly clearing", "--token-file", &mine]);
    assert!(said.contains("list 1") && said.contains(&due) && !said.contains(&held), "{said}");
    let approve = |token: &str| vigie(&server, &["custody", "approve", "1", "--reason", "seen", "--token-file", token]);
    let (done, said) = approve(&mine);
    assert!(!done && said.contains("somebody else must approve"), "{said}");
    assert!(folder.join("audio.wav").exists(), "nothing goes on one person's word");
    let (done, said) = approve(&yours);
    assert!(done, "{said}");
    until("the list is done", || async {
        must(&server, &["custody", "list", "1"]).contains("list 1: done").then_some(())
    })
    .await;

    let left = std::fs::read_dir(&folder).expect("its folder").flatten().map(|entry| entry.file_name());
    let mut left: Vec<String> = left.map(|name| name.to_string_lossy().into_owned()).collect();
    left.sort();
    assert_eq!(left, ["deletion.json", "deletion.json.sig"]);
    assert!(other.join("audio.wav").exists());
    assert_eq!(server.api.fetch(&format!("/api/v1/recordings/{due}/audio?reason=a+test")).await.0, 404);
    assert_eq!(server.api.fetch(&format!("/api/v1/recordings/{held}/audio?reason=a+test")).await.0, 200);
    let shown = must(&server, &["custody", "show", &due]);
    assert!(shown.contains("there is no sealed recording") && shown.contains("recording.deleted"), "{shown}");
    let day = server.api.json(&format!("/calls/{due}")).await;
    let day = day["call"]["received_at"].as_str().and_then(|at| at.get(..10)).expect("a day").to_owned();
    let found = server.api.json(&format!("/reconciliation?day={day}")).await;
    assert_eq!(found["agrees"], true, "a lawful deletion is no difference: {found:#}");
    assert!(found["excused"][0]["reason"].as_str().is_some_and(|why| why.contains("deleted by list 1")), "{found:#}");
    must(&server, &["audit", "verify"]);
    server.interrupt();
    server.end().await;
    server.assert_sound();
    let output = server.centre.vigie(&["verify", &recordings, "--database", &database]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&[output.stdout, output.stderr].concat()));

    // Whoever takes the certificate away, changes the other recording, its row or the audit, is found out.
    let verify = || {
        let output = server.centre.vigie(&["verify", &recordings, "--database", &database]);
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        (output.status.code(), said)
    };
    let certificate = folder.join("deletion.json");
    std::fs::rename(&certificate, place("away.json")).expect("moved");
    let (code, said) = verify();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&due), "{said}");
    std::fs::rename(place("away.json"), &certificate).expect("moved back");
    let audio = other.join("audio.wav");
    let whole = std::fs::read(&audio).expect("the audio");
    let mut changed = whole.clone();
    changed[whole.len() / 2] ^= 1;
    std::fs::write(&audio, &changed).expect("written");
    let (code, said) = verify();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&held) && said.contains("audio.wav"), "{said}");
    std::fs::write(&audio, &whole).expect("written back");
    assert_eq!(verify().0, Some(0));
    let sql = |text: &str| {
        let program = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute(sys.argv[2]); c.commit()";
        let status = Command::new("python3").args(["-c", program, &database, text]).status().expect("python3");
        assert!(status.success(), "{text}");
    };
    sql("UPDATE recordings SET record = replace(record, '\"line\":', '\"line\" :')");
    sql(&format!("UPDATE recordings SET record = replace(record, '{}', '{}')", "\"gaps\":0", "\"gaps\":7"));
    let (code, said) = verify();
    assert_eq!(code, Some(1), "a row that was changed: {said}");
    must(&server, &["audit", "verify"]);
    sql("UPDATE audit SET actor = 'nobody' WHERE act = 'deletion.approve'");
    let (done, said) = vigie(&server, &["audit", "verify"]);
    assert!(!done && said.contains("was changed"), "{said}");
}
