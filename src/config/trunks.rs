//! The section `[trunks.ID]`: carriers that call us, that we register with, and that we call out over.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use super::centre::SRTP;
use super::document::{Report, Section};
use super::parts::{read_codecs, seconds};
use super::settings::{NodeSettings, Settings, TrunkFiles};
use super::values;
use crate::model::centre::{NumberForm, TrunkOutgoing, TrunkReach, TrunkRegistration, VerifiedBy};
use crate::model::srtp::SrtpPolicy;
use crate::model::{Codec, NumberPlan, Transport, Trunk, TrunkId};

/// What may carry SIP to a carrier.
const TRANSPORTS: [(&str, Transport); 3] = [("udp", Transport::Udp), ("tcp", Transport::Tcp), ("tls", Transport::Tls)];

/// How numbers may be written.
const FORMS: [(&str, NumberForm); 2] = [("e164", NumberForm::E164), ("national", NumberForm::National)];

/// Whose word makes a caller's number a verified one.
const VERIFIED: [(&str, VerifiedBy); 2] = [("carrier", VerifiedBy::Carrier), ("asserted", VerifiedBy::Asserted)];

/// New calls a second by default: the pace that one machine is made for, and no carrier of a centre comes near.
const RATE_MAX: u32 = 100;

/// Beginnings of numbers that one trunk may list.
const DIALS_MAX: usize = 64;

/// The keys that mean nothing without `host`.
const OUTWARD: [&str; 13] = [
    "port",
    "transport",
    "register",
    "user",
    "digest_user",
    "domain",
    "password_file",
    "expires",
    "options_every",
    "dials",
    "number_form",
    "number_shown",
    "shows_caller",
];

/// The trunks, and the files of each that has any.
pub(super) fn read_trunks(
    root: &Section<'_>,
    node: &NodeSettings,
    codecs: &[Codec],
) -> (BTreeMap<TrunkId, Trunk>, BTreeMap<TrunkId, TrunkFiles>) {
    let (mut trunks, mut all_files) = (BTreeMap::new(), BTreeMap::new());
    for (id, section) in root.named("trunks") {
        let id = TrunkId::from(id.as_str());
        let trunk = read_trunk(&id, &section, codecs);
        let files = read_files(&trunk, &section, node);
        section.close();
        if files != TrunkFiles::default() {
            all_files.insert(id.clone(), files);
        }
        trunks.insert(id, trunk);
    }
    if trunks.is_empty() && !root.report.has_fault_under("trunks") {
        root.report.fault(
            "trunks",
            "no trunk is configured, so no call could come in",
            "write a [trunks.ID] with its peers",
        );
    }
    (trunks, all_files)
}

fn read_trunk(id: &TrunkId, section: &Section<'_>, codecs: &[Codec]) -> Trunk {
    let plan = NumberPlan::default();
    let fallback = section.must(
        "fallback_line",
        "write the id of the line that takes calls to numbers that no line knows: such a call must never be lost",
        values::id,
    );
    let reach = read_reach(section);
    let peers: Vec<_> = section.list("peers", values::address_block).into_iter().map(|(_, block)| block).collect();
    if peers.is_empty() && !section.has("host") && !section.report.has_fault_under(&section.path("peers")) {
        section.report.fault(
            &section.path("peers"),
            "the trunk has neither a peer nor a host, so no call could come in over it",
            "write the carrier's addresses: peers = [\"192.0.2.7\"], or the name it is reached at: host = \"sip.carrier.example\"",
        );
    }
    let every = seconds(0, 3600);
    let options_every = section.or("options_every", Duration::from_secs(30), values::duration(every));
    if !options_every.is_zero() && options_every < Duration::from_secs(5) {
        section.report.fault(
            &section.path("options_every"),
            "is shorter than 5s, which a carrier would take for an attack",
            "write \"30s\", or \"0s\" to ask never",
        );
    }
    let trunk = Trunk {
        id: id.clone(),
        peers,
        numbers: NumberPlan {
            country: section.or("country", plan.country, values::digits(1)),
            national_prefix: section.or("national_prefix", plan.national_prefix, values::digits(0)),
            international_prefix: section.or("international_prefix", plan.international_prefix, values::digits(0)),
        },
        fallback_line: fallback.unwrap_or_default().as_str().into(),
        calls_max: section.or("calls_max", 100, values::whole(1..=10_000)),
        rate_max: section.or("rate_max", RATE_MAX, values::whole(1..=10_000)),
        registration: read_registration(section, reach.as_ref()),
        options_every: Some(options_every).filter(|every| reach.is_some() && !every.is_zero()),
        dials: read_dials(section),
        outgoing: TrunkOutgoing {
            form: section.or("number_form", NumberForm::E164, values::choice(&FORMS)),
            shown: section.take("number_shown", values::number),
            shows_caller: section.or("shows_caller", false, values::flag),
        },
        srtp: section.or("srtp", SrtpPolicy::Off, values::choice(&SRTP)),
        codecs: read_codecs(section, codecs),
        verified: section.or("verified_by", VerifiedBy::Carrier, values::choice(&VERIFIED)),
        reach,
    };
    if !section.has("host") {
        for key in OUTWARD.into_iter().filter(|key| section.has(key)) {
            section.report.fault(
                &section.path(key),
                "means nothing without `host`: nothing is sent to a trunk that has only peers",
                "write the carrier's domain or address: host = \"sip.carrier.example\"",
            );
        }
    }
    trunk
}

fn read_reach(section: &Section<'_>) -> Option<TrunkReach> {
    let port = section.take("port", values::whole(1..=65_535));
    let transport = section.take("transport", values::choice(&TRANSPORTS));
    let host = section.take("host", values::host)?;
    Some(TrunkReach { host, port, transport })
}

