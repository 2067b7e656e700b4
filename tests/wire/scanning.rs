//! SIPVicious, the scanner that every open SIP port meets: it learns no name and no password, and phones ring on.

use std::process::Command;

use super::harness::{Process, python_folder};
use super::phone::Phone;
use super::server::{Server, Setup};

/// What one of its tools says, run from 127.0.0.77, where nobody of ours is.
async fn scan(server: &Server, tool: &str, arguments: &[&str]) -> String {
    let dictionary = server.centre.place.path("words");
    let words: String = (0..300).map(|n| format!("word{n}\n")).collect();
    std::fs::write(&dictionary, format!("anne\nbruno\nnobody\n{words}")).expect("a dictionary");
    let mut command = Command::new(python_folder().join("bin").join(tool));
    command.args(["-b", "127.0.0.77", "-x", "127.0.0.77", "-p", &server.centre.sip.port().to_string()]);
    command.args(arguments).arg("127.0.0.1").current_dir(&server.centre.place.folder);
    let mut process = Process::start(tool, &mut command, &server.centre.place.path(tool));
    process.end().await;
    process.output()
}

#[tokio::test]
async fn a_scanner_learns_no_name_and_no_password_and_the_phones_ring_on() {
    let server = Setup::new().start().await;
    let anne = Phone::regulator(&server, "anne").await;
    let dictionary = server.centre.place.path("words").display().to_string();
    let said = scan(&server, "sipvicious_svmap", &[]).await;
    assert!(said.contains("127.0.0.1"), "it is found, as it has to be: {said}");
    let said = scan(&server, "sipvicious_svwar", &["-d", &dictionary, "--force", "--maximumtime", "15"]).await;
    let row = |name: &str| {
        said.lines()
            .find(|line| line.contains(&format!("| {name} ")))
            .map(|line| line.replace(name, "x").replace(' ', ""))
    };
    assert_eq!(row("anne"), row("nobody"), "the same is said of who is here and of who is not:\n{said}");
    let said = scan(&server, "sipvicious_svcrack", &["-u", "anne", "-d", &dictionary, "--maximumtime", "15"]).await;
    assert!(!said.contains("Password") || said.contains("no results"), "{said}");

    let caller = Phone::caller(&server, "+33612345678").await;
    caller.dial_in("0261910101").await;
    anne.voice.hears(440.0, 300).await;
    caller.hang_up().await;
    assert_eq!(anne.register(&server.password("anne"), 600).await, 200);
}
