//! The secrets that sign events for each dispatch endpoint, as Standard Webhooks writes them: `whsec_` and base64.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{SecretsError, damaged, files, random};
use crate::config::Settings;

/// Secrets of one endpoint at once: the current one, and older ones while the receiver changes over.
const SECRETS_MAX: usize = 4;

const REMEDY: &str = "write one secret a line, `whsec_` and the base64 of 24 to 64 bytes, at most four; or move it away to have one made";

/// The secrets of each endpoint, by its id; made where the file is missing.
pub(super) fn open_or_make(
    settings: &Settings,
    made: &mut Vec<PathBuf>,
) -> Result<HashMap<String, Vec<String>>, SecretsError> {
    let mut all = HashMap::new();
    for endpoint in &settings.dispatch {
        let path = &endpoint.secret_file;
        let secrets = match files::read(path)? {
            Some(text) => parse(path, &text)?,
            None => {
                let secret = format!("whsec_{}", STANDARD.encode(random::<32>()?));
                files::write(path, &format!("{secret}\n"))?;
                made.push(path.clone());
                vec![secret]
            }
        };
        all.insert(endpoint.id.clone(), secrets);
    }
    Ok(all)
}

fn parse(path: &Path, text: &str) -> Result<Vec<String>, SecretsError> {
    let lines: Vec<&str> =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    if lines.is_empty() || lines.len() > SECRETS_MAX || !lines.iter().all(|line| is_secret(line)) {
        return Err(damaged(path, "it holds no webhook secrets", REMEDY));
    }
    Ok(lines.into_iter().map(str::to_owned).collect())
}

fn is_secret(line: &str) -> bool {
    let bytes = line.strip_prefix("whsec_").and_then(|body| STANDARD.decode(body).ok());
    bytes.is_some_and(|bytes| (24..=64).contains(&bytes.len()))
}
