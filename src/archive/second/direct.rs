//! What is asked of an S3-compatible store beside objects: whether a bucket keeps versions and locks, versions removed one by
//! one, locks until a day, legal holds (Amazon S3 API: GetBucketVersioning, GetObjectLockConfiguration, ListObjectVersions,
//! DeleteObject with a version, HeadObject, PutObjectRetention, PutObjectLegalHold).

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use object_store::aws::{AwsAuthorizer, AwsCredential};
use object_store::client::{HttpRequest, HttpRequestBody};
use reqwest::{Method, StatusCode};

use super::place::Protection;
use crate::config::archive::{BucketSettings, LockMode};
use crate::model::Utc;

/// The most versions of one object that are looked for: a key file is written anew with each rotation.
const VERSIONS_MAX: usize = 1000;
/// The lock that nobody can take off.
const COMPLIANCE: &str = "COMPLIANCE";
/// The longest key file.
const KEY_FILE_BYTES_MAX: usize = 4096;

/// What a bucket can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct About {
    /// What is replaced or removed stays as an older version.
    pub has_versions: bool,
    /// Objects can be locked.
    pub has_lock: bool,
}

/// The way to the store for what has no word in `object_store`.
pub(super) struct Direct {
    client: reqwest::Client,
    /// The bucket's address.
    base: String,
    region: String,
    credential: AwsCredential,
}

/// What is asked.
struct Asked<'a> {
    method: Method,
    key: &'a str,
    query: &'a str,
    body: String,
}

impl Direct {
    /// Reads the key file.
    pub(super) fn new(settings: &BucketSettings, client: reqwest::Client) -> io::Result<Direct> {
        let (key_id, secret_key) = read_key_file(&settings.key_file)?;
        Ok(Direct {
            client,
            base: format!("{}/{}", settings.endpoint, settings.bucket),
            region: settings.region.clone(),
            credential: AwsCredential { key_id, secret_key, token: None },
        })
    }

    pub(super) fn key_id(&self) -> &str {
        &self.credential.key_id
    }

    pub(super) fn secret(&self) -> &str {
        &self.credential.secret_key
    }

    async fn ask(&self, asked: Asked<'_>) -> io::Result<(StatusCode, String)> {
        let answer = self.send(asked).await?;
        let status = answer.status();
        Ok((status, answer.text().await.map_err(io::Error::other)?))
    }

    async fn send(&self, asked: Asked<'_>) -> io::Result<reqwest::Response> {
        let key: String = asked.key.split('/').map(|part| format!("/{}", encode(part))).collect();
        let joint = if asked.query.is_empty() { "" } else { "?" };
        let url = format!("{}{}{joint}{}", self.base, if asked.key.is_empty() { "" } else { &key }, asked.query);
        let mut request = HttpRequest::new(HttpRequestBody::from(asked.body.clone()));
        *request.method_mut() = asked.method.clone();
        *request.uri_mut() = url.parse().map_err(io::Error::other)?;
        if !asked.body.is_empty() {
            let print = STANDARD.encode(Md5::digest(asked.body.as_bytes()));
            request.headers_mut().insert("content-md5", print.parse().map_err(io::Error::other)?);
        }
        let authorizer = AwsAuthorizer::new(&self.credential, "s3", &self.region);
        authorizer.try_authorize(&mut request, None).map_err(io::Error::other)?;
        let sent = self.client.request(asked.method, url).headers(request.headers().clone()).body(asked.body).send();
        sent.await.map_err(io::Error::other)
    }

    /// What the bucket can do.
    pub(super) async fn about(&self) -> io::Result<About> {
        let get = |query| Asked { method: Method::GET, key: "", query, body: String::new() };
        let (status, text) = self.ask(get("versioning")).await?;
        if !status.is_success() {
            return Err(refused("asking the bucket whether it keeps versions", status, &text));
        }
        let has_versions = texts(&text, "Status").iter().any(|status| status == "Enabled" || status == "Suspended");
        let (status, text) = self.ask(get("object-lock")).await?;
        // A bucket without locks answers 404, a store that knows none 400 or 501.
        let has_lock = status.is_success() && texts(&text, "ObjectLockEnabled").iter().any(|word| word == "Enabled");
        Ok(About { has_versions, has_lock })
    }

