//! A server that cannot start says why: file, line and key, the port, the sound.

use std::net::{TcpListener, UdpSocket};

use super::server::{Centre, Setup};

/// What `serve` says on its way out.
fn refusal(centre: &Centre) -> String {
    let config = centre.config.to_str().expect("a plain path");
    let output = centre.vigie(&["serve", "--config", config]);
    assert!(!output.status.success(), "it must not start");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_bad_configuration_is_refused_with_file_line_and_key() {
    let setup = Setup::new();
    let setup = setup.change("wrap_up = \"1s\"\nwaiting_max", "wrap_upp = \"1s\"\nwaiting_max");
    let centre = setup.write();
    let text = std::fs::read_to_string(&centre.config).expect("the configuration");
    let line = 1 + text.lines().position(|line| line.starts_with("wrap_upp")).expect("the bad line");
    let said = refusal(&centre);
    assert!(said.contains(&format!("vigie.toml:{line}")) && said.contains("wrap_upp"), "{said}");
}

#[test]
fn a_port_in_use_is_named() {
    let centre = Setup::new().write();
    let taken = UdpSocket::bind(centre.sip).expect("the SIP port");
    let said = refusal(&centre);
    assert!(said.contains(&centre.sip.to_string()) && said.contains("in use"), "{said}");
    drop(taken);

    let taken = TcpListener::bind(centre.web).expect("the HTTP port");
    let said = refusal(&centre);
    assert!(said.contains(&centre.web.to_string()) && said.contains("in use"), "{said}");
    drop(taken);
}

#[test]
fn a_missing_sound_is_found_at_the_start() {
    let centre = Setup::new().write();
    std::fs::remove_file(centre.place.path("sounds/music.wav")).expect("the music is removed");
    let said = refusal(&centre);
    assert!(said.contains("music.wav"), "{said}");
}
