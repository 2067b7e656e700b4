//! Carriers' names are looked up for as long as Vigie runs.

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::config::Settings;
use crate::config::certificates::CertificateFiles;
use crate::config::settings::TrunkFiles;
use crate::model::{Chance, Input, Transport, Trunk};
use crate::signalling::{Names, Reached, Resolved, Resolver, Sender, TlsPeer};
use crate::switchboard::{Inbox, Lane};

/// A task for each trunk that is reached somewhere.
pub(super) fn look_up(
    settings: &Settings,
    resolver: &Resolver,
    (sender, stopped): (Sender, watch::Receiver<bool>),
    inbox: &Inbox,
    chance: &mut Chance,
) -> Vec<JoinHandle<()>> {
    let transports: Vec<Transport> = settings.sip.listen.iter().map(|listener| listener.transport).collect();
    let names = Names { nameservers: settings.sip.nameservers.clone(), transports };
    let reached = settings.centre.trunks.values().filter_map(|trunk| reached(trunk, settings));
    let mut start = |reached| {
        let inbox = inbox.clone();
        let report = move |Resolved { trunk, targets, why }| {
            super::deliver(&inbox, Lane::First, Input::Resolved { trunk, targets, why });
        };
        let ways = (sender.clone(), stopped.clone());
        tokio::spawn(resolver.clone().run(reached, names.clone(), chance.fork(), ways, report))
    };
    reached.map(&mut start).collect()
}

fn reached(trunk: &Trunk, settings: &Settings) -> Option<Reached> {
    let reach = trunk.reach.clone()?;
    let TrunkFiles { ca, certificate, key, .. } = settings.trunks.get(&trunk.id).cloned().unwrap_or_default();
    let own = certificate.zip(key).map(|(certificate, key)| CertificateFiles { certificate, key });
    let tls = TlsPeer { name: reach.host.clone(), ca, own };
    Some(Reached { trunk: trunk.id.clone(), reach, tls })
}
