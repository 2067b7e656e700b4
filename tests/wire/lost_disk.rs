//! The disk of the recordings dies, and the server begins on an empty one: what the second place holds proves itself, comes
//! back, and is never written over, whether the second place was there at the start or not.

use super::archiving::{archive, assert_heard, copied, record, setup};
use super::harness::{until, within};
use super::server::Server;

/// So long the recordings' copies and the seal log's may take.
const WITHIN: std::time::Duration = std::time::Duration::from_secs(90);

/// Everything of it is in the second place.
async fn all_copied(server: &Server) {
    within(WITHIN, "everything is copied", || async { (archive(server, &["status"]).0 == Some(0)).then_some(()) })
        .await;
}

/// Kills the server and takes its recordings away.
fn lose_the_disk(server: &mut Server) {
    server.process.kill();
    let recordings = server.centre.place.path("recordings");
    std::fs::remove_dir_all(&recordings).expect("the disk dies");
    std::fs::create_dir(&recordings).expect("an empty one");
}

/// Everything old is fetched, and both places prove all of it.
async fn mend(server: &Server, recordings: usize) {
    let (code, said) = archive(server, &["check"]);
    assert_eq!(code, Some(1), "{said}");
    let (code, said) = archive(server, &["check", "--repair"]);
    assert_eq!(code, Some(0), "{said}");
    all_copied(server).await;
    let (code, said) = archive(server, &["check"]);
    assert_eq!(code, Some(0), "{said}");
    for place in ["recordings", "second"] {
        let path = server.centre.place.path(place).display().to_string();
        let output = server.centre.vigie(&["verify", &path]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && said.contains(&format!("{recordings} recordings")), "{place}: {said}");
    }
}

#[tokio::test]
async fn a_server_that_begins_on_an_empty_disk_goes_on_with_its_seal_log_and_gets_everything_back() {
    let (setup, _) = setup("");
    let mut server = setup.start().await;
    let (old, folder) = record(&server).await;
    copied(&server, &old).await;
    all_copied(&server).await;
    lose_the_disk(&mut server);
    server.start_again().await;
    let (new, _) = record(&server).await;
    copied(&server, &new).await;
    all_copied(&server).await;
    assert!(new["recording"]["seal_sequence"].as_u64() > old["recording"]["seal_sequence"].as_u64(), "{new}");
    mend(&server, 2).await;
    assert!(server.centre.place.path("recordings").join(folder).join("audio.wav").exists());
    assert_heard(&server, &old).await;
}

#[tokio::test]
async fn a_second_place_that_was_away_when_the_disk_died_keeps_the_old_seal_log_beside_the_new_one() {
    let (setup, second) = setup("");
    let mut server = setup.start().await;
    let (old, _) = record(&server).await;
    copied(&server, &old).await;
    all_copied(&server).await;
    lose_the_disk(&mut server);
    let away = server.centre.place.path("away");
    std::fs::rename(&second, &away).expect("away");
    server.start_again().await;
    let (new, _) = record(&server).await;
    std::fs::rename(&away, &second).expect("back");
    copied(&server, &new).await;
    until("it is told", || async {
        (server.metric("vigie_alarms_total{kind=\"archive-differs\"").await >= 1.0).then_some(())
    })
    .await;
    all_copied(&server).await;
    mend(&server, 2).await;
    assert_heard(&server, &old).await;
    assert_heard(&server, &new).await;
}
