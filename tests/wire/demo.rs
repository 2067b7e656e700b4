//! The demo is what a newcomer sees first: it proves itself.

use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;

use super::api::Api;
use super::harness::{Place, Process, until};
use super::phone::Phone;

struct Demo {
    place: Place,
    process: Process,
}

impl Demo {
    fn start(arguments: &[&str]) -> Demo {
        let place = Place::new();
        let mut command = Command::new(env!("CARGO_BIN_EXE_vigie"));
        command.arg("demo").arg("--dir").arg(place.path("demo")).args(arguments).current_dir(&place.folder);
        let (said, told) = (place.path("stdout"), place.path("stderr"));
        let process = Process::start_apart("vigie demo", &mut command, &said, &told);
        Demo { place, process }
    }

    fn read(&self, stream: &str) -> String {
        std::fs::read_to_string(self.place.path(stream)).expect("the demo's output")
    }

    async fn end(mut self) -> (bool, String, String) {
        let status = self.process.end().await;
        (status.success(), self.read("stdout"), self.read("stderr"))
    }
}

#[tokio::test]
async fn the_demo_ends_with_demo_ok() {
    let (succeeded, said, told) = Demo::start(&[]).end().await;
    assert!(succeeded, "{said}\n{told}");
    assert_eq!(said.lines().last(), Some("demo: ok"), "{said}");
}

#[tokio::test]
async fn the_demo_tells_programs_the_same_in_json_lines_and_stays_up_when_asked_to() {
    let demo = Demo::start(&["--json", "--keep"]);
    let kept = until("the server stays up", || async {
        let lines = demo.read("stdout");
        let last: Value = serde_json::from_str(lines.lines().last()?).ok()?;
        (last["type"] == "kept" && demo.read("stderr").ends_with("Ctrl-C stops it.\n")).then_some(last)
    })
    .await;
    let text = |key: &str| kept[key].as_str().unwrap_or_else(|| panic!("{key} in {kept}")).to_owned();
    let (told, password) = (demo.read("stderr"), kept["users"]["yann"].as_str().expect("a password"));
    for piece in [&text("sip"), &text("api"), &text("token"), password, "yann", "127.0.0.2", "0261910101"] {
        assert!(told.contains(piece), "the story does not tell {piece}");
    }
    let address = text("api").replace("http://", "").replace("/api/v1", "");
    let mut api = Api::new(address.parse().expect("an address"));
    api.trust(text("token"), text("token"));
    assert_eq!(api.regulator("yann").await, "offline", "the demo's own phones are gone");
    let phone = Phone::start([127, 0, 0, 1], text("sip").parse().expect("an address"), "yann").await;
    assert_eq!(phone.register(password, 60).await, 200);
    let caller = Phone::start([127, 0, 0, 2], text("sip").parse().expect("an address"), "+33612345678").await;
    caller.dial_in(&text("dial")).await;
    phone.talks().await;
    caller.hang_up().await;
    demo.process.signal(Signal::INT);

    let (succeeded, said, told) = demo.end().await;
    assert!(succeeded, "{said}\n{told}");
    let lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect();
    let of = |kind: &str| lines.iter().filter(|line| line["type"] == kind).count();
    let last = lines.last().expect("a last line");
    assert_eq!((last["type"].as_str(), last["ok"].as_bool()), (Some("result"), Some(true)));
    assert_eq!((of("call"), of("kept"), of("result")), (4, 1, 1));
    assert!(of("event") >= 15 && of("check") >= 20, "{} events, {} checks", of("event"), of("check"));
    assert!(told.ends_with("demo: ok\n"), "the story is on standard error");
}

#[tokio::test]
async fn an_interrupted_demo_fails_and_leaves_no_ring_behind() {
    let mut demo = Demo::start(&[]);
    until("the evening has begun", || async { demo.read("stdout").contains("Mme Durand dials").then_some(()) }).await;
    demo.process.signal(Signal::TERM);
    let status = demo.process.end().await;
    assert_eq!(status.code(), Some(1));
    assert_eq!(demo.read("stdout").lines().last(), Some("demo: failed: interrupted"));
    let config = std::fs::read_to_string(demo.place.path("demo/vigie.toml")).expect("its configuration");
    let ring = config.lines().find_map(|line| line.strip_prefix("ring_folder = ")).expect("its rings' folder");
    assert!(!std::path::Path::new(ring.trim_matches('"')).exists(), "{ring}");
}
