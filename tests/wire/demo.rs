//! The demo is what a newcomer sees first: it proves itself.

use std::process::Command;

use super::harness::{Place, Process};

async fn run(place: &Place, arguments: &[&str]) -> (bool, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vigie"));
    command.arg("demo").arg("--dir").arg(place.path("demo")).args(arguments).current_dir(&place.folder);
    let (said, told) = (place.path("stdout"), place.path("stderr"));
    let mut demo = Process::start_apart("vigie demo", &mut command, &said, &told);
    let status = demo.end().await;
    let read = |path| std::fs::read_to_string(path).expect("the demo's output");
    (status.success(), read(said), read(told))
}

#[tokio::test]
async fn the_demo_ends_with_demo_ok() {
    let place = Place::new();
    let (succeeded, said, told) = run(&place, &[]).await;
    assert!(succeeded, "{said}\n{told}");
    assert_eq!(said.lines().last(), Some("demo: ok"), "{said}");
}

#[tokio::test]
async fn the_demo_tells_programs_the_same_in_json_lines() {
    let place = Place::new();
    let (succeeded, said, told) = run(&place, &["--json"]).await;
    assert!(succeeded, "{said}\n{told}");
    let lines: Vec<serde_json::Value> =
        said.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect();
    let of = |kind: &str| lines.iter().filter(|line| line["type"] == kind).count();
    let last = lines.last().expect("a last line");
    assert_eq!((last["type"].as_str(), last["ok"].as_bool()), (Some("result"), Some(true)));
    assert_eq!((of("call"), of("result")), (4, 1));
    assert!(of("event") >= 15 && of("check") >= 20, "{} events, {} checks", of("event"), of("check"));
    assert!(told.contains("demo: ok"), "the story is on standard error");
}
