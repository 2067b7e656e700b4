//! Encryption at rest: where the key-encryption key comes from.

use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use toml::de::DeValue;

use super::document::{Section, Trouble};
use super::values;

/// The most old keys: years of rotations; more is a mistake.
const OLD_KEYS_MAX: usize = 32;
/// How a source is written.
const FORMS: &str =
    "write \"file:PATH\", \"env:NAME\" or \"command:PROGRAM WORDS\" (`vigie key new FILE` makes a key), or \"off\"";

/// How audio rests on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncryptionSettings {
    /// Where the key-encryption key comes from; without one, audio rests as it is.
    pub key: Option<KeySource>,
    /// Key-encryption keys of earlier times: they open what has not been re-wrapped yet.
    pub old_keys: Vec<KeySource>,
    /// How long a command may take to print a key.
    pub command_duration_max: Duration,
}

impl Default for EncryptionSettings {
    fn default() -> EncryptionSettings {
        EncryptionSettings { key: None, old_keys: Vec::new(), command_duration_max: Duration::from_secs(10) }
    }
}

/// Where a key-encryption key comes from: 32 bytes, as they are, in base64 or in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// A file.
    File(PathBuf),
    /// A variable of the environment.
    Environment(String),
    /// A program and its words, which prints the key: the door to a key service.
    Command(Vec<String>),
}

impl FromStr for KeySource {
    type Err = String;

    fn from_str(written: &str) -> Result<KeySource, String> {
        let (kind, rest) = written.split_once(':').unwrap_or((written, ""));
        let rest = rest.trim();
        match kind {
            _ if rest.is_empty() => Err(format!("`{written}` names no key")),
            "file" => Ok(KeySource::File(rest.into())),
            "env" if rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') => {
                Ok(KeySource::Environment(rest.to_owned()))
            }
            "env" => Err(format!("`{rest}` is no name of a variable")),
            "command" => Ok(KeySource::Command(rest.split_whitespace().map(str::to_owned).collect())),
            _ => Err(format!("`{written}` names no key")),
        }
    }
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeySource::File(path) => write!(f, "file:{}", path.display()),
            KeySource::Environment(name) => write!(f, "env:{name}"),
            KeySource::Command(words) => write!(f, "command:{}", words.join(" ")),
        }
    }
}

/// The section `[recording.encryption]`.
pub(super) fn read_encryption(section: &Section<'_>) -> EncryptionSettings {
    let usual = EncryptionSettings::default();
    let range = Duration::from_secs(1)..=Duration::from_secs(60);
    let settings = EncryptionSettings {
        key: section.or("key", None, source_or_off),
        old_keys: section.list("old_keys", source).into_iter().map(|(_, source)| source).collect(),
        command_duration_max: section.or("command_duration_max", usual.command_duration_max, values::duration(range)),
    };
    if settings.old_keys.len() > OLD_KEYS_MAX {
        section.report.fault(
            &section.path("old_keys"),
            format!("has more than {OLD_KEYS_MAX} keys"),
            "run `vigie key rotate`, then take out those that nothing is wrapped with any more",
        );
    }
    let sources = settings.key.iter().map(|key| ("key", key));
    for (key, source) in sources.chain(settings.old_keys.iter().map(|key| ("old_keys", key))) {
        if let KeySource::File(path) = source {
            warn_of_readers(section, key, path);
        }
    }
    settings
}

/// Whoever reads the key reads every recording: a file that others may read is told, as ssh does of its keys.
fn warn_of_readers(section: &Section<'_>, key: &str, path: &Path) {
    // Absent or unreadable: that is told when it is needed.
    let Ok(about) = std::fs::metadata(path) else { return };
    let mode = about.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let problem = format!("the key file {} can be read or changed by others (mode {mode:03o})", path.display());
        section.report.warn(&section.path(key), problem, format!("run `chmod go= {}`", path.display()));
    }
}

fn source_or_off(value: &DeValue<'_>) -> Result<Option<KeySource>, Trouble> {
    if value.as_str() == Some("off") {
        return Ok(None);
    }
    source(value).map(Some)
}

fn source(value: &DeValue<'_>) -> Result<KeySource, Trouble> {
    values::text(value)?.parse().map_err(|problem| (problem, FORMS.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_reads_back_as_it_was_written() {
        for written in ["file:/etc/vigie/kek", "env:VIGIE_KEK", "command:/usr/bin/kms decrypt --key a"] {
            assert_eq!(written.parse::<KeySource>().map(|source| source.to_string()), Ok(written.to_owned()));
        }
        for wrong in ["", "off", "file:", "file", "env:A B", "vault:x", "command: "] {
            assert!(wrong.parse::<KeySource>().is_err(), "{wrong}");
        }
    }
}
