//! More calls than can be carried: those in progress lose nothing, as many as fit are taken, the rest is told so.

use std::collections::BTreeSet;

use vigie::rtp::g711::{self, Law};

use super::harness::until;
use super::phone::Phone;
use super::server::{Server, Setup};
use super::sipp::Sipp;
use super::voice::{FRAME, Words, number_of};

/// What this centre carries at once.
const CALLS_MAX: usize = 20;

/// Of it for the lines that go first.
const RESERVED: usize = CALLS_MAX / 10;

const PLAIN: &str = "0261910101";
const URGENT: &str = "0261910102";

/// What every refused call may leave behind for the half minute in which it may come again, in KiB, and what is there
/// once: buffers, and pages that the allocator keeps.
const MEMORY_A_CALL_MAX_KIB: u64 = 4;
const MEMORY_ONCE_MAX_KIB: u64 = 16 * 1024;

/// The accepted caller hangs up by itself.
const HANGS_UP: &str = r#"<pause milliseconds="300"/>
  <send retrans="500"><![CDATA[
      BYE [next_url] SIP/2.0
      @WITHIN@
      CSeq: 2 BYE
      Content-Length: 0

  ]]></send>
  <recv response="200"/>"#;

/// The accepted caller stays until it is hung up.
const STAYS: &str = r#"<recv request="BYE" timeout="90000"/>
  <send><![CDATA[
      SIP/2.0 200 OK
      @AGREES@
      Content-Length: 0

  ]]></send>"#;

/// A centre that takes so many calls, with both regulators in conversation: each side says numbers.
async fn busy_centre(calls_max: usize) -> (Server, Vec<Talk>) {
    let server = Setup::new()
        .change("source_rate_max = 1000", &format!("source_rate_max = 1000\ncalls_max = {calls_max}"))
        .change("name = \"Greeted\"", "name = \"Greeted\"\npriority = 1")
        .change("waiting_max = \"30s\"", "waiting_max = \"300s\"")
        .change("calls_max = 40", &format!("calls_max = {calls_max}\nrate_max = 10000"))
        // The flood has no voice.
        .change("silence_max = \"5s\"", "silence_max = \"2m\"")
        .start()
        .await;
    let mut talks = Vec::new();
    for user in ["anne", "bruno"] {
        let regulator = Phone::regulator(&server, user).await;
        let caller = Phone::caller(&server, "+33612345678").await;
        caller.dial_in(PLAIN).await;
        server.api.regulator_is(user, "talking").await;
        caller.voice.says(Words::Numbers);
        regulator.voice.says(Words::Numbers);
        talks.push(Talk { regulator, caller });
    }
    for talk in &talks {
        talk.goes_on().await;
    }
    (server, talks)
}

/// A caller and a regulator in conversation.
struct Talk {
    regulator: Phone,
    caller: Phone,
}

impl Talk {
    /// Waits until each hears what the other says from now on.
    async fn goes_on(&self) {
        for voice in [&self.caller.voice, &self.regulator.voice] {
            voice.forget();
            until("numbers are heard", || std::future::ready(voice.highest_heard())).await;
        }
        assert!(self.caller.is_talking() && self.caller.received("BYE").is_empty());
        assert!(self.regulator.received("BYE").is_empty());
    }
}

/// Hangs up, and looks whether every packet of both sides was received, counted and recorded.
async fn end_whole(server: &Server, talks: Vec<Talk>) {
    for talk in talks {
        talk.goes_on().await;
        talk.caller.hang_up().await;
        talk.regulator.is_over().await;
    }
    server.api.lives(0).await;
    let answered = "/calls?outcome=answered";
    let calls = server.api.json(answered).await["items"].as_array().expect("items").clone();
    assert_eq!(calls.len(), 2, "{calls:#?}");
    for call in calls {
        let id = call["id"].as_str().expect("an id");
        let story = until("its recording is sealed", || async {
            let story = server.api.json(&format!("/calls/{id}")).await;
            (!story["recording"].is_null()).then_some(story)
        })
        .await;
        for leg in story["legs"].as_array().expect("legs") {
            assert_eq!(leg["quality"]["packets_lost"].as_u64(), Some(0), "{leg:#}");
        }
        for side in server.api.audio(&story).await {
            let coded: Vec<u8> = side.iter().map(|sample| g711::encode(Law::A, *sample)).collect();
            let found: BTreeSet<u32> = coded.windows(FRAME).filter_map(number_of).collect();
            let (first, last) = (found.first().expect("a number"), found.last().expect("a number"));
            assert_eq!(found.len() as u32, last - first + 1, "none is missing between {first} and {last}");
        }
    }
    let (status, said) = server.verify();
    assert_eq!(status, Some(0), "{said}");
}

/// So many INVITEs to a number, so many a second.
fn flood(server: &Server, number: &str, calls: usize, rate: &str, ends: &str) -> Sipp {
    let calls = calls.to_string();
    let values = [("ENDS", ends), ("CALLS", &calls), ("RATE", rate)];
    Sipp::start(server, "floods", server.centre.place.trunk, number, &values)
}

/// Waits until every one of so many has its final answer; how many were accepted and refused.
async fn answers(floods: &[Sipp], calls: usize) -> (usize, usize) {
    let told = |begin: &str| floods.iter().map(|flood| flood.told(begin)).sum::<usize>();
    until(&format!("{calls} final answers"), || {
        let counts = (told("accepted"), told("refused"));
        std::future::ready((counts.0 + counts.1 >= calls).then_some(counts))
    })
    .await
}