    async fn list_versions(&self, prefix: &str) -> io::Result<String> {
        let query = format!("versions=&prefix={}&max-keys={VERSIONS_MAX}", encode(prefix));
        let (status, text) =
            self.ask(Asked { method: Method::GET, key: "", query: &query, body: String::new() }).await?;
        if status.is_success() { Ok(text) } else { Err(refused("listing versions of objects", status, &text)) }
    }

    /// The keys under a prefix of which there is any version, or the mark of its removal.
    pub(super) async fn keys_ever(&self, prefix: &str) -> io::Result<BTreeSet<String>> {
        let text = self.list_versions(prefix).await?;
        Ok(texts(&text, "Key").into_iter().collect())
    }

    /// Removes the parts of uploads under a prefix that were never completed (ListMultipartUploads, AbortMultipartUpload).
    pub(super) async fn abort_uploads(&self, prefix: &str) -> io::Result<()> {
        let query = format!("uploads=&prefix={}", encode(prefix));
        let (status, text) =
            self.ask(Asked { method: Method::GET, key: "", query: &query, body: String::new() }).await?;
        match status {
            // A store that has no such list keeps no such parts for long.
            StatusCode::NOT_IMPLEMENTED => return Ok(()),
            status if !status.is_success() => {
                return Err(refused("listing uploads that were not completed", status, &text));
            }
            _ => {}
        }
        for (key, upload) in uploads_in(&text).into_iter().filter(|(key, _)| key.starts_with(prefix)) {
            let query = format!("uploadId={}", encode(&upload));
            let (status, text) =
                self.ask(Asked { method: Method::DELETE, key: &key, query: &query, body: String::new() }).await?;
            if !status.is_success() && status != StatusCode::NOT_FOUND {
                return Err(refused("removing an upload that was not completed", status, &text));
            }
        }
        Ok(())
    }

    /// Removes every version of an object.
    pub(super) async fn remove_versions(&self, key: &str) -> io::Result<()> {
        let text = self.list_versions(key).await?;
        for version in versions_of(&text, key) {
            let query = format!("versionId={}", encode(&version));
            let (status, text) =
                self.ask(Asked { method: Method::DELETE, key, query: &query, body: String::new() }).await?;
            if !status.is_success() && status != StatusCode::NOT_FOUND {
                return Err(refused("removing a version of an object", status, &text));
            }
        }
        Ok(())
    }

    /// Locks an object until a day, and puts a legal hold on it or takes it off. A lock is only ever made longer.
    pub(super) async fn protect(&self, key: &str, mode: LockMode, protection: Protection) -> io::Result<()> {
        let mode = match mode {
            LockMode::Governance => "GOVERNANCE",
            LockMode::Compliance => COMPLIANCE,
            LockMode::Off => return Ok(()),
        };
        // A hold first: between the two the object is never free.
        if protection.is_held {
            self.hold(key, "ON").await?;
        }
        if let Some(until) = protection.until
            && !self.is_locked(key, mode, until).await?
        {
            let until = until.timestamp().strftime("%Y-%m-%dT%H:%M:%SZ");
            let body = format!(
                "<Retention xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Mode>{mode}</Mode><RetainUntilDate>{until}</RetainUntilDate></Retention>"
            );
            let (status, text) = self.ask(Asked { method: Method::PUT, key, query: "retention=", body }).await?;
            if !status.is_success() {
                return Err(refused("locking an object", status, &text));
            }
        }
        if protection.is_held { Ok(()) } else { self.hold(key, "OFF").await }
    }

    /// Whether an object is locked until then already, and no more weakly than wished (HeadObject tells both).
    async fn is_locked(&self, key: &str, mode: &str, until: Utc) -> io::Result<bool> {
        let answer = self.send(Asked { method: Method::HEAD, key, query: "", body: String::new() }).await?;
        let word = |name: &str| answer.headers().get(name).and_then(|word| word.to_str().ok()).unwrap_or_default();
        let there = word("x-amz-object-lock-retain-until-date").parse::<jiff::Timestamp>();
        let is_long = there.is_ok_and(|there| there.as_second() >= until.timestamp().as_second());
        let locked_by = word("x-amz-object-lock-mode");
        Ok(answer.status().is_success() && is_long && (locked_by == mode || locked_by == COMPLIANCE))
    }

