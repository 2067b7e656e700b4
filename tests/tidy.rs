//! Reads the sources and refuses what the house does not allow: arrows, sizes, impurity, names.
//!
//! The rules stand in the tables below; the reader of Rust is no compiler, it only takes apart what the rules need.
#![allow(clippy::expect_used, reason = "a test may stop where it stands")]

#[path = "tidy/tokens.rs"]
mod tokens;

use std::fs;
use std::path::Path;

use tokens::{Token, closing, find_at_depth, is_word, parameters, paths, strip, tokens, without_tests};

/// The house: a folder or file of `src/`, and what it may name (`*` is everything).
const ARROWS: [(&str, &str); 20] = [
    ("model", ""),
    ("clock", "model"),
    ("config", "model clock"),
    ("sip", "model"),
    ("rtp", "model"),
    ("routing", "model"),
    ("waiting", "model routing"),
    ("call", "model routing waiting"),
    ("useragent", "model sip call"),
    ("vault", "model config"),
    ("journal", "model config vault"),
    ("signalling", "model config clock sip"),
    ("media", "model config clock rtp journal"),
    ("recorder", "model config clock rtp journal vault"),
    ("archive", "model config clock storage recorder journal vault"),
    ("storage", "model config"),
    ("outbox", "model config clock storage"),
    (
        "switchboard",
        "model config clock sip routing waiting call useragent journal signalling media recorder storage outbox",
    ),
    ("web", "model config clock storage archive outbox switchboard vault"),
    ("cli", "*"),
];

/// Files at the top of `src/` that may name everything: they build the rest.
const BUILDERS: [&str; 3] = ["app", "main", "lib"];

/// Folders that decide: inputs in, actions out.
const PURE: [&str; 7] = ["model", "sip", "rtp", "routing", "waiting", "call", "useragent"];

/// Words that no pure folder may say outside its tests: files, sockets, clocks, threads, locks, logs, randomness.
const IMPURE: [&str; 36] = [
    "std::fs",
    "std::thread",
    "std::env",
    "std::process",
    "std::os",
    "UdpSocket",
    "TcpStream",
    "TcpListener",
    "UnixStream",
    "UnixListener",
    "UnixDatagram",
    "Instant",
    "SystemTime",
    "Timestamp::now",
    "Zoned::now",
    "async",
    "await",
    "Mutex",
    "RwLock",
    "Condvar",
    "mpsc",
    "rand",
    "getrandom",
    "now_v7",
    "new_v4",
    "tokio",
    "tracing",
    "metrics",
    "println",
    "eprintln",
    "dbg",
    "reqwest",
    "sqlx",
    "rustix",
    "socket2",
    "hound",
];

/// Readings of a real clock: `src/clock.rs` alone may have them. A driver may pace itself by tokio's own `Instant`,
/// which goes with its timers and never into a record.
const CLOCKS: [&str; 5] = ["Instant::now", "SystemTime::now", "Timestamp::now", "Zoned::now", "clock_gettime"];

/// Words that say nothing, in names of files, modules, types and functions.
const BANNED: [&str; 12] =
    ["session", "channel", "member", "tier", "manager", "handler", "util", "helper", "common", "misc", "data", "info"];

/// Names with a banned word that is a protocol's own term.
const PROTOCOL_TERMS: [(&str, &str); 7] = [
    ("call_info", "RFC 3261 §20.9"),
    ("read_session", "RFC 8866 §5: SDP's session section"),
    ("session_expires", "RFC 4028 §4"),
    ("session_timer", "RFC 4028"),
    ("session_description", "RFC 8866 §5"),
    ("session_id", "RFC 8866 §5.2"),
    ("session_version", "RFC 8866 §5.2"),
];

const FILE_LINES_MAX: usize = 600;
const MAIN_LINES_MAX: usize = 40;
const FUNCTION_LINES_MAX: usize = 70;
const PARAMETERS_MAX: usize = 5;

/// One file: its path below `src/`, and its text.
struct Source {
    path: String,
    text: String,
}

