//! The registered devices (RFC 3261 §10.3): which contact, from which address, until when.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::call::signal::Signal;
use crate::model::{Binding, Chance, DeviceId, Fact, Moment, Now, Path, RegulatorId, Transport, Utc, Validity};
use crate::sip::Uri;

use super::Effect;
use super::rules::BINDINGS_MAX;

/// Every device of every regulator.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Bindings {
    devices: BTreeMap<RegulatorId, Vec<Device>>,
    expiries: BTreeSet<(Moment, RegulatorId, DeviceId)>,
}

/// One registered device.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Device {
    /// As it is remembered.
    pub binding: Binding,
    /// Where its REGISTER came from: requests go there, whatever its Contact says (it may be behind NAT).
    pub path: Path,
    /// When the binding ends.
    pub expires: Moment,
}

/// What one REGISTER asks, read and authenticated.
#[derive(Clone, Debug)]
pub(super) struct Registration {
    pub regulator: RegulatorId,
    pub path: Path,
    pub sip_call_id: String,
    pub cseq: u32,
    pub user_agent: Option<String>,
    pub wishes: Wishes,
}

impl Registration {
    /// No binding outlives the account: with its end the phone is gone, and is refused from then on.
    pub(super) fn end_within(&mut self, left: Duration) {
        if let Wishes::Contacts(contacts) = &mut self.wishes {
            contacts.iter_mut().for_each(|(_, expires)| *expires = left.min(*expires));
        }
    }
}

/// What is to become of the bindings.
#[derive(Clone, Debug)]
pub(super) enum Wishes {
    /// Each contact for so long; zero removes it. None at all asks only for the list.
    Contacts(Vec<(String, Duration)>),
    /// `Contact: *` with `Expires: 0`.
    RemoveAll,
}

/// Why a REGISTER changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unbound {
    /// An older request than the binding's last one.
    OutOfOrder,
    /// The table is full.
    Full,
}

