//! The OpenAPI description: of every route, and true of what is answered.

use std::collections::BTreeSet;

use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::desk::{ADMIN, Desk};
use super::schema::check;

const METHODS: [&str; 7] = ["get", "head", "post", "put", "patch", "delete", "options"];

pub async fn read_description(desk: &Desk) -> Value {
    desk.ask(Method::GET, "/api/openapi.json", &[], "").await.json()
}

/// Every operation: path, method, description.
fn operations(openapi: &Value) -> Vec<(String, String, Value)> {
    let paths = openapi["paths"].as_object().expect("paths");
    let of_path = |(path, item): (&String, &Value)| {
        let operations = METHODS.iter().filter_map(|method| Some((method.to_string(), item.get(*method)?.clone())));
        operations.map(|(method, operation)| (path.clone(), method, operation)).collect::<Vec<_>>()
    };
    paths.iter().flat_map(of_path).collect()
}

#[tokio::test]
async fn a_route_answers_exactly_the_methods_that_are_described() {
    let desk = Desk::open().await;
    let openapi = read_description(&desk).await;
    let operations = operations(&openapi);
    let paths: BTreeSet<&String> = operations.iter().map(|(path, _, _)| path).collect();
    for path in paths {
        let described: Vec<&str> =
            operations.iter().filter(|(at, _, _)| at == path).map(|(_, method, _)| method.as_str()).collect();
        let filled = path
            .replace("{call}", &desk.call.to_string())
            .replace("{regulator}", "anne")
            .replace("{position}", "1")
            .replace("{hold}", "1")
            .replace("{deletion}", "1")
            .replace("{addendum}", "1")
            .replace("{export}", "00000000-0000-4000-8000-000000000000");
        for method in METHODS {
            // What is described as GET answers HEAD as well (RFC 9110 §9.3.2).
            let expected = described.contains(&method) || (method == "head" && described.contains(&"get"));
            let verb = Method::from_bytes(method.to_uppercase().as_bytes()).expect("a method");
            let status = desk.ask(verb, &filled, &[], "").await.status.as_u16();
            assert_eq!(status != 405 && status != 404, expected, "{method} {path}: {status}");
        }
    }
}

#[tokio::test]
async fn no_route_is_added_but_with_its_description() {
    let desk = Desk::open().await;
    let described: BTreeSet<String> = operations(&read_description(&desk).await).into_iter().map(|one| one.0).collect();
    let routed: BTreeSet<String> = routed_paths();
    assert!(routed.len() > 15, "{routed:?}");
    assert_eq!(routed, described);
}

/// The paths written in the sources of the routes.
fn routed_paths() -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/web");
    let mut folders = vec![std::path::PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let source = std::fs::read_to_string(&path).expect("a source");
            assert!(!source.contains(".route(") && !source.contains(".nest("), "{}: use routes!", path.display());
            let written = source.split("path = \"").skip(1).filter_map(|rest| rest.split('"').next());
            paths.extend(written.filter(|path| path.starts_with('/')).map(str::to_owned));
        }
    }
    paths
}

#[tokio::test]
async fn every_operation_has_a_summary_its_errors_and_its_security() {
    let desk = Desk::open().await;
    let openapi = read_description(&desk).await;
    assert!(openapi["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")));
    assert_eq!(openapi["components"]["securitySchemes"]["token"]["scheme"], "bearer");
    let mut names = BTreeSet::new();
    for (path, method, operation) in operations(&openapi) {
        let place = format!("{method} {path}");
        assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{place}");
        assert!(operation["tags"][0].is_string(), "{place}");
        names.insert(operation["operationId"].to_string());
        if !path.starts_with("/api/v1") {
            continue;
        }
        let roles = operation["security"][0]["token"].as_array().expect("roles");
        assert!(roles.contains(&"admin".into()), "{place}");
        let changes = matches!(method.as_str(), "post" | "put" | "delete");
        // Compliance adds to recordings, hands them out and deletes them, with a second person; the clock takes the administrator.
        let adds = ["/addenda", "/redactions", "/exports"].iter().any(|part| path.contains(part));
        let is_custody = adds || operation["tags"][0] == "custody" && path != "/api/v1/custody/clock";
        assert_eq!(roles.contains(&"compliance".into()), !changes || is_custody, "{place}");
        for status in ["400", "401", "403", "500", "503"] {
            let schema = &operation["responses"][status]["content"]["application/problem+json"]["schema"]["$ref"];
            assert_eq!(schema, "#/components/schemas/Problem", "{place} {status}");
        }
        for parameter in path.split('{').skip(1).filter_map(|rest| rest.split('}').next()) {
            let described = operation["parameters"].as_array().into_iter().flatten();
            assert!(described.into_iter().any(|one| one["name"] == parameter && one["in"] == "path"), "{place}");
        }
    }
    assert_eq!(names.len(), operations(&openapi).len(), "two operations share an id: {names:?}");
}

