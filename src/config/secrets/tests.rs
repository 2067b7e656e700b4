//! Secrets are made once, kept private, and never silently replaced.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use ed25519_dalek::{Signer, Verifier};
use md5::{Digest, Md5};
use sha2::Sha256;
use tempfile::TempDir;

use super::*;

const CENTRE: &str = r#"
[skills]
regulation = "may regulate"
[associations.sos]
[regions.here]
[lines.main]
association = "sos"
region = "here"
skills = { regulation = 50 }
[regulators.anne]
association = "sos"
skills = { regulation = 60 }
[trunks.carrier]
peers = ["127.0.0.2"]
fallback_line = "main"
[sounds]
music = "music.wav"
"#;

/// A folder with a centre in it, and its settings with `more` in the file.
fn centre(folder: &TempDir, more: &str) -> Settings {
    let form =
        hound::WavSpec { channels: 1, sample_rate: 8000, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
    let mut wav = hound::WavWriter::create(folder.path().join("music.wav"), form).expect("a file");
    wav.write_sample(1_i16).expect("a sample");
    wav.finalize().expect("a header");
    let text = format!("[node]\nstate = \"{}\"\n{CENTRE}{more}", folder.path().join("state").display());
    Settings::from_text(&text, &folder.path().join("test.toml")).unwrap_or_else(|faults| panic!("{faults}"))
}

fn open(settings: &Settings) -> Secrets {
    Secrets::open_or_make(settings).unwrap_or_else(|error| panic!("{error}"))
}

fn file(folder: &TempDir, name: &str) -> PathBuf {
    folder.path().join("state/secrets").join(name)
}

fn text(folder: &TempDir, name: &str) -> String {
    fs::read_to_string(file(folder, name)).expect("a file")
}

const ENDPOINT: &str = "[[dispatch]]\nid = \"samu\"\nurl = \"https://dispatch.example/\"\n";

#[test]
fn every_secret_file_is_for_its_owner_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let secrets = open(&centre(&folder, ENDPOINT));
    let modes = |path: &Path| fs::metadata(path).expect("there").mode() & 0o777;
    assert_eq!(modes(&folder.path().join("state/secrets")), 0o700);
    let files: Vec<_> = fs::read_dir(folder.path().join("state/secrets")).expect("a folder").flatten().collect();
    assert!(files.iter().all(|file| modes(&file.path()) == 0o600));
    assert_eq!(files.len(), 8, "{files:?}");
    assert_eq!(secrets.made.len(), 8, "{:?}", secrets.made);
}

#[test]
fn a_second_start_reads_what_the_first_has_made() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = centre(&folder, ENDPOINT);
    let (first, second) = (open(&settings), open(&settings));
    assert_eq!(second.made, Vec::<PathBuf>::new());
    assert_eq!(first.credentials, second.credentials);
    assert_eq!(first.tokens, second.tokens);
    assert_eq!(first.endpoint_secrets, second.endpoint_secrets);
    second.seal_key.verifying_key().verify(b"x", &first.seal_key.sign(b"x")).expect("the same key");
}

#[test]
fn the_kept_hashes_are_those_of_the_passwords_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    let secrets = open(&centre(&folder, ""));
    let passwords = text(&folder, "passwords.txt");
    let password = passwords.lines().find_map(|line| line.strip_prefix("anne  ")).expect("a line for anne");
    let a1 = format!("anne:vigie:{password}");
    let kept = secrets.credentials.get(&"anne".into()).expect("credentials");
    assert_eq!(
        (kept.md5.as_str(), kept.sha256.as_str()),
        (hex(&Md5::digest(&a1)).as_str(), hex(&Sha256::digest(&a1)).as_str())
    );
    assert!(!text(&folder, "regulators.toml").contains(password));
    let token = text(&folder, "api-token-admin");
    let admin = secrets.tokens.iter().find(|token| token.role == ApiRole::Admin).expect("an admin");
    assert_eq!(admin.sha256, hex(&Sha256::digest(token.trim())));
}

#[test]
fn a_regulator_added_later_gets_a_password_and_the_others_keep_theirs() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = open(&centre(&folder, ""));
    fs::remove_file(file(&folder, "passwords.txt")).expect("may be deleted");
    let second = open(&centre(&folder, "[regulators.bruno]\nassociation = \"sos\"\nskills = { regulation = 60 }\n"));
    assert_eq!(second.credentials.len(), 2);
    assert_eq!(first.credentials.get(&"anne".into()), second.credentials.get(&"anne".into()));
    let passwords = text(&folder, "passwords.txt");
    assert!(passwords.contains("bruno  ") && !passwords.contains("anne"), "{passwords}");
}

