//! The keys at hand: the key-encryption keys, the letterbox, and a pool of keys wrapped beforehand.

use std::collections::VecDeque;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use zeroize::Zeroizing;

use super::Elsewhere;
use super::letterbox::{LETTERBOX_FILE, Letterbox, Opened};
use super::master::MasterKey;
use super::wrapped::{AudioKey, With, Wrapped};
use super::{VaultError, hex, random};
use crate::config::encryption::{EncryptionSettings, KeySource};

/// Keys made before they are needed: more calls than begin in one turn.
const POOL_MAX: usize = 64;
/// Keys remembered that only the letterbox's private key could open: more calls than are live and unsealed at once.
const POSTED_MAX: usize = 8192;

/// What opens and makes recordings' keys; cheap to clone.
#[derive(Clone)]
pub struct Keys(Arc<Inside>, Option<Arc<dyn Elsewhere>>);

struct Inside {
    settings: EncryptionSettings,
    letterbox: PathBuf,
    held: RwLock<Held>,
    pool: Mutex<VecDeque<AudioKey>>,
    /// Made while the key-encryption key was away, so that their recordings are sealed all the same.
    posted: Mutex<VecDeque<AudioKey>>,
}

/// What was had so far.
#[derive(Default)]
struct Held {
    current: Option<MasterKey>,
    old: Vec<MasterKey>,
    letterbox: Option<Letterbox>,
    opened: Option<Opened>,
    /// Why the key-encryption key is not there.
    fault: Option<String>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.ids().join(", "))
    }
}

impl Default for Keys {
    fn default() -> Keys {
        Keys::off()
    }
}

impl Keys {
    /// None: audio rests as it is.
    pub fn off() -> Keys {
        Keys::holding(EncryptionSettings::default(), PathBuf::new(), Held::default())
    }

    fn holding(settings: EncryptionSettings, letterbox: PathBuf, held: Held) -> Keys {
        let inside =
            Inside { settings, letterbox, held: RwLock::new(held), pool: Mutex::default(), posted: Mutex::default() };
        Keys(Arc::new(inside), None)
    }

    /// The same keys; whoever reads audio with them finds what is not in the recordings folder where its copy is.
    pub fn and_elsewhere(&self, elsewhere: Arc<dyn Elsewhere>) -> Keys {
        Keys(self.0.clone(), Some(elsewhere))
    }

    /// Where else recordings lie.
    pub fn elsewhere(&self) -> Option<Arc<dyn Elsewhere>> {
        self.1.clone()
    }

    /// Keys for reading alone: for those who verify.
    pub fn to_read(sources: &[KeySource], limit: Duration) -> Result<Keys, VaultError> {
        let old = sources.iter().map(|source| MasterKey::fetch(source, limit)).collect::<Result<_, _>>()?;
        Ok(Keys::holding(EncryptionSettings::default(), PathBuf::new(), Held { old, ..Held::default() }))
    }

    /// The keys of the settings; `secrets` is the folder of the server's own secrets.
    ///
    /// A key-encryption key that cannot be had, or is not the one that this server knew, is no fault once a letterbox was
    /// made: then [`Keys::why_locked`] says why, new recordings are kept, and what is older waits.
    pub fn open(settings: &EncryptionSettings, secrets: &Path) -> Result<Keys, VaultError> {
        let letterbox = secrets.join(LETTERBOX_FILE);
        let keys = Keys::holding(settings.clone(), letterbox.clone(), Held::default());
        let held = keys.fetch()?;
        *keys.0.held.write().unwrap_or_else(PoisonError::into_inner) = held;
        Ok(keys)
    }