fn assert_memory(server: &Server, before: u64, calls: usize) {
    let grown = server.process.memory_kib().saturating_sub(before);
    let most = MEMORY_ONCE_MAX_KIB + MEMORY_A_CALL_MAX_KIB * calls as u64;
    assert!(grown <= most, "{grown} KiB more, {most} at most");
    println!("memory: {grown} KiB more after {calls} calls, {most} at most");
}

/// What an operator does when the flood is over: ends who waits, and who is still greeted as soon as they wait.
async fn end_all_who_wait(server: &Server, talks: usize) {
    until("only those in conversation live", || async {
        let room = server.api.json("/room").await;
        for waiting in room["waiting"].as_array().expect("who waits") {
            let call = waiting["call"].as_str().expect("an id");
            // 404 when it has just ended.
            assert!(matches!(server.api.post(&format!("/calls/{call}/end"), None).await, 204 | 404));
        }
        (room["calls_live"].as_u64() == Some(talks as u64)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn of_four_times_more_calls_than_fit_exactly_those_that_fit_are_taken_urgent_ones_even_last() {
    let (server, talks) = busy_centre(CALLS_MAX).await;
    let memory = server.process.memory_kib();
    let free = CALLS_MAX - RESERVED - talks.len();
    let (plain, urgent) = (CALLS_MAX * 4 - 10, 10);

    let first = flood(&server, PLAIN, plain, "200", STAYS);
    assert_eq!(answers(std::slice::from_ref(&first), plain).await, (free, plain - free));
    let last = flood(&server, URGENT, urgent, "200", STAYS);
    assert_eq!(answers(std::slice::from_ref(&last), urgent).await, (RESERVED, urgent - RESERVED));

    assert_eq!(server.api.json("/room").await["calls_live"].as_u64(), Some(CALLS_MAX as u64));
    let refused = (plain - free + urgent - RESERVED) as f64;
    assert_eq!(server.metric("vigie_calls_refused_total").await, refused);
    assert_memory(&server, memory, plain + urgent);
    for talk in &talks {
        talk.goes_on().await;
    }

    end_all_who_wait(&server, talks.len()).await;
    first.passes().await;
    last.passes().await;
    let another = Phone::caller(&server, "+33687654321").await;
    another.dial_in(PLAIN).await;
    another.hang_up().await;
    end_whole(&server, talks).await;
}

#[tokio::test]
async fn four_thousand_calls_as_fast_as_they_can_be_sent_take_nothing_from_those_in_progress() {
    const FLOODS: usize = 4;
    const EACH: usize = 1000;
    let (mut server, talks) = busy_centre(CALLS_MAX).await;
    let memory = server.process.memory_kib();
    let floods: Vec<Sipp> =
        [PLAIN, PLAIN, PLAIN, URGENT].map(|number| flood(&server, number, EACH, "500", HANGS_UP)).into();
    let (accepted, refused) = answers(&floods, FLOODS * EACH).await;
    println!("{accepted} accepted, {refused} refused");
    assert_eq!(accepted + refused, FLOODS * EACH, "one final answer each");
    assert!(accepted >= CALLS_MAX - RESERVED - talks.len(), "as many as it can carry: {accepted}");
    assert!(server.metric("vigie_calls_refused_total").await >= refused as f64);
    for flood in floods {
        flood.passes().await;
    }
    server.api.lives(talks.len() as u64).await;
    assert_memory(&server, memory, FLOODS * EACH);
    let another = Phone::caller(&server, "+33687654321").await;
    another.dial_in(PLAIN).await;
    another.hang_up().await;
    end_whole(&server, talks).await;
    assert!(server.process.ended().is_none());
    assert_eq!(server.api.status("/readyz").await, Some(200));
}

#[tokio::test]
async fn calls_faster_than_one_core_takes_them_are_refused_at_once_though_there_is_room_and_an_urgent_one_is_answered()
{
    const FLOODS: usize = 4;
    const EACH: usize = 1500;
    let (mut server, talks) = busy_centre(5000).await;
    let memory = server.process.memory_kib();
    let floods: Vec<Sipp> = [PLAIN; FLOODS].map(|number| flood(&server, number, EACH, "1500", HANGS_UP)).into();
    until("calls are refused for being late", || async {
        (server.metric("vigie_inbox_refused_total").await >= 1.0).then_some(())
    })
    .await;

    // Amid it, an urgent line's caller is answered, and those in conversation hear each other.
    let urgent = Phone::caller(&server, "+33687654321").await;
    urgent.dial_in(URGENT).await;
    urgent.hang_up().await;
    for talk in &talks {
        talk.goes_on().await;
    }
    let (accepted, refused) = answers(&floods, FLOODS * EACH).await;
    println!("{accepted} accepted, {refused} refused");
    assert_eq!(accepted + refused, FLOODS * EACH, "one final answer each, every 503 with Retry-After");
    assert!(accepted > 0 && refused > 0, "as many as it can carry are answered");
    assert!(server.metric("vigie_inbox_refused_total").await > 0.0);
    for flood in floods {
        flood.passes().await;
    }
    server.api.lives(talks.len() as u64).await;
    assert_memory(&server, memory, FLOODS * EACH);

    // When it is over, it is over.
    let another = Phone::caller(&server, "+33687654322").await;
    another.dial_in(PLAIN).await;
    another.hang_up().await;
    end_whole(&server, talks).await;
    assert!(server.process.ended().is_none());
}
