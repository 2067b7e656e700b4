//! Encryption at rest, under the real server and from outside: numbered sound is searched for in every file on the disk, and
//! whatever can be done with a recording is done with an encrypted one.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use sqlx::{Connection, SqliteConnection};
use vigie::model::{SealedRecording, Utc};
use vigie::rtp::g711::{self, Law};

use super::harness::{let_pass, until};
use super::numbering::{Conversation, assert_whole, recorded, sealed_of, story_of};
use super::phone::Phone;
use super::server::{Centre, Server, Setup};
use super::sound::read_stereo;
use super::voice::{numbered, numbers_in};

/// Six years: a year more than the shortest retention.
const SIX_YEARS_US: i64 = 6 * 366 * 86_400 * 1_000_000;

/// Every file below `folder`.
pub(super) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

/// Whether numbered sound is in there: marks at both ends of a piece of four codes, three pieces with one number.
fn holds_numbers(bytes: &[u8]) -> bool {
    let piece = numbered(0);
    let marks = [piece[0], piece[3]];
    let samples = marks.map(|mark| g711::decode(Law::A, mark));
    let law: [Vec<u8>; 2] = marks.map(|mark| vec![mark]);
    let other: [Vec<u8>; 2] = samples.map(|sample| vec![g711::encode(Law::Mu, sample)]);
    let little = samples.map(|sample| sample.to_le_bytes().to_vec());
    let big = samples.map(|sample| sample.to_be_bytes().to_vec());
    [law, other, little, big].iter().any(|marks| [1, 2].iter().any(|voices| holds_pieces(bytes, marks, *voices)))
}

/// The same, in codes as wide as the marks, `voices` of them side by side.
fn holds_pieces(bytes: &[u8], marks: &[Vec<u8>; 2], voices: usize) -> bool {
    let width = marks[0].len();
    let code = |at: usize, number: usize| bytes.get(at + number * voices * width..)?.get(..width);
    let is_there = |at: usize| {
        (0..12).all(|number| {
            let found = code(at, number);
            match number % 4 {
                0 => found == Some(&marks[0]),
                3 => found == Some(&marks[1]),
                _ => found.is_some() && found == code(at, number % 4),
            }
        })
    };
    (0..bytes.len()).any(|at| bytes[at] == marks[0][0] && is_there(at))
}

/// Nothing on the disk holds numbered sound; how many bytes were searched.
fn assert_nothing_plain(server: &Server) -> usize {
    let mut searched = 0;
    for path in files_below(&server.centre.place.folder) {
        let bytes = std::fs::read(&path).unwrap_or_default();
        assert!(!holds_numbers(&bytes), "plain sound rests in {}", path.display());
        searched += bytes.len();
    }
    searched
}

/// The rings, which are in memory and hold what was said last.
fn rings(server: &Server) -> Vec<u8> {
    files_below(server.centre.place.ring_folder())
        .iter()
        .flat_map(|path| std::fs::read(path).unwrap_or_default())
        .collect()
}

/// The people of the centre, each at a console.
pub(super) struct Office<'a>(pub(super) &'a Centre);

impl Office<'_> {
    pub(super) fn path(&self, name: &str) -> String {
        self.0.place.path(name).display().to_string()
    }

    fn run(&self, arguments: &[&str]) -> (bool, String) {
        let ended = self.0.vigie(arguments);
        (ended.status.success(), String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).into_owned())
    }

    /// Asks the server as this person; what it said.
    pub(super) fn try_as(&self, person: &str, arguments: &[&str]) -> (bool, String) {
        let (config, token) = (self.path("vigie.toml"), self.path(&format!("state/secrets/api-token-{person}")));
        self.run(&[arguments, &["--config", &config, "--token-file", &token]].concat())
    }

    pub(super) fn must_as(&self, person: &str, arguments: &[&str]) -> String {
        let (is_done, said) = self.try_as(person, arguments);
        assert!(is_done, "{arguments:?}: {said}");
        said
    }

    /// `vigie verify` with these keys.
    pub(super) fn verify(&self, keys: &[&str]) -> (bool, String) {
        let sources: Vec<String> = keys.iter().map(|key| format!("--decrypt-with=file:{}", self.path(key))).collect();
        let folder = self.path("recordings");
        let words: Vec<&str> = ["verify", &folder].into_iter().chain(sources.iter().map(String::as_str)).collect();
        self.run(&words)
    }

    /// A number in the server's JSON answer.
    pub(super) fn id_in(said: &str) -> String {
        let answer: Value = serde_json::from_str(said).unwrap_or_else(|_| panic!("JSON: {said}"));
        answer["id"].to_string()
    }
}