impl Source {
    /// The folder or file at the top of `src/`: `sip`, `clock`.
    fn part(&self) -> &str {
        self.path.split('/').next().unwrap_or_default().trim_end_matches(".rs")
    }

    fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.contains("/tests/")
    }

    /// How many `super` lead from this file to the crate.
    fn depth(&self) -> usize {
        let folders = self.path.matches('/').count();
        if self.path.ends_with("/mod.rs") { folders } else { folders + 1 }
    }
}

/// Everything that is wrong with a file, each with its line.
fn faults(source: &Source) -> Vec<String> {
    let plain = strip(&source.text);
    let working = if source.is_test() { String::new() } else { without_tests(&plain) };
    let (all, work) = (tokens(&plain), tokens(&working));
    let mut found = Vec::new();
    let mut tell = |line: usize, what: String| found.push(format!("src/{}:{line}: {what}", source.path));
    check_head(source, &mut tell);
    check_arrows(source, &all, &work, &mut tell);
    check_purity(source, &work, &mut tell);
    check_functions(&all, &mut tell);
    check_names(source, &work, &mut tell);
    found
}

fn check_head(source: &Source, tell: &mut impl FnMut(usize, String)) {
    let lines = source.text.lines().count();
    let most = if source.path == "main.rs" { MAIN_LINES_MAX } else { FILE_LINES_MAX };
    if lines > most {
        tell(lines, format!("the file has {lines} lines, more than {most}: make two of it"));
    }
    if !source.text.starts_with("//!") {
        tell(1, "the file does not begin with //! and what it is".into());
    }
}

fn check_arrows(source: &Source, all: &[Token], work: &[Token], tell: &mut impl FnMut(usize, String)) {
    let part = source.part();
    let allowed = match ARROWS.iter().find(|(name, _)| *name == part) {
        Some((_, allowed)) => *allowed,
        None if BUILDERS.contains(&part) => "*",
        None => return tell(1, format!("`{part}` is no part of the house: see ARROWS in tests/tidy.rs")),
    };
    let absolute =
        paths(all).into_iter().filter_map(|(line, path)| Some((line, path.strip_prefix("crate::")?.to_owned())));
    let climbing = paths(work).into_iter().filter_map(|(line, path)| {
        let ups = path.split("::").take_while(|step| *step == "super").count();
        let rest: Vec<&str> = path.split("::").skip(ups).collect();
        (ups >= source.depth() && !rest.is_empty()).then(|| (line, rest.join("::")))
    });
    for (line, path) in absolute.chain(climbing) {
        let target = path.split("::").next().unwrap_or_default();
        if target != part && allowed != "*" && !allowed.split(' ').any(|name| name == target) {
            tell(line, format!("the arrow {part} -> {target} is not in the table"));
        }
    }
}

fn check_purity(source: &Source, work: &[Token], tell: &mut impl FnMut(usize, String)) {
    let paths = paths(work);
    let is_paced = paths.iter().any(|(_, path)| path.starts_with("tokio::time::Instant"));
    for (line, path) in paths {
        let says = |word: &&&str| format!("::{path}::").contains(&format!("::{word}::"));
        if PURE.contains(&source.part())
            && let Some(word) = IMPURE.iter().find(says)
        {
            tell(line, format!("`{word}` in a pure folder"));
        } else if source.path != "clock.rs"
            && !(is_paced && path.ends_with("Instant::now"))
            && let Some(word) = CLOCKS.iter().find(says)
        {
            tell(line, format!("`{word}` outside src/clock.rs, the only reader of clocks"));
        }
    }
}

