//! The passwords that carriers gave: read, never made.

use std::collections::HashMap;

use super::{SecretsError, damaged, files};
use crate::config::Settings;
use crate::model::TrunkId;

/// The longest password taken, in bytes.
const PASSWORD_LENGTH_MAX: usize = 256;

/// The password of each trunk that has an account.
pub(super) fn open(settings: &Settings) -> Result<HashMap<TrunkId, String>, SecretsError> {
    let mut all = HashMap::new();
    for (trunk, files) in &settings.trunks {
        let Some(path) = &files.password else { continue };
        let missing = || SecretsError::NoTrunkPassword { trunk: trunk.clone(), path: path.clone() };
        let text = files::read(path)?.ok_or_else(missing)?;
        let mut lines = text.lines().filter(|line| !line.is_empty());
        let password = lines.next().ok_or_else(missing)?.to_owned();
        if lines.next().is_some() || password.len() > PASSWORD_LENGTH_MAX || password.chars().any(char::is_control) {
            let remedy = "write the carrier's password into it and nothing else, on one line";
            return Err(damaged(path, "it holds more than one line, more than 256 bytes, or what is no text", remedy));
        }
        all.insert(trunk.clone(), password);
    }
    Ok(all)
}
