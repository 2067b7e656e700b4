//! How often the seal log gets a root, and who stamps it with a time.

use std::path::Path;
use std::time::Duration;

use super::document::Section;
use super::parts::seconds;
use super::settings::{AuthoritySettings, ProofSettings};
use super::values;

/// The keys of `[proof]`; `folder` is the configuration file's.
pub(super) fn read_proof(root: &Section<'_>, folder: &Path) -> ProofSettings {
    let section = root.section("proof");
    let root_every = section.or("root_every", Duration::from_secs(3600), values::duration(seconds(1, 86_400)));
    let settings = ProofSettings { root_every, authority: read_authority(&section, folder) };
    section.close();
    settings
}

/// The table `timestamp`, when it is there.
fn read_authority(proof: &Section<'_>, folder: &Path) -> Option<AuthoritySettings> {
    if !proof.has("timestamp") {
        return None;
    }
    let section = proof.section("timestamp");
    let url =
        section.must("url", "write url = \"http://…\", the authority's address", values::text).unwrap_or_default();
    let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")).unwrap_or_default();
    if !section.report.has_fault_under(&section.path("url")) && (host.is_empty() || host.starts_with('/')) {
        section.report.fault(
            &section.path("url"),
            format!("`{url}` is no address of a time-stamping authority"),
            "write \"http://HOST/PATH\" or \"https://HOST/PATH\" as the authority gives it (RFC 3161 over HTTP)",
        );
    }
    let certificates = section.take("certificates", values::path).map(|path| folder.join(path));
    if let Some(path) = &certificates
        && !std::fs::read_to_string(path).is_ok_and(|text| text.contains("BEGIN CERTIFICATE"))
    {
        section.report.fault(
            &section.path("certificates"),
            format!("{} cannot be read, or holds no certificate in PEM form", path.display()),
            "save the authority's root and intermediate certificates into it, or take the key out",
        );
    }
    let timeout = section.or("timeout", Duration::from_secs(10), values::duration(seconds(1, 60)));
    section.close();
    Some(AuthoritySettings { url, certificates, timeout })
}
