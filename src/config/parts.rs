//! The sections of the machine: node, SIP, media, recording, storage, web, dispatch.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use super::document::Section;
use super::encryption::read_encryption;
use super::hours::time_of_day;
use super::listeners::read_listeners;
use super::settings::{
    EndpointSettings, MediaSettings, NodeSettings, RecordingSettings, SipSettings, StorageSettings, WebSettings,
};
use super::values;
use crate::model::Codec;
use crate::model::centre::BanRules;

pub(super) const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The codecs' names.
const CODECS: [(&str, Codec); 4] =
    [("pcma", Codec::Pcma), ("pcmu", Codec::Pcmu), ("g722", Codec::G722), ("opus", Codec::Opus)];

/// The event types that an endpoint may ask for.
const EVENT_TYPES: [&str; 25] = [
    "call.received",
    "call.dialled",
    "call.reached",
    "call.queued",
    "call.offered",
    "call.offer-ended",
    "call.answered",
    "call.held",
    "call.resumed",
    "call.transferred",
    "call.forwarded",
    "call.joined",
    "call.join-failed",
    "call.left",
    "call.handed-to-samu",
    "call.supervised",
    "call.demand-changed",
    "call.one-way-audio",
    "call.abandoned",
    "call.ended",
    "recording.sealed",
    "recording.failed",
    "recording.paused",
    "recording.resumed",
    "regulator.state",
];

pub(super) fn seconds(from: u64, to: u64) -> RangeInclusive<Duration> {
    Duration::from_secs(from)..=Duration::from_secs(to)
}

pub(super) fn read_node(section: &Section<'_>) -> NodeSettings {
    NodeSettings {
        name: section.or("name", "vigie-1".into(), values::id),
        state: section.or("state", "state".into(), values::path),
    }
}

pub(super) fn read_sip(section: &Section<'_>) -> SipSettings {
    let listen = read_listeners(section);
    let advertised = section.take("advertised", values::address);
    let report = section.report;
    if listen.is_empty() && !report.has_fault_under(&section.path("listen")) {
        report.fault(
            &section.path("listen"),
            "nothing would be listened on",
            "write at least one \"udp:ADDRESS:PORT\"",
        );
    }
    if listen.len() > u8::MAX as usize {
        report.fault(&section.path("listen"), "more than 255 listeners", "listen on fewer addresses");
    }
    if let Some(listener) = listen.iter().find(|listener| listener.reached_at(advertised).is_unspecified()) {
        report.fault(
            &section.path("advertised"),
            format!("is missing, and a listener on every address ({}) cannot be written into a message", listener.address),
            "write the address that phones and carriers reach this machine at; with IPv4 and IPv6, one in each listener",
        );
    }
    let (expires_min, expires_max) = (
        section.or("expires_min", Duration::from_secs(60), values::duration(seconds(10, 86_400))),
        section.or("expires_max", Duration::from_secs(3600), values::duration(seconds(10, 86_400))),
    );
    if expires_min > expires_max {
        report.fault(
            &section.path("expires_min"),
            format!("is longer than expires_max ({})", values::show_duration(expires_max)),
            "let the shortest registration be no longer than the longest",
        );
    }
    let (session_expires, session_expires_min) = read_session_timer(section);
    SipSettings {
        listen,
        advertised,
        realm: section.or("realm", "vigie".into(), values::id),
        expires_min,
        expires_max,
        nonce_lifetime: section.or("nonce_lifetime", Duration::from_secs(300), values::duration(seconds(10, 3600))),
        session_expires,
        session_expires_min,
        devices_max: section.or("devices_max", 4, values::whole(1..=16)),
        source_rate_max: section.or("source_rate_max", 1000, values::whole(1..=1_000_000)),
        account_rate_max: section.or("account_rate_max", 64, values::whole(1..=100_000)),
        nameservers: section.list("nameservers", values::nameserver).into_iter().map(|(_, server)| server).collect(),
        connections_max: section.or("connections_max", 4096, values::whole(16..=100_000)),
        message_duration_max: section.or(
            "message_duration_max",
            Duration::from_secs(10),
            values::duration(seconds(1, 60)),
        ),
        connection_idle_max: section.or(
            "connection_idle_max",
            expires_max + Duration::from_secs(300),
            values::duration(seconds(10, 172_800)),
        ),
        calls_max: section.or("calls_max", 5000, values::whole(1..=5000)),
        urgent_priority: section.or("urgent_priority", 2, values::whole(0..=9)),
        bans: read_bans(section),
    }
}

