//! What is looked up now and then for the metrics: the media plane's counts, and what dispatch is owed.

use std::sync::Weak;
use std::time::Duration;

use tokio::sync::watch;

use crate::media::Media;
use crate::storage::{self, Storage};

/// How often: a scrape is rarely more frequent.
const PUBLISH_EVERY: Duration = Duration::from_secs(2);

/// The top of the scale of opinion scores (ITU-T G.107 annex B).
const MOS_BEST: f64 = 4.5;

/// Publishes until `stopped`, or until the media plane is gone.
pub async fn publish(media: Weak<Media>, storage: Storage, mut stopped: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            _ = stopped.changed() => return,
            () = tokio::time::sleep(PUBLISH_EVERY) => {}
        }
        let Some((counters, legs)) = media.upgrade().map(|media| (media.counters(), media.live_legs())) else { return };
        for (what, count) in counters.named() {
            metrics::counter!("vigie_media_total", "what" => what).absolute(count);
        }
        metrics::gauge!("vigie_legs_live").set(legs.live as f64);
        metrics::gauge!("vigie_legs_poor").set(legs.poor as f64);
        metrics::gauge!("vigie_legs_one_way").set(legs.one_way as f64);
        // No leg is as bad as one that nobody has: without any, the gauge is at the top of the scale.
        metrics::gauge!("vigie_leg_mos_least").set(legs.mos_least.unwrap_or(MOS_BEST));
        // When the database is away, the writer has told so already.
        for owed in storage::outbox::pending(&storage).await.unwrap_or_default() {
            metrics::gauge!("vigie_outbox_pending", "endpoint" => owed.endpoint.clone()).set(owed.pending as f64);
            metrics::gauge!("vigie_outbox_dead", "endpoint" => owed.endpoint).set(owed.dead as f64);
        }
    }
}
