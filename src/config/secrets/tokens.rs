//! The API's bearer tokens: kept hashed, each shown once in a file that may be deleted.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{SecretsError, damaged, files, hex, is_hex, random};

const TOKENS: &str = "tokens.toml";

const TOKENS_HEAD: &str = "# The API's bearer tokens: sha256 is the hash of the token's text. To add one:\n\
     #   token=vigie_$(openssl rand -hex 32); printf %s \"$token\" | sha256sum\n\
     # role is \"admin\" (everything), \"compliance\" (read, listen with a reason, hold and delete with a second person) or\n\
     # \"viewer\" (read, but no recording's audio or sidecar, and no audit).\n\
     # associations = [\"sos-rouen\"] lets it see calls and recordings of these alone; without it, of all.\n\
     # person = \"claire\" says whose token it is, where somebody has several: two tokens of one person are one person\n\
     # where a second one must agree. Default: its name. Restart the server after a change.\n\n";

const REMEDY: &str = "put it back from a copy, or move it away to have new tokens made at the next start";

/// What a token allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ApiRole {
    /// Everything.
    Admin,
    /// Reading everything, listening with a reason, custody.
    Compliance,
    /// Reading, but neither recordings nor the audit.
    Viewer,
}

/// One bearer token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiToken {
    /// Whose it is, as the audit writes it.
    pub name: String,
    /// What it allows.
    pub role: ApiRole,
    /// Who holds it, where one person holds several; without it, `name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    /// The associations whose calls and recordings it may see; without it, all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub associations: Option<Vec<String>>,
    /// SHA-256 of its text, lower-case hexadecimal.
    pub sha256: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tokens {
    #[serde(default)]
    token: Vec<ApiToken>,
}

/// The tokens; at the first start one an administrator and one for compliance.
pub(super) fn open_or_make(folder: &Path, made: &mut Vec<PathBuf>) -> Result<Vec<ApiToken>, SecretsError> {
    let path = folder.join(TOKENS);
    if let Some(text) = files::read(&path)? {
        return parse(&path, &text);
    }
    let mut tokens = Vec::new();
    for (name, role) in [("admin", ApiRole::Admin), ("compliance", ApiRole::Compliance)] {
        let plain = format!("vigie_{}", URL_SAFE_NO_PAD.encode(random::<32>()?));
        let file = folder.join(format!("api-token-{name}"));
        files::write(&file, &format!("{plain}\n"))?;
        made.push(file);
        let sha256 = hex(&Sha256::digest(&plain));
        tokens.push(ApiToken { name: name.into(), role, person: None, associations: None, sha256 });
    }
    let tokens = Tokens { token: tokens };
    let text = toml::to_string(&tokens).map_err(|error| damaged(&path, error, REMEDY))?;
    files::write(&path, &format!("{TOKENS_HEAD}{text}"))?;
    made.push(path);
    Ok(tokens.token)
}

fn parse(path: &Path, text: &str) -> Result<Vec<ApiToken>, SecretsError> {
    let tokens: Tokens = toml::from_str(text).map_err(|error| damaged(path, error.message(), REMEDY))?;
    for token in &tokens.token {
        if !is_hex(&token.sha256, 64) || token.name.trim().is_empty() {
            return Err(damaged(path, format_args!("the token `{}` has no hash or no name", token.name), REMEDY));
        }
        let is_empty = |text: &str| text.trim().is_empty() || text.chars().any(char::is_control);
        let names = token.person.iter().chain(token.associations.iter().flatten());
        if names.chain([&token.name]).any(|name| is_empty(name)) {
            let what =
                format_args!("the token `{}` has an empty name, person or association", token.name.escape_debug());
            return Err(damaged(path, what, REMEDY));
        }
    }
    Ok(tokens.token)
}
