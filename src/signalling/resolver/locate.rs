//! From a trunk's name to its places (RFC 3263 §4): NAPTR, then SRV (RFC 2782), then addresses.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::{RData, Record, RecordType};

use crate::model::centre::TrunkReach;
use crate::model::{Chance, Target, Transport};

/// Places that one look-up may find: a name with more is a mistake, or an attack.
const PLACES_MAX: usize = 16;
/// Records of one answer that are looked at.
const RECORDS_MAX: usize = 32;
/// Questions for addresses that may go wrong in one look-up: each may take six seconds, and a DNS that is silent need not
/// be asked for every machine that it named before.
const FAILURES_MAX: usize = 4;
/// How long an address that needs no DNS is good for.
const NUMERIC_AGE_MAX: Duration = Duration::from_secs(3600);

/// What DNS knows of each transport: its NAPTR service, and the label of its SRV name.
const SERVICES: [(Transport, &str, &str); 3] = [
    (Transport::Udp, "SIP+D2U", "_sip._udp"),
    (Transport::Tcp, "SIP+D2T", "_sip._tcp"),
    (Transport::Tls, "SIPS+D2T", "_sips._tcp"),
];

/// The places of a trunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// The best first.
    pub targets: Vec<Target>,
    /// The shortest TTL on the way.
    pub age_max: Duration,
}

/// Why no place was found.
#[derive(Debug, thiserror::Error)]
pub(super) enum LocateError {
    /// DNS did not answer.
    #[error("{act} {name} failed: {why}")]
    Dns { act: &'static str, name: String, why: String },
    /// DNS answered that there is nothing.
    #[error("DNS knows no place of {0} that a listener of [sip] could reach; look at `host` and `transport`")]
    Nothing(String),
}

/// A host in figures needs no DNS.
pub(super) fn numeric(reach: &TrunkReach) -> Option<Found> {
    let address: IpAddr = reach.host.parse().ok()?;
    let transport = reach.transport.unwrap_or(Transport::Udp);
    let address = SocketAddr::new(address, reach.port.unwrap_or(transport.default_port()));
    Some(Found { targets: vec![Target { transport, address }], age_max: NUMERIC_AGE_MAX })
}

/// One look-up in progress.
struct Search<'a> {
    dns: &'a TokioResolver,
    transports: &'a [Transport],
    targets: Vec<Target>,
    age_max: Duration,
    /// What went wrong in asking for addresses.
    failures: Vec<LocateError>,
}

/// Looks a name up.
pub(super) async fn locate(
    dns: &TokioResolver,
    reach: &TrunkReach,
    transports: &[Transport],
    chance: &mut Chance,
) -> Result<Found, LocateError> {
    let (targets, failures) = (Vec::new(), Vec::new());
    let mut search = Search { dns, transports, targets, age_max: NUMERIC_AGE_MAX, failures };
    match (reach.port, reach.transport) {
        // RFC 3263 §4.2: with a port there is nothing for SRV to say.
        (Some(port), transport) => {
            let transport = transport.unwrap_or(Transport::Udp);
            search.addresses(&reach.host, port, transport).await;
        }
        (None, Some(transport)) => {
            let label =
                SERVICES.iter().find(|(one, _, _)| *one == transport).map_or("_sip._udp", |(_, _, label)| label);
            search.services(&format!("{label}.{}", reach.host), transport, chance).await?;
            if search.targets.is_empty() {
                search.addresses(&reach.host, transport.default_port(), transport).await;
            }
        }
        (None, None) => search.anything(&reach.host, chance).await?,
    }
    match search.targets.is_empty() {
        true => Err(search.failures.into_iter().next().unwrap_or_else(|| LocateError::Nothing(reach.host.clone()))),
        false => Ok(Found { targets: search.targets, age_max: search.age_max }),
    }
}