#[tokio::test]
async fn what_is_answered_is_what_is_described() {
    let desk = Desk::open().await;
    let openapi = read_description(&desk).await;
    let call = desk.call;
    let examples = [
        ("get", "/", "/".to_owned()),
        ("get", "/healthz", "/healthz".to_owned()),
        ("get", "/readyz", "/readyz".to_owned()),
        ("get", "/metrics", "/metrics".to_owned()),
        ("get", "/api/openapi.json", "/api/openapi.json".to_owned()),
        ("get", "/api/v1/calls", "/api/v1/calls?limit=1".to_owned()),
        ("get", "/api/v1/calls", "/api/v1/calls?limit=none".to_owned()),
        ("get", "/api/v1/calls/{call}", format!("/api/v1/calls/{call}")),
        ("get", "/api/v1/calls/{call}", "/api/v1/calls/00000000-0000-0000-0000-000000000001".to_owned()),
        ("get", "/api/v1/calls/{call}/ladder", format!("/api/v1/calls/{call}/ladder")),
        ("get", "/api/v1/calls/{call}/ladder", format!("/api/v1/calls/{call}/ladder?format=text&messages=true")),
        ("get", "/api/v1/abandoned-callers", "/api/v1/abandoned-callers?state=all".to_owned()),
        ("get", "/api/v1/abandoned-callers/{task}", format!("/api/v1/abandoned-callers/{call}")),
        ("post", "/api/v1/abandoned-callers/{task}/call-back", format!("/api/v1/abandoned-callers/{call}/call-back")),
        ("post", "/api/v1/abandoned-callers/{task}/close", format!("/api/v1/abandoned-callers/{call}/close")),
        ("get", "/api/v1/calls/{call}/routing", format!("/api/v1/calls/{call}/routing?lang=en")),
        ("get", "/api/v1/forecasts", "/api/v1/forecasts".to_owned()),
        ("get", "/api/v1/lists", "/api/v1/lists".to_owned()),
        ("put", "/api/v1/lists/{list}/numbers/{number}", "/api/v1/lists/a/numbers/anonymous".to_owned()),
        ("delete", "/api/v1/lists/{list}/numbers/{number}", "/api/v1/lists/a/numbers/anonymous".to_owned()),
        ("get", "/api/v1/surges", "/api/v1/surges".to_owned()),
        ("put", "/api/v1/surges/{region}", "/api/v1/surges/cotentin".to_owned()),
        ("delete", "/api/v1/surges/{region}", "/api/v1/surges/cotentin".to_owned()),
        ("post", "/api/v1/calls/{call}/end", format!("/api/v1/calls/{call}/end")),
        ("post", "/api/v1/calls/{call}/hold", format!("/api/v1/calls/{call}/hold")),
        ("post", "/api/v1/calls/{call}/resume", format!("/api/v1/calls/{call}/resume")),
        ("post", "/api/v1/calls/{call}/add", format!("/api/v1/calls/{call}/add")),
        ("post", "/api/v1/calls/{call}/join", format!("/api/v1/calls/{call}/join")),
        ("post", "/api/v1/calls/{call}/drop", format!("/api/v1/calls/{call}/drop")),
        ("post", "/api/v1/calls/{call}/leave", format!("/api/v1/calls/{call}/leave")),
        ("post", "/api/v1/calls/{call}/samu", format!("/api/v1/calls/{call}/samu")),
        ("post", "/api/v1/calls/{call}/requeue", format!("/api/v1/calls/{call}/requeue")),
        ("post", "/api/v1/calls/{call}/transfer", format!("/api/v1/calls/{call}/transfer")),
        ("post", "/api/v1/calls/{call}/demand", format!("/api/v1/calls/{call}/demand")),
        ("post", "/api/v1/calls/{call}/supervise", format!("/api/v1/calls/{call}/supervise")),
        ("post", "/api/v1/calls/{call}/recording/pause", format!("/api/v1/calls/{call}/recording/pause")),
        ("post", "/api/v1/calls/{call}/recording/resume", format!("/api/v1/calls/{call}/recording/resume")),
        ("get", "/api/v1/reconciliation", "/api/v1/reconciliation?day=2023-11-14".to_owned()),
        ("get", "/api/v1/recordings", "/api/v1/recordings".to_owned()),
        ("get", "/api/v1/recordings/{call}", format!("/api/v1/recordings/{call}")),
        ("get", "/api/v1/recordings/{call}/audio", format!("/api/v1/recordings/{call}/audio?reason=plainte")),
        ("get", "/api/v1/recordings/{call}/audio", format!("/api/v1/recordings/{call}/audio")),
        ("get", "/api/v1/recordings/{call}/peaks", format!("/api/v1/recordings/{call}/peaks?reason=plainte")),
        ("get", "/api/v1/recordings/{call}/preview", format!("/api/v1/recordings/{call}/preview?reason=plainte")),
        ("get", "/api/v1/recordings/{call}/parties", format!("/api/v1/recordings/{call}/parties?reason=plainte")),
        ("head", "/api/v1/recordings/{call}/audio", format!("/api/v1/recordings/{call}/audio?reason=plainte")),
        ("get", "/api/v1/recordings/{call}/manifest", format!("/api/v1/recordings/{call}/manifest?reason=plainte")),
        ("get", "/api/v1/recordings/{call}/signature", format!("/api/v1/recordings/{call}/signature?reason=plainte")),
        ("get", "/api/v1/recordings/{call}/addenda", format!("/api/v1/recordings/{call}/addenda")),
        ("get", "/api/v1/exports", "/api/v1/exports".to_owned()),
        ("get", "/api/v1/exports/{export}", format!("/api/v1/exports/{call}")),
        ("post", "/api/v1/exports", "/api/v1/exports".to_owned()),
        ("post", "/api/v1/exports/{export}/approve", format!("/api/v1/exports/{call}/approve")),
        ("post", "/api/v1/exports/{export}/refuse", format!("/api/v1/exports/{call}/refuse")),
        ("get", "/api/v1/exports/{export}/archive", format!("/api/v1/exports/{call}/archive?reason=plainte")),
        ("post", "/api/v1/recordings/{call}/addenda", format!("/api/v1/recordings/{call}/addenda")),
        ("post", "/api/v1/recordings/{call}/redactions", format!("/api/v1/recordings/{call}/redactions")),
        (
            "get",
            "/api/v1/recordings/{call}/redactions/{addendum}/audio",
            format!("/api/v1/recordings/{call}/redactions/1/audio?reason=plainte"),
        ),
        ("get", "/api/v1/recordings/{call}/custody", format!("/api/v1/recordings/{call}/custody")),
        ("post", "/api/v1/recordings/{call}/holds", format!("/api/v1/recordings/{call}/holds")),
        ("get", "/api/v1/recordings/{call}/holds", format!("/api/v1/recordings/{call}/holds")),
        ("post", "/api/v1/holds/{hold}/release", "/api/v1/holds/1/release".to_owned()),
        ("get", "/api/v1/custody/clock", "/api/v1/custody/clock".to_owned()),
        ("post", "/api/v1/custody/clock", "/api/v1/custody/clock".to_owned()),
        ("get", "/api/v1/deletions", "/api/v1/deletions".to_owned()),
        ("post", "/api/v1/deletions", "/api/v1/deletions".to_owned()),
        ("get", "/api/v1/deletions/{deletion}", "/api/v1/deletions/1".to_owned()),
        ("post", "/api/v1/deletions/{deletion}/approve", "/api/v1/deletions/1/approve".to_owned()),
        ("post", "/api/v1/deletions/{deletion}/withdraw", "/api/v1/deletions/1/withdraw".to_owned()),
        ("get", "/api/v1/room", "/api/v1/room".to_owned()),
        ("get", "/api/v1/regulators", "/api/v1/regulators".to_owned()),
        ("get", "/api/v1/regulators/{regulator}", "/api/v1/regulators/anne".to_owned()),
        ("post", "/api/v1/regulators/{regulator}/pause", "/api/v1/regulators/anne/pause".to_owned()),
        ("post", "/api/v1/regulators/{regulator}/ready", "/api/v1/regulators/anne/ready".to_owned()),
        ("post", "/api/v1/regulators/{regulator}/wrap-up/end", "/api/v1/regulators/anne/wrap-up/end".to_owned()),
        ("post", "/api/v1/regulators/{regulator}/wrap-up/extend", "/api/v1/regulators/anne/wrap-up/extend".to_owned()),
        ("post", "/api/v1/regulators/{regulator}/log-out", "/api/v1/regulators/anne/log-out".to_owned()),
        ("post", "/api/v1/regulators/import", "/api/v1/regulators/import".to_owned()),
        ("get", "/api/v1/configuration", "/api/v1/configuration".to_owned()),
        ("post", "/api/v1/configuration/reload", "/api/v1/configuration/reload".to_owned()),
        (
            "get",
            "/api/v1/statistics",
            "/api/v1/statistics?by=line&from=2023-11-14T00:00:00Z&to=2023-11-15T00:00:00Z".to_owned(),
        ),
        ("get", "/api/v1/trunks", "/api/v1/trunks".to_owned()),
        ("get", "/api/v1/sip/bans", "/api/v1/sip/bans".to_owned()),
        ("delete", "/api/v1/sip/bans/{who}", "/api/v1/sip/bans/192.0.2.7".to_owned()),
        ("get", "/api/v1/outbox", "/api/v1/outbox".to_owned()),
        ("post", "/api/v1/outbox/{position}/replay", "/api/v1/outbox/1/replay".to_owned()),
        ("get", "/api/v1/audit", "/api/v1/audit".to_owned()),
    ];
    let shown: BTreeSet<(&str, &str)> = examples.iter().map(|(method, path, _)| (*method, *path)).collect();
    for (path, method, _) in operations(&openapi) {
        assert!(shown.contains(&(method.as_str(), path.as_str())), "{method} {path} has no example");
    }
    for (method, template, path) in &examples {
        hold_against(&desk, &openapi, method, template, path).await;
    }
}

