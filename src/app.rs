//! Builds, starts and stops every part, hands each its sender; the one file that knows them all.

mod archiving;
mod carriers;
mod custody;
mod day_mark;
mod encryption;
mod entry;
mod last_day;
mod locks;
mod reconciling;
mod recovery;
mod reload;
mod roots;
mod vitals;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::archive::Evidence;
use crate::call::{CALLS_MAX, Switch};
use crate::clock;
use crate::config::Settings;
use crate::config::secrets::{ApiRole, Secrets, SecretsError};
use crate::config::settings::ListenerSettings;
use crate::media::{self, Media, MediaError};
use crate::model::{Alarm, Chance, Command, Input, MediaReport, NumberPlan, RecorderReport};
use crate::outbox::{self, Outbox, OutboxError, OutboxSettings, Schedule};
use crate::recorder::{self, Recorder, RecorderError};
use crate::signalling::{Listeners, Report, Resolver, Sender, Signalling, SignallingError};
use crate::storage::{self, Storage, StorageError, Writer, WriterSettings};
use crate::switchboard::{Decisions, Door, Drivers, Inbox, Lane, Switchboard, tell};
use crate::useragent::{Listener, Rules, UserAgent};
use crate::vault::{Keys, VaultError};
use crate::web::{self, Readiness};
use entry::Entry;

/// The software's name and version, as SIP's Server header and every record say it.
pub const SOFTWARE: &str = concat!("Vigie/", env!("CARGO_PKG_VERSION"));

/// How often what is kept for a limited time is looked through.
const PRUNE_EVERY: Duration = Duration::from_secs(3600);

/// Why Vigie could not start.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// Secrets.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// Signalling.
    #[error(transparent)]
    Signalling(#[from] SignallingError),
    /// Media.
    #[error(transparent)]
    Media(#[from] MediaError),
    /// Recording.
    #[error(transparent)]
    Recorder(#[from] RecorderError),
    /// The database.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Dispatch.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    /// Encryption at rest.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The HTTP door.
    #[error(
        "cannot listen for HTTP on {address}: {source}. If the address is in use, stop the other server \
         (`ss -tlnp` shows it) or change `listen` in [web]"
    )]
    Web {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another process works there.
    #[error(
        "{} is in use by another Vigie: stop it first, or give this one folders of its own \
         (`state` in [node], `folder` in [recording])",
        .folder.display()
    )]
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// A folder cannot be made or written.
    #[error("cannot use the folder {}: {source}. It must exist or be made, and be writable for this user", .folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The system refused something small.
    #[error("cannot {act}: {source}")]
    System {
        /// What was being done.
        act: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
}

