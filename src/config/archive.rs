//! The section `[archive]`: a second place for recordings, and when their audio is stored as FLAC.

use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use jiff::civil::Time;
use toml::de::DeValue;

use super::document::{Section, Trouble};
use super::hours::time_of_day;
use super::parts::seconds;
use super::settings::NodeSettings;
use super::values;

/// When the two places are compared, unless the file says otherwise: after the reconciliation at 05:00 would be late.
const COMPARE_AT: Time = Time::constant(4, 0, 0, 0);
/// How a place is written.
const FORMS: &str = "write \"folder:PATH\", \"s3:BUCKET\", \"s3:BUCKET/PREFIX\" or \"off\"";
/// The longest prefix within a bucket: keys of 1024 bytes hold it and a recording's path many times over.
const PREFIX_LENGTH_MAX: usize = 200;

/// The second place, and the archive form of audio.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveSettings {
    /// Where every sealed recording is copied; without one there is one place.
    pub place: Option<PlaceSettings>,
    /// Recordings copied at the same time.
    pub copies_at_once: usize,
    /// A recording that waits longer for its copy raises an alarm.
    pub lag_max: Duration,
    /// When both places are compared each day, by the clock on the wall.
    pub compare_at: Time,
    /// Every recording is compared once in so many days; those of the last two days each day.
    pub compare_days: u16,
    /// So many days after its seal a recording's audio becomes FLAC; 0 is never.
    pub flac_after_days: u32,
}

impl Default for ArchiveSettings {
    fn default() -> ArchiveSettings {
        ArchiveSettings {
            place: None,
            copies_at_once: 2,
            lag_max: Duration::from_secs(3600),
            compare_at: COMPARE_AT,
            compare_days: 30,
            flac_after_days: 0,
        }
    }
}

/// Where copies go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlaceSettings {
    /// A folder on another disk.
    Folder(PathBuf),
    /// A bucket of an S3-compatible store.
    Bucket(BucketSettings),
}

/// A bucket of an S3-compatible store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketSettings {
    /// Its name.
    pub bucket: String,
    /// Stands before every key, without slashes at its ends; may be empty.
    pub prefix: String,
    /// Where the store is, without a slash at its end.
    pub endpoint: String,
    /// Part of every signature.
    pub region: String,
    /// Holds the access key's id and its secret, a line each.
    pub key_file: PathBuf,
    /// How objects are locked in a bucket that has Object Lock.
    pub lock: LockMode,
}

/// How objects are locked until a recording's time is over, in a bucket that has Object Lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockMode {
    /// Who has a special right may lift the lock.
    Governance,
    /// Nobody can lift it, not even the store's owner.
    Compliance,
    /// They are not locked.
    Off,
}

/// The keys of `[archive]`; `recordings` is the first place.
pub(super) fn read_archive(root: &Section<'_>, node: &NodeSettings, recordings: &Path) -> ArchiveSettings {
    let (section, usual) = (root.section("archive"), ArchiveSettings::default());
    let place = section.or("place", None, place).map(|written| settle(&section, written, node));
    if place.is_none() {
        // A bucket that is off for a while keeps its keys.
        let _ = ["endpoint", "region", "key_file", "lock"].map(|key| section.has(key));
    }
    if let Some(PlaceSettings::Folder(folder)) = &place
        && lies_within(folder, recordings)
    {
        section.report.fault(
            &section.path("place"),
            format!("{} and recording.folder, {}, are not two places", folder.display(), recordings.display()),
            "name a folder on another disk, beside the recordings and not among them",
        );
    }
    let settings = ArchiveSettings {
        place,
        copies_at_once: section.or("copies_at_once", usual.copies_at_once, values::whole(1..=16)),
        lag_max: section.or("lag_max", usual.lag_max, values::duration(seconds(10, 7 * 86_400))),
        compare_at: section.or("compare_at", usual.compare_at, time_of_day),
        compare_days: section.or("compare_days", usual.compare_days, values::whole(1..=365)),
        flac_after_days: section.or("flac_after_days", 0, values::whole(0..=3650)),
    };
    section.close();
    settings
}

/// What `place` says, before the keys that only a bucket has are read.
enum Written {
    Folder(PathBuf),
    Bucket { bucket: String, prefix: String },
}

fn place(value: &DeValue<'_>) -> Result<Option<Written>, Trouble> {
    let written = values::text(value)?;
    let trouble = |problem: String| Err((problem, FORMS.to_owned()));
    let (kind, rest) = written.split_once(':').unwrap_or((written.as_str(), ""));
    match kind {
        "off" if rest.is_empty() => Ok(None),
        "folder" if !rest.trim().is_empty() => Ok(Some(Written::Folder(rest.trim().into()))),
        "s3" => {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            let prefix = prefix.trim_matches('/');
            if !is_bucket(bucket) {
                return trouble(format!("`{bucket}` is no name of a bucket: 3 to 63 of a-z, 0-9, \"-\" and \".\""));
            }
            if prefix.len() > PREFIX_LENGTH_MAX || !prefix.split('/').all(is_plain) && !prefix.is_empty() {
                return trouble(format!("`{prefix}` is no prefix: letters, digits, \"-\", \"_\", \".\" and \"/\""));
            }
            Ok(Some(Written::Bucket { bucket: bucket.to_owned(), prefix: prefix.to_owned() }))
        }
        _ => trouble(format!("`{written}` names no place")),
    }
}

