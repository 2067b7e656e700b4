//! The rings hold plain sound: with encryption on they must stand in memory, never on a disk.

use std::path::Path;

use super::{VaultError, fault};

/// Magic numbers of statfs(2): tmpfs and ramfs.
const IN_MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58f6];

/// Whether `folder`, or what will hold it, is in memory.
pub fn check_ring_folder(folder: &Path) -> Result<(), VaultError> {
    let there = folder.ancestors().find(|above| above.exists()).unwrap_or(Path::new("."));
    let about = rustix::fs::statfs(there).map_err(std::io::Error::from).map_err(fault("looking at", there))?;
    // The field's type differs between machines; the magic numbers have 32 bits.
    if IN_MEMORY.contains(&(about.f_type as u64 & 0xffff_ffff)) {
        return Ok(());
    }
    let what = "recording.encryption.key is set, and this folder of the rings is on a disk: plain sound would rest \
                there. Put media.ring_folder on a tmpfs, such as /dev/shm/vigie"
        .to_owned();
    Err(VaultError::Ring { path: folder.to_owned(), what })
}

/// The first swap space that is no memory itself: what tmpfs holds could be moved there.
pub fn swap_in_use() -> Option<String> {
    let swaps = std::fs::read_to_string("/proc/swaps").ok()?;
    let names = swaps.lines().skip(1).filter_map(|line| line.split_whitespace().next());
    names.into_iter().find(|name| !name.contains("zram")).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_rings_on_a_disk_is_refused_and_one_in_memory_is_not() {
        assert!(check_ring_folder(Path::new("/dev/shm/vigie-not-there-yet/rings")).is_ok());
        // The sources are on a disk.
        let told = check_ring_folder(Path::new(env!("CARGO_MANIFEST_DIR"))).expect_err("a disk").to_string();
        assert!(told.contains("/dev/shm"), "{told}");
    }
}
