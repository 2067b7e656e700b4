//! Accounts and rosters imported as CSV.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use utoipa::{IntoParams, ToSchema};

use super::audit::perform_to_the_end;
use crate::config::import::{ImportError, Imported, Others};
use crate::web::Desk;
use crate::web::input::QueryOf;
use crate::web::problem::{Problem, Refusals};
use crate::web::token::Admin;

/// The largest file taken, in bytes: several weeks of a national network.
const FILE_BYTES_MAX: usize = 4 << 20;
/// How long the file may take to come.
const READING_DURATION_MAX: Duration = Duration::from_secs(10);
/// What the file is called in what is told of it.
const NAME: &str = "import.csv";
/// The most of what is wrong told at once, in characters.
const TOLD_MAX: usize = 4000;

/// How a file is imported.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ImportQuery {
    /// The file is the whole list: people who were imported before and are not in it go.
    #[serde(default)]
    replace: bool,
    /// Only say what would change.
    #[serde(default)]
    check: bool,
}

/// What an import changes.
#[derive(Serialize, ToSchema)]
pub struct ImportView {
    /// Ids that were not there before.
    added: Vec<String>,
    /// Ids of whom something is another now.
    changed: Vec<String>,
    /// Ids that are there no more.
    removed: Vec<String>,
    /// How many are as they were.
    unchanged: usize,
    /// What is odd but works, each with its place and remedy.
    warnings: Vec<String>,
    /// Whether it was written; it holds from the next `vigie reload` or start.
    written: bool,
}

/// Import regulators
///
/// A CSV file (UTF-8; commas, semicolons or tabs; the first line names the columns): `id`, `name`, `association`,
/// `skills` (`regulation=80 physician=60`), `regions` (`rouen=0`), `valid_from`, `valid_until`, `role`,
/// `auto_answer_after`, `ready_on_register`, `supervises`, `trainee_of`. A person with several weeks has a row for each. The
/// whole configuration is checked with these people: when anything does not hold, nothing is written and the answer names
/// lines and columns. It holds from the next reload or start, which makes the passwords of new people. Once begun it is
/// done, whether or not whoever asked waits for it. Written to the audit.
#[utoipa::path(
    post, path = "/api/v1/regulators/import", operation_id = "importRegulators", tag = "room",
    params(ImportQuery),
    request_body(content = String, content_type = "text/csv", description = "The file, at most 4 MiB"),
    security(("token" = ["admin"])),
    responses(
        (status = 200, description = "What changes", body = ImportView),
        (status = 413, description = "The file is too large", body = Problem, content_type = "application/problem+json"),
        Refusals,
    ),
)]
pub async fn import(
    Admin(bearer): Admin,
    QueryOf(query): QueryOf<ImportQuery>,
    State(desk): State<Arc<Desk>>,
    request: Request,
) -> Result<Json<ImportView>, Problem> {
    let reading = timeout(READING_DURATION_MAX, to_bytes(request.into_body(), FILE_BYTES_MAX)).await;
    let reading = reading.map_err(|_| Problem::bad_request("in the body: it came too slowly; send it again"))?;
    let bytes = reading.map_err(|_| Problem::too_large(FILE_BYTES_MAX))?;
    let text = String::from_utf8(bytes.to_vec())
        .map_err(|_| Problem::bad_request("in the body: not UTF-8; save the file as \"CSV UTF-8\""))?;
    let config = desk.parts.config.clone();
    let act = if query.check { "regulators.import.try" } else { "regulators.import" };
    let work = async move {
        let weighing = tokio::task::spawn_blocking(move || weigh(&config, &text, &query));
        weighing.await.map_err(|_| Problem::fault("the import failed; the log says why"))?
    };
    perform_to_the_end(desk, bearer, act, work).await.map(Json)
}

fn weigh(config: &Path, text: &str, query: &ImportQuery) -> Result<ImportView, Problem> {
    let others = if query.replace { Others::Go } else { Others::Stay };
    let refuse = |error: ImportError| match error {
        ImportError::Faults(faults) => {
            Problem::bad_request(faults.to_string().chars().take(TOLD_MAX).collect::<String>())
        }
        ImportError::Write { .. } => Problem::fault(error.to_string()),
    };
    let act = if query.check { Imported::weigh } else { Imported::put_in };
    let imported = act(config, (Path::new(NAME), text), others).map_err(refuse)?;
    Ok(ImportView {
        added: imported.added,
        changed: imported.changed,
        removed: imported.removed,
        unchanged: imported.unchanged,
        warnings: imported.warnings.iter().map(ToString::to_string).collect(),
        written: !query.check,
    })
}