/// The running server.
pub struct App {
    /// Where SIP is listened for.
    pub sip: Vec<SocketAddr>,
    /// Where the API is.
    pub web: SocketAddr,
    /// The way to the running decisions.
    pub door: Door,
    /// The database.
    pub storage: Storage,
    /// Secret files that this start has made.
    pub made: Vec<PathBuf>,
    /// Recordings of an earlier, killed run that this start has finished.
    pub recovered: usize,
    readiness: Readiness,
    reloader: Arc<dyn web::Reloader>,
    locks: locks::Locks,
    planes: Planes,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

/// What must be stopped in its order.
struct Planes {
    signalling: Signalling,
    switchboard: Switchboard,
    media: Arc<Media>,
    recorder: Arc<Recorder>,
    writer: Writer,
    outbox: Outbox,
    custody: custody::Custody,
}

/// Starts every part, from the ground up: what was interrupted is finished before the first call is taken.
///
/// # Errors
/// [`AppError`] names the part, and what to do.
pub async fn start(settings: Settings) -> Result<App, AppError> {
    raise_descriptor_limit();
    let locks = locks::take(&settings)?;
    let metrics = web::metrics::install();
    let secrets = Secrets::open_or_make(&settings)?;
    let listeners = Listeners::bind(&settings.sip)?;
    let sip = listeners.addresses().to_vec();
    let (http, web) = bind_http(settings.web.listen).await?;
    let (storage, writer) = open_storage(&settings, &secrets).await?;
    let mut chance = Chance::new(system_seed()?);
    let keys = encryption::open_keys(&settings)?;
    let second = archiving::open(&settings)?;
    let readers = archiving::keys_of_readers(&keys, second.as_ref());
    let parts = recorder_parts(&settings, &secrets, keys.clone());
    archiving::bring_log_back(&settings, second.as_ref(), (parts.key.verifying_key(), &storage)).await?;
    let recovered =
        recovery::finish_what_was_interrupted(&parts, (&storage, &writer), settings.centre.callers, &mut chance)
            .await?;

    let inbox = Inbox::default();
    let door = Door::new(inbox.clone());
    let (media, recorder) = start_planes(&settings, parts, &inbox)?;
    deliver(&inbox, Lane::First, Input::Remembered(storage.remembered(clock::utc()).await?));
    let resolver = Resolver::new(settings.centre.trunks.keys());
    let drivers = drivers(&listeners, &resolver, (&media, &recorder), &writer);
    let decisions = decisions(&settings, &sip, &secrets, &mut chance);
    let switchboard = Switchboard::start(decisions, drivers, inbox.clone(), door.clone())
        .map_err(|source| AppError::System { act: "start the switchboard's thread", source })?;

    let outbox = outbox::start(&storage, endpoints(&settings, &secrets), outbox_settings(&settings))?;
    let custody = custody::start(&settings, &storage, recorder.notary(), second.clone()).await?;
    let evidence = evidence(&settings, &secrets, (recorder.notary(), &readers));
    let (stop, stopped) = watch::channel(false);
    let readiness = Readiness::new();
    let urgents = entry::Urgents::of(&settings);
    let reloader = reloader(&settings, &door, &storage, (&media, &urgents, &custody));
    let doors = web::Parts {
        storage: storage.clone(),
        writer: writer.clone(),
        door: door.clone(),
        live_quality: live_quality(Arc::downgrade(&media)),
        config: settings.file.clone(),
        reloader: reloader.clone(),
        recordings: settings.recording.folder.clone(),
        evidence: evidence.clone(),
        access: settings.access,
        keys: readers,
        custody: custody.custodian.clone(),
        tokens: tokens(&secrets),
        zone: settings.centre.zone.clone(),
        numbers: number_plans(&settings),
        metrics,
        ready: readiness.clone(),
    };
    let mut tasks = vec![
        tokio::spawn(serve_web(http, doors, stopped.clone())),
        tokio::spawn(vitals::publish(Arc::downgrade(&media), storage.clone(), stopped.clone())),
        tokio::spawn(prune(storage.clone(), stopped.clone())),
        encryption::watch(keys, &recorder, (&storage, &writer), &mut chance, &stopped),
        tokio::spawn(compare_daily(&settings, &storage).run(stopped.clone())),
        tokio::spawn(roots::keep(roots::Log::of(&settings, recorder.notary()), stopped.clone())),
    ];
    tasks.extend(archiving::start(&settings, second, (&storage, &custody.custodian, evidence), &stopped));
    let sender = listeners.sender();
    let signalling = listen(listeners, &settings, Entry::new(urgents, inbox.clone()))?;
    tasks.extend(carriers::look_up(&settings, &resolver, (sender, stopped), &inbox, &mut chance));
    let planes = Planes { signalling, switchboard, media, recorder, writer, outbox, custody };
    Ok(App { sip, web, door, storage, made: secrets.made, recovered, readiness, reloader, locks, planes, stop, tasks })
}

/// What the switchboard drives.
fn drivers(
    listeners: &Listeners,
    resolver: &Resolver,
    (media, recorder): (&Arc<Media>, &Arc<Recorder>),
    writer: &Writer,
) -> Drivers {
    Drivers {
        signalling: listeners.sender(),
        resolver: resolver.clone(),
        media: media.clone(),
        recorder: recorder.clone(),
        storage: writer.clone(),
    }
}

fn reloader(
    settings: &Settings,
    door: &Door,
    storage: &Storage,
    (media, urgents, custody): (&Arc<Media>, &entry::Urgents, &custody::Custody),
) -> Arc<dyn web::Reloader> {
    Arc::new(reload::Reloader {
        door: door.clone(),
        storage: storage.clone(),
        media: Arc::downgrade(media),
        urgents: urgents.clone(),
        custodian: custody.custodian.clone(),
        in_force: tokio::sync::Mutex::new((settings.clone(), clock::utc())),
    })
}

/// What the media plane says of a call's open legs; nothing once it has stopped.
fn live_quality(media: Weak<Media>) -> web::LiveQuality {
    Arc::new(move |call| {
        let legs = media.upgrade().map_or_else(Vec::new, |media| media.quality(call));
        legs.into_iter().map(|(leg, quality)| (leg.number, quality)).collect()
    })
}

fn alarm_sink() -> Arc<dyn Fn(Alarm) + Send + Sync> {
    Arc::new(|alarm| tell(&alarm))
}

async fn open_storage(settings: &Settings, secrets: &Secrets) -> Result<(Storage, Writer), AppError> {
    let storage = Storage::open(&settings.storage).await?;
    let head_file = storage::audit_check::head_file(&settings.node.state);
    if let Some(text) = storage::audit_check::take_up(&storage, secrets.seal_key.clone(), head_file).await? {
        tell(&Alarm { kind: "audit-damaged".into(), call: None, text });
    }
    let writer_settings = WriterSettings {
        spool: settings.node.state.join("spool"),
        endpoints: settings.dispatch.clone(),
        alarm: alarm_sink(),
    };
    let writer = Writer::start(&storage, writer_settings).await?;
    Ok((storage, writer))
}

fn outbox_settings(settings: &Settings) -> OutboxSettings {
    OutboxSettings {
        node: settings.node.name.clone(),
        zone: settings.centre.zone.clone(),
        schedule: Schedule::default(),
        alarm: alarm_sink(),
    }
}

/// What adds to recordings and hands them out.
fn evidence(settings: &Settings, secrets: &Secrets, (notary, keys): (recorder::Notary, &Keys)) -> Evidence {
    Evidence {
        recordings: settings.recording.folder.clone(),
        node: settings.node.name.clone(),
        zone: settings.centre.zone.clone(),
        key: secrets.seal_key.clone(),
        notary,
        vault: keys.clone(),
        authority: settings.proof.authority.as_ref().and_then(|authority| authority.certificates.clone()),
    }
}

/// Keeps every other Vigie away from these folders, for work on them while none runs.
///
/// # Errors
/// [`AppError::InUse`] when one runs.
pub fn lock(settings: &Settings) -> Result<impl Sized, AppError> {
    locks::take(settings)
}

/// What the recorder is built from.
pub fn recorder_parts(settings: &Settings, secrets: &Secrets, keys: Keys) -> recorder::Parts {
    recorder::Parts {
        settings: settings.recording.clone(),
        node: settings.node.name.clone(),
        state: settings.node.state.clone(),
        zone: settings.centre.zone.clone(),
        key: secrets.seal_key.clone(),
        ring_folder: settings.media.ring_folder.clone(),
        keys,
    }
}

/// The media plane, and the recorder that reads its rings.
fn start_planes(
    settings: &Settings,
    parts: recorder::Parts,
    inbox: &Inbox,
) -> Result<(Arc<Media>, Arc<Recorder>), AppError> {
    let reports = inbox.clone();
    let mut media = media::start(&settings.media, &settings.centre.sounds, move |report: MediaReport| {
        deliver(&reports, Lane::First, Input::Media(report));
    })?;
    let reports = inbox.clone();
    let recorder = recorder::start(
        parts,
        media.rings(),
        move |report: RecorderReport| deliver(&reports, Lane::First, Input::Recorder(report)),
        |kind, call, text| tell(&Alarm { kind, call, text }),
    )?;
    Ok((Arc::new(media), Arc::new(recorder)))
}

fn decisions(settings: &Settings, sip: &[SocketAddr], secrets: &Secrets, chance: &mut Chance) -> Decisions {
    let centre = Arc::new(settings.centre.clone());
    let useragent = UserAgent::new(rules(settings, sip), centre.clone(), secrets.credentials.clone(), chance.fork());
    let useragent = useragent.with_trunk_passwords(secrets.trunk_passwords.clone());
    Decisions::new(useragent, Switch::new(centre, SOFTWARE.into(), chance.fork()))
}

impl App {
    /// Puts the changed configuration file in force, and says in the log what became of it.
    pub async fn reload(&self) {
        reload::reload_and_tell(self.reloader.as_ref()).await;
    }

