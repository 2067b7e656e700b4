//! What is looked up now and then for the metrics: the media plane's counts, and what dispatch is owed.

use std::sync::Weak;
use std::time::Duration;

use tokio::sync::watch;

use crate::media::Media;
use crate::storage::{self, Storage};

/// How often: a scrape is rarely more frequent.
const PUBLISH_EVERY: Duration = Duration::from_secs(2);

/// Publishes until `stopped`, or until the media plane is gone.
pub async fn publish(media: Weak<Media>, storage: Storage, mut stopped: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            _ = stopped.changed() => return,
            () = tokio::time::sleep(PUBLISH_EVERY) => {}
        }
        let Some(counters) = media.upgrade().map(|media| media.counters()) else { return };
        for (what, count) in counters.named() {
            metrics::counter!("vigie_media_total", "what" => what).absolute(count);
        }
        // When the database is away, the writer has told so already.
        for owed in storage::outbox::pending(&storage).await.unwrap_or_default() {
            metrics::gauge!("vigie_outbox_pending", "endpoint" => owed.endpoint.clone()).set(owed.pending as f64);
            metrics::gauge!("vigie_outbox_dead", "endpoint" => owed.endpoint).set(owed.dead as f64);
        }
    }
}
