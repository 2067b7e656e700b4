//! What is asked of one recording: by whom, why, of which call, from which second on.

use std::future::Future;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::recordings::find;
use crate::model::{CallId, SealedRecording};
use crate::web::Desk;
use crate::web::access::{Given, Listening, Said, Wish, hand_out};
use crate::web::input::PathOf;
use crate::web::problem::Problem;
use crate::web::token::{Asker, Bearer};

/// A request for something of one recording; whether it is granted is said by [`Wanted::hand_out`].
pub struct Wanted {
    bearer: Bearer,
    reason: Said,
    call: CallId,
}

impl Wanted {
    /// The recording, or a 404 that says what is known of it.
    pub async fn find(&self, desk: &Desk) -> Result<SealedRecording, Problem> {
        find(desk, self.call).await
    }

    /// Lets who asks have what `open` opens, or refuses; the audit has either, as `word` and `detail`.
    pub async fn hand_out<T>(
        &self,
        desk: &Desk,
        sealed: &SealedRecording,
        (word, detail): (&'static str, &str),
        open: impl Future<Output = Result<T, Problem>>,
    ) -> Result<T, Problem> {
        hand_out(desk, &self.bearer, sealed, &Wish { word, reason: &self.reason, detail }, open).await
    }
}

impl FromRequestParts<Arc<Desk>> for Wanted {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, desk: &Arc<Desk>) -> Result<Wanted, Problem> {
        let Asker(bearer) = Asker::from_request_parts(parts, desk).await?;
        let PathOf(call) = PathOf::from_request_parts(parts, desk).await?;
        let Given(reason) = Given::from_request_parts(parts, desk).await?;
        Ok(Wanted { bearer, reason, call })
    }
}

/// The same of what can be had from any second on.
pub struct WantedFrom {
    /// Who, why, of which call.
    pub wanted: Wanted,
    /// The second, when one is named.
    pub from_s: u64,
}

impl FromRequestParts<Arc<Desk>> for WantedFrom {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, desk: &Arc<Desk>) -> Result<WantedFrom, Problem> {
        let Asker(bearer) = Asker::from_request_parts(parts, desk).await?;
        let PathOf(call) = PathOf::from_request_parts(parts, desk).await?;
        let Listening { reason, from_s } = Listening::from_request_parts(parts, desk).await?;
        Ok(WantedFrom { wanted: Wanted { bearer, reason, call }, from_s: from_s.unwrap_or(0) })
    }
}