    async fn hold(&self, key: &str, word: &str) -> io::Result<()> {
        let body =
            format!("<LegalHold xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Status>{word}</Status></LegalHold>");
        let (status, text) = self.ask(Asked { method: Method::PUT, key, query: "legal-hold=", body }).await?;
        if status.is_success() { Ok(()) } else { Err(refused("a legal hold on an object", status, &text)) }
    }
}

fn read_key_file(path: &Path) -> io::Result<(String, String)> {
    let amiss = |what: &str| {
        let remedy = "write the access key's id and its secret into it, a line each, and nothing else (chmod 600)";
        io::Error::other(format!("the key file {} {what}: {remedy}", path.display()))
    };
    let text = std::fs::read_to_string(path).map_err(|error| amiss(&format!("cannot be read ({error})")))?;
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    match (lines.next(), lines.next(), lines.next()) {
        (Some(id), Some(secret), None) if text.len() <= KEY_FILE_BYTES_MAX => Ok((id.to_owned(), secret.to_owned())),
        _ => Err(amiss("does not hold two lines")),
    }
}

/// What the store says against it, in its own words.
fn refused(act: &str, status: StatusCode, text: &str) -> io::Error {
    let word = |name| texts(text, name).into_iter().next().unwrap_or_default();
    let kind = if status == StatusCode::FORBIDDEN { io::ErrorKind::PermissionDenied } else { io::ErrorKind::Other };
    io::Error::new(kind, format!("{act}: the store refused with {status} {} {}", word("Code"), word("Message")))
}

/// The texts of the elements of this name.
fn texts(xml: &str, name: &str) -> Vec<String> {
    let Ok(document) = roxmltree::Document::parse(xml) else { return Vec::new() };
    let named = document.descendants().filter(|node| node.tag_name().name() == name);
    named.filter_map(|node| node.text()).map(str::to_owned).collect()
}

/// The versions of exactly this key, and the marks of its removal.
fn versions_of(xml: &str, key: &str) -> Vec<String> {
    let Ok(document) = roxmltree::Document::parse(xml) else { return Vec::new() };
    let is_version = |node: &roxmltree::Node<'_, '_>| {
        matches!(node.tag_name().name(), "Version" | "DeleteMarker") && node.is_element()
    };
    let child = |node: roxmltree::Node<'_, '_>, name: &str| {
        node.children().find(|child| child.tag_name().name() == name).and_then(|child| child.text()).map(str::to_owned)
    };
    let of_key = document.descendants().filter(is_version).filter(|node| child(*node, "Key").as_deref() == Some(key));
    of_key.filter_map(|node| child(node, "VersionId")).collect()
}

/// The uploads of a list, each with its key.
fn uploads_in(xml: &str) -> Vec<(String, String)> {
    let Ok(document) = roxmltree::Document::parse(xml) else { return Vec::new() };
    let child = |node: roxmltree::Node<'_, '_>, name: &str| {
        node.children().find(|child| child.tag_name().name() == name).and_then(|child| child.text()).map(str::to_owned)
    };
    let uploads = document.descendants().filter(|node| node.tag_name().name() == "Upload");
    uploads.filter_map(|node| Some((child(node, "Key")?, child(node, "UploadId")?))).collect()
}

/// Percent-encoded, but for what needs none (RFC 3986 §2.3).
fn encode(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    let one = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_versions_of_the_very_key_are_removed() {
        let xml = "<?xml version=\"1.0\"?><ListVersionsResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
            <Version><Key>a/b</Key><VersionId>1</VersionId></Version>\
            <Version><Key>a/b.wav</Key><VersionId>2</VersionId></Version>\
            <DeleteMarker><Key>a/b</Key><VersionId>3</VersionId></DeleteMarker></ListVersionsResult>";
        assert_eq!(versions_of(xml, "a/b"), ["1", "3"]);
        assert_eq!(versions_of("no XML", "a/b"), Vec::<String>::new());
    }

    #[test]
    fn a_refusal_is_told_in_the_store_s_words() {
        let xml = "<Error><Code>AccessDenied</Code><Message>the object is locked</Message></Error>";
        let told = refused("removing", StatusCode::FORBIDDEN, xml);
        assert_eq!(told.kind(), io::ErrorKind::PermissionDenied);
        assert!(told.to_string().contains("AccessDenied the object is locked"), "{told}");
    }
}
