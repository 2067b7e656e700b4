//! Busy lamps: one regulator's phone watches another's.

use super::digest;
use super::harness::until;
use super::phone::{Manner, Phone};
use super::server::{Server, Setup};
use super::text::Text;

/// A SUBSCRIBE to `watched` with further header lines, the challenge answered; the request as it was granted or refused,
/// and the answer.
async fn subscribe(server: &Server, phone: &Phone, (user, watched): (&str, &str), more: &str) -> (String, Text) {
    let uri = format!("sip:{watched}@{}", server.centre.sip);
    let request = phone.plain("SUBSCRIBE", &uri, user).replace("Content-Length", &format!("{more}Content-Length"));
    let answer = phone.request(&request).await;
    if answer.status() != 407 {
        return (request, answer);
    }
    let login = (user, server.password(user));
    let proof = digest::answer(&answer.header("Proxy-Authenticate"), (login.0, &login.1), ("SUBSCRIBE", &uri));
    let again = digest::again(&request, &format!("Proxy-Authorization: {proof}"));
    let answer = phone.request(&again).await;
    (again, answer)
}

/// Waits for a NOTIFY of which this holds.
async fn notified(phone: &Phone, what: &str, holds: impl Fn(&Text) -> bool) -> Text {
    until(&format!("a NOTIFY: {what}"), || {
        std::future::ready(phone.received("NOTIFY ").into_iter().rfind(|notify| holds(notify)))
    })
    .await
}

fn shows(notify: &Text, state: &str) -> bool {
    notify.body().contains(&format!("<state>{state}</state>"))
}

fn number(notify: &Text) -> u32 {
    notify.header("CSeq").split(' ').next().and_then(|number| number.parse().ok()).expect("a CSeq")
}

const DIALOG: &str = "Event: dialog\r\nAccept: application/dialog-info+xml\r\nExpires: 600\r\n";

#[tokio::test]
async fn a_lamp_follows_a_colleague_s_call_and_tells_nothing_of_the_caller() {
    let server = Setup::new().start().await;
    let anne = Phone::regulator(&server, "anne").await;
    let watcher = Phone::start([127, 0, 0, 1], server.centre.sip, "bruno").await;
    assert_eq!(watcher.register(&server.password("bruno"), 600).await, 200);
    let bruno = serde_json::json!({ "reason": "lunch" });
    assert_eq!(server.api.post("/regulators/bruno/pause", Some(bruno)).await, 200);

    let (request, granted) = subscribe(&server, &watcher, ("bruno", "anne"), DIALOG).await;
    assert_eq!((granted.status(), granted.header("Expires").as_str()), (200, "600"));
    let first = notified(&watcher, "at once", |_| true).await;
    assert_eq!(first.header("Event"), "dialog");
    assert_eq!(first.header("Content-Type"), "application/dialog-info+xml");
    assert!(first.header("Subscription-State").starts_with("active;expires="), "{}", first.0);
    assert!(first.body().contains("version=\"0\" state=\"full\" entity=\"sip:anne@"), "{}", first.0);
    assert!(!first.body().contains("<dialog "), "{}", first.0);

    anne.is(Manner::Rings);
    let caller = Phone::caller(&server, "+33612345678").await;
    caller.dial_in("0261910101").await;
    anne.rings().await;
    notified(&watcher, "anne rings", |notify| shows(notify, "early")).await;
    caller.hang_up().await;
    notified(&watcher, "the caller gave up", |notify| shows(notify, "terminated")).await;

    anne.is(Manner::Answers);
    server.api.regulator_is("anne", "ready").await;
    let caller = Phone::caller(&server, "+33612345678").await;
    caller.dial_in("0261910101").await;
    let talking = notified(&watcher, "anne talks", |notify| shows(notify, "confirmed")).await;
    assert!(talking.body().contains("direction=\"recipient\""), "{}", talking.0);
    caller.hang_up().await;
    anne.is_over().await;
    let is_later = |notify: &Text| number(notify) > number(&talking);
    notified(&watcher, "it is over", |notify| shows(notify, "terminated") && is_later(notify)).await;
    for notify in watcher.received("NOTIFY ") {
        assert!(!notify.0.contains("612345678"), "{}", notify.0);
    }

    // The end of it, within its dialog.
    let end = digest::again(&request, "X-End: 1")
        .replace(&format!("To: {}", Text(request.clone()).header("To")), &format!("To: {}", granted.header("To")))
        .replace("CSeq: 2 ", "CSeq: 3 ")
        .replace("Expires: 600", "Expires: 0");
    assert_eq!(watcher.request(&end).await.status(), 200);
    let over = |notify: &Text| notify.header("Subscription-State") == "terminated;reason=timeout";
    notified(&watcher, "the subscription is over", over).await;
}

#[tokio::test]
async fn what_cannot_be_watched_is_refused() {
    let server = Setup::new().start().await;
    let anne = Phone::regulator(&server, "anne").await;
    let status = async |watched, more| subscribe(&server, &anne, ("anne", watched), more).await.1;

    let refused = status("bruno", "Event: message-summary\r\n").await;
    assert_eq!((refused.status(), refused.header("Allow-Events").as_str()), (489, "dialog, refer"));
    assert_eq!(status("bruno", "Event: presence\r\n").await.status(), 489);
    assert_eq!(status("nobody-of-ours", DIALOG).await.status(), 404);
    let brief = status("bruno", "Event: dialog\r\nExpires: 5\r\n").await;
    assert_eq!((brief.status(), brief.header("Min-Expires").as_str()), (423, "60"));

    let trunk = Phone::caller(&server, "+33612345678").await;
    assert_eq!(subscribe(&server, &trunk, ("anne", "bruno"), DIALOG).await.1.status(), 403);
    let unregistered = Phone::start([127, 0, 0, 1], server.centre.sip, "bruno").await;
    assert_eq!(subscribe(&server, &unregistered, ("bruno", "anne"), DIALOG).await.1.status(), 403);
}
