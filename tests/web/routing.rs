//! Why a call waited, read back in figures and in words.

use serde_json::json;
use vigie::model::{Asked, Cause, Excluded, Fact, Forecast, ForecastDay, RoutingNote, RoutingTurn};

use super::desk::{ADMIN, COMPLIANCE, Desk, after};

fn note(number: u16, at_ms: i64, turn: RoutingTurn) -> RoutingNote {
    RoutingNote { number, at: after(at_ms), wait_ms: at_ms as u64 - 500, turn }
}

fn asked(needs: &str) -> Box<Asked> {
    Box::new(Asked {
        needs: needs.parse().expect("an expression"),
        reach: Default::default(),
        priority: 3,
        free: 0,
        excluded: [("talking".into(), 1), ("skills".into(), 2)].into(),
        people: vec![Excluded { regulator: "anne".into(), why: Cause::Talking }],
    })
}

#[tokio::test]
async fn why_a_call_waited_is_one_query_in_figures_and_in_words() {
    let desk = Desk::open().await;
    let forecast = Forecast { median_ms: 40_000, nine_in_ten_ms: 240_000, ahead: 1, pool: 1 };
    let region = "cotentin".into();
    let turns = [
        note(1, 500, RoutingTurn::Entered { region, asked: asked("regulation >= 50"), forecast: Some(forecast) }),
        note(2, 700, RoutingTurn::Passed { regulator: "anne".into(), to: desk.call, by_priority: true }),
        note(
            3,
            900,
            RoutingTurn::Step { step: 1, by_forecast: true, asked: asked("regulation"), message: None, forecast: None },
        ),
    ];
    let notes = turns.into_iter().map(|note| Fact::Routing { call: desk.call, note: Box::new(note) });
    desk.remember(notes.collect()).await;
    let path = format!("/api/v1/calls/{}/routing", desk.call);
    let english = desk.read(COMPLIANCE, &format!("{path}?lang=en")).await.json();
    assert_eq!(
        (&english["wait_ms"], &english["ringing_ms"], &english["nobody_free_ms"]),
        (&json!(3500), &json!(3000), &json!(500))
    );
    assert_eq!(
        english["summary"],
        "The caller waited 4 s. For 1 s nobody who could answer was free. For 3 s phones rang: Dr Anne Bé (answered)."
    );
    let told: Vec<(&str, &str)> = english["turns"]
        .as_array()
        .expect("turns")
        .iter()
        .map(|turn| (turn["turn"].as_str().expect("a word"), turn["text"].as_str().expect("a text")))
        .collect();
    let passed = format!("Dr Anne Bé became free and was given call {}, which is more urgent.", desk.call);
    assert_eq!(
        told,
        [
            (
                "entered",
                "Entered the waiting room: needs regulation ≥ 50, all regions, priority 3. Nobody was free (2 without the \
                 skills; 1 on a call: Dr Anne Bé). Forecast: nine in ten within 240 s, 1 ahead."
            ),
            ("passed", passed.as_str()),
            (
                "step",
                "Step 1, because too long a wait was foreseen: needs regulation, all regions, priority 3. Nobody was free (2 \
                 without the skills; 1 on a call: Dr Anne Bé)."
            ),
            ("offered", "Rings at Dr Anne Bé: cost -3.5 = idleness -3.5, the cheapest of 1 who fit."),
            ("answered", "Dr Anne Bé answered."),
        ]
    );
    let french = desk.read(ADMIN, &path).await.json();
    assert_eq!(
        french["summary"],
        "L'appelant a attendu 4 s. Pendant 1 s, personne qui pouvait répondre n'était libre. Pendant 3 s, on a sonné : Dr \
         Anne Bé (a décroché)."
    );
    assert_eq!(french["turns"][0]["asked"]["excluded_people"], json!([{"regulator": "anne", "why": "talking"}]));
    assert_eq!(french["turns"][0]["forecast"]["nine_in_ten_ms"], 240_000);
}

#[tokio::test]
async fn how_true_the_forecasts_were_is_told_day_by_day() {
    let desk = Desk::open().await;
    let day = |day: &str, judged| ForecastDay {
        day: day.into(),
        judged,
        within_median: judged / 2,
        within_nine_in_ten: judged - 1,
        scale_median: 1.0,
        scale_nine_in_ten: 1.25,
        busy_mean_ms: 180_000.0,
    };
    let days = [day("2026-11-21", 10), day("2026-11-22", 8), day("2026-11-22", 20)];
    desk.remember(days.into_iter().map(Fact::Forecast).collect()).await;
    let told = desk.read(COMPLIANCE, "/api/v1/forecasts").await.json();
    assert_eq!((&told[0]["day"], &told[0]["within_nine_in_ten"]), (&json!("2026-11-22"), &json!(0.95)));
    assert_eq!((&told[1]["judged"], &told[1]["within_median"], &told[2]), (&json!(10), &json!(0.5), &json!(null)));
}