    /// Gets all that can be had.
    fn fetch(&self) -> Result<Held, VaultError> {
        let Inside { settings, letterbox: path, .. } = &*self.0;
        let mut held = Held { letterbox: Letterbox::read(path)?, ..Held::default() };
        for source in &settings.old_keys {
            match MasterKey::fetch(source, settings.command_duration_max) {
                Ok(key) => held.old.push(key),
                Err(error) => tracing::warn!("an old key-encryption key is not there: {error}"),
            }
        }
        let Some(source) = &settings.key else {
            held.open_letterbox();
            return Ok(held);
        };
        let current = match MasterKey::fetch(source, settings.command_duration_max) {
            Ok(current) => current,
            Err(error) if held.letterbox.is_some() => {
                held.fault = Some(error.to_string());
                return Ok(held);
            }
            Err(error) => return Err(error),
        };
        if held.letterbox.is_none() {
            make_folder(path)?;
            held.letterbox = Some(Letterbox::make(path, &current)?);
        }
        held.take(current, source)?;
        Ok(held)
    }

    /// Whether new recordings are encrypted.
    pub fn is_on(&self) -> bool {
        self.0.settings.key.is_some()
    }

    /// Why the key-encryption key is not there, when it should be.
    pub fn why_locked(&self) -> Option<String> {
        self.with_held(|held| held.fault.clone())
    }

    /// Tries to get a key-encryption key that was not there; whether it is there now.
    pub fn try_again(&self) -> bool {
        match self.fetch() {
            Ok(held) => {
                let is_open = held.fault.is_none();
                *self.0.held.write().unwrap_or_else(PoisonError::into_inner) = held;
                is_open
            }
            Err(_) => false,
        }
    }

    /// The ids of the key-encryption keys at hand, the current one first.
    pub fn ids(&self) -> Vec<String> {
        self.with_held(|held| held.masters().map(|key| key.id().to_owned()).collect())
    }

    /// Makes keys beforehand, so that a call that begins finds one wrapped.
    pub fn fill_pool(&self) {
        while self.is_on() && self.pooled() < POOL_MAX {
            let Ok(key) = self.make() else { return };
            self.0.pool.lock().unwrap_or_else(PoisonError::into_inner).push_back(key);
        }
    }