fn read_registration(section: &Section<'_>, reach: Option<&TrunkReach>) -> Option<TrunkRegistration> {
    let registers = section.or("register", false, values::flag);
    let user = section.take("user", values::user);
    let digest_user = section.take("digest_user", values::user);
    let domain = section.take("domain", values::host);
    let expires = section.or("expires", Duration::from_secs(3600), values::duration(seconds(60, 86_400)));
    if user.is_none() && !section.has("user") {
        let needs = ["digest_user", "domain", "password_file", "expires"].into_iter().filter(|key| section.has(key));
        for key in needs.chain(registers.then_some("register")) {
            section.report.fault(
                &section.path(key),
                "needs `user`, the name of the account that the carrier gave",
                "write user = \"…\": what stands before the @ of the account",
            );
        }
    }
    let (user, reach) = (user?, reach?);
    Some(TrunkRegistration {
        digest_user: digest_user.unwrap_or_else(|| user.clone()),
        domain: domain.unwrap_or_else(|| reach.host.clone()),
        user,
        expires,
        registers,
    })
}

fn read_dials(section: &Section<'_>) -> Vec<String> {
    let dials: Vec<String> = section.list("dials", values::dial_prefix).into_iter().map(|(_, prefix)| prefix).collect();
    if dials.len() > DIALS_MAX {
        section.report.fault(
            &section.path("dials"),
            format!("more than {DIALS_MAX} beginnings"),
            "write shorter ones that stand for several",
        );
    }
    dials
}

fn read_files(trunk: &Trunk, section: &Section<'_>, node: &NodeSettings) -> TrunkFiles {
    let password = section.take("password_file", values::path);
    let default = || node.state.join("secrets").join(format!("trunk-{}", trunk.id));
    let (ca, certificate, key) = (
        section.take("ca", values::path),
        section.take("certificate", values::path),
        section.take("key", values::path),
    );
    let has_tls = trunk.reach.as_ref().is_some_and(|r| matches!(r.transport, None | Some(Transport::Tls)));
    for name in ["ca", "certificate", "key"].into_iter().filter(|name| section.has(name) && !has_tls) {
        section.report.fault(
            &section.path(name),
            "is for TLS, and this trunk is not reached over it",
            "write transport = \"tls\", or take the key out",
        );
    }
    for (one, other) in [("certificate", "key"), ("key", "certificate")] {
        if section.has(one) && !section.has(other) {
            section.report.fault(
                &section.path(one),
                format!("needs `{other}` beside it"),
                "write both files, the certificate and its key",
            );
        }
    }
    TrunkFiles { password: trunk.registration.as_ref().map(|_| password.unwrap_or_else(default)), ca, certificate, key }
}

/// Tells what cannot work together with the rest of the configuration.
pub(super) fn check_trunks(report: &Report, settings: &Settings) {
    let trunks = &settings.centre.trunks;
    for (id, trunk) in trunks {
        let Some(reach) = &trunk.reach else { continue };
        let key = |name: &str| format!("trunks.{id}.{name}");
        check_listener(report, &key("transport"), reach, settings);
        let is_same = |other: &&Trunk| {
            let user = |trunk: &Trunk| trunk.registration.as_ref().map(|registration| registration.user.clone());
            other.id < *id && other.reach.as_ref().is_some_and(|o| o.host == reach.host) && user(other) == user(trunk)
        };
        if let Some(other) = trunks.values().find(is_same) {
            report.fault(
                &key("host"),
                format!(
                    "is that of the trunk `{}` too, with the same user: calls from there would have two meanings",
                    other.id
                ),
                "make one trunk of both, or give each an account (`user`) of its own",
            );
        }
        if !trunk.dials.is_empty() && trunk.outgoing.shown.is_none() && trunk.registration.is_none() {
            report.warn(
                &key("dials"),
                "nobody would see who calls: the trunk has neither `number_shown` nor `user`",
                "write a number of yours that the carrier lets you show: number_shown = \"+33…\"",
            );
        }
    }
    for (id, files) in &settings.trunks {
        let named = [("ca", &files.ca), ("certificate", &files.certificate), ("key", &files.key)];
        for (name, file) in named.into_iter().filter_map(|(name, file)| Some((name, file.as_ref()?))) {
            told_missing(report, &format!("trunks.{id}.{name}"), file);
        }
        if let Some(file) = files.password.as_ref().filter(|file| !file.exists()) {
            report.warn(
                &format!("trunks.{id}.password_file"),
                format!("the file {} is not there yet, and Vigie does not start without it", file.display()),
                "write into it the password that the carrier gave, on one line, readable for its owner alone (chmod 600)",
            );
        }
    }
}

fn told_missing(report: &Report, key: &str, file: &Path) {
    if !file.exists() {
        report.fault(key, format!("the file {} is missing", file.display()), "put the PEM file there");
    }
}

/// What a trunk needs to be sent anything: a listener of its transport.
fn check_listener(report: &Report, key: &str, reach: &TrunkReach, settings: &Settings) {
    let address: Option<IpAddr> = reach.host.parse().ok();
    let fits = |listener: &super::settings::ListenerSettings| {
        let is_carried = match reach.transport {
            Some(transport) => listener.transport == transport,
            None => true,
        };
        is_carried && address.is_none_or(|address| address.is_ipv4() == listener.address.is_ipv4())
    };
    if !settings.sip.listen.iter().any(fits) && !report.has_fault_under("sip.listen") {
        let name = reach.transport.map_or("udp", Transport::name);
        report.fault(
            key,
            format!("no listener could carry what is sent to {}", reach.host),
            format!(
                "write a listener for it into [sip]: listen = [\"{name}:ADDRESS:PORT\"], of the same address family"
            ),
        );
    }
}
