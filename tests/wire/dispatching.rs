//! Events owed to dispatch while it is away.

use std::collections::HashSet;

use super::api::event_types;
use super::phone::Phone;
use super::server::Setup;
use super::webhook::Webhook;

#[tokio::test]
async fn a_receiver_that_is_down_for_the_whole_call_gets_every_event_in_order_afterwards() {
    let server = Setup::new().start().await;
    let (anne, caller) = Phone::pair(&server, "0261910102").await;
    anne.voice.hears(440.0, 300).await;
    caller.hang_up().await;
    let story = server.api.sealed().await;
    let is_tried = |one: &serde_json::Value| one["attempts"].as_u64() >= Some(1);
    let story = server
        .api
        .story("a delivery has failed", |now| {
            now["call"]["id"] == story["call"]["id"]
                && now["deliveries"].as_array().is_some_and(|all| all.iter().any(is_tried))
        })
        .await;

    let webhook = Webhook::open(&server.centre).await;
    webhook.has("recording.sealed").await;
    webhook.assert_in_order();
    let delivered = webhook.of_calls();
    let kinds: Vec<String> = delivered.iter().map(|one| one.kind.clone()).collect();
    assert_eq!(kinds, event_types(&story));
    let ids: HashSet<&str> = delivered.iter().map(|one| one.id.as_str()).collect();
    let told: HashSet<&str> =
        story["events"].as_array().expect("events").iter().filter_map(|e| e["id"].as_str()).collect();
    assert_eq!(ids, told, "the ids are those that the API shows");
    server
        .api
        .story("everything counts as delivered", |now| {
            now["deliveries"].as_array().is_some_and(|all| all.iter().all(|one| one["state"] == "delivered"))
        })
        .await;
}
