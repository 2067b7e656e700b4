//! A place that is a bucket of an S3-compatible store. `object_store` moves objects; what it has no word for (versions,
//! locks, holds) is asked of the store by [`Direct`].

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use object_store::aws::{AmazonS3, AmazonS3Builder, Checksum};
use object_store::client::{ClientOptions, HttpClient, HttpConnector};
use object_store::path::Path as Key;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt};
use tokio::runtime::Runtime;

use super::direct::{About, Direct};
use super::place::{Protection, QUARANTINE};
use crate::config::archive::{BucketSettings, LockMode};
use crate::model::CallId;
use crate::recorder::layout::SEAL_LOG_FOLDER;
use crate::vault::ReadAt;

/// A connection is there or not within this.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// A store that says nothing for so long is away.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// Longer files go there in parts of this length: what one copy holds in memory.
const PART_BYTES: usize = 16 << 20;
/// The first piece read of an object, and the longest: reading on, each is twice the one before.
const AHEAD_BYTES: (usize, usize) = (128 * 1024, 4 << 20);

/// A bucket, or what stands below a prefix of one.
pub struct Bucket {
    inside: Arc<Inside>,
    settings: BucketSettings,
    direct: Direct,
    /// What the bucket can do, once it was asked.
    about: Mutex<Option<About>>,
}

struct Inside {
    store: AmazonS3,
    runtime: Own,
}

/// A thread of its own for what waits for the network, so that whoever asks may be any thread that may wait.
struct Own(Option<Runtime>);

impl Own {
    fn wait<T>(&self, for_it: impl Future<Output = T>) -> io::Result<T> {
        let runtime = self.0.as_ref().ok_or_else(|| io::Error::other("the runtime has stopped"))?;
        Ok(runtime.block_on(for_it))
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        // Never waits: the last one to let go may be a thread that must not.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// The client that everything here speaks through: straight to the store, HTTP/1.1.
#[derive(Debug)]
struct Straight(reqwest::Client);

impl HttpConnector for Straight {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.0.clone()))
    }
}