#[tokio::test]
async fn no_file_ever_holds_plain_sound_and_a_pause_is_nowhere_at_all() {
    let server = Setup::new().encrypted().start().await;
    let anne = Phone::regulator(&server, "anne").await;
    let talk = Conversation::begin(&server, &anne, 1).await;
    let mut searched = 0;
    for _ in 0..4 {
        let_pass(Duration::from_millis(400)).await;
        searched = assert_nothing_plain(&server);
    }
    assert!(searched > 50_000 && holds_numbers(&rings(&server)), "the search finds what is there");
    let story = story_of(&server, &talk.number).await.expect("a story");
    let id = story["call"]["id"].as_str().expect("an id").to_owned();
    let act = |act: &str| format!("/calls/{id}/recording/{act}");
    let before = talk.caller.voice.said() - 5;
    assert_eq!(server.api.post(&act("pause"), Some(json!({"reason": "a card's number"}))).await, 204);
    let_pass(Duration::from_millis(200)).await;
    let from = talk.caller.voice.said();
    let_pass(Duration::from_secs(1)).await;
    assert_nothing_plain(&server);
    let to = talk.caller.voice.said();
    assert_eq!(server.api.post(&act("resume"), None).await, 204);
    let after = talk.caller.voice.said() + 20;
    until("more is said", || std::future::ready((talk.caller.voice.said() >= after + 20).then_some(()))).await;
    let kept = rings(&server);
    let is_in_rings = |number: u32| kept.windows(160).any(|window| window == numbered(number));
    assert!(is_in_rings(before) && is_in_rings(after), "what was said before and after is there");
    for number in (from..to).step_by(7) {
        assert!(!is_in_rings(number), "{number} was said in the pause");
    }
    talk.caller.hang_up().await;
    let story = sealed_of(&server, &talk.number).await;
    let [left, _] = recorded(&server, &story).await;
    assert!(left.iter().all(|number| !(from..to).contains(number)), "{from} to {to}: {left:?}");
    assert!(left.contains(&before) && left.contains(&after), "{before} {after}: {left:?}");
    assert!(assert_nothing_plain(&server) > 50_000);
    let audio = server.api.fetch(&format!("/api/v1/recordings/{id}/audio?reason=wire+test")).await.1;
    assert!(holds_numbers(&audio), "the search finds what is there");
}

/// A recording is asked for, approved, fetched, unpacked, proven by its own commands and looked at; then what was unpacked goes.
pub(super) fn export_and_prove(office: &Office, call: &str, look: impl FnOnce(&Path)) {
    let said = office.must_as("compliance", &["export", call, "--reason", "réquisition 12"]);
    let id = said.lines().next().expect("an id").to_owned();
    office.must_as("admin", &["export", "--approve", &id, "--reason", "seen"]);
    let zip = office.path("export.zip");
    office.must_as("compliance", &["export", "--fetch", &id, "--output", &zip, "--reason", "réquisition 12"]);
    let unpacked = office.0.place.path("unpacked");
    std::fs::create_dir(&unpacked).expect("a folder");
    let shell = |line: &str| {
        let done = Command::new("sh").args(["-c", line]).current_dir(&unpacked).output().expect("a shell");
        assert!(done.status.success(), "{line}\n{}", String::from_utf8_lossy(&done.stderr));
    };
    shell("unzip -q ../export.zip");
    let text = std::fs::read_to_string(unpacked.join("VERIFY.txt")).expect("instructions");
    let lines: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("$ ")).collect();
    assert!(lines.len() > 6, "{text}");
    lines.into_iter().for_each(shell);
    look(&unpacked);
    std::fs::remove_dir_all(&unpacked).expect("removed");
    std::fs::remove_file(zip).expect("removed");
}