fn is_bucket(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.');
    (3..=63).contains(&name.len()) && name.bytes().all(plain)
}

fn is_plain(part: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    !part.is_empty() && part != "." && part != ".." && part.bytes().all(plain)
}

/// The place with the keys that belong to it; those of the other kind are faults.
fn settle(section: &Section<'_>, written: Written, node: &NodeSettings) -> PlaceSettings {
    let (bucket, prefix) = match written {
        Written::Folder(folder) => {
            for key in ["endpoint", "region", "key_file", "lock"] {
                // Taken, so that it is told for what it is and not as an unknown key.
                if section.take(key, |value| Ok(value.as_str().map(str::to_owned))).is_some() {
                    let remedy = "take it out, or write place = \"s3:BUCKET\"";
                    section.report.fault(&section.path(key), "is a bucket's, and the place is a folder", remedy);
                }
            }
            return PlaceSettings::Folder(folder);
        }
        Written::Bucket { bucket, prefix } => (bucket, prefix),
    };
    let region = section.or("region", "us-east-1".to_owned(), values::id);
    let amazon = format!("https://s3.{region}.amazonaws.com");
    let endpoint = section.or("endpoint", amazon, values::text);
    let host = endpoint.strip_prefix("https://").or_else(|| endpoint.strip_prefix("http://")).unwrap_or_default();
    let is_host = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b':' | b'[' | b']');
    if !section.report.has_fault_under(&section.path("endpoint"))
        && (host.is_empty() || !host.trim_end_matches('/').bytes().all(is_host))
    {
        section.report.fault(
            &section.path("endpoint"),
            format!("`{endpoint}` is no address of a store"),
            "write \"https://HOST\" or \"https://HOST:PORT\", or take it out: Amazon's of the region",
        );
    }
    let modes = [("governance", LockMode::Governance), ("compliance", LockMode::Compliance), ("off", LockMode::Off)];
    PlaceSettings::Bucket(BucketSettings {
        bucket,
        prefix,
        endpoint: endpoint.trim_end_matches('/').to_owned(),
        region,
        key_file: section.or("key_file", node.state.join("secrets").join("archive"), values::path),
        lock: section.or("lock", LockMode::Governance, values::choice(&modes)),
    })
}

/// Whether one of the two is the other or lies inside it, as far as the names say.
fn lies_within(one: &Path, other: &Path) -> bool {
    let plain = |path: &Path| -> PathBuf {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        path.components().filter(|part| *part != Component::CurDir).collect()
    };
    let (one, other) = (plain(one), plain(other));
    one.starts_with(&other) || other.starts_with(&one)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    fn read(section: &str) -> Result<ArchiveSettings, String> {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/vigie.toml");
        let text = std::fs::read_to_string(&file).expect("the sample");
        let (before, after) = text.split_once("\n[archive]\n").expect("the section");
        // What the sample itself says in the section goes.
        let rest = after.split_once("\n[").map_or("", |(_, rest)| rest);
        let settings = Settings::from_text(&format!("{before}\n[archive]\n{section}\n[{rest}"), &file);
        settings.map(|settings| settings.archive).map_err(|faults| faults.to_string())
    }

    #[test]
    fn each_kind_of_place_is_read_with_its_own_keys() {
        assert_eq!(read("place = \"off\"").expect("right").place, None);
        let folder = read("place = \"folder:/mnt/second\"\nlag_max = \"2h\"").expect("right");
        assert_eq!(folder.place, Some(PlaceSettings::Folder("/mnt/second".into())));
        assert_eq!(folder.lag_max, Duration::from_secs(7200));
        let bucket = read("place = \"s3:kept-calls/rouen/1\"\nregion = \"eu-west-3\"\nlock = \"compliance\"");
        match bucket.expect("right").place {
            Some(PlaceSettings::Bucket(bucket)) => {
                assert_eq!((bucket.bucket.as_str(), bucket.prefix.as_str()), ("kept-calls", "rouen/1"));
                assert_eq!(bucket.endpoint, "https://s3.eu-west-3.amazonaws.com");
                assert_eq!(bucket.lock, LockMode::Compliance);
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_no_second_place_is_told_with_its_line_and_a_remedy() {
        for (section, told) in [
            ("place = \"nfs:/mnt\"", "names no place"),
            ("place = \"folder:\"", "names no place"),
            ("place = \"folder:recordings/copy\"", "are not two places"),
            ("place = \"s3:Bucket\"", "is no name of a bucket"),
            ("place = \"s3:bucket/../x\"", "is no prefix"),
            ("place = \"s3:bucket\"\nendpoint = \"ftp://x\"", "is no address of a store"),
            ("place = \"folder:/mnt/second\"\nregion = \"x\"", "is a bucket's"),
            ("place = \"off\"\nflac_after_days = -1", "flac_after_days"),
            ("place = \"off\"\nlagmax = \"1h\"", "lagmax"),
        ] {
            let faults = read(section).expect_err(section);
            assert!(faults.contains(told) && faults.contains("vigie.toml:"), "{section}: {faults}");
        }
    }
}