impl Search<'_> {
    /// RFC 3263 §4.1: what the domain prefers, else what it has SRV records of, else UDP.
    async fn anything(&mut self, host: &str, chance: &mut Chance) -> Result<(), LocateError> {
        let mut preferred = Vec::new();
        for record in self.ask(host, RecordType::NAPTR).await? {
            let RData::NAPTR(naptr) = record.data else { continue };
            let service = String::from_utf8_lossy(&naptr.services).to_ascii_uppercase();
            let known = SERVICES.iter().find(|(_, name, _)| *name == service);
            // Only "s", the name of SRV records, is used with SIP.
            if let Some((transport, _, _)) = known.filter(|_| naptr.flags.eq_ignore_ascii_case(b"s")) {
                preferred.push((naptr.order, naptr.preference, *transport, naptr.replacement.to_utf8()));
            }
        }
        preferred.sort_by_key(|(order, preference, _, _)| (*order, *preference));
        for (_, _, transport, name) in preferred {
            self.services(&name, transport, chance).await?;
        }
        if self.targets.is_empty() {
            for (transport, _, label) in SERVICES {
                self.services(&format!("{label}.{host}"), transport, chance).await?;
            }
        }
        if self.targets.is_empty() {
            self.addresses(host, Transport::Udp.default_port(), Transport::Udp).await;
        }
        Ok(())
    }

    /// The places that SRV records name.
    async fn services(&mut self, name: &str, transport: Transport, chance: &mut Chance) -> Result<(), LocateError> {
        if !self.transports.contains(&transport) {
            return Ok(());
        }
        let mut all = Vec::new();
        for record in self.ask(name, RecordType::SRV).await? {
            if let RData::SRV(srv) = record.data {
                all.push((srv.priority, srv.weight, srv.port, srv.target.to_utf8()));
            }
        }
        // RFC 2782: a single target of "." says that the service is not to be had.
        all.retain(|(_, _, _, target)| target != ".");
        for (port, target) in in_order(all, chance) {
            self.addresses(&target, port, transport).await;
        }
        Ok(())
    }

    /// The addresses of a machine, those of IPv4 first. What cannot be asked loses nothing of what was found: many a
    /// DNS fails for IPv6 alone, or for one machine of several.
    async fn addresses(&mut self, host: &str, port: u16, transport: Transport) {
        if !self.transports.contains(&transport) {
            return;
        }
        for kind in [RecordType::A, RecordType::AAAA] {
            if self.targets.len() >= PLACES_MAX || self.failures.len() >= FAILURES_MAX {
                return;
            }
            let records = match self.ask(host, kind).await {
                Ok(records) => records,
                Err(error) => {
                    self.failures.push(error);
                    continue;
                }
            };
            for record in records {
                let address = match record.data {
                    RData::A(a) => IpAddr::V4(a.0),
                    RData::AAAA(aaaa) => IpAddr::V6(aaaa.0),
                    _ => continue,
                };
                let target = Target { transport, address: SocketAddr::new(address, port) };
                if self.targets.len() < PLACES_MAX && !self.targets.contains(&target) {
                    self.targets.push(target);
                }
            }
        }
    }

    /// The records of a name; none when there are none, which is an answer as well.
    async fn ask(&mut self, name: &str, kind: RecordType) -> Result<Vec<Record>, LocateError> {
        let whole = format!("{}.", name.trim_end_matches('.'));
        match self.dns.lookup(whole.as_str(), kind).await {
            Ok(found) => {
                let records: Vec<Record> = found.answers().iter().take(RECORDS_MAX).cloned().collect();
                let shortest = records.iter().map(|record| Duration::from_secs(u64::from(record.ttl))).min();
                self.age_max = self.age_max.min(shortest.unwrap_or(NUMERIC_AGE_MAX));
                Ok(records)
            }
            Err(error) if error.is_no_records_found() || error.is_nx_domain() => Ok(Vec::new()),
            Err(error) => Err(LocateError::Dns { act: "looking up", name: name.to_owned(), why: error.to_string() }),
        }
    }
}

/// RFC 2782: by priority; among equals by chance, in proportion to their weights.
fn in_order(mut all: Vec<(u16, u16, u16, String)>, chance: &mut Chance) -> Vec<(u16, String)> {
    // Those of weight 0 first, so that they are drawn at times.
    all.sort_by_key(|(priority, weight, _, _)| (*priority, *weight));
    let mut ordered = Vec::new();
    while let Some(priority) = all.first().map(|(priority, _, _, _)| *priority) {
        let equals = all.iter().take_while(|(one, _, _, _)| *one == priority);
        let total: u64 = equals.map(|(_, weight, _, _)| u64::from(*weight)).sum();
        let mut draw = chance.below(total + 1);
        let drawn = all.iter().take_while(|(one, _, _, _)| *one == priority).position(|(_, weight, _, _)| {
            let is_it = draw <= u64::from(*weight);
            draw = draw.saturating_sub(u64::from(*weight));
            is_it
        });
        let (_, _, port, target) = all.remove(drawn.unwrap_or(0));
        ordered.push((port, target));
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priority_comes_first_and_weight_is_a_share() {
        let mut chance = Chance::from_number(3);
        let (mut heavy_first, rounds) = (0, 4000);
        for _ in 0..rounds {
            let all =
                vec![(20, 5, 3, "c".into()), (10, 30, 1, "a".into()), (10, 10, 2, "b".into()), (10, 0, 4, "z".into())];
            let order: Vec<u16> = in_order(all, &mut chance).into_iter().map(|(port, _)| port).collect();
            assert_eq!((order.len(), order.last()), (4, Some(&3)));
            heavy_first += u32::from(order.first() == Some(&1));
        }
        assert!((2700..3300).contains(&heavy_first), "{heavy_first} of {rounds}: three quarters are its share");
    }

    #[test]
    fn figures_need_no_dns() {
        let reach = TrunkReach { host: "2001:db8::7".into(), port: None, transport: Some(Transport::Tls) };
        let found = numeric(&reach).expect("an address");
        assert_eq!(found.targets[0].address.to_string(), "[2001:db8::7]:5061");
        assert_eq!(numeric(&TrunkReach { host: "sip.example".into(), port: None, transport: None }), None);
    }
}
