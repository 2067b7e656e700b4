//! A disk that fails as it is told, and what a power cut leaves on it: `disk.c`, put before a process.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Nothing can be written: EIO.
pub const EIO: u32 = 5;
/// The disk is full.
pub const ENOSPC: u32 = 28;
/// The file system was made read-only.
pub const EROFS: u32 = 30;
/// Writes wait.
pub const WRITES: u32 = 1;
/// Syncs wait.
pub const SYNCS: u32 = 2;

/// Where in the control file each number stands: `struct control` of `disk.c`.
#[derive(Clone, Copy)]
pub enum Lever {
    /// Writes fail with this number.
    Write = 0,
    /// Making, renaming, removing and opening to write fail with it.
    Name = 4,
    /// Syncs fail with it.
    Sync = 8,
    /// [`WRITES`], [`SYNCS`]: they wait.
    Stall = 12,
    /// Every so-many-th write takes half.
    Short = 16,
    /// Of 256 pages, so many are on the disk before they are synced.
    Early = 20,
}

const FAULTS: u64 = 24;
const SYNCED: u64 = 28;
const SCOPE: u64 = 32;
const SCOPE_BYTES: usize = 2047;
const SYNC_SPARED: u64 = 2080;
const SYNC_STRIKES: u64 = 2084;
const SYNC_COUNT: u64 = 2088;
const SHORTS: u64 = 2092;

/// The disk of one process: some folders.
pub struct Disk {
    control: File,
    /// What the process must have in its environment.
    pub environment: Vec<(&'static str, String)>,
    roots: [PathBuf; 2],
    safe: Option<PathBuf>,
}

/// The library, made once a process.
fn library() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let path = std::env::temp_dir().join(format!("vigie-disk-{}.so", std::process::id()));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire/disk.c");
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-o"])
            .arg(&path)
            .arg(source)
            .args(["-ldl", "-lpthread"]);
        assert!(cc.status().expect("cc; tests/run installs it").success(), "disk.c is not compiled");
        path
    })
}

impl Disk {
    /// Stands before these two folders (made when they are missing) for a process that is not started yet; keeps its own
    /// files in `beside`.
    pub fn before(roots: [PathBuf; 2], beside: &Path) -> Disk {
        roots.iter().for_each(|root| fs::create_dir_all(root).expect("a folder"));
        let path = beside.join("disk.control");
        fs::write(&path, [0; 4096]).expect("a control file");
        let control = File::options().read(true).write(true).open(&path).expect("the control file");
        let text = |path: &Path| path.to_str().expect("a plain path").to_owned();
        let environment = vec![
            ("LD_PRELOAD", text(library())),
            ("VIGIE_DISK_CONTROL", text(&path)),
            ("VIGIE_DISK_ROOTS", format!("{}:{}", text(&roots[0]), text(&roots[1]))),
        ];
        Disk { control, environment, roots, safe: None }
    }

    #[allow(dead_code, reason = "tests/recorder tells it from within")]
    /// The one that stands before this very process, when a parent put one there: to be told from within.
    pub fn of_this_process() -> Option<Disk> {
        let control = File::options().read(true).write(true).open(std::env::var_os("VIGIE_DISK_CONTROL")?);
        let roots = std::env::var("VIGIE_DISK_ROOTS").expect("roots beside the control file");
        let (first, second) = roots.split_once(':').expect("two roots");
        let (control, roots) = (control.expect("the control file"), [first.into(), second.into()]);
        Some(Disk { control, environment: Vec::new(), roots, safe: None })
    }

    /// The same, and keeps beside what a power cut would leave.
    pub fn that_forgets(roots: [PathBuf; 2], beside: &Path) -> Disk {
        let mut disk = Disk::before(roots, beside);
        let safe = beside.join("disk.safe");
        disk.environment.push(("VIGIE_DISK_SAFE", safe.to_str().expect("a plain path").to_owned()));
        disk.safe = Some(safe);
        disk.take_stock();
        disk
    }

    /// From now on it does this.
    pub fn set(&self, lever: Lever, value: u32) {
        self.control.write_all_at(&value.to_le_bytes(), lever as u64).expect("told");
    }

    /// Faults strike below this folder alone.
    pub fn only_in(&self, folder: &Path) {
        let mut bytes = [0; SCOPE_BYTES];
        let text = folder.to_str().expect("a plain path").as_bytes();
        bytes[..text.len()].copy_from_slice(text);
        self.control.write_all_at(&bytes, SCOPE).expect("told");
    }

