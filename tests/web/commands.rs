//! What is asked of the running decisions: a thread stands in for the switchboard and answers by its script.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use vigie::model::command::{BanKind, BanView, RegulatorView, TargetView, TrunkView, WaitingView};
use vigie::model::person::{Closed, ClosedBy};
use vigie::model::standing::{CallerList, ListKind, ListedNumber, Numbers, StandingOrder, StandingView, Surge};
use vigie::model::{
    AbandonedCaller, CallRecord, Caller, Command, DeviceId, Fact, Input, PauseReason, RegulatorState, Reply, Room, Utc,
};
use vigie::switchboard::{Door, Inbox};

use super::description::{hold_against, read_description};
use super::desk::{ADMIN, COMPLIANCE, Desk, RECEIVED, record};

/// A desk whose switchboard knows anne, who is ready, and paul, who was never online.
pub struct Centre {
    pub desk: Desk,
    inbox: Inbox,
    asked: Arc<Mutex<Vec<Command>>>,
    thread: JoinHandle<()>,
}

impl Centre {
    pub async fn open() -> Centre {
        let inbox = Inbox::default();
        let door = Door::new(inbox.clone());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (reading, replying, kept) = (inbox.clone(), door.clone(), asked.clone());
        let thread = std::thread::spawn(move || {
            while !reading.is_closed() {
                if let Some(Input::Command { ticket, command }) = reading.receive(Duration::from_secs(1)) {
                    kept.lock().expect("commands").push(command.clone());
                    replying.reply(ticket, answer(command));
                }
            }
        });
        Centre { desk: Desk::open_with(door).await, inbox, asked, thread }
    }

    /// What was asked, without the looks at the room.
    pub fn orders(&self) -> Vec<Command> {
        let asked = self.asked.lock().expect("commands");
        asked.iter().filter(|command| **command != Command::Room).cloned().collect()
    }

    /// Every entry of the audit, newest first: the act, its detail and its refusal.
    pub async fn audit(&self) -> Vec<[Value; 3]> {
        let told = self.desk.read(COMPLIANCE, "/api/v1/audit").await.json();
        let items = told["items"].as_array().expect("items");
        items.iter().map(|one| ["act", "detail", "refusal"].map(|name| one[name].clone())).collect()
    }

    pub async fn close(self) {
        self.inbox.close();
        self.thread.join().expect("no panic");
        self.desk.stop().await;
    }
}

fn answer(command: Command) -> Reply {
    match command {
        Command::Room => Reply::Room(Box::new(room())),
        Command::Ready { regulator } => match regulator.as_str() {
            "anne" => Reply::State(RegulatorState::Ready),
            "paul" => Reply::Refused("no device is registered".into()),
            _ => Reply::Unknown,
        },
        Command::Pause { regulator, reason } => match regulator.as_str() {
            "anne" => Reply::State(RegulatorState::Paused { reason: PauseReason::Operator(reason) }),
            _ => Reply::Unknown,
        },
        Command::ExtendWrapUp { regulator, .. } | Command::EndWrapUp { regulator } => match regulator.as_str() {
            "anne" => Reply::State(RegulatorState::WrapUp),
            "paul" => Reply::Refused("there is nothing to end".into()),
            _ => Reply::Unknown,
        },
        Command::LogOut { regulator, .. } => match regulator.as_str() {
            "anne" => Reply::State(RegulatorState::Offline),
            _ => Reply::Unknown,
        },
        Command::EndCall { call } if call == live() => Reply::Done,
        Command::EndCall { .. } => Reply::Unknown,
        Command::Bans => Reply::Bans(vec![banned("198.51.100.7", BanKind::Source), banned("anne", BanKind::Account)]),
        Command::Unban { who } if who == "198.51.100.7" => Reply::Done,
        Command::Unban { .. } => Reply::Unknown,
        Command::Drain | Command::EndAll => Reply::Drained,
        Command::Trunks => Reply::Trunks(vec![trunk()]),
        Command::Control { call, .. } if call == live() => Reply::Done,
        Command::Control { .. } => Reply::Unknown,
        Command::Legs { call } if call == talking() => Reply::Legs(vec![super::desk::live_leg(1)]),
        Command::CloseAbandoned { task, .. } | Command::NoteCallBack { task, .. } if task == live() => Reply::Done,
        Command::PlaceCallBack { task, .. } if task == live() => Reply::Done,
        Command::Legs { .. }
        | Command::CloseAbandoned { .. }
        | Command::NoteCallBack { .. }
        | Command::PlaceCallBack { .. }
        | Command::Reload(_) => Reply::Unknown,
        Command::Standing => Reply::Standing(Box::new(standing())),
        Command::Order(order) => match order.key().as_str() {
            "surge/nowhere" => Reply::Refused("there is no such region in the configuration".into()),
            _ => Reply::Done,
        },
        Command::Withdraw { order } if order == "list/blocked/+33612345678" || order == "surge/cotentin" => Reply::Done,
        Command::Withdraw { .. } => Reply::Unknown,
    }
}