impl Bucket {
    pub(super) fn open(settings: &BucketSettings) -> io::Result<Bucket> {
        // Another part of this process may have installed it already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .no_proxy()
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_WITHIN)
            .read_timeout(SILENCE_MAX)
            .user_agent(concat!("vigie/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(io::Error::other)?;
        let direct = Direct::new(settings, client.clone())?;
        let store = AmazonS3Builder::new()
            .with_bucket_name(&settings.bucket)
            .with_region(&settings.region)
            .with_endpoint(&settings.endpoint)
            .with_allow_http(true)
            .with_access_key_id(direct.key_id())
            .with_secret_access_key(direct.secret())
            .with_checksum_algorithm(Checksum::SHA256)
            // What fails is tried again by whoever wanted it, later and with patience.
            .with_retry(object_store::RetryConfig {
                max_retries: 2,
                retry_timeout: Duration::from_secs(30),
                ..Default::default()
            })
            .with_http_connector(Straight(client))
            .build()
            .map_err(io::Error::other)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("second-place")
            .enable_all()
            .build()?;
        let inside = Arc::new(Inside { store, runtime: Own(Some(runtime)) });
        Ok(Bucket { inside, settings: settings.clone(), direct, about: Mutex::default() })
    }

    pub(super) fn name(&self) -> String {
        let BucketSettings { bucket, prefix, endpoint, .. } = &self.settings;
        let host = endpoint.split_once("://").map_or(endpoint.as_str(), |(_, host)| host);
        format!("s3:{host}/{bucket}/{prefix}").trim_end_matches('/').to_owned()
    }

    /// What the bucket can do; asked once.
    fn about(&self) -> io::Result<About> {
        let known = *self.about.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(about) = known {
            return Ok(about);
        }
        let about = self.inside.runtime.wait(self.direct.about())??;
        *self.about.lock().unwrap_or_else(PoisonError::into_inner) = Some(about);
        Ok(about)
    }

    pub(super) fn claim(&self) -> io::Result<()> {
        self.about().map(|_| ())
    }

    pub(super) fn locks(&self) -> bool {
        self.settings.lock != LockMode::Off && self.about().is_ok_and(|about| about.has_lock)
    }

    /// The key of a file: below the prefix.
    fn key(&self, path: &str) -> String {
        if self.settings.prefix.is_empty() { path.to_owned() } else { format!("{}/{path}", self.settings.prefix) }
    }

    /// The path of a key.
    fn path_of(&self, key: &str) -> Option<String> {
        if self.settings.prefix.is_empty() {
            return Some(key.to_owned());
        }
        key.strip_prefix(self.settings.prefix.as_str())?.strip_prefix('/').map(str::to_owned)
    }

    fn wait<T>(&self, for_it: impl Future<Output = object_store::Result<T>>) -> io::Result<T> {
        self.inside.runtime.wait(for_it)?.map_err(to_io)
    }

    pub(super) fn list(&self, folder: &str) -> io::Result<BTreeMap<String, u64>> {
        let prefix = Key::from(self.key(folder));
        let listed = self.wait(self.inside.store.list_with_delimiter(Some(&prefix)))?;
        let named = listed.objects.into_iter().map(|about| {
            let name = about.location.filename().unwrap_or_default().to_owned();
            (name, about.size)
        });
        Ok(named.collect())
    }

    pub(super) fn calls(&self) -> io::Result<Vec<String>> {
        let prefix = (!self.settings.prefix.is_empty()).then(|| Key::from(self.settings.prefix.as_str()));
        let mut listed = self.inside.store.list(prefix.as_ref());
        let mut found = std::collections::BTreeSet::new();
        loop {
            let Some(about) = self.inside.runtime.wait(listed.next())? else { break };
            let Some(path) = self.path_of(about.map_err(to_io)?.location.as_ref()) else { continue };
            if let Some((folder, _)) = path.rsplit_once('/')
                && !path.starts_with(QUARANTINE)
                && folder.rsplit('/').next().is_some_and(|name| name.parse::<CallId>().is_ok())
            {
                found.insert(folder.to_owned());
            }
        }
        Ok(found.into_iter().collect())
    }

    pub(super) fn put(&self, path: &str, from: &dyn ReadAt) -> io::Result<()> {
        let (key, length) = (Key::from(self.key(path)), from.length()?);
        if length <= PART_BYTES as u64 {
            let whole = read_part(from, 0, length as usize)?;
            return self.wait(self.inside.store.put(&key, whole.into())).map(|_| ());
        }
        let mut upload = self.wait(self.inside.store.put_multipart(&key))?;
        let sent = self.put_parts(upload.as_mut(), (from, length));
        if sent.is_err() {
            // What was sent so far costs room until the store forgets it by itself.
            let _ = self.wait(upload.abort());
        }
        sent
    }

    fn put_parts(&self, upload: &mut dyn MultipartUpload, (from, length): (&dyn ReadAt, u64)) -> io::Result<()> {
        let mut at = 0;
        while at < length {
            let part = read_part(from, at, (length - at).min(PART_BYTES as u64) as usize)?;
            at += part.len() as u64;
            self.wait(upload.put_part(part.into()))?;
        }
        self.wait(upload.complete()).map(|_| ())
    }

    pub(super) fn open_file(&self, path: &str) -> io::Result<Option<Box<dyn ReadAt>>> {
        let key = Key::from(self.key(path));
        match self.inside.runtime.wait(self.inside.store.head(&key))? {
            Ok(about) => {
                let window = Mutex::new(Window { at: 0, bytes: Vec::new(), ahead: AHEAD_BYTES.0 });
                Ok(Some(Box::new(Object { inside: self.inside.clone(), key, length: about.size, window })))
            }
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(to_io(error)),
        }
    }

    pub(super) fn remove(&self, path: &str) -> io::Result<()> {
        if self.about()?.has_versions {
            return self.inside.runtime.wait(self.direct.remove_versions(&self.key(path)))?;
        }
        match self.inside.runtime.wait(self.inside.store.delete(&Key::from(self.key(path))))? {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(to_io(error)),
        }
    }

    /// The names of the seal logs of which there are parts.
    pub(super) fn logs(&self) -> io::Result<Vec<String>> {
        let prefix = Key::from(self.key(SEAL_LOG_FOLDER));
        let listed = self.wait(self.inside.store.list_with_delimiter(Some(&prefix)))?;
        let named = listed.common_prefixes.iter().filter_map(|folder| folder.filename()?.strip_suffix(".parts"));
        Ok(named.map(str::to_owned).collect())
    }

    /// The paths of everything below a folder.
    pub(super) fn below(&self, folder: &str) -> io::Result<Vec<String>> {
        let prefix = Key::from(self.key(folder));
        let (mut listed, mut found) = (self.inside.store.list(Some(&prefix)), Vec::new());
        while let Some(about) = self.inside.runtime.wait(listed.next())? {
            found.extend(self.path_of(about.map_err(to_io)?.location.as_ref()));
        }
        Ok(found)
    }

    /// Takes a file's name away; its versions stay, where the bucket keeps any.
    pub(super) fn leave(&self, path: &str) -> io::Result<()> {
        self.wait(self.inside.store.delete(&Key::from(self.key(path))))
    }

    /// Removes what copies that were cut off have left in a folder.
    pub(super) fn abort_uploads(&self, folder: &str) -> io::Result<()> {
        self.inside.runtime.wait(self.direct.abort_uploads(&format!("{}/", self.key(folder))))?
    }

    /// The names of everything that is or was in a folder and has not gone with all its versions.
    pub(super) fn names_ever(&self, folder: &str) -> io::Result<Vec<String>> {
        // Asked anew: versions may have been switched on since.
        *self.about.lock().unwrap_or_else(PoisonError::into_inner) = None;
        if !self.about()?.has_versions {
            return Ok(self.list(folder)?.into_keys().collect());
        }
        let prefix = format!("{}/", self.key(folder));
        let keys = self.inside.runtime.wait(self.direct.keys_ever(&prefix))??;
        Ok(keys.iter().filter_map(|key| key.strip_prefix(&prefix)).map(str::to_owned).collect())
    }

    /// A copy of it goes to the quarantine. What is put in its place replaces it; in a bucket with versions, stands above it.
    pub(super) fn set_aside(&self, path: &str, aside: &str) -> io::Result<()> {
        let (from, to) = (Key::from(self.key(path)), Key::from(self.key(aside)));
        self.wait(self.inside.store.copy(&from, &to))
    }

    pub(super) fn protect(&self, path: &str, protection: Protection) -> io::Result<()> {
        if !self.locks() {
            return Ok(());
        }
        let (key, mode) = (self.key(path), self.settings.lock);
        self.inside.runtime.wait(self.direct.protect(&key, mode, protection))?
    }
}

fn to_io(error: object_store::Error) -> io::Error {
    let kind = match &error {
        object_store::Error::NotFound { .. } => io::ErrorKind::NotFound,
        object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
            io::ErrorKind::PermissionDenied
        }
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

fn read_part(from: &dyn ReadAt, at: u64, length: usize) -> io::Result<Vec<u8>> {
    let (mut part, mut filled) = (vec![0; length], 0);
    while let Some(rest) = part.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match from.read_at(rest, at + filled as u64)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => filled += read,
        }
    }
    Ok(part)
}

/// An object, read in pieces.
struct Object {
    inside: Arc<Inside>,
    key: Key,
    length: u64,
    window: Mutex<Window>,
}

/// The piece that was read last.
struct Window {
    at: u64,
    bytes: Vec<u8>,
    ahead: usize,
}

impl ReadAt for Object {
    fn read_at(&self, to: &mut [u8], at: u64) -> io::Result<usize> {
        if at >= self.length || to.is_empty() {
            return Ok(0);
        }
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let end = window.at + window.bytes.len() as u64;
        if !(window.at..end).contains(&at) {
            let is_next = at == end && end > 0;
            window.ahead = if is_next { (window.ahead * 2).min(AHEAD_BYTES.1) } else { AHEAD_BYTES.0 };
            let wanted = (window.ahead.max(to.len()) as u64).min(self.length - at);
            let read = self.inside.runtime.wait(self.inside.store.get_range(&self.key, at..at + wanted))?;
            window.bytes = read.map_err(to_io)?.into();
            window.at = at;
        }
        let from = window.bytes.get((at - window.at) as usize..).unwrap_or_default();
        let read = from.len().min(to.len());
        to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        Ok(read)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.length)
    }

    fn is_far(&self) -> bool {
        true
    }
}