/// The session timer that we wish for, and the shortest that we take.
fn read_session_timer(section: &Section<'_>) -> (Duration, Duration) {
    let (usual, least) = (
        section.or("session_expires", Duration::from_secs(1800), values::duration(seconds(90, 86_400))),
        section.or("session_min", Duration::from_secs(90), values::duration(seconds(90, 86_400))),
    );
    if least > usual {
        section.report.fault(
            &section.path("session_min"),
            format!("is longer than session_expires ({})", values::show_duration(usual)),
            "let the shortest session timer be no longer than our own",
        );
    }
    (usual, least)
}

fn read_bans(section: &Section<'_>) -> BanRules {
    let usual = BanRules::default();
    let rules = BanRules {
        failures_max: section.or("ban_failures", usual.failures_max, values::whole(1..=100_000)),
        strays_max: section.or("ban_strays", usual.strays_max, values::whole(1..=10_000_000)),
        account_failures_max: section.or(
            "ban_account_failures",
            usual.account_failures_max,
            values::whole(1..=100_000),
        ),
        window: section.or("ban_window", usual.window, values::duration(seconds(1, 86_400))),
        duration: section.or("ban_duration", usual.duration, values::duration(seconds(1, 604_800))),
        duration_max: section.or("ban_duration_max", usual.duration_max, values::duration(seconds(1, 2_592_000))),
        never: section.list("never_ban", values::address_block).into_iter().map(|(_, block)| block).collect(),
    };
    if rules.duration > rules.duration_max {
        section.report.fault(
            &section.path("ban_duration"),
            format!("is longer than ban_duration_max ({})", values::show_duration(rules.duration_max)),
            "let the first ban be no longer than the longest",
        );
    }
    rules
}

pub(super) fn read_media(section: &Section<'_>, node: &NodeSettings) -> MediaSettings {
    let address = section.or("address", LOOPBACK, values::address);
    // Of a socket for both kinds, each leg is told the address of its listener.
    if address == IpAddr::V4(Ipv4Addr::UNSPECIFIED) && !section.has("advertised") {
        section.report.fault(
            &section.path("advertised"),
            "is missing, and media on every address cannot be written into SDP",
            "write the address that phones and carriers send their audio to",
        );
    }
    let ring_folder = Path::new("/dev/shm").join(format!("vigie-{}", node.name));
    MediaSettings {
        address,
        advertised: section.take("advertised", values::address),
        codecs: read_codecs(section, &Codec::USUAL),
        ports: section.or("ports", (20_000, 29_999), values::ports),
        threads: section.or("threads", 0, values::whole(0..=64)),
        silence_max: section.or("silence_max", Duration::from_secs(30), values::duration(seconds(5, 3600))),
        relatch_after: section.or("relatch_after", Duration::from_secs(2), values::duration(seconds(1, 60))),
        ring_folder: section.or("ring_folder", ring_folder, values::path),
        ring_bytes: section.or("ring_size", 32 << 20, values::size(1 << 20..=1 << 30)),
    }
}

/// The key `codecs`; `usual` without it.
pub(super) fn read_codecs(section: &Section<'_>, usual: &[Codec]) -> Vec<Codec> {
    if !section.has("codecs") {
        return usual.to_vec();
    }
    let codecs: Vec<_> = section.list("codecs", values::choice(&CODECS)).into_iter().map(|(_, codec)| codec).collect();
    let path = section.path("codecs");
    if codecs.is_empty() && !section.report.has_fault_under(&path) {
        let remedy =
            "write the codecs that may be spoken, such as [\"g722\", \"opus\", \"pcma\", \"pcmu\"], or take it out";
        section.report.fault(&path, "is empty: nobody could say a word", remedy);
    }
    codecs
}