impl Bindings {
    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.expiries.len().max(self.devices.len())
    }

    /// A regulator's devices.
    pub(super) fn of(&self, regulator: &RegulatorId) -> &[Device] {
        self.devices.get(regulator).map_or(&[], Vec::as_slice)
    }

    /// One device.
    pub(super) fn find(&self, regulator: &RegulatorId, device: DeviceId) -> Option<&Device> {
        self.of(regulator).iter().find(|d| d.binding.device == device)
    }

    /// Whether any device is registered from this address.
    pub(super) fn is_home_of(&self, source: IpAddr) -> bool {
        let source = source.to_canonical();
        self.devices.values().flatten().any(|device| device.path.peer.ip().to_canonical() == source)
    }

    /// Every device of a regulator is gone.
    pub(super) fn remove_all(&mut self, regulator: &RegulatorId, out: &mut Vec<Effect>) {
        let all: Vec<DeviceId> = self.of(regulator).iter().map(|device| device.binding.device).collect();
        for device in all {
            self.remove(regulator, device, out);
        }
    }

    /// When the next binding ends.
    pub(super) fn deadline(&self) -> Option<Moment> {
        self.expiries.first().map(|(at, _, _)| *at)
    }

    /// All of a REGISTER, or nothing of it (RFC 3261 §10.3, step 7).
    pub(super) fn apply(
        &mut self,
        asked: &Registration,
        devices_max: usize,
        chance: &mut Chance,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<(), Unbound> {
        let known = self.of(&asked.regulator);
        // A repeated or overtaken REGISTER of the same phone must not undo a newer one.
        let is_stale = |d: &Device| d.binding.sip_call_id == asked.sip_call_id && asked.cseq <= d.binding.cseq;
        // RFC 3261 §10.3, step 7: contacts are compared as URIs.
        let is_touched = |d: &Device| match &asked.wishes {
            Wishes::Contacts(contacts) => contacts.iter().any(|(uri, _)| Uri::are_same(uri, &d.binding.contact)),
            Wishes::RemoveAll => true,
        };
        if known.iter().any(|d| is_touched(d) && is_stale(d)) {
            return Err(Unbound::OutOfOrder);
        }
        match &asked.wishes {
            Wishes::RemoveAll => self.remove_all(&asked.regulator, out),
            Wishes::Contacts(contacts) => {
                if self.expiries.len() + contacts.len() > BINDINGS_MAX {
                    return Err(Unbound::Full);
                }
                for (contact, expires) in contacts {
                    let fresh = DeviceId(chance.next_u64() >> 16);
                    self.bind(asked, (contact, *expires), fresh, now, out);
                }
                self.keep_newest(&asked.regulator, devices_max, out);
            }
        }
        Ok(())
    }

    fn bind(
        &mut self,
        asked: &Registration,
        (contact, expires): (&str, Duration),
        fresh: DeviceId,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let known = self.of(&asked.regulator).iter().find(|d| Uri::are_same(contact, &d.binding.contact));
        let known = known.map(|d| (d.binding.device, d.expires));
        if expires.is_zero() {
            if let Some((device, _)) = known {
                self.remove(&asked.regulator, device, out);
            }
            return;
        }
        let device = known.map_or(fresh, |(device, _)| device);
        if let Some((_, until)) = known {
            self.expiries.remove(&(until, asked.regulator.clone(), device));
        }
        let until = now.after(expires);
        let binding = Binding {
            regulator: asked.regulator.clone(),
            device,
            contact: contact.to_owned(),
            source: asked.path.peer.to_string(),
            listener: asked.path.listener,
            sip_call_id: asked.sip_call_id.clone(),
            cseq: asked.cseq,
            user_agent: asked.user_agent.clone(),
            expires_at: until.utc,
        };
        out.push(Effect::Remember(Fact::Binding(binding.clone())));
        out.push(Effect::Signal(Signal::Registered {
            regulator: asked.regulator.clone(),
            device,
            refreshed: known.is_some(),
        }));
        self.insert(Device { binding, path: asked.path, expires: until.moment });
    }

    /// Puts the device at the end: the list stays in the order of the last refresh.
    fn insert(&mut self, device: Device) {
        let regulator = device.binding.regulator.clone();
        self.expiries.insert((device.expires, regulator.clone(), device.binding.device));
        let devices = self.devices.entry(regulator).or_default();
        devices.retain(|d| d.binding.device != device.binding.device);
        devices.push(device);
    }

    /// Over the limit, the device that was refreshed longest ago goes: a phone that restarts under a new
    /// contact again and again must never lock its regulator out.
    fn keep_newest(&mut self, regulator: &RegulatorId, devices_max: usize, out: &mut Vec<Effect>) {
        while self.of(regulator).len() > devices_max.max(1) {
            let Some(oldest) = self.of(regulator).first().map(|d| d.binding.device) else { return };
            self.remove(regulator, oldest, out);
        }
    }

    fn remove(&mut self, regulator: &RegulatorId, device: DeviceId, out: &mut Vec<Effect>) {
        let Some(devices) = self.devices.get_mut(regulator) else { return };
        let Some(at) = devices.iter().position(|d| d.binding.device == device) else { return };
        let gone = devices.remove(at);
        if devices.is_empty() {
            self.devices.remove(regulator);
        }
        self.expiries.remove(&(gone.expires, regulator.clone(), device));
        out.push(Effect::Remember(Fact::BindingGone { regulator: regulator.clone(), device }));
        out.push(Effect::Signal(Signal::Unregistered { regulator: regulator.clone(), device }));
    }

    /// The connection that these devices registered over is gone: they cannot be rung before they register again.
    pub(super) fn cut(&mut self, path: Path, out: &mut Vec<Effect>) {
        let devices = self.devices.values().flatten().filter(|device| device.path == path);
        let gone: Vec<(RegulatorId, DeviceId)> =
            devices.map(|d| (d.binding.regulator.clone(), d.binding.device)).collect();
        for (regulator, device) in gone {
            self.remove(&regulator, device, out);
        }
    }

    /// Removes every device of those whose account is not good, and lets no other outlive its account.
    pub(super) fn end_with_accounts(
        &mut self,
        validity: impl Fn(&RegulatorId) -> Validity,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let all: Vec<RegulatorId> = self.devices.keys().cloned().collect();
        for regulator in all {
            match validity(&regulator) {
                Validity::Always => {}
                Validity::For(left) => self.shorten(&regulator, now.after(left), out),
                Validity::Not => self.remove_all(&regulator, out),
            }
        }
    }

    /// No device of this regulator lives on after `end`.
    fn shorten(&mut self, regulator: &RegulatorId, end: Now, out: &mut Vec<Effect>) {
        let devices = self.devices.get_mut(regulator).into_iter().flatten();
        for device in devices.filter(|device| device.expires > end.moment) {
            let id = device.binding.device;
            self.expiries.remove(&(device.expires, regulator.clone(), id));
            self.expiries.insert((end.moment, regulator.clone(), id));
            (device.expires, device.binding.expires_at) = (end.moment, end.utc);
            out.push(Effect::Remember(Fact::Binding(device.binding.clone())));
        }
    }

    /// Removes what has expired.
    pub(super) fn tick(&mut self, now: Moment, out: &mut Vec<Effect>) {
        while let Some((at, regulator, device)) = self.expiries.first().cloned() {
            if at > now {
                return;
            }
            // Taken out here too, so that the loop ends whatever the other table holds.
            self.expiries.pop_first();
            self.remove(&regulator, device, out);
        }
    }

    /// Takes a binding from before a restart, when it still lives and its addresses can be read.
    pub(super) fn restore(&mut self, binding: Binding, transport: Transport, now: Now, out: &mut Vec<Effect>) {
        let source: Option<SocketAddr> = binding.source.parse().ok();
        let left = binding.expires_at.since(now.utc);
        let (regulator, device) = (binding.regulator.clone(), binding.device);
        let Some(peer) = source.filter(|_| !left.is_zero() && self.expiries.len() < BINDINGS_MAX) else {
            out.push(Effect::Remember(Fact::BindingGone { regulator, device }));
            return;
        };
        if self.find(&regulator, device).is_some() {
            return;
        }
        let path = Path { listener: binding.listener, transport, peer };
        self.insert(Device { binding, path, expires: now.moment + left });
        out.push(Effect::Signal(Signal::Registered { regulator, device, refreshed: false }));
    }
}