/// A copy with silence from 300 to 700 ms.
async fn redact(server: &Server, id: &str) {
    let spans = json!({"spans": [{"start_ms": 300, "end_ms": 700}], "reason": "a third person's name"});
    assert_eq!(server.api.post(&format!("/recordings/{id}/redactions"), Some(spans)).await, 201);
    let addenda = server.api.json(&format!("/recordings/{id}/addenda")).await;
    let number =
        addenda.as_array().and_then(|all| all.last()?["addendum"].as_u64()).unwrap_or_else(|| panic!("{addenda:#}"));
    let (status, copy) =
        server.api.fetch(&format!("/api/v1/recordings/{id}/redactions/{number}/audio?reason=wire+test")).await;
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&copy));
    let (_, [left, right]) = read_stereo(&copy);
    for side in [left, right] {
        assert!(side[2400..5600].iter().all(|sample| *sample == 0), "silence from 300 to 700 ms");
        assert!(!numbers_in(&side).is_empty(), "and sound elsewhere");
    }
}

/// Another key-encryption key: the server starts with both, every recording's key is wrapped anew, the old one goes.
async fn rotate(server: &mut Server) {
    let config = server.centre.config.clone();
    let new = server.centre.place.path("kek-2");
    let old = server.centre.place.path("kek");
    assert!(Office(&server.centre).run(&["key", "new", &new.display().to_string()]).0);
    let text = std::fs::read_to_string(&config).expect("the configuration");
    let before = format!("key = \"file:{}\"", old.display());
    assert!(text.contains(&before));
    let after = format!("key = \"file:{}\"", new.display());
    let both = text.replace(&before, &format!("{after}\nold_keys = [\"file:{}\"]", old.display()));
    std::fs::write(&config, both).expect("written");
    server.interrupt();
    server.end().await;
    server.start_again().await;
    let (is_done, said) = Office(&server.centre).run(&["key", "rotate", "--config", &config.display().to_string()]);
    assert!(is_done, "{said}");
    std::fs::write(&config, text.replace(&before, &after)).expect("written");
    server.interrupt();
    server.end().await;
    server.start_again().await;
}

/// Makes the recording six years older in the database, which is what deletion goes by; the server does not run.
pub(super) async fn make_older(centre: &Centre, call: &str) {
    let url = format!("sqlite:{}", centre.place.path("state/vigie.db").display());
    let mut database = SqliteConnection::connect(&url).await.expect("the database");
    let (record,): (String,) = sqlx::query_as("SELECT record FROM recordings WHERE call = $1")
        .bind(call)
        .fetch_one(&mut database)
        .await
        .expect("the recording's row");
    let mut sealed: SealedRecording = serde_json::from_str(&record).expect("a recording");
    sealed.started_at.0 -= SIX_YEARS_US;
    sealed.record.ended_at = sealed.record.ended_at.map(|at| Utc(at.0 - SIX_YEARS_US));
    sqlx::query("UPDATE recordings SET record = $1, started_at = $2 WHERE call = $3")
        .bind(serde_json::to_string(&sealed).expect("JSON"))
        .bind(sealed.started_at.0)
        .bind(call)
        .execute(&mut database)
        .await
        .expect("written");
    sqlx::query("UPDATE retention_promises SET since = since - $1")
        .bind(SIX_YEARS_US)
        .execute(&mut database)
        .await
        .expect("written");
    database.close().await.expect("closed");
}