/// A list of blocked callers with a number added, and a region that is overrun.
fn standing() -> StandingView {
    let list = CallerList {
        id: "blocked".into(),
        name: "Blocked".into(),
        kind: ListKind::Blocked,
        numbers: Vec::new(),
        lines: vec!["cherbourg".into()],
        reason: None,
        until: None,
    };
    let listed = ListedNumber {
        list: "blocked".into(),
        number: Numbers::parse("+33612345678").expect("a number"),
        reason: Some("shouted".into()),
        until: Some(RECEIVED),
        by: "ops".into(),
        at: RECEIVED,
    };
    let surge = Surge { region: "cotentin".into(), message: None, until: None, by: "ops".into(), at: RECEIVED };
    StandingView { lists: vec![list], orders: vec![StandingOrder::Listed(listed), StandingOrder::Surge(surge)] }
}

#[tokio::test]
async fn lists_and_surges_are_shown_changed_and_audited_as_described() {
    let centre = Centre::open().await;
    let openapi = read_description(&centre.desk).await;
    let (one, surge) = ("/api/v1/lists/{list}/numbers/{number}", "/api/v1/surges/{region}");
    for (method, template, path, status) in [
        ("get", "/api/v1/lists", "/api/v1/lists".to_owned(), 200),
        ("get", "/api/v1/surges", "/api/v1/surges".to_owned(), 200),
        ("put", one, "/api/v1/lists/blocked/numbers/0612345678".to_owned(), 204),
        ("put", one, "/api/v1/lists/blocked/numbers/nobody".to_owned(), 400),
        ("put", one, "/api/v1/lists/nolist/numbers/anonymous".to_owned(), 404),
        ("delete", one, "/api/v1/lists/blocked/numbers/+33612345678".to_owned(), 204),
        ("delete", one, "/api/v1/lists/blocked/numbers/anonymous".to_owned(), 404),
        ("put", surge, "/api/v1/surges/cotentin".to_owned(), 204),
        ("put", surge, "/api/v1/surges/nowhere".to_owned(), 409),
        ("delete", surge, "/api/v1/surges/cotentin".to_owned(), 204),
        ("delete", surge, "/api/v1/surges/nowhere".to_owned(), 404),
    ] {
        let answered = hold_against(&centre.desk, &openapi, method, template, &path).await;
        assert_eq!(answered.as_u16(), status, "{method} {path}");
    }
    let lists = centre.desk.read(COMPLIANCE, "/api/v1/lists").await.json();
    assert_eq!(lists[0]["added"][0]["number"], "+33612345678", "{lists:#}");
    let past = r#"{"reason": "shouted", "until": "2001-01-01T00:00:00Z"}"#;
    let bearer = format!("Bearer {ADMIN}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let answer = centre.desk.ask(Method::PUT, "/api/v1/lists/blocked/numbers/+33612345678", &headers, past).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text());
    let acts: Vec<_> = centre.audit().await.into_iter().map(|[act, ..]| act).collect();
    for act in ["list.add", "list.add.refused", "list.remove", "surge.on", "surge.on.refused", "surge.off"] {
        assert!(acts.contains(&json!(act)), "{act} is not among {acts:?}");
    }
    centre.close().await;
}

fn trunk() -> TrunkView {
    TrunkView {
        trunk: "carrier".into(),
        calls_live: 2,
        calls_max: 30,
        registration: Some("registered".into()),
        registered_until: Some(RECEIVED),
        trouble: None,
        targets: vec![TargetView { address: "udp:192.0.2.1:5060".into(), is_up: Some(true) }],
    }
}

fn banned(who: &str, kind: BanKind) -> BanView {
    let (since, until) = (RECEIVED, Utc(RECEIVED.0 + 600_000_000));
    BanView { who: who.into(), kind, reason: "wrong passwords".into(), since, until, failures: 10 }
}

pub fn live() -> vigie::model::CallId {
    vigie::model::CallId(uuid::Uuid::from_u128(5))
}

/// A call that lives: the media plane knows the quality of its leg 1.
fn talking() -> vigie::model::CallId {
    vigie::model::CallId(uuid::Uuid::from_u128(6))
}

fn room() -> Room {
    let waiting = WaitingView {
        call: live(),
        line: "cherbourg".into(),
        association: "sos-cherbourg".into(),
        region: "cotentin".into(),
        priority: 3,
        queued_at: RECEIVED,
        wait_ms: 1500,
        step: 1,
        skills: BTreeMap::from([("regulation".into(), 50)]),
        needs: "regulation >= 50".into(),
        reach: Default::default(),
        forecast: None,
        offered_to: Some("anne".into()),
        offers: 2,
        location: Some(vigie::model::record::Location { latitude: Some(49.6), ..Default::default() }),
        caller: Caller { raw: "0612345678".into(), ..Caller::default() },
    };
    let regulator = |id: &str, state, since| RegulatorView {
        regulator: id.into(),
        name: id.to_uppercase(),
        association: "sos-cherbourg".into(),
        state,
        since,
        until: None,
        devices: vec![DeviceId(4)],
        skills: BTreeMap::from([("regulation".into(), 80)]),
        regions: BTreeMap::from([("cotentin".into(), 0)]),
    };
    let anne = regulator("anne", RegulatorState::Ringing { call: live() }, RECEIVED);
    let paul = regulator("paul", RegulatorState::Offline, Utc(0));
    Room { waiting: vec![waiting], regulators: vec![anne, paul], calls_live: 1, draining: false }
}

#[tokio::test]
async fn a_live_call_shows_the_legs_that_live_with_the_quality_of_their_media_so_far() {
    let centre = Centre::open().await;
    let stored = record(talking());
    let so_far = CallRecord { ended_at: None, outcome: None, legs: vec![stored.legs[0].clone()], ..stored };
    centre.desk.remember(vec![Fact::Call(Box::new(so_far))]).await;
    let story = centre.desk.read(COMPLIANCE, &format!("/api/v1/calls/{}", talking())).await.json();
    let told: Vec<_> = story["legs"].as_array().expect("legs").iter().map(|leg| &leg["number"]).collect();
    assert_eq!(told, [&json!(0), &json!(1)], "{story:#}");
    let live = &story["legs"][1];
    assert_eq!((&live["ended_at"], &live["quality"]["mos"]), (&json!(null), &json!(4.2)), "{live:#}");
    assert_eq!(
        (&live["quality"]["packets_received"], &live["quality"]["mos_scale"]),
        (&json!(77), &json!("narrowband"))
    );
    // One that is over is not asked for.
    let over = centre.desk.read(COMPLIANCE, &format!("/api/v1/calls/{}", centre.desk.call)).await.json();
    assert_eq!(over["legs"].as_array().map(Vec::len), Some(2));
    assert_eq!(centre.orders(), [Command::Legs { call: talking() }]);
    centre.close().await;
}

#[tokio::test]
async fn what_the_switchboard_answers_is_what_is_described() {
    let centre = Centre::open().await;
    let openapi = read_description(&centre.desk).await;
    let (end, regulator) = ("/api/v1/calls/{call}/end", "/api/v1/regulators/{regulator}");
    let (pause, ready) = (format!("{regulator}/pause"), format!("{regulator}/ready"));
    let (longer, rested) = (format!("{regulator}/wrap-up/extend"), format!("{regulator}/wrap-up/end"));
    let log_out = format!("{regulator}/log-out");
    let table = [
        ("get", "/readyz", "/readyz".to_owned(), 200),
        ("get", "/api/v1/room", "/api/v1/room".to_owned(), 200),
        ("get", "/api/v1/regulators", "/api/v1/regulators".to_owned(), 200),
        ("get", regulator, "/api/v1/regulators/anne".to_owned(), 200),
        ("get", regulator, "/api/v1/regulators/paul".to_owned(), 200),
        ("get", regulator, "/api/v1/regulators/nobody".to_owned(), 404),
        ("post", &pause, "/api/v1/regulators/anne/pause".to_owned(), 200),
        ("post", &pause, "/api/v1/regulators/nobody/pause".to_owned(), 404),
        ("post", &ready, "/api/v1/regulators/anne/ready".to_owned(), 200),
        ("post", &ready, "/api/v1/regulators/paul/ready".to_owned(), 409),
        ("post", &longer, "/api/v1/regulators/anne/wrap-up/extend".to_owned(), 200),
        ("post", &longer, "/api/v1/regulators/paul/wrap-up/extend".to_owned(), 409),
        ("post", &rested, "/api/v1/regulators/anne/wrap-up/end".to_owned(), 200),
        ("post", &rested, "/api/v1/regulators/nobody/wrap-up/end".to_owned(), 404),
        ("post", &log_out, "/api/v1/regulators/anne/log-out".to_owned(), 200),
        ("post", &log_out, "/api/v1/regulators/nobody/log-out".to_owned(), 404),
        ("post", end, format!("/api/v1/calls/{}/end", live()), 204),
        ("post", end, format!("/api/v1/calls/{}/end", centre.desk.call), 404),
        ("get", "/api/v1/sip/bans", "/api/v1/sip/bans".to_owned(), 200),
        ("delete", "/api/v1/sip/bans/{who}", "/api/v1/sip/bans/198.51.100.7".to_owned(), 204),
        ("delete", "/api/v1/sip/bans/{who}", "/api/v1/sip/bans/nobody".to_owned(), 404),
        ("get", "/api/v1/trunks", "/api/v1/trunks".to_owned(), 200),
        ("get", "/api/v1/audit", "/api/v1/audit".to_owned(), 200),
    ];
    for (method, template, path, status) in table {
        let answered = hold_against(&centre.desk, &openapi, method, template, &path).await;
        assert_eq!(answered.as_u16(), status, "{method} {path}");
    }
    centre.close().await;
}

/// A task of the call that lives, open, and one that is closed.
fn tasks(desk: &Desk) -> Vec<Fact> {
    let task = |id, closed: Option<ClosedBy>| {
        let wait = std::time::Duration::from_secs(42);
        let task = AbandonedCaller::of(&CallRecord { id, ..record(desk.call) }, wait, RECEIVED);
        let closed = closed.map(|by| Closed { at: RECEIVED, by });
        Fact::Abandoned(Box::new(AbandonedCaller { closed, ..task }))
    };
    let answered = ClosedBy::Answered { call: talking(), regulator: "anne".into() };
    vec![task(live(), None), task(desk.call, Some(answered))]
}

#[tokio::test]
async fn callers_who_hung_up_are_listed_noted_on_and_closed_as_described() {
    let centre = Centre::open().await;
    centre.desk.remember(tasks(&centre.desk)).await;
    let openapi = read_description(&centre.desk).await;
    let list = "/api/v1/abandoned-callers";
    let (one, back, close) =
        (format!("{list}/{{task}}"), format!("{list}/{{task}}/call-back"), format!("{list}/{{task}}/close"));
    let (open, done) = (format!("{list}/{}", live()), format!("{list}/{}", centre.desk.call));
    for (method, template, path, status) in [
        ("get", list, list.to_owned(), 200),
        ("get", list, format!("{list}?state=sometimes"), 400),
        ("get", &one, open.clone(), 200),
        ("get", &one, format!("{list}/{}", talking()), 404),
        ("post", &back, format!("{open}/call-back"), 200),
        ("post", &back, format!("{done}/call-back"), 409),
        ("post", &back, format!("{list}/{}/call-back", talking()), 404),
        ("post", &close, format!("{open}/close"), 400),
    ] {
        let answered = hold_against(&centre.desk, &openapi, method, template, &path).await;
        assert_eq!(answered.as_u16(), status, "{method} {path}");
    }
    let ids = |listed: serde_json::Value| {
        let items = listed["items"].as_array().expect("items").iter().map(|one| one["id"].as_str().map(str::to_owned));
        items.collect::<Vec<_>>()
    };
    let (live, over) = (Some(live().to_string()), Some(centre.desk.call.to_string()));
    for (query, expected) in [
        ("", vec![live.clone()]),
        ("?state=closed", vec![over.clone()]),
        ("?state=all&caller=0612345678&line=cherbourg", vec![over, live]),
        ("?caller=0699999999", vec![]),
    ] {
        let mut listed = ids(centre.desk.read(COMPLIANCE, &format!("{list}{query}")).await.json());
        listed.sort_by(|a, b| b.cmp(a));
        assert_eq!(listed, expected, "{query}");
    }
    let answer = centre.desk.order(ADMIN, &format!("{open}/close"), r#"{"reason": "the son was reached"}"#).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let asked = Command::CloseAbandoned { task: self::live(), by: "ops".into(), reason: "the son was reached".into() };
    assert!(centre.orders().contains(&asked), "{:?}", centre.orders());
    assert_eq!(centre.desk.order(COMPLIANCE, &format!("{open}/close"), "{}").await.status, StatusCode::FORBIDDEN);
    centre.close().await;
}

#[tokio::test]
async fn who_was_never_online_is_offline_since_no_time() {
    let centre = Centre::open().await;
    let told = centre.desk.read(COMPLIANCE, "/api/v1/regulators").await.json();
    assert_eq!((&told[0]["state"], &told[0]["since"]), (&json!("ringing"), &json!("2023-11-14T23:13:20.000+01:00")));
    assert_eq!((&told[1]["state"], &told[1]["since"]), (&json!("offline"), &json!(null)));
    centre.close().await;
}

#[tokio::test]
async fn a_pause_needs_no_body_and_its_reason_reaches_the_switchboard() {
    let centre = Centre::open().await;
    let path = "/api/v1/regulators/anne/pause";
    let bearer = format!("Bearer {ADMIN}");
    let bare = centre.desk.ask(Method::POST, path, &[("authorization", &bearer)], "").await;
    assert_eq!(bare.json()["pause"], json!({"reason": "operator", "detail": "operator"}), "{}", bare.text());
    for (body, reason) in [("{}", "operator"), ("{\"reason\": \"repas\"}", "repas"), ("{\"reason\": null}", "operator")]
    {
        let answer = centre.desk.order(ADMIN, path, body).await;
        assert_eq!(answer.status, StatusCode::OK, "{body}: {}", answer.text());
        assert_eq!(answer.json()["pause"]["detail"], reason, "{body}");
    }
    let json = [("authorization", bearer.as_str()), ("content-type", "application/json; charset=utf-8")];
    assert_eq!(centre.desk.ask(Method::POST, path, &json, "{}").await.status, StatusCode::OK);
    let pause = |reason: &str| Command::Pause { regulator: "anne".into(), reason: reason.into() };
    let asked = ["operator", "operator", "repas", "operator", "operator"].map(pause);
    assert_eq!(centre.orders(), asked);
    centre.close().await;
}

#[tokio::test]
async fn a_refused_command_has_its_refusal_in_the_audit_and_a_done_one_has_none() {
    let centre = Centre::open().await;
    for (regulator, status) in [("anne", 200), ("paul", 409), ("nobody", 404)] {
        let answer = centre.desk.order(ADMIN, &format!("/api/v1/regulators/{regulator}/ready"), "").await;
        assert_eq!(answer.status.as_u16(), status, "{regulator}");
    }
    let unknown = "no regulator has this id; GET /api/v1/regulators lists them";
    let offline = "no device is registered";
    let expected = [
        [json!("regulator.ready.refused"), json!(unknown), json!(null)],
        [json!("regulator.ready"), json!("nobody"), json!(unknown)],
        [json!("regulator.ready.refused"), json!(offline), json!(null)],
        [json!("regulator.ready"), json!("paul"), json!(offline)],
        [json!("regulator.ready"), json!("anne"), json!(null)],
    ];
    assert_eq!(centre.audit().await, expected);
    centre.close().await;
}
