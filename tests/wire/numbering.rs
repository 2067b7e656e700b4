//! Calls in which everybody says numbers: what was said and what is in the recording are compared number by number.

use serde_json::Value;

use super::phone::Phone;
use super::server::Server;
use super::voice::{Words, numbers_in};

/// A caller and the regulator who has answered, both saying numbers.
pub struct Conversation {
    /// The caller.
    pub caller: Phone,
    /// The caller's number, by which the call is found again.
    pub number: String,
    /// What the caller had said when they began to talk.
    pub said_before: u32,
}

impl Conversation {
    /// The `count`-th call of a scenario; `regulator` answers it.
    pub async fn begin(server: &Server, regulator: &Phone, count: u32) -> Conversation {
        let number = format!("+336{:08}", 10_000_000 + count);
        let caller = Phone::caller(server, &number).await;
        caller.voice.says(Words::Numbers);
        regulator.voice.says(Words::Numbers);
        caller.dial_in("0261910101").await;
        regulator.talks().await;
        let said_before = caller.voice.said();
        Conversation { caller, number, said_before }
    }
}

/// The whole story of the newest call from this number.
pub async fn story_of(server: &Server, number: &str) -> Option<Value> {
    let calls = server.api.calls().await;
    let call = calls.iter().find(|call| call["caller"]["e164"].as_str() == Some(number))?;
    Some(server.api.json(&format!("/calls/{}", call["id"].as_str()?)).await)
}

/// Waits until the recording of the call from this number is sealed; its story.
pub async fn sealed_of(server: &Server, number: &str) -> Value {
    super::harness::until(&format!("the recording of {number} is sealed"), || async {
        story_of(server, number).await.filter(|story| !story["recording"].is_null())
    })
    .await
}

/// What the recording holds of the caller, and of the others: each number once, in order, none missing in between.
pub async fn recorded(server: &Server, story: &Value) -> [Vec<u32>; 2] {
    let sides = server.api.audio(story).await.map(|side| numbers_in(&side));
    for side in &sides {
        assert!(side.is_sorted_by(|a, b| a < b), "{side:?}");
    }
    sides
}

/// Nothing is missing between the first number and the last.
pub fn assert_whole(numbers: &[u32], who: &str) {
    let holes: Vec<_> = numbers.windows(2).filter(|pair| pair[1] != pair[0] + 1).collect();
    assert!(holes.is_empty(), "missing of {who}: {holes:?}");
}
