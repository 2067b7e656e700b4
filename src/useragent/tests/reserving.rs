//! When there is no room for all, the lines that go first have some of their own.

use std::time::Duration;

use super::bench::*;
use crate::model::centre::{Accept, Centre, Demand, Farewell, GreetingMode, RecordingPolicy};
use crate::model::{E164, Line, Needs};
use crate::useragent::Rules;

fn line(id: &str, ddi: &str, priority: u8) -> Line {
    let farewell = Farewell { message: None, to: None };
    Line {
        id: id.into(),
        name: id.to_owned(),
        association: "sos".into(),
        ddis: E164::parse(ddi).into_iter().collect(),
        demand: Demand {
            region: "here".into(),
            needs: Needs::default(),
            priority,
            reach: Default::default(),
            steps: Vec::new(),
        },
        language: "fr".to_owned(),
        greeting: None,
        greeting_mode: GreetingMode::default(),
        music: "music".into(),
        hold_music: "music".into(),
        recording: RecordingPolicy::Always,
        recording_terms: Default::default(),
        wrap_up: Duration::ZERO,
        waiting_max: Duration::from_secs(600),
        hours: None,
        overflow: farewell.clone(),
        nobody: farewell.clone(),
        closed: farewell,
        accept: Accept::default(),
        voice: Default::default(),
    }
}

fn with_lines(calls_max: u32) -> Centre {
    let mut centre = centre(calls_max);
    for line in [line("usual", "+33233010101", 5), line("urgent", "+33233010102", 1)] {
        centre.ddis.extend(line.ddis.iter().map(|ddi| (ddi.clone(), line.id.clone())));
        centre.lines.insert(line.id.clone(), line);
    }
    centre
}

/// The answer to the `n`-th call to this number.
fn dial(bench: &mut Bench, n: u32, number: &str) -> String {
    let (branch, call) = (format!("z9hG4bKt{n}"), format!("tenth-{n}"));
    let offer = sdp("127.0.0.2", 7000, "8", "sendrecv");
    let text = Request { branch: &branch, call: &call, body: &offer, ..Request::default() }.text();
    let texts = bench.receive(TRUNK, &text.replace("+33233010101", number));
    texts.last().map(|text| status(text).to_owned()).unwrap_or_default()
}

#[test]
fn the_last_tenth_of_a_trunks_calls_is_for_the_lines_that_go_first() {
    let mut bench = Bench::of(Rules::default(), with_lines(20));
    let usual: Vec<String> = (0..20).map(|n| dial(&mut bench, n, "+33233010101")).collect();
    assert_eq!(usual.iter().filter(|status| *status == "100").count(), 18, "{usual:?}");
    assert_eq!(usual[18..], ["503", "503"]);
    let urgent = [(20, "+33233010102"), (21, "0233010102"), (22, "+33233010102")];
    assert_eq!(urgent.map(|(n, number)| dial(&mut bench, n, number)), ["100", "100", "503"]);
}

#[test]
fn the_last_tenth_of_all_calls_is_for_them_too() {
    let mut bench = Bench::of(Rules { calls_max: 10, ..Rules::default() }, with_lines(100));
    let usual: Vec<String> = (0..10).map(|n| dial(&mut bench, n, "+33233010101")).collect();
    assert_eq!(usual.iter().filter(|status| *status == "100").count(), 9, "{usual:?}");
    assert_eq!([10, 11].map(|n| dial(&mut bench, n, "+33233010102")), ["100", "503"]);
}

#[test]
fn where_no_line_goes_first_nothing_is_kept_back() {
    let mut bench = Bench::with(Rules::default(), 10);
    let all: Vec<String> = (0..11).map(|n| dial(&mut bench, n, "+33233010101")).collect();
    assert_eq!(all.iter().filter(|status| *status == "100").count(), 10, "{all:?}");
}