    /// Faults strike this one file or folder alone.
    pub fn only_at(&self, path: &Path) {
        self.only_in(&path.join("."));
    }

    /// `strikes` syncs fail after so many more that pass; 0: all that follow.
    pub fn fails_to_sync(&self, spared: u32, strikes: u32) {
        for (at, value) in [(SYNC_SPARED, spared), (SYNC_STRIKES, strikes), (SYNC_COUNT, 0)] {
            self.control.write_all_at(&value.to_le_bytes(), at).expect("told");
        }
        self.set(Lever::Sync, EIO);
    }

    /// It works again.
    pub fn heals(&self) {
        for lever in [Lever::Write, Lever::Name, Lever::Sync, Lever::Stall, Lever::Short] {
            self.set(lever, 0);
        }
        self.control.write_all_at(&[0; 12], SYNC_SPARED).expect("told");
    }

    /// So many faults there were.
    pub fn faults(&self) -> u32 {
        self.number(FAULTS)
    }

    /// So many writes took only half of what they were given.
    pub fn shorts(&self) -> u32 {
        self.number(SHORTS)
    }

    /// So many syncs succeeded.
    pub fn syncs(&self) -> u32 {
        self.number(SYNCED)
    }

    fn number(&self, at: u64) -> u32 {
        let mut bytes = [0; 4];
        self.control.read_exact_at(&mut bytes, at).expect("read");
        u32::from_le_bytes(bytes)
    }

    /// Everything there is now is safe.
    fn take_stock(&self) {
        let Some(safe) = &self.safe else { return };
        let _ = fs::remove_dir_all(safe);
        fs::create_dir_all(safe.join("files")).expect("a folder");
        fs::create_dir_all(safe.join("folders")).expect("a folder");
        self.roots.iter().for_each(|root| take_stock_of(root, safe));
    }

    /// The power has gone: what was on no disk for certain goes. The process is dead already.
    pub fn forget(&self) {
        let safe = self.safe.as_ref().expect("a disk that forgets");
        for root in &self.roots {
            let (left, lost) = (root.with_extension("left"), root.with_extension("lost"));
            restore(fs::metadata(root).expect("a root").ino(), safe, &left);
            fs::rename(root, &lost).expect("moved away");
            fs::rename(&left, root).expect("in its place");
            fs::remove_dir_all(&lost).expect("removed");
        }
        self.take_stock();
    }
}

fn take_stock_of(folder: &Path, safe: &Path) {
    let mut names = String::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let entry = entry.expect("an entry");
        let (path, number) = (entry.path(), entry.metadata().expect("an entry's place").ino());
        let is_folder = path.is_dir();
        let name = entry.file_name().into_string().expect("a plain name");
        names += &format!("{} {number} {name}\n", if is_folder { 'd' } else { 'f' });
        if is_folder {
            take_stock_of(&path, safe);
        } else {
            fs::copy(&path, safe.join("files").join(number.to_string())).expect("copied");
        }
    }
    let number = fs::metadata(folder).expect("a folder").ino();
    fs::write(safe.join("folders").join(number.to_string()), names).expect("kept");
}

/// Makes `to` what the folder `number` was when it was synced last; one that never was is empty.
fn restore(number: u64, safe: &Path, to: &Path) {
    fs::create_dir(to).expect("a folder");
    fs::set_permissions(to, fs::Permissions::from_mode(0o700)).expect("a folder's mode");
    let names = fs::read_to_string(safe.join("folders").join(number.to_string())).unwrap_or_default();
    for line in names.lines() {
        let mut words = line.splitn(3, ' ');
        let (kind, number) = (words.next(), words.next().and_then(|number| number.parse::<u64>().ok()));
        let (Some(kind), Some(number), Some(name)) = (kind, number, words.next()) else { panic!("{line}") };
        if kind == "d" {
            restore(number, safe, &to.join(name));
        } else {
            let kept = safe.join("files").join(number.to_string());
            let bytes = fs::read(kept).unwrap_or_default();
            fs::write(to.join(name), bytes).expect("restored");
            fs::set_permissions(to.join(name), fs::Permissions::from_mode(0o600)).expect("a file's mode");
        }
    }
}