#[test]
fn a_regulator_taken_out_of_the_configuration_has_no_credential() {
    let folder = tempfile::tempdir().expect("a folder");
    open(&centre(&folder, "[regulators.bruno]\nassociation = \"sos\"\nskills = { regulation = 60 }\n"));
    assert!(!open(&centre(&folder, "")).credentials.contains_key(&"bruno".into()));
}

#[test]
fn a_changed_realm_is_told_with_both_names() {
    let folder = tempfile::tempdir().expect("a folder");
    open(&centre(&folder, ""));
    let told = Secrets::open_or_make(&centre(&folder, "[sip]\nrealm = \"other\"\n")).expect_err("refused").to_string();
    assert!(told.contains("`vigie`") && told.contains("`other`") && told.contains("put the realm back"), "{told}");
}

#[test]
fn a_file_that_others_may_read_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = centre(&folder, ENDPOINT);
    open(&settings);
    for name in ["regulators.toml", "tokens.toml", "seal-key.pem", "webhook-samu"] {
        fs::set_permissions(file(&folder, name), Permissions::from_mode(0o640)).expect("changed");
        let told = Secrets::open_or_make(&settings).expect_err(name).to_string();
        assert!(told.contains(name) && told.contains("mode 640") && told.contains("chmod"), "{told}");
        fs::set_permissions(file(&folder, name), Permissions::from_mode(0o600)).expect("changed");
    }
    fs::set_permissions(folder.path().join("state/secrets"), Permissions::from_mode(0o755)).expect("changed");
    assert!(matches!(Secrets::open_or_make(&settings), Err(SecretsError::Exposed { mode: 0o755, .. })));
}

#[test]
fn a_damaged_file_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = centre(&folder, ENDPOINT);
    open(&settings);
    for name in ["regulators.toml", "tokens.toml", "seal-key.pem", "webhook-samu"] {
        let before = text(&folder, name);
        let cut = before.get(..before.len() - 20).expect("longer");
        fs::write(file(&folder, name), cut).expect("written");
        let told = Secrets::open_or_make(&settings).expect_err(name).to_string();
        assert!(told.contains(name) && told.contains("is damaged"), "{told}");
        assert_eq!(text(&folder, name), cut);
        fs::write(file(&folder, name), before).expect("written");
    }
}

#[test]
fn a_set_password_is_kept_as_its_hash_and_leaves_the_file_for_people() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = centre(&folder, "");
    open(&settings);
    set_password(&settings, &"anne".into(), "correct horse battery").expect("set");
    let kept = open(&settings);
    let expected = hex(&Md5::digest("anne:vigie:correct horse battery"));
    assert_eq!(kept.credentials.get(&"anne".into()).map(|c| c.md5.clone()), Some(expected));
    assert!(!text(&folder, "passwords.txt").contains("anne"));
    assert!(matches!(set_password(&settings, &"anne".into(), "short"), Err(SecretsError::WeakPassword)));
    let unknown = set_password(&settings, &"zoe".into(), "correct horse battery");
    assert!(matches!(unknown, Err(SecretsError::UnknownRegulator { .. })));
}

#[test]
fn two_new_passwords_are_never_the_same() {
    let (a, b) = (new_password().expect("random"), new_password().expect("random"));
    assert_ne!(a, b);
    assert!(a.len() == 23 && a.bytes().all(|byte| LETTERS_AND_DASH.contains(&byte)), "{a}");
}

const LETTERS_AND_DASH: &[u8] = b"abcdefghjkmnpqrstuvwxyz23456789A-";

#[test]
fn secrets_do_not_show_themselves() {
    let folder = tempfile::tempdir().expect("a folder");
    assert_eq!(format!("{:?}", open(&centre(&folder, ""))), "Secrets(…)");
}

const ACCOUNT: &str = "[trunks.operator]\nhost = \"127.0.0.3\"\nuser = \"centre\"\nfallback_line = \"main\"\n";

#[test]
fn a_carriers_password_is_read_and_never_made() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = centre(&folder, ACCOUNT);
    let error = Secrets::open_or_make(&settings).expect_err("there is none").to_string();
    assert!(error.contains("trunk-operator: write what the carrier gave"), "{error}");
    let path = file(&folder, "trunk-operator");
    fs::write(&path, "pass word\n").expect("written");
    fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("opened");
    assert!(matches!(Secrets::open_or_make(&settings), Err(SecretsError::Exposed { .. })));
    fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("closed");
    assert_eq!(open(&settings).trunk_passwords.get(&"operator".into()).map(String::as_str), Some("pass word"));
    fs::write(&path, "one\ntwo\n").expect("written");
    assert!(matches!(Secrets::open_or_make(&settings), Err(SecretsError::Damaged { .. })));
}