fn check_functions(all: &[Token], tell: &mut impl FnMut(usize, String)) {
    for (at, token) in all.iter().enumerate().filter(|(_, token)| token.text == "fn") {
        let Some(name) = all.get(at + 1).filter(|next| is_word(&next.text)) else { continue };
        let Some(open) = find_at_depth(all, at + 1, &["("]) else { continue };
        let count = parameters(all, open);
        if count > PARAMETERS_MAX {
            tell(token.line, format!("`{}` takes {count} parameters, more than {PARAMETERS_MAX}", name.text));
        }
        let body = find_at_depth(all, closing(all, open) + 1, &["{", ";"]).filter(|body| all[*body].text == "{");
        let Some(body) = body else { continue };
        let end = all.get(closing(all, body)).map_or(token.line, |token| token.line);
        let lines = end - token.line + 1;
        if lines > FUNCTION_LINES_MAX {
            tell(token.line, format!("`{}` has {lines} lines, more than {FUNCTION_LINES_MAX}", name.text));
        }
    }
}

fn check_names(source: &Source, work: &[Token], tell: &mut impl FnMut(usize, String)) {
    for name in source.path.trim_end_matches(".rs").split('/') {
        if let Some(word) = banned_word(name) {
            tell(1, format!("the name `{name}` has the banned word `{word}`"));
        }
    }
    for pair in work.windows(2) {
        let [kind, name] = pair else { continue };
        let is_named = matches!(kind.text.as_str(), "fn" | "mod" | "struct" | "enum" | "trait" | "type" | "union");
        if is_named && let Some(word) = banned_word(&name.text) {
            tell(name.line, format!("the name `{}` has the banned word `{word}`", name.text));
        }
    }
}

/// The banned word in a name written with `_`, `-` or capitals, in the singular or plural.
fn banned_word(name: &str) -> Option<&'static str> {
    let mut spaced = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() || !letter.is_alphanumeric() {
            spaced.push('_');
        }
        spaced.extend(letter.to_lowercase().filter(|letter| letter.is_alphanumeric()));
    }
    let mut spaced = spaced.split('_').filter(|word| !word.is_empty()).collect::<Vec<_>>().join("_");
    for (term, _) in PROTOCOL_TERMS {
        spaced = spaced.replace(term, "");
    }
    let words: Vec<&str> = spaced.split('_').collect();
    BANNED.into_iter().find(|banned| words.iter().any(|word| word == banned || word.strip_suffix('s') == Some(banned)))
}

fn read_sources(folder: &Path, path: &str, sources: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).expect("src/ can be read") {
        let entry = entry.expect("an entry");
        let name = entry.file_name().into_string().expect("a name in UTF-8");
        let path = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
        if entry.path().is_dir() {
            read_sources(&entry.path(), &path, sources);
        } else if name.ends_with(".rs") {
            sources.push(Source { path, text: fs::read_to_string(entry.path()).expect("a text") });
        }
    }
}

#[test]
fn the_house_is_tidy() {
    let mut sources = Vec::new();
    read_sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "", &mut sources);
    assert!(sources.len() > 30, "only {} files were found", sources.len());
    let mut found: Vec<String> = sources.iter().flat_map(faults).collect();
    found.sort();
    assert!(found.is_empty(), "{} faults:\n{}", found.len(), found.join("\n"));
}

/// The faults of one file with a proper head.
fn faults_of(path: &str, text: &str) -> String {
    faults(&Source { path: path.into(), text: format!("//! A part.\n{text}") }).join("\n")
}