impl Device {
    /// How long the binding still lives, in whole seconds, rounded up.
    pub(super) fn expires_s(&self, now: Utc) -> u64 {
        (self.binding.expires_at.since(now).as_millis() as u64).div_ceil(1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Moment;

    fn asked(call: &str, cseq: u32, wishes: Wishes) -> Registration {
        Registration {
            regulator: "ana".into(),
            path: Path { listener: 0, transport: Transport::Udp, peer: ([127, 0, 0, 1], 5070).into() },
            sip_call_id: call.into(),
            cseq,
            user_agent: None,
            wishes,
        }
    }

    fn contact(uri: &str, seconds: u64) -> Wishes {
        Wishes::Contacts(vec![(uri.to_owned(), Duration::from_secs(seconds))])
    }

    fn at(seconds: u64) -> Now {
        Now::default().after(Duration::from_secs(seconds))
    }

    struct Table(Bindings, Chance, Vec<Effect>);

    impl Table {
        fn apply(&mut self, asked: Registration, now: Now) -> Result<(), Unbound> {
            self.0.apply(&asked, 2, &mut self.1, now, &mut self.2)
        }
        fn contacts(&self) -> Vec<&str> {
            self.0.of(&"ana".into()).iter().map(|d| d.binding.contact.as_str()).collect()
        }
    }

    fn table() -> Table {
        Table(Bindings::default(), Chance::from_number(1), Vec::new())
    }

    #[test]
    fn a_refresh_keeps_the_device_and_an_old_request_changes_nothing() {
        let mut table = table();
        table.apply(asked("a", 1, contact("sip:1", 60)), at(0)).unwrap();
        let device = table.0.of(&"ana".into())[0].binding.device;
        table.apply(asked("a", 2, contact("sip:1", 60)), at(30)).unwrap();
        assert_eq!(table.0.of(&"ana".into())[0].binding.device, device);
        assert_eq!(table.apply(asked("a", 2, contact("sip:1", 0)), at(31)), Err(Unbound::OutOfOrder));
        assert_eq!(table.apply(asked("a", 1, Wishes::RemoveAll), at(31)), Err(Unbound::OutOfOrder));
        assert_eq!(table.0.deadline(), Some(Moment(90_000_000)));
    }

    #[test]
    fn a_contact_written_otherwise_is_the_same_device() {
        let mut table = table();
        table.apply(asked("a", 1, contact("sip:ana@PHONE.example:5070", 60)), at(0)).unwrap();
        table.apply(asked("a", 2, contact("sip:%61na@phone.example:5070", 60)), at(1)).unwrap();
        assert_eq!(table.contacts(), ["sip:%61na@phone.example:5070"]);
    }

    #[test]
    fn one_device_too_many_replaces_the_one_refreshed_longest_ago() {
        let mut table = table();
        for (call, uri) in [("a", "sip:1"), ("b", "sip:2"), ("c", "sip:3")] {
            table.apply(asked(call, 1, contact(uri, 60)), at(0)).unwrap();
        }
        assert_eq!(table.contacts(), ["sip:2", "sip:3"]);
    }

    #[test]
    fn an_expired_binding_is_told_and_forgotten() {
        let mut table = table();
        table.apply(asked("a", 1, contact("sip:1", 60)), at(0)).unwrap();
        table.2.clear();
        table.0.tick(at(59).moment, &mut table.2);
        assert!(table.2.is_empty());
        table.0.tick(at(60).moment, &mut table.2);
        assert!(matches!(
            table.2[..],
            [Effect::Remember(Fact::BindingGone { .. }), Effect::Signal(Signal::Unregistered { .. })]
        ));
        assert_eq!(table.0.deadline(), None);
    }

    #[test]
    fn a_binding_survives_a_restart_for_the_time_it_has_left() {
        let mut table = table();
        table.apply(asked("a", 1, contact("sip:1", 60)), at(0)).unwrap();
        let binding = table.0.of(&"ana".into())[0].binding.clone();
        let (mut again, mut out) = (Bindings::default(), Vec::new());
        again.restore(binding.clone(), Transport::Udp, Now { moment: Moment(7), utc: at(50).utc }, &mut out);
        assert_eq!(again.deadline(), Some(Moment(10_000_007)));
        assert!(matches!(out[..], [Effect::Signal(Signal::Registered { refreshed: false, .. })]));
        again.restore(Binding { device: DeviceId(1), ..binding }, Transport::Udp, at(60), &mut out);
        assert_eq!(again.of(&"ana".into()).len(), 1);
    }
}