/// Asks, and holds the answer against its description; its status.
pub async fn hold_against(desk: &Desk, openapi: &Value, method: &str, template: &str, path: &str) -> StatusCode {
    let bearer = format!("Bearer {ADMIN}");
    let verb = Method::from_bytes(method.to_uppercase().as_bytes()).expect("a method");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let body = match template {
        _ if template.ends_with("/pause") => "{\"reason\": \"lunch\"}",
        _ if template.ends_with("/holds") && method == "post" => "{\"reason\": \"complaint 12\"}",
        _ if template == "/api/v1/custody/clock" && method == "post" => "{\"reason\": \"looked at it\"}",
        _ => "",
    };
    let answer = desk.ask(verb, path, &headers, body).await;
    let place = format!("{method} {path} -> {}", answer.status);
    let described = &openapi["paths"][template][method]["responses"][answer.status.as_str()];
    assert!(described.is_object(), "{place}: this status is not described");
    let content_type = answer.header("content-type").split(';').next().unwrap_or_default();
    if answer.body.is_empty() {
        return answer.status;
    }
    let content = &described["content"][content_type];
    assert!(content.is_object(), "{place}: {content_type} is not described");
    if content_type.ends_with("json") {
        let mut complaints = Vec::new();
        check(openapi, &content["schema"], &answer.json(), "$", &mut complaints);
        assert!(complaints.is_empty(), "{place}:\n{}", complaints.join("\n"));
    } else {
        assert_eq!(content["schema"]["type"], "string", "{place}: {content_type} is text or bytes");
    }
    answer.status
}
