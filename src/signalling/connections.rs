//! The table of open connections: which there are, how many of whom, and what waits to be written on each.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::{Notify, mpsc};

use crate::model::{Path, Transport};

/// Messages that wait to be written on one connection: as many as one phone is ever sent within seconds.
const QUEUE_MESSAGES_MAX: usize = 256;

/// Bytes that wait to be written on one connection: a peer that does not read cannot fill the memory.
const QUEUE_BYTES_MAX: usize = 1 << 20;

/// Connections that Vigie itself opens, at once: many times more than there are carriers.
const OUTBOUND_MAX: usize = 1024;

/// Every open connection.
#[derive(Debug)]
pub(super) struct Connections {
    table: Mutex<Table>,
    total_max: usize,
}

#[derive(Debug, Default)]
struct Table {
    open: HashMap<Path, Entry>,
    /// Connections of each address that counts against the limits.
    sources: HashMap<IpAddr, usize>,
    counted: usize,
    outbound: usize,
    next_id: u64,
}

#[derive(Debug)]
struct Entry {
    id: u64,
    counts: Counts,
    wire: Arc<Wire>,
    queue: mpsc::Sender<Bytes>,
}

/// Against which limits a connection counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counts {
    /// A trunk's: against none.
    Free,
    /// Somebody's: against all connections, and so many of its source.
    Source {
        /// Connections at once of one source.
        source_max: usize,
    },
    /// One that Vigie opens.
    Outbound,
}

/// What the table and the connection's own task share.
#[derive(Debug, Default)]
pub(super) struct Wire {
    /// Told when the connection is to end.
    pub ended: Notify,
    /// Bytes in the queue.
    waiting: AtomicUsize,
    /// Whether a message went either way: only then does anybody ask after its end.
    is_known: AtomicBool,
}

/// A place in the table, held by the connection's task.
#[derive(Debug)]
pub(super) struct Place {
    /// Its way.
    pub path: Path,
    /// Tells it from a later connection of the same peer.
    pub id: u64,
    /// What it shares with the table.
    pub wire: Arc<Wire>,
    /// What is to be written.
    pub queue: mpsc::Receiver<Bytes>,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoPlace {
    /// Too many of this source.
    Source,
    /// Too many in all.
    Total,
    /// Vigie need not open what is open already.
    There,
}

/// What became of bytes to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offered {
    /// They wait in the queue.
    Queued,
    /// The queue is full: the connection was taken out of the table.
    Full,
    /// There is no such connection.
    Absent,
}

impl NoPlace {
    /// As the metric's label says it.
    pub(super) fn name(self) -> &'static str {
        match self {
            NoPlace::Source => "source-limit",
            NoPlace::Total => "total-limit",
            NoPlace::There => "there",
        }
    }
}

impl Wire {
    /// A message came in on it.
    pub(super) fn mark_known(&self) {
        self.is_known.store(true, Ordering::Relaxed);
    }

