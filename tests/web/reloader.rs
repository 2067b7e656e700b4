//! What stands in the place of whoever puts configurations in force.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use reqwest::StatusCode;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot};
use vigie::model::Utc;
use vigie::web::{InForce, ReloadRefused, Reloaded, Reloader, Waiting, serve};

use super::desk::{ADMIN, Desk};

/// Has one file in force for ever.
pub struct Still;

impl Reloader for Still {
    fn state(&self) -> Waiting<'_, InForce> {
        let since = Utc(1_700_000_000_000_000);
        Box::pin(async move { InForce { file: "config/vigie.toml".into(), since, is_changed: false, is_sound: true } })
    }

    fn reload(&self, _dry_run: bool) -> Waiting<'_, Reloaded> {
        Box::pin(async { Reloaded::Done(Box::default()) })
    }
}

/// Begins, and ends when it is let: with a refusal.
struct Slow {
    begun: Semaphore,
    let_go: Semaphore,
    ended: AtomicU32,
}

impl Reloader for Slow {
    fn state(&self) -> Waiting<'_, InForce> {
        Still.state()
    }

    fn reload(&self, _dry_run: bool) -> Waiting<'_, Reloaded> {
        Box::pin(async {
            self.begun.add_permits(1);
            self.let_go.acquire().await.expect("open").forget();
            self.ended.fetch_add(1, Ordering::SeqCst);
            Reloaded::Refused(ReloadRefused::Failed("nothing was changed: too late".into()))
        })
    }
}

#[tokio::test]
async fn a_reload_is_done_to_its_end_when_whoever_asked_is_gone() {
    let desk = Desk::open().await;
    let slow = Arc::new(Slow { begun: Semaphore::new(0), let_go: Semaphore::new(0), ended: AtomicU32::new(0) });
    let mut parts = desk.parts.clone();
    parts.reloader = slow.clone();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    let (_stop, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(serve(listener, parts, async {
        let _ = stopped.await;
    }));
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let asking = client
        .post(format!("{base}/api/v1/configuration/reload"))
        .bearer_auth(ADMIN)
        .header("content-type", "application/json")
        .body("{}");
    let asking = tokio::spawn(asking.send());
    slow.begun.acquire().await.expect("it begins").forget();
    asking.abort();
    // By the time that others have been answered the server knows that nobody waits any more.
    for _ in 0..20 {
        let health = client.get(format!("{base}/healthz")).send().await.expect("an answer");
        assert_eq!(health.status(), StatusCode::OK);
    }
    slow.let_go.add_permits(1);
    let told = async {
        loop {
            let audit = desk.read(ADMIN, "/api/v1/audit").await.json();
            let acts: Vec<String> = audit["items"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|row| format!("{} {}", row["act"].as_str().unwrap_or_default(), row["detail"]))
                .collect();
            if acts.len() == 2 {
                return acts;
            }
        }
    };
    let told = tokio::time::timeout(Duration::from_secs(20), told).await.expect("the refusal is in the audit");
    assert!(told[0].starts_with("configuration.reload.refused") && told[0].contains("too late"), "{told:?}");
    assert_eq!(slow.ended.load(Ordering::SeqCst), 1);
    server.abort();
}