/// Held, so that it cannot be deleted; released by another person; deleted by two.
async fn hold_and_delete(server: &mut Server, call: &str) {
    server.interrupt();
    server.end().await;
    make_older(&server.centre, call).await;
    server.start_again().await;
    let office = Office(&server.centre);
    let hold = office.must_as("admin", &["custody", "hold", call, "--reason", "complaint 12", "--json"]);
    let (is_proposed, said) = office.try_as("admin", &["custody", "propose", call, "--reason", "yearly clearing"]);
    assert!(!is_proposed && said.contains("held"), "{said}");
    let hold = Office::id_in(&hold);
    assert!(!office.try_as("admin", &["custody", "release", &hold, "--reason", "it is over"]).0, "by the same person");
    office.must_as("compliance", &["custody", "release", &hold, "--reason", "it is over"]);
    let list = office.must_as("admin", &["custody", "propose", call, "--reason", "yearly clearing", "--json"]);
    let list = Office::id_in(&list);
    assert!(!office.try_as("admin", &["custody", "approve", &list, "--reason", "seen"]).0, "by the same person");
    office.must_as("compliance", &["custody", "approve", &list, "--reason", "seen"]);
    until("the recording is deleted", || async {
        let told = server.api.json(&format!("/deletions/{list}")).await;
        (told["recordings"][0]["state"].as_str() == Some("deleted")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn whatever_is_done_with_a_recording_can_be_done_with_an_encrypted_one() {
    let mut server = Setup::new().encrypted().start().await;
    let anne = Phone::regulator(&server, "anne").await;
    let talk = Conversation::begin(&server, &anne, 1).await;
    let_pass(Duration::from_secs(2)).await;
    talk.caller.hang_up().await;
    let story = sealed_of(&server, &talk.number).await;
    let id = story["call"]["id"].as_str().expect("an id").to_owned();
    let path = story["recording"]["path"].as_str().expect("a path").to_owned();
    let folder = server.centre.place.path("recordings").join(path).parent().expect("a folder").to_owned();
    let heard = recorded(&server, &story).await;
    heard.iter().for_each(|side| assert_whole(side, "it"));

    export_and_prove(&Office(&server.centre), &id, |_| ());
    redact(&server, &id).await;
    assert!(assert_nothing_plain(&server) > 0, "an export and a copy leave nothing plain behind");
    let office = Office(&server.centre);
    for keys in [&[][..], &["kek"]] {
        let (is_sound, said) = office.verify(keys);
        assert!(is_sound, "{said}");
    }

    rotate(&mut server).await;
    assert_eq!(recorded(&server, &story).await, heard, "with the other key");
    let office = Office(&server.centre);
    assert!(office.verify(&["kek-2"]).0);
    let (_, said) = office.verify(&["kek"]);
    assert!(said.contains("wrong key") || said.contains("not among those"), "{said}");

    hold_and_delete(&mut server, &id).await;
    let mut left: Vec<_> =
        files_below(&folder).iter().map(|path| path.file_name().expect("a name").to_owned()).collect();
    left.sort();
    assert_eq!(left, ["deletion.json", "deletion.json.sig"]);
    let (status, _) = server.api.fetch(&format!("/api/v1/recordings/{id}/audio?reason=wire+test")).await;
    assert!(matches!(status, 404 | 410), "{status}");
    let (is_sound, said) = Office(&server.centre).verify(&["kek-2"]);
    assert!(is_sound && said.contains("1 lawfully deleted"), "{said}");
}

#[tokio::test]
async fn started_without_its_key_it_records_and_seals_what_waited_when_the_key_is_back() {
    let mut server = Setup::new().encrypted().start().await;
    let anne = Phone::regulator(&server, "anne").await;
    let cut = Conversation::begin(&server, &anne, 1).await;
    let_pass(Duration::from_millis(1500)).await;
    let said = cut.caller.voice.said();
    server.process.kill();
    anne.forget_call();
    anne.voice.falls_silent();
    let (key, away) = (server.centre.place.path("kek"), server.centre.place.path("kek.away"));
    std::fs::rename(&key, &away).expect("taken away");
    server.start_again().await;
    let metrics = server.api.text("/metrics").await;
    assert!(metrics.contains("kind=\"recording-key-absent\""), "{metrics}");

    let talk = Conversation::begin(&server, &anne, 2).await;
    let_pass(Duration::from_secs(1)).await;
    talk.caller.hang_up().await;
    sealed_of(&server, &talk.number).await;
    let waits = story_of(&server, &cut.number).await.expect("a story");
    assert!(waits["recording"].is_null(), "sealing waits: {waits:#}");
    assert_nothing_plain(&server);

    std::fs::rename(&away, &key).expect("back");
    let story = sealed_of(&server, &cut.number).await;
    let [left, right] = recorded(&server, &story).await;
    assert_whole(&left, "the caller");
    assert_whole(&right, "the regulator");
    assert!(left.last().is_some_and(|last| last + 3 >= said), "{said}: {:?}", left.last());
    let sides = recorded(&server, &sealed_of(&server, &talk.number).await).await;
    assert!(sides.iter().all(|side| side.len() > 30), "{sides:?}");
    assert_nothing_plain(&server);
    let (is_sound, said) = Office(&server.centre).verify(&["kek"]);
    assert!(is_sound, "{said}");
}