    /// Bytes of the queue were written.
    pub(super) fn written(&self, bytes: usize) {
        self.waiting.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Connections {
    /// None, and room for `total_max` of those that count.
    pub(super) fn new(total_max: usize) -> Connections {
        Connections { table: Mutex::default(), total_max }
    }

    /// Takes a connection in. A former one of the very same peer has ended, though nobody noticed: it is taken out,
    /// and the second value says whether its end must be told.
    pub(super) fn enter(&self, path: Path, counts: Counts) -> (Result<Place, NoPlace>, bool) {
        let mut table = self.lock();
        if counts == Counts::Outbound && table.open.contains_key(&path) {
            return (Err(NoPlace::There), false);
        }
        let is_replaced = table.remove(path, None);
        let source = path.peer.ip();
        match counts {
            Counts::Source { .. } if table.counted >= self.total_max => return (Err(NoPlace::Total), is_replaced),
            Counts::Source { source_max } if table.sources.get(&source).is_some_and(|count| *count >= source_max) => {
                return (Err(NoPlace::Source), is_replaced);
            }
            Counts::Outbound if table.outbound >= OUTBOUND_MAX => return (Err(NoPlace::Total), is_replaced),
            Counts::Source { .. } => {
                table.counted += 1;
                *table.sources.entry(source).or_default() += 1;
            }
            Counts::Outbound => table.outbound += 1,
            Counts::Free => {}
        }
        let (sender, queue) = mpsc::channel(QUEUE_MESSAGES_MAX);
        let wire = Arc::<Wire>::default();
        table.next_id += 1;
        let id = table.next_id;
        table.open.insert(path, Entry { id, counts, wire: wire.clone(), queue: sender });
        gauge(path.transport, 1.0);
        (Ok(Place { path, id, wire, queue }), is_replaced)
    }

    /// Puts bytes into a connection's queue; a full one ends the connection.
    pub(super) fn offer(&self, path: Path, bytes: Bytes) -> Offered {
        let mut table = self.lock();
        let Some(entry) = table.open.get(&path) else { return Offered::Absent };
        let length = bytes.len();
        entry.wire.mark_known();
        let waiting = entry.wire.waiting.fetch_add(length, Ordering::Relaxed);
        if waiting + length <= QUEUE_BYTES_MAX && entry.queue.try_send(bytes).is_ok() {
            return Offered::Queued;
        }
        table.remove(path, None);
        Offered::Full
    }

    /// Takes a connection out; whether its end must be told, which is so once and only for one that anybody knows.
    pub(super) fn leave(&self, path: Path, id: u64) -> bool {
        self.lock().remove(path, Some(id))
    }

    /// Takes every connection of an address out; returns the ways whose end must be told.
    pub(super) fn close_source(&self, source: IpAddr) -> Vec<Path> {
        let mut table = self.lock();
        let of_source = table.open.keys().filter(|path| path.peer.ip() == source).copied();
        let paths: Vec<Path> = of_source.collect();
        paths.into_iter().filter(|path| table.remove(*path, None)).collect()
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.lock().open.len()
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Takes out the connection, when it is still the one with this id; whether its end must be told.
    fn remove(&mut self, path: Path, id: Option<u64>) -> bool {
        if self.open.get(&path).is_none_or(|entry| id.is_some_and(|id| id != entry.id)) {
            return false;
        }
        let Some(entry) = self.open.remove(&path) else { return false };
        match entry.counts {
            Counts::Free => {}
            Counts::Outbound => self.outbound = self.outbound.saturating_sub(1),
            Counts::Source { .. } => {
                self.counted = self.counted.saturating_sub(1);
                let source = path.peer.ip();
                if let Some(count) = self.sources.get_mut(&source) {
                    *count -= 1;
                    if *count == 0 {
                        self.sources.remove(&source);
                    }
                }
            }
        }
        entry.wire.ended.notify_one();
        gauge(path.transport, -1.0);
        entry.wire.is_known.load(Ordering::Relaxed)
    }
}

fn gauge(transport: Transport, change: f64) {
    metrics::gauge!("vigie_sip_connections", "transport" => transport.name()).increment(change);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(peer: &str) -> Path {
        Path { listener: 0, transport: Transport::Tcp, peer: peer.parse().expect("an address") }
    }

    fn enter(connections: &Connections, peer: &str, source_max: usize) -> Result<Place, NoPlace> {
        connections.enter(path(peer), Counts::Source { source_max }).0
    }

    #[test]
    fn a_source_and_all_together_are_limited_and_a_trunk_is_not() {
        let connections = Connections::new(3);
        let first = enter(&connections, "192.0.2.1:1", 2).expect("room");
        let _second = enter(&connections, "192.0.2.1:2", 2).expect("room");
        assert_eq!(enter(&connections, "192.0.2.1:3", 2).expect_err("full"), NoPlace::Source);
        let _third = enter(&connections, "192.0.2.2:1", 2).expect("room");
        assert_eq!(enter(&connections, "192.0.2.3:1", 2).expect_err("full"), NoPlace::Total);
        assert!(connections.enter(path("192.0.2.9:1"), Counts::Free).0.is_ok());
        connections.leave(first.path, first.id);
        assert!(enter(&connections, "192.0.2.1:3", 2).is_ok());
    }

    #[test]
    fn a_full_queue_takes_the_connection_out_and_its_end_is_told_once() {
        let connections = Connections::new(3);
        let place = enter(&connections, "192.0.2.1:1", 2).expect("room");
        let message = Bytes::from(vec![b'x'; 60_000]);
        let queued = (0..).take_while(|_| connections.offer(place.path, message.clone()) == Offered::Queued).count();
        assert_eq!(queued, QUEUE_BYTES_MAX / 60_000);
        assert_eq!((connections.offer(place.path, message), connections.count()), (Offered::Absent, 0));
        assert!(!connections.leave(place.path, place.id));
    }

    #[test]
    fn the_end_of_a_connection_that_said_nothing_is_told_to_nobody() {
        let connections = Connections::new(3);
        let quiet = enter(&connections, "192.0.2.1:1", 2).expect("room");
        assert!(!connections.leave(quiet.path, quiet.id));
        let known = enter(&connections, "192.0.2.1:1", 2).expect("room");
        known.wire.mark_known();
        assert!(!connections.leave(known.path, quiet.id));
        assert_eq!(connections.close_source(known.path.peer.ip()), [known.path]);
    }
}
