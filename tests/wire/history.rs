//! What befell each party of a call, as the sidecar tells it over the API: held, handed on, muted, in the order of it.

use serde_json::{Value, json};

use super::harness::let_pass;
use super::joining::{ANNE, BRUNO, CALLER, hears_only, talk};
use super::phone::Phone;
use super::server::Setup;
use super::voice::Words;

#[tokio::test]
async fn the_sidecar_tells_who_was_held_handed_on_and_muted_by_whom_and_when() {
    let server = Setup::new().start().await;
    let (anne, caller, call) = talk(&server).await;
    let bruno = Phone::regulator(&server, "bruno").await;
    bruno.voice.says(Words::Tone(BRUNO));
    let order = async |what: &str, body: Value| {
        let (status, told) = server.api.told(&format!("/calls/{call}/{what}"), body).await;
        assert_eq!(status, 204, "{what}: {told:#}");
    };
    assert_eq!(caller.reoffer("sendonly").await.status(), 200);
    let_pass(std::time::Duration::from_millis(500)).await;
    assert_eq!(caller.reoffer("sendrecv").await.status(), 200);
    hears_only(&anne, &[CALLER], &[]).await;
    // A supervisor who listens is muted, and is not when barging in.
    order("supervise", json!({"by": "bruno", "way": "listen", "reason": "training"})).await;
    bruno.talks().await;
    order("supervise", json!({"by": "bruno", "way": "barge-in", "reason": "training"})).await;
    hears_only(&caller, &[ANNE, BRUNO], &[]).await;
    bruno.hang_up().await;
    hears_only(&caller, &[ANNE], &[BRUNO]).await;
    order("hold", json!({})).await;
    let_pass(std::time::Duration::from_millis(500)).await;
    order("resume", json!({})).await;
    hears_only(&caller, &[ANNE], &[]).await;
    bruno.forget_call();
    order("transfer", json!({"to": "bruno"})).await;
    hears_only(&caller, &[BRUNO], &[ANNE]).await;
    caller.hang_up().await;
    server.api.sealed().await;

    let manifest = server.api.json(&format!("/recordings/{call}/manifest?reason=wire+test")).await;
    let parties = manifest["parties"].as_array().expect("parties");
    let named = |index: &Value| {
        let party = &parties[index.as_u64().and_then(|at| usize::try_from(at).ok()).expect("an index")];
        if party["role"] == "caller" { "caller" } else { party["name"].as_str().expect("a name") }
    };
    let is = |index: &Value, who: &str| named(index).contains(who);
    let history = manifest["dialog"][0]["party_history"].as_array().expect("a history");
    let times: Vec<&str> = history.iter().map(|one| one["time_utc"].as_str().expect("a time")).collect();
    assert!(times.is_sorted(), "{history:#?}");
    let of = |word: &str| history.iter().filter(|one| one["event"] == word).collect::<Vec<_>>();
    let [holds, ends] = [of("hold"), of("unhold")];
    assert_eq!((holds.len(), ends.len()), (2, 2), "{history:#?}");
    for one in [holds[0], ends[0]] {
        assert!(is(&one["party"], "anne") && is(&one["by"], "caller"), "the caller holds anne: {one:#}");
    }
    for one in [holds[1], ends[1]] {
        assert!(is(&one["party"], "caller"), "the caller is held: {one:#}");
    }
    let [muted, heard] = [of("mute"), of("unmute")];
    assert_eq!((muted.len(), heard.len()), (1, 1), "{history:#?}");
    assert!(is(&muted[0]["party"], "bruno") && muted[0]["detail"] == "listens", "{:#}", muted[0]);
    assert!(is(&heard[0]["party"], "bruno") && heard[0]["detail"] == "speaks to all", "{:#}", heard[0]);
    let handed = of("transfer");
    assert_eq!(handed.len(), 1, "{history:#?}");
    assert!(is(&handed[0]["party"], "caller") && is(&handed[0]["to"], "bruno"), "{:#}", handed[0]);
    assert!(handed[0]["detail"].as_str().is_some_and(|how| how.contains("bruno")), "{:#}", handed[0]);
    let came = |who: &str| of("join").iter().filter(|one| is(&one["party"], who)).count();
    assert!(came("caller") == 1 && came("anne") >= 1 && came("bruno") >= 1, "{history:#?}");
    server.assert_sound();
}
