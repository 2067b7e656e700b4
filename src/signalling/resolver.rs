//! Where trunks are reached: their names looked up when Vigie starts, when what DNS said grows old, and when asked.

mod locate;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use tokio::sync::{Notify, watch};

use super::{Sender, TlsPeer};
use crate::model::centre::TrunkReach;
use crate::model::{Chance, Target, Transport, TrunkId};
use locate::{Found, LocateError, locate};

/// How old the answer of DNS may grow at least: a carrier with a TTL of nothing is not asked each second.
const REFRESH_MIN: Duration = Duration::from_secs(30);
/// How old it may grow at most, whatever its TTL.
const REFRESH_MAX: Duration = Duration::from_secs(3600);
/// How soon a name that could not be looked up is tried again.
const RETRY: Duration = Duration::from_secs(30);
/// The least time between two look-ups of one trunk, however often they are asked for.
const PAUSE: Duration = Duration::from_secs(5);
/// How long one DNS server is waited for; each is asked twice.
const ANSWER_MAX: Duration = Duration::from_secs(3);

/// A trunk that is reached somewhere.
#[derive(Clone, Debug)]
pub struct Reached {
    /// Which.
    pub trunk: TrunkId,
    /// Where, as configured.
    pub reach: TrunkReach,
    /// What its certificate must prove when it is reached over TLS, and what ours is.
    pub tls: TlsPeer,
}

/// What a look-up came to; as [`crate::model::Input::Resolved`] has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// Which trunk.
    pub trunk: TrunkId,
    /// Where it is reached, the best place first; empty when the look-up failed.
    pub targets: Vec<Target>,
    /// Why there is none.
    pub why: Option<String>,
}

/// How names are looked up.
#[derive(Clone, Debug)]
pub struct Names {
    /// The DNS servers; empty is the system's.
    pub nameservers: Vec<SocketAddr>,
    /// What the listeners carry: places that nothing could be sent to are left out.
    pub transports: Vec<Transport>,
}

/// Asks for look-ups; cheap to clone.
#[derive(Clone, Debug)]
pub struct Resolver {
    asked: Arc<BTreeMap<TrunkId, Notify>>,
}

impl Resolver {
    /// For these trunks; nothing is looked up before [`Resolver::run`].
    pub fn new<'a>(trunks: impl Iterator<Item = &'a TrunkId>) -> Resolver {
        Resolver { asked: Arc::new(trunks.map(|trunk| (trunk.clone(), Notify::new())).collect()) }
    }

    /// Wants a trunk looked up now: none of its places answers. Asked often, it is done once in some seconds.
    pub fn resolve(&self, trunk: &TrunkId) {
        if let Some(asked) = self.asked.get(trunk) {
            asked.notify_one();
        }
    }

    /// Looks up one trunk again and again, until `stopped`. What is found is known to `sender` before it is reported:
    /// as a trunk's address, and as the place of a TLS connection.
    pub async fn run(
        self,
        reached: Reached,
        names: Names,
        mut chance: Chance,
        (sender, mut stopped): (Sender, watch::Receiver<bool>),
        report: impl Fn(Resolved) + Send + Sync + 'static,
    ) {
        let Some(asked) = self.asked.get(&reached.trunk) else { return };
        loop {
            let (found, wait) = match look_up(&reached.reach, &names, &mut chance).await {
                Ok(Found { targets, age_max }) => {
                    sender.know_trunk(&reached.trunk, targets.iter().map(|target| target.address.ip()).collect());
                    for target in targets.iter().filter(|target| target.transport == Transport::Tls) {
                        sender.tls_peers().set(target.address, reached.tls.clone());
                    }
                    let found = Resolved { trunk: reached.trunk.clone(), targets, why: None };
                    (found, age_max.clamp(REFRESH_MIN, REFRESH_MAX))
                }
                Err(error) => {
                    let why = Some(error.to_string());
                    (Resolved { trunk: reached.trunk.clone(), targets: Vec::new(), why }, RETRY)
                }
            };
            report(found);
            let next = async {
                tokio::time::sleep(PAUSE).await;
                tokio::select! {
                    () = asked.notified() => {}
                    () = tokio::time::sleep(wait.saturating_sub(PAUSE)) => {}
                }
            };
            tokio::select! {
                () = next => {}
                // An error means that the app is gone: stop as well.
                _ = stopped.wait_for(|stop| *stop) => return,
            }
        }
    }
}

/// Each look-up reads the system's configuration anew: it may have changed with the network.
async fn look_up(reach: &TrunkReach, names: &Names, chance: &mut Chance) -> Result<Found, LocateError> {
    if let Some(found) = locate::numeric(reach) {
        return Ok(found);
    }
    let dns = open(&names.nameservers).map_err(|error| LocateError::Dns {
        act: "reading the system's DNS servers for",
        name: reach.host.clone(),
        why: error.to_string(),
    })?;
    locate(&dns, reach, &names.transports, chance).await
}

fn open(nameservers: &[SocketAddr]) -> Result<TokioResolver, hickory_resolver::net::NetError> {
    let mut builder = if nameservers.is_empty() {
        TokioResolver::builder_tokio()?
    } else {
        let server = |address: &SocketAddr| {
            let mut server = NameServerConfig::udp_and_tcp(address.ip());
            server.connections.iter_mut().for_each(|connection| connection.port = address.port());
            server
        };
        let config = ResolverConfig::from_parts(None, Vec::new(), nameservers.iter().map(server).collect());
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
    };
    let options = builder.options_mut();
    options.timeout = ANSWER_MAX;
    options.attempts = 2;
    // The TTL that is read is that of the answer, and no older one.
    options.cache_size = 0;
    builder.build()
}
