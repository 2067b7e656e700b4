//! `[sip] listen`: where SIP is listened for, over what, and with which certificate.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::centre::DIGESTS;
use super::certificates::{CertificateFiles, TlsSettings};
use super::document::{Item, Section};
use super::parts::LOOPBACK;
use super::settings::ListenerSettings;
use super::values;
use crate::clock;
use crate::model::Transport;

/// From so long before its end on, a certificate's is warned of: a week in which somebody is at work.
const EXPIRY_WARNED_BEFORE: Duration = Duration::from_secs(7 * 86_400);

/// What a listener's `address` looks like.
const ADDRESS_REMEDY: &str = "write address = \"udp:ADDRESS:PORT\", or tcp:, tls:, ws:, wss:";

pub(super) fn read_listeners(section: &Section<'_>) -> Vec<ListenerSettings> {
    if !section.has("listen") {
        return vec![ListenerSettings::new(Transport::Udp, SocketAddr::new(LOOPBACK, 5060))];
    }
    let mut listeners: Vec<ListenerSettings> = Vec::new();
    for item in section.items("listen") {
        let (path, listener) = match item {
            Item::Value(path, value) => {
                let place = section.report.read(&path, value, values::listener);
                let listener = place.map(|(transport, address)| ListenerSettings::new(transport, address));
                if let Some(listener) = listener.as_ref().filter(|listener| listener.transport.is_secure()) {
                    let name = listener.transport.name();
                    section.report.fault(
                        &path,
                        format!("`{name}` needs a certificate"),
                        format!(
                            "write {{ address = \"{name}:{}\", certificate = \"FILE\", key = \"FILE\" }}",
                            listener.address
                        ),
                    );
                }
                (path, listener)
            }
            Item::Table(table) => {
                let listener = read_listener(&table);
                let path = table.path("address");
                table.close();
                (path, listener)
            }
        };
        let Some(listener) = listener else { continue };
        let is_udp = |listener: &ListenerSettings| listener.transport == Transport::Udp;
        let is_same = |other: &&ListenerSettings| {
            other.address == listener.address && is_udp(other) == is_udp(&listener) && listener.address.port() != 0
        };
        // Port 0 takes a free port each time; UDP and TCP ports of one number are two.
        if listeners.iter().any(|other| is_same(&other)) {
            section.report.fault(&path, "is in this list twice", "take one of them out, or give it another port");
        }
        listeners.push(listener);
    }
    listeners
}

fn read_listener(table: &Section<'_>) -> Option<ListenerSettings> {
    let place = table.must("address", ADDRESS_REMEDY, values::listener);
    let digest = table.take("digest", values::choice(&DIGESTS));
    let advertised = table.take("advertised", values::address);
    let certificate = table.take("certificate", values::path);
    let key = table.take("key", values::path);
    let client_ca = table.take("client_ca", values::path);
    let origins = table.list("origins", values::origin).into_iter().map(|(_, origin)| origin).collect();
    let per_source = table.take("connections_per_source_max", values::whole(1..=100_000));
    let (transport, address) = place?;
    let mut listener = ListenerSettings::new(transport, address);
    listener.digest = digest.unwrap_or(listener.digest);
    listener.connections_per_source_max = per_source.unwrap_or(listener.connections_per_source_max);
    (listener.advertised, listener.origins) = (advertised, origins);
    refuse_out_of_place(table, transport);
    check_family(table, address.ip(), advertised);
    if let (true, Some(certificate), Some(key)) = (transport.is_secure(), certificate, key) {
        let tls = TlsSettings { own: CertificateFiles { certificate, key }, client_ca };
        if let Err(error) = tls.server() {
            let text = error.to_string();
            let (problem, remedy) = text.split_once(". ").unwrap_or((&text, "correct the files"));
            table.report.fault(&table.path("certificate"), problem, lower_first(remedy));
        }
        warn_of_validity(table, &tls.own);
        listener.tls = Some(tls);
    }
    Some(listener)
}

/// Phones refuse a certificate outside its time, and the log of a phone is the last place where anybody looks.
fn warn_of_validity(table: &Section<'_>, own: &CertificateFiles) {
    let Ok(Some((from, until))) = own.validity() else { return };
    let now = clock::utc();
    let problem = match () {
        () if now > until => format!("has expired: it held until {}", until.rfc3339()),
        () if now < from => format!("does not hold yet: it holds from {}", from.rfc3339()),
        () if until.since(now) < EXPIRY_WARNED_BEFORE => format!("expires soon: it holds until {}", until.rfc3339()),
        () => return,
    };
    table.report.warn(&table.path("certificate"), problem, "renew it; what is renewed in place needs no restart");
}

/// Keys that mean nothing for the transport, and those that it cannot do without.
fn refuse_out_of_place(table: &Section<'_>, transport: Transport) {
    let name = transport.name();
    for key in ["certificate", "key"] {
        if transport.is_secure() && !table.has(key) {
            table.report.fault(
                &table.path(key),
                format!("is missing, and `{name}` needs it"),
                "write the PEM file's path",
            );
        }
    }
    for key in ["certificate", "key", "client_ca"] {
        if !transport.is_secure() && table.has(key) {
            let remedy = "take it out, or listen on tls: or wss:";
            table.report.fault(&table.path(key), format!("means nothing for `{name}`, which shows none"), remedy);
        }
    }
    if !transport.is_web_socket() && table.has("origins") {
        let remedy = "take it out, or listen on ws: or wss:";
        table.report.fault(
            &table.path("origins"),
            format!("means nothing for `{name}`: only browsers have one"),
            remedy,
        );
    }
    if transport == Transport::Udp && table.has("connections_per_source_max") {
        let path = table.path("connections_per_source_max");
        table.report.fault(&path, "means nothing for `udp`, which has no connections", "take it out");
    }
}

/// An IPv4 listener is reached at an IPv4 address, an IPv6 one at an IPv6 address.
fn check_family(table: &Section<'_>, own: IpAddr, advertised: Option<IpAddr>) {
    if advertised.is_some_and(|advertised| advertised.is_ipv4() != own.is_ipv4()) {
        table.report.fault(
            &table.path("advertised"),
            "is of the other kind of address (IPv4, IPv6) than the listener",
            "write an address of the same kind, and a listener for each kind",
        );
    }
}

fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}