    /// Takes no new calls and waits until the last live one is over and sealed.
    pub async fn drain(&self) {
        self.readiness.object("draining", "Vigie is stopping and takes no new calls");
        // Refused only when the switchboard is gone, and then nothing lives.
        let _ = self.door.ask(Command::Drain).await;
    }

    /// Ends every live call now.
    pub async fn end_all(&self) {
        let _ = self.door.ask(Command::EndAll).await;
    }

    /// Waits until everything handed to storage so far is stored.
    pub async fn flush(&self) {
        if let Err(error) = self.planes.writer.flush().await {
            tracing::error!(%error, "waiting for storage failed");
        }
    }

    /// Stops every part, from the doors down; what was recorded is sealed, what is owed is stored.
    pub async fn stop(self) {
        let App { planes, storage, stop, tasks, locks, .. } = self;
        let Planes { signalling, switchboard, media, recorder, writer, outbox, custody } = planes;
        custody.stop().await;
        let blocking = tokio::task::spawn_blocking(move || {
            signalling.stop();
            switchboard.stop();
            if let Some(media) = Arc::into_inner(media) {
                media.stop();
            }
            if let Some(recorder) = Arc::into_inner(recorder) {
                recorder.stop();
            }
        });
        if blocking.await.is_err() {
            tracing::error!("stopping the drivers failed; what they hold is finished at the next start");
        }
        writer.stop().await;
        outbox.stop().await;
        // Nobody listens any more only when the tasks have ended.
        let _ = stop.send(true);
        for task in tasks {
            let _ = task.await;
        }
        storage.close().await;
        drop(locks);
    }
}

fn deliver(inbox: &Inbox, lane: Lane, input: Input) {
    if inbox.send(lane, input).is_err() {
        metrics::counter!("vigie_inbox_refused_total").increment(1);
    }
}

fn listen(listeners: Listeners, settings: &Settings, entry: Entry) -> Result<Signalling, SignallingError> {
    let trunks = settings.centre.trunks.values().flat_map(|trunk| trunk.peers.iter().copied()).collect();
    listeners.start(trunks, move |sender: &Sender, report: Report| entry.take(sender, report))
}

fn rules(settings: &Settings, sip: &[SocketAddr]) -> Rules {
    let advertise = |(settled, bound): (&ListenerSettings, &SocketAddr)| Listener {
        transport: settled.transport,
        address: SocketAddr::new(settled.reached_at(settings.sip.advertised), bound.port()),
    };
    Rules {
        realm: settings.sip.realm.clone(),
        listeners: settings.sip.listen.iter().zip(sip).map(advertise).collect(),
        media_advertised: settings.media.advertised,
        codecs: settings.media.codecs.clone(),
        digests: settings.sip.listen.iter().map(|listener| listener.digest).collect(),
        expires_min: settings.sip.expires_min,
        expires_max: settings.sip.expires_max,
        nonce_lifetime: settings.sip.nonce_lifetime,
        devices_max: settings.sip.devices_max,
        session_expires: settings.sip.session_expires,
        session_expires_min: settings.sip.session_expires_min,
        legs_max: CALLS_MAX * 2,
        calls_max: settings.sip.calls_max.min(CALLS_MAX),
        urgent_priority: settings.sip.urgent_priority,
        account_rate_max: settings.sip.account_rate_max,
        bans: settings.sip.bans.clone(),
        software: SOFTWARE.into(),
    }
}

fn endpoints(settings: &Settings, secrets: &Secrets) -> Vec<outbox::Endpoint> {
    let of = |id: &str| {
        let texts = secrets.endpoint_secrets.get(id).map(Vec::as_slice).unwrap_or_default();
        // Checked when they were read: each is a secret.
        texts.iter().filter_map(|text| text.parse().ok()).collect()
    };
    settings
        .dispatch
        .iter()
        .map(|settings| outbox::Endpoint { secrets: of(&settings.id), settings: settings.clone() })
        .collect()
}

fn tokens(secrets: &Secrets) -> Vec<web::ApiToken> {
    secrets
        .tokens
        .iter()
        .map(|token| web::ApiToken {
            name: token.name.clone(),
            person: token.person.clone().unwrap_or_else(|| token.name.clone()),
            role: match token.role {
                ApiRole::Admin => web::Role::Admin,
                ApiRole::Compliance => web::Role::Compliance,
                ApiRole::Viewer => web::Role::Viewer,
            },
            associations: token.associations.as_ref().map(|all| all.iter().map(|id| id.as_str().into()).collect()),
            sha256: token.sha256.clone(),
        })
        .collect()
}

/// Every way in which a trunk writes numbers, once.
fn number_plans(settings: &Settings) -> Vec<NumberPlan> {
    let mut plans: Vec<NumberPlan> = Vec::new();
    for trunk in settings.centre.trunks.values() {
        if !plans.contains(&trunk.numbers) {
            plans.push(trunk.numbers.clone());
        }
    }
    plans
}

async fn bind_http(address: SocketAddr) -> Result<(TcpListener, SocketAddr), AppError> {
    let refused = |source| AppError::Web { address, source };
    let listener = TcpListener::bind(address).await.map_err(refused)?;
    let bound = listener.local_addr().map_err(refused)?;
    Ok((listener, bound))
}

async fn serve_web(listener: TcpListener, parts: web::Parts, mut stopped: watch::Receiver<bool>) {
    let stop = async move {
        // An error means that the app is gone: stop as well.
        let _ = stopped.wait_for(|stop| *stop).await;
    };
    if let Err(error) = web::serve(listener, parts, stop).await {
        tracing::error!(%error, "the HTTP door failed; calls go on without it. Restart Vigie when the centre is quiet");
    }
}

async fn prune(storage: Storage, mut stopped: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            _ = stopped.changed() => return,
            () = tokio::time::sleep(PRUNE_EVERY) => {
                if let Err(error) = storage.prune(clock::utc()).await {
                    tracing::warn!(%error, "removing what is kept for a limited time failed; trying again in an hour");
                }
            }
        }
    }
}

fn compare_daily(settings: &Settings, storage: &Storage) -> reconciling::Daily {
    reconciling::Daily {
        storage: storage.clone(),
        recordings: settings.recording.folder.clone(),
        mark: settings.node.state.join("reconciled"),
        at: settings.recording.reconcile_at,
        zone: settings.centre.zone.clone(),
    }
}

fn system_seed() -> Result<[u8; 32], AppError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)
        .map_err(|error| AppError::System { act: "draw randomness from the system", source: error.into() })?;
    Ok(seed)
}

/// Each leg has two sockets: the usual soft limit of 1,024 descriptors would end at 250 calls.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
    {
        tracing::warn!(%error, "raising the limit of open files failed; many calls at once may find no port");
    }
}