    fn pooled(&self) -> usize {
        self.0.pool.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// A key for a new recording: from the pool, or made now. It waits for nobody.
    pub fn new_key(&self) -> Result<AudioKey, VaultError> {
        let pooled = self.0.pool.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        pooled.map_or_else(|| self.make(), Ok)
    }

    fn make(&self) -> Result<AudioKey, VaultError> {
        let (name, bytes) = (hex(&random::<16>()?), Zeroizing::new(random::<32>()?));
        let wrapped = self.with_held(|held| held.wrap(&name, &bytes))?;
        let key = AudioKey::new(bytes, wrapped);
        if let With::Letterbox(_) = &key.wrapped().with {
            let mut posted = self.0.posted.lock().unwrap_or_else(PoisonError::into_inner);
            posted.push_back(key.clone());
            if posted.len() > POSTED_MAX {
                posted.pop_front();
            }
        }
        Ok(key)
    }

    /// Opens a key that was read from `path`.
    pub fn open_key(&self, wrapped: Wrapped, path: &Path) -> Result<AudioKey, VaultError> {
        let posted = self.0.posted.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = posted.iter().find(|key| *key.wrapped() == wrapped) {
            return Ok(key.clone());
        }
        drop(posted);
        let bytes = self.with_held(|held| held.unwrap(&wrapped, path))?;
        Ok(AudioKey::new(bytes, wrapped))
    }

    /// The same key wrapped with the current key-encryption key; `None` when it is so already.
    pub(super) fn rewrap(&self, wrapped: &Wrapped, path: &Path) -> Result<Option<Wrapped>, VaultError> {
        self.with_held(|held| {
            let current = held.current.as_ref().ok_or(VaultError::Off)?;
            if wrapped.with == With::Kek(current.id().to_owned()) {
                return Ok(None);
            }
            let bytes = held.unwrap(wrapped, path)?;
            current.wrap(&wrapped.key, &bytes).map(Some)
        })
    }

    fn with_held<T>(&self, act: impl FnOnce(&Held) -> T) -> T {
        act(&self.0.held.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Held {
    fn masters(&self) -> impl Iterator<Item = &MasterKey> {
        self.current.iter().chain(&self.old)
    }

    /// Takes the current key, when it is one that this server knew or is told beside one that it knew.
    fn take(&mut self, current: MasterKey, source: &KeySource) -> Result<(), VaultError> {
        let Some(letterbox) = &mut self.letterbox else { return Ok(()) };
        if letterbox.kek() == current.id() {
            self.opened = letterbox.open(&current);
        } else if let Some(opened) = self.old.iter().find_map(|old| letterbox.open(old)) {
            letterbox.rewrap(&opened, &current)?;
            self.opened = Some(opened);
        }
        if self.opened.is_some() {
            self.current = Some(current);
        } else {
            self.fault = Some(format!(
                "the key-encryption key from {source} is {}, and recordings here are wrapped with {}: it is the wrong key. \
                 Put the right one there; or, when the key was changed on purpose, name the one before it in \
                 recording.encryption.old_keys. Nothing was touched",
                current.id(),
                letterbox.kek()
            ));
        }
        Ok(())
    }

    fn open_letterbox(&mut self) {
        let letterbox = self.letterbox.as_ref();
        self.opened = letterbox.and_then(|letterbox| self.old.iter().find_map(|old| letterbox.open(old)));
    }

    fn wrap(&self, name: &str, bytes: &[u8; 32]) -> Result<Wrapped, VaultError> {
        match (&self.current, &self.letterbox) {
            (Some(current), _) => current.wrap(name, bytes),
            (None, Some(letterbox)) => letterbox.post(name, bytes),
            (None, None) => Err(VaultError::Off),
        }
    }

    fn unwrap(&self, wrapped: &Wrapped, path: &Path) -> Result<Zeroizing<[u8; 32]>, VaultError> {
        let damaged = || VaultError::Damaged { path: path.to_owned(), what: "the key in it was changed".into() };
        match &wrapped.with {
            With::Kek(id) => {
                let not_held = || self.not_held(path, id.clone());
                let master = self.masters().find(|key| key.id() == id).ok_or_else(not_held)?;
                master.unwrap(&wrapped.key, &wrapped.wrapped).ok_or_else(damaged)
            }
            With::Letterbox(id) => {
                let opened = self.opened.as_ref().filter(|opened| opened.id() == *id);
                let opened = opened.ok_or_else(|| self.not_held(path, self.kek_of_letterbox(id)))?;
                opened.read(&wrapped.key, &wrapped.wrapped).ok_or_else(damaged)
            }
        }
    }
}

impl Held {
    /// What is wanted, and what is there instead.
    fn not_held(&self, path: &Path, kek: String) -> VaultError {
        let path = path.to_owned();
        let held = self.masters().map(MasterKey::id).collect::<Vec<_>>().join(", ");
        let why = match &self.fault {
            None if !held.is_empty() => return VaultError::NotHeld { path, kek, held },
            None => "none is named, neither by recording.encryption.key nor by --decrypt-with".to_owned(),
            Some(fault) if held.is_empty() => fault.clone(),
            Some(fault) => format!("{fault}; of old_keys there is {held}"),
        };
        VaultError::Away { path, kek, why }
    }

    /// The key-encryption key that opens the letterbox of this id, as far as it is known.
    fn kek_of_letterbox(&self, id: &str) -> String {
        let known = self.letterbox.as_ref().filter(|letterbox| letterbox.id() == id);
        known.map_or_else(|| format!("of the letterbox {id}"), |letterbox| letterbox.kek().to_owned())
    }
}

fn make_folder(file: &Path) -> Result<(), VaultError> {
    use std::os::unix::fs::DirBuilderExt;
    let Some(folder) = file.parent() else { return Ok(()) };
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(super::fault("making the folder", folder))
}
