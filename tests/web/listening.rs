//! The light doors to a recording, outline, preview, any second, a voice a party: the same demands and the same audit as its audio.

use reqwest::StatusCode;
use vigie::storage::audit::{self, AuditFilter};

use super::desk::{COMPLIANCE, Desk, ROUEN, VIEWER};

const ENDS: [&str; 4] = ["peaks", "preview", "parties", "audio?from=0"];

fn path(desk: &Desk, end: &str, more: &str) -> String {
    let joint = if end.contains('?') { '&' } else { '?' };
    format!("/api/v1/recordings/{}/{end}{joint}{more}", desk.call)
}

async fn acts(desk: &Desk) -> Vec<(String, String, bool)> {
    let rows = audit::list(&desk.storage, &AuditFilter::default()).await.expect("the audit");
    rows.into_iter().map(|row| (row.entry.act, row.entry.reason, row.refusal.is_some())).collect()
}

#[tokio::test]
async fn each_door_demands_a_role_the_association_and_a_reason_and_says_so_in_the_audit() {
    let desk = Desk::open().await;
    for end in ENDS {
        let answer = desk.read(COMPLIANCE, &path(&desk, end, "")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{end}");
        assert!(answer.problem().contains("X-Access-Reason"), "{end}");
    }
    for (end, (token, why)) in ENDS.iter().flat_map(|end| [(end, (ROUEN, "sos-cherbourg")), (end, (VIEWER, "role"))]) {
        let before = acts(&desk).await.len();
        let answer = desk.read(token, &path(&desk, end, "reason=curious")).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{end}");
        assert!(answer.problem().contains(why), "{end}: {}", answer.problem());
        let told = acts(&desk).await;
        assert_eq!(told.len(), before + 2, "the wish and its refusal: {end}");
        let wish = ("recording.listen".to_owned(), "curious".to_owned(), true);
        assert!(told.contains(&wish), "{told:?}");
    }
}

#[tokio::test]
async fn a_preview_is_ogg_and_who_heard_it_and_from_where_is_in_the_audit() {
    let desk = Desk::open().await;
    let answer = desk.read(COMPLIANCE, &path(&desk, "preview", "reason=plainte+12")).await;
    assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, "audio/ogg"));
    assert!(answer.body.starts_with(b"OggS") && answer.body.windows(8).any(|at| at == b"OpusHead"));
    assert!(answer.body.len() * 4 < desk.audio.len(), "{} of {}", answer.body.len(), desk.audio.len());
    let rows = audit::list(&desk.storage, &AuditFilter::default()).await.expect("the audit");
    assert_eq!((rows.len(), rows[0].entry.detail.as_str()), (1, "a preview from second 0"));
}

#[tokio::test]
async fn a_second_behind_the_end_an_unknown_key_and_a_second_that_is_none_are_refused() {
    let desk = Desk::open().await;
    for (end, more, expected) in [
        ("preview", "reason=plainte&from=5", "lies behind"),
        ("audio", "reason=plainte&from=18446744073709551615", "lies behind"),
        ("parties", "reason=plainte&from=-1", "from"),
        ("audio", "reason=plainte&from=x", "from"),
        ("preview", "reason=plainte&till=5", "till"),
        ("peaks", "reason=plainte&from=1", "from"),
    ] {
        let answer = desk.read(COMPLIANCE, &path(&desk, end, more)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{end} {more}");
        assert!(answer.problem().contains(expected), "{end} {more}: {}", answer.problem());
    }
}

#[tokio::test]
async fn a_recording_without_outline_says_so_and_one_that_was_changed_is_not_previewed() {
    let desk = Desk::open().await;
    let answer = desk.read(COMPLIANCE, &path(&desk, "peaks", "reason=plainte")).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert!(answer.problem().contains("without an outline"));
    std::fs::write(desk.recording_folder().join("audio.wav"), b"short").expect("tampered");
    let answer = desk.read(COMPLIANCE, &path(&desk, "preview", "reason=plainte")).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(answer.problem().contains("vigie verify"));
}