#[test]
fn planted_faults_are_found() {
    let long_file = "\n".repeat(600);
    let long_function = format!("fn walk() {{\n{}}}\n", "    step();\n".repeat(69));
    let table = [
        ("sip/uri.rs", "use crate::call::Switch;", "sip -> call"),
        ("sip/uri.rs", "use crate::{model::Now, media};", "sip -> media"),
        (
            "waiting/room.rs",
            "use crate::{\n    model::{Now, Utc},\n    sip::{self, Uri},\n};",
            ":4: the arrow waiting -> sip",
        ),
        ("rtp/mod.rs", "fn play() { crate::media::play() }", "rtp -> media"),
        ("rtp/packet.rs", "use super::super::journal::Segment;", "rtp -> journal"),
        ("media/mod.rs", "use super::switchboard::Switchboard;", "media -> switchboard"),
        ("web/api/calls.rs", "use crate::recorder::Frame;", "web -> recorder"),
        ("gadgets/mod.rs", "", "`gadgets` is no part of the house"),
        ("call/mod.rs", "use std::fs;", "std::fs"),
        ("call/mod.rs", "use std::{collections::HashMap, fs::File};", "std::fs"),
        ("call/mod.rs", "use std::time::Instant;", "`Instant`"),
        ("call/mod.rs", "async fn ring() {}", "`async`"),
        ("call/mod.rs", "fn ring() { tracing::warn!(\"x\") }", "`tracing`"),
        ("model/chance.rs", "fn draw() -> u64 { getrandom::u64() }", "getrandom"),
        ("routing/mod.rs", "use std::sync::{Arc, Mutex};", "`Mutex`"),
        ("sip/mod.rs", "use std::net::{SocketAddr, UdpSocket};", "`UdpSocket`"),
        ("useragent/mod.rs", "fn now() -> jiff::Timestamp { jiff::Timestamp::now() }", "Timestamp::now"),
        ("web/mod.rs", "fn now() -> Instant { std::time::Instant::now() }", "the only reader of clocks"),
        ("media/mod.rs", long_file.as_str(), "more than 600"),
        ("main.rs", &long_file[..40], "more than 40"),
        ("media/mod.rs", long_function.as_str(), "`walk` has 71 lines"),
        ("media/mod.rs", "fn f(a: u8, b: [u8; 2], c: HashMap<u8, u8>, d: (u8, u8), e: u8, f: u8) {}", "takes 6"),
        ("media/util.rs", "", "`util`"),
        ("media/mod.rs", "struct CallManager;", "`manager`"),
        ("media/mod.rs", "fn read_data() {}", "`data`"),
        ("media/mod.rs", "mod helpers;", "`helper`"),
        ("media/mod.rs", "enum SIPSessionState {}", "`session`"),
    ];
    for (path, text, expected) in table {
        let found = faults_of(path, text);
        let hit = expected.split('|').any(|part| found.contains(part));
        assert!(hit, "{path}: `{expected}` was not found but `{found}` in\n{text}");
    }
    let headless = faults(&Source { path: "sip/uri.rs".into(), text: "use std::fmt;\n".into() });
    assert!(headless.iter().any(|fault| fault.contains("does not begin with //!")), "{headless:?}");
}

#[test]
fn what_is_allowed_passes() {
    let short_function = format!("fn walk() {{\n{}}}\n", "    step();\n".repeat(68));
    let table = [
        ("sip/uri.rs", "use crate::model::Now;\nuse crate::sip::Message;\nuse std::net::{IpAddr, SocketAddr};"),
        ("sip/uri.rs", "// crate::call is no arrow here, nor is std::fs\nconst A: &str = \"crate::call { std::fs\";"),
        (
            "sip/uri.rs",
            "/* async /* tokio */ Mutex */\nconst B: &str = r#\"\"crate::media::x\"#;\nconst C: char = '\"';",
        ),
        ("sip/uri.rs", "use super::super::model::Now;\nfn f<'a>(x: &'a str) -> &'a str { x }"),
        (
            "call/mod.rs",
            "fn f() {}\n#[cfg(test)]\nmod tests {\n    use std::fs;\n    fn some_data() { std::thread::yield_now() }\n}",
        ),
        ("call/tests.rs", "use std::time::Instant;"),
        ("storage/writer.rs", "use tokio::time::{Instant, sleep};\nfn f() { Instant::now(); }"),
        ("clock.rs", "fn now() { std::time::Instant::now(); }"),
        ("sip/session_expires.rs", "struct SessionExpires;"),
        ("media/mod.rs", "impl A { fn f(&mut self, a: u8, b: u8, c: u8, d: u8, e: impl Fn(u8, u8) -> u8) {} }"),
        ("media/mod.rs", "trait T { fn f(&self) -> [u8; 4]; }\nfn database_metadata() {}"),
        ("cli/mod.rs", "use crate::{media, sip};"),
        ("media/mod.rs", short_function.as_str()),
    ];
    for (path, text) in table {
        assert_eq!(faults_of(path, text), "", "{path}:\n{text}");
    }
}
