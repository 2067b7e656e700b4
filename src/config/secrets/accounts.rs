//! The regulators' passwords: kept as HA1, shown once in a file that may be deleted.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use md5::Md5;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{SecretsError, damaged, files, folder, hex, is_hex, random};
use crate::config::Settings;
use crate::model::{Credential, RegulatorId};

const ACCOUNTS: &str = "regulators.toml";
const PASSWORDS: &str = "passwords.txt";

const ACCOUNTS_HEAD: &str = "# What the server keeps of the regulators' passwords: HA1, the hashes of user:realm:password.\n\
     # With these a stranger could register: keep the file as a password. Change one with `vigie password ID`.\n\n";

const PASSWORDS_HEAD: &str = "# The regulators' passwords, for setting up their phones. The server never reads this file:\n\
     # delete it once the phones are set up.\n\n";

const REMEDY: &str =
    "put it back from a copy, or move it away and every regulator gets a new password at the next start";

/// Letters and digits that cannot be taken for one another.
const LETTERS: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz23456789A";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Accounts {
    realm: String,
    #[serde(default)]
    regulators: BTreeMap<String, Account>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Account {
    md5: String,
    sha256: String,
}

/// The credentials of every configured regulator; a new one gets a password.
pub(super) fn open_or_make(
    settings: &Settings,
    folder: &Path,
    made: &mut Vec<PathBuf>,
) -> Result<HashMap<RegulatorId, Credential>, SecretsError> {
    let mut accounts = read(settings, folder)?;
    let mut passwords = BTreeMap::new();
    for id in settings.centre.regulators.keys() {
        if !accounts.regulators.contains_key(id.as_str()) {
            let password = new_password()?;
            accounts.regulators.insert(id.to_string(), account(id, &settings.sip.realm, &password));
            passwords.insert(id.to_string(), Some(password));
        }
    }
    if !passwords.is_empty() {
        // First what a person must learn: a password that only its hash remembers is lost.
        write_passwords(folder, passwords)?;
        write(folder, &accounts)?;
        made.extend([folder.join(PASSWORDS), folder.join(ACCOUNTS)]);
    }
    let known =
        |id: &RegulatorId| accounts.regulators.get(id.as_str()).map(|account| (id.clone(), credential(account)));
    Ok(settings.centre.regulators.keys().filter_map(known).collect())
}

/// Gives a regulator this password; it holds from the next `vigie reload` or start of the server.
pub fn set_password(settings: &Settings, regulator: &RegulatorId, password: &str) -> Result<(), SecretsError> {
    if !settings.centre.regulators.contains_key(regulator) {
        return Err(SecretsError::UnknownRegulator { id: regulator.clone() });
    }
    let is_typed = password.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
    if !is_typed || !(12..=128).contains(&password.len()) {
        return Err(SecretsError::WeakPassword);
    }
    let folder = folder(settings);
    files::make_folder(&folder)?;
    let mut accounts = read(settings, &folder)?;
    accounts.regulators.insert(regulator.to_string(), account(regulator, &settings.sip.realm, password));
    write(&folder, &accounts)?;
    if files::read(&folder.join(PASSWORDS))?.is_some() {
        write_passwords(&folder, BTreeMap::from([(regulator.to_string(), None)]))?;
    }
    Ok(())
}

/// A password of 100 random bits, in groups that can be read over a telephone.
pub fn new_password() -> Result<String, SecretsError> {
    let bytes: [u8; 20] = random()?;
    let mut password = String::new();
    for (number, byte) in bytes.iter().enumerate() {
        if number > 0 && number % 5 == 0 {
            password.push('-');
        }
        password.extend(LETTERS.get(usize::from(byte % 32)).map(|letter| char::from(*letter)));
    }
    Ok(password)
}

fn read(settings: &Settings, folder: &Path) -> Result<Accounts, SecretsError> {
    let path = folder.join(ACCOUNTS);
    let realm = &settings.sip.realm;
    let Some(text) = files::read(&path)? else {
        return Ok(Accounts { realm: realm.clone(), regulators: BTreeMap::new() });
    };
    let accounts: Accounts = toml::from_str(&text).map_err(|error| damaged(&path, error.message(), REMEDY))?;
    for (id, account) in &accounts.regulators {
        if !is_hex(&account.md5, 32) || !is_hex(&account.sha256, 64) {
            return Err(damaged(&path, format_args!("the hashes of `{id}` are no hashes"), REMEDY));
        }
    }
    if accounts.realm != *realm {
        return Err(SecretsError::RealmChanged { path, was: accounts.realm, now: realm.clone() });
    }
    Ok(accounts)
}

fn write(folder: &Path, accounts: &Accounts) -> Result<(), SecretsError> {
    let path = folder.join(ACCOUNTS);
    let text = toml::to_string(accounts).map_err(|error| damaged(&path, error, REMEDY))?;
    files::write(&path, &format!("{ACCOUNTS_HEAD}{text}"))
}

/// Puts these passwords in the file for people, in place of older ones; `None` takes a line out.
fn write_passwords(folder: &Path, passwords: BTreeMap<String, Option<String>>) -> Result<(), SecretsError> {
    let path = folder.join(PASSWORDS);
    let before = files::read(&path)?.unwrap_or_default();
    let mut lines: BTreeMap<String, Option<String>> = before
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(char::is_whitespace))
        .map(|(id, password)| (id.to_owned(), Some(password.trim().to_owned())))
        .collect();
    lines.extend(passwords);
    let width = lines.keys().map(String::len).max().unwrap_or_default();
    let shown = lines.iter().filter_map(|(id, password)| Some((id, password.as_ref()?)));
    let body: String = shown.map(|(id, password)| format!("{id:width$}  {password}\n")).collect();
    files::write(&path, &format!("{PASSWORDS_HEAD}{body}"))
}

/// RFC 7616 §3.4.2: A1 = user ":" realm ":" password.
fn account(id: &RegulatorId, realm: &str, password: &str) -> Account {
    let a1 = format!("{id}:{realm}:{password}");
    Account { md5: hex(&Md5::digest(&a1)), sha256: hex(&Sha256::digest(&a1)) }
}

fn credential(account: &Account) -> Credential {
    Credential { md5: account.md5.clone(), sha256: account.sha256.clone() }
}
