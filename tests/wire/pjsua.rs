//! pjsua2 2.15 as an independent softphone, steered through `pjsua.py`.

use std::io::{BufRead, BufReader, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::harness::{Process, free_port, python_folder, until};
use super::server::Server;
use super::sound;

/// Everything that the phone said, answers and events, in order.
type Said = Arc<Mutex<Vec<Value>>>;

/// A running softphone.
pub struct Pjsua {
    /// Its process.
    pub process: Process,
    input: Mutex<ChildStdin>,
    said: Said,
    folder: PathBuf,
    orders: Mutex<u64>,
}

impl Pjsua {
    /// A regulator's softphone over UDP, registered; it rings, and picks up by itself.
    pub async fn regulator(server: &Server, user: &str, tone: f64) -> Pjsua {
        Pjsua::regulator_with(server, user, json!({ "tone": tone })).await
    }

    /// The same with other settings: see `Phone` in `pjsua.py`.
    pub async fn regulator_with(server: &Server, user: &str, settings: Value) -> Pjsua {
        let phone = Pjsua::start(server, user, [127, 0, 0, 1].into(), account(server, user, settings)).await;
        phone.sees("registration", |event| event["status"] == 200).await;
        server.api.regulator_is(user, "ready").await;
        phone
    }

    /// A regulator's softphone that may not get in.
    pub async fn stranger(server: &Server, user: &str, settings: Value) -> Pjsua {
        Pjsua::start(server, user, [127, 0, 0, 1].into(), account(server, user, settings)).await
    }

    /// A caller over the trunk.
    pub async fn caller(server: &Server, number: &str, settings: Value) -> Pjsua {
        let address = server.centre.place.trunk;
        let settings = with(settings, json!({ "domain": address.to_string() }));
        Pjsua::start(server, number, address, settings).await
    }

    async fn start(server: &Server, user: &str, address: IpAddr, settings: Value) -> Pjsua {
        let folder = server.centre.place.path(format!("pjsua-{}", free_port()));
        std::fs::create_dir_all(&folder).expect("the softphone's folder");
        let media_port = 40_000 + u32::from(free_port() - 10_000) / 40 * 40;
        let own = json!({
            "folder": folder, "user": user, "address": address.to_string(), "media_port": media_port,
            "server": server.centre.sip.to_string(), "transport": "udp",
        });
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire/pjsua.py");
        let mut command = Command::new(python_folder().join("bin/python"));
        command.arg(script).arg(with(own, settings).to_string()).current_dir(&folder);
        let (process, input, output) = Process::start_steered("pjsua2", &mut command, &folder.join("log"));
        let said = Said::default();
        let kept = said.clone();
        // Ends with the process, whose output it reads.
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let one = serde_json::from_str(&line).unwrap_or(Value::String(line));
                kept.lock().expect("what it said").push(one);
            }
        });
        let mut phone = Pjsua { process, input: Mutex::new(input), said, folder, orders: Mutex::new(0) };
        until("pjsua2 is up", || {
            assert!(phone.process.ended().is_none(), "pjsua2 ended:\n{}", phone.process.output());
            std::future::ready((!phone.events("up").is_empty()).then_some(()))
        })
        .await;
        phone
    }

    /// Carries out an order: its name, and what it needs.
    pub async fn does(&self, order: &str, with_it: Value) -> Value {
        let answer = self.tries(order, with_it).await;
        assert!(answer["error"].is_null(), "{order}: {answer}\n{:#?}", self.said());
        answer["value"].clone()
    }

    /// The same, with an answer that may be an error.
    pub async fn tries(&self, order: &str, with_it: Value) -> Value {
        let id = {
            let mut orders = self.orders.lock().expect("the count of orders");
            *orders += 1;
            *orders
        };
        let line = format!("{}\n", with(with_it, json!({ "id": id, "do": order })));
        self.input.lock().expect("its input").write_all(line.as_bytes()).expect("an order to pjsua2");
        until(&format!("pjsua2 answers {order}"), || {
            std::future::ready(self.said().into_iter().find(|one| one["answer"] == id))
        })
        .await
    }

    /// Dials a number or a name at the server; the call's number.
    pub async fn dials(&self, server: &Server, number: &str) -> u64 {
        let uri = format!("sip:{number}@{}", server.centre.sip);
        self.does("dial", json!({ "uri": uri })).await.as_u64().expect("a call's number")
    }

    /// Waits until something of this kind happened that `is_it` says yes to; it.
    pub async fn sees(&self, kind: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        until(&format!("pjsua2 sees {kind}; its log is {}", self.folder.join("pjsip.log").display()), || {
            std::future::ready(self.events(kind).into_iter().find(&is_it))
        })
        .await
    }

    /// Waits until a call has come this far: `CONFIRMED`, `DISCONNECTED`… in pjsip's words.
    pub async fn call_is(&self, call: u64, state: &str) -> Value {
        self.sees("call", |event| event["call"] == call && event["state"] == state).await
    }

    /// Waits until a call's media is: 1 active, 2 held by it, 3 held by the far end (pjsua_call_media_status).
    pub async fn media_is(&self, call: u64, status: u64) {
        until(&format!("the media of call {call} is {status}"), || {
            let last = self.events("media").into_iter().rfind(|event| event["call"] == call);
            std::future::ready(last.filter(|last| last["status"] == status))
        })
        .await;
    }

    /// What happened of one kind, in order.
    pub fn events(&self, kind: &str) -> Vec<Value> {
        self.said().into_iter().filter(|one| one["event"] == kind).collect()
    }

    /// The messages and everything else that pjsip wrote down.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.folder.join("pjsip.log")).unwrap_or_default()).into_owned()
    }

    /// Waits until a call has heard that tone for so long, from now on.
    pub async fn hears(&self, call: u64, frequency: f64, length_ms: u32) {
        let before = self.heard(call).len();
        until(&format!("{frequency} Hz is heard by call {call}"), || {
            let (rate, heard) = self.read(call);
            let ms = sound::length_at(rate, heard.get(before..).unwrap_or_default(), frequency);
            std::future::ready((ms >= length_ms).then_some(()))
        })
        .await;
    }

    /// Everything that a call has heard so far.
    pub fn heard(&self, call: u64) -> Vec<i16> {
        self.read(call).1
    }

    fn read(&self, call: u64) -> (u32, Vec<i16>) {
        let file = std::fs::read(self.folder.join(format!("heard-{call}.wav"))).unwrap_or_default();
        sound::read_unfinished(&file)
    }

    fn said(&self) -> Vec<Value> {
        self.said.lock().expect("what it said").clone()
    }
}

impl Drop for Pjsua {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let from = log.char_indices().rev().nth(8000).map_or(0, |(at, _)| at);
            eprintln!("---- pjsua2 said:\n{:#?}\nand its log ends:\n{}\n----", self.said(), &log[from..]);
        }
    }
}

fn account(server: &Server, user: &str, settings: Value) -> Value {
    with(json!({ "password": server.password(user) }), settings)
}

/// The first settings with the second ones over them.
fn with(mut first: Value, second: Value) -> Value {
    let fields = second.as_object().expect("settings").clone();
    first.as_object_mut().expect("settings").extend(fields);
    first
}
