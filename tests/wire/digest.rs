//! Digest with MD5 as RFC 2617 writes it, for the test's own phone.

use md5::{Digest, Md5};

/// The value of an Authorization header that answers a challenge; `login` is user and password, `act` method and URI.
pub fn answer(challenge: &str, login: (&str, &str), act: (&str, &str)) -> String {
    let ((user, _), (_, uri)) = (login, act);
    let (realm, nonce) = (parameter(challenge, "realm"), parameter(challenge, "nonce"));
    let response = response(challenge, login, act, ("00000001", "wire"));
    format!(
        "Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", response=\"{response}\", \
         algorithm=MD5, qop=auth, nc=00000001, cnonce=\"wire\""
    )
}

/// The `response` that proves the password, with this count and `cnonce`.
pub fn response(challenge: &str, login: (&str, &str), act: (&str, &str), turn: (&str, &str)) -> String {
    let ((user, password), (method, uri), (count, cnonce)) = (login, act, turn);
    let (realm, nonce) = (parameter(challenge, "realm"), parameter(challenge, "nonce"));
    let ha1 = hash(&format!("{user}:{realm}:{password}"));
    let ha2 = hash(&format!("{method}:{uri}"));
    hash(&format!("{ha1}:{nonce}:{count}:{cnonce}:auth:{ha2}"))
}

/// The same request once more, with one more header: another branch and the next CSeq.
pub fn again(request: &str, header: &str) -> String {
    let next = request.replace("CSeq: 1 ", "CSeq: 2 ").replacen("branch=z9hG4bK", "branch=z9hG4bKa", 1);
    next.replacen("Content-Length:", &format!("{header}\r\nContent-Length:"), 1)
}

/// A parameter of a challenge.
pub fn parameter(challenge: &str, name: &str) -> String {
    let begin = format!("{name}=\"");
    let rest = challenge.split_once(&begin).map_or("", |(_, rest)| rest);
    rest.split('"').next().unwrap_or_default().to_owned()
}

fn hash(text: &str) -> String {
    Md5::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}