/// Before the day's first callers, after the backup.
const RECONCILE_AT: jiff::civil::Time = jiff::civil::Time::constant(5, 0, 0, 0);

pub(super) fn read_recording(section: &Section<'_>) -> RecordingSettings {
    let sync = Duration::from_millis(20)..=Duration::from_secs(5);
    let encryption = section.section("encryption");
    let settings = RecordingSettings {
        folder: section.or("folder", "recordings".into(), values::path),
        sync_every: section.or("sync_every", Duration::from_millis(200), values::duration(sync)),
        segment_bytes: section.or("segment_size", 16 << 20, values::size(1 << 20..=1 << 30)),
        encryption: read_encryption(&encryption),
        reconcile_at: section.or("reconcile_at", RECONCILE_AT, time_of_day),
    };
    encryption.close();
    settings
}

pub(super) fn read_storage(section: &Section<'_>, node: &NodeSettings) -> StorageSettings {
    let url = section.or("url", format!("sqlite:{}", node.state.join("vigie.db").display()), values::text);
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        section.report.fault(
            &section.path("url"),
            "PostgreSQL is not served by this version",
            "write \"sqlite:PATH\", such as \"sqlite:state/vigie.db\"",
        );
    } else if url.strip_prefix("sqlite:").is_none_or(str::is_empty) {
        section.report.fault(
            &section.path("url"),
            format!("`{}` names no database that Vigie knows", url.split("//").next().unwrap_or_default()),
            "write \"sqlite:PATH\", such as \"sqlite:state/vigie.db\"",
        );
    }
    StorageSettings { url, ladder_days: section.or("ladder_days", 30, values::whole(1..=3650)) }
}

pub(super) fn read_web(section: &Section<'_>) -> WebSettings {
    WebSettings { listen: section.or("listen", SocketAddr::new(LOOPBACK, 8060), values::socket_address) }
}

pub(super) fn read_dispatch(root: &Section<'_>, node: &NodeSettings) -> Vec<EndpointSettings> {
    let mut endpoints: Vec<EndpointSettings> = Vec::new();
    for section in root.each("dispatch") {
        let endpoint = read_endpoint(&section, node);
        if endpoints.iter().any(|other| other.id == endpoint.id) {
            section.report.fault(
                &section.path("id"),
                format!("another endpoint is named `{}`", endpoint.id),
                "give each endpoint an id of its own",
            );
        }
        endpoints.push(endpoint);
        section.close();
    }
    endpoints
}

fn read_endpoint(section: &Section<'_>, node: &NodeSettings) -> EndpointSettings {
    let id = section.must("id", "write id = \"…\", its name in logs and in the API", values::id).unwrap_or_default();
    let url =
        section.must("url", "write url = \"https://…\", where events are posted", values::text).unwrap_or_default();
    let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")).unwrap_or_default();
    if !section.report.has_fault_under(&section.path("url")) && (host.is_empty() || host.starts_with('/')) {
        section.report.fault(
            &section.path("url"),
            format!("`{url}` is no address of a web server"),
            "write \"https://HOST/PATH\" (or http:// inside one machine)",
        );
    }
    let events = section.list("events", |value| {
        let written = values::text(value)?;
        let known = EVENT_TYPES.map(|name| (name, ()));
        values::choice(&known)(value).map(|()| written)
    });
    EndpointSettings {
        secret_file: section.or("secret_file", node.state.join("secrets").join(format!("webhook-{id}")), values::path),
        timeout: section.or("timeout", Duration::from_secs(10), values::duration(seconds(1, 60))),
        events: events.into_iter().map(|(_, name)| name).collect(),
        id,
        url,
    }
}
