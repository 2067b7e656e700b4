//! The answer to a challenge (RFC 7616 §3.4): made by a phone, verified by a registrar.

use std::fmt;

use subtle::ConstantTimeEq;

use super::{Algorithm, Challenge};
use crate::sip::header::AuthParams;
use crate::sip::header::pieces::quote;
use crate::sip::method::Method;

/// Why an Authorization header is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DigestFault {
    /// Another scheme: it is passed over.
    #[error("reading Authorization: it is not Digest")]
    Scheme,
    /// A parameter that RFC 7616 §3.4 demands is missing or wrong.
    #[error("reading Authorization: {0} is missing or wrong")]
    Parameter(&'static str),
    /// RFC 2069's form without `qop`, open to replay.
    #[error("reading Authorization: no qop=auth; the phone must use it")]
    Qop,
}

/// What a phone knows.
#[derive(Clone, PartialEq, Eq)]
pub struct Login<'a> {
    /// The user's name.
    pub user: &'a str,
    /// The password.
    pub password: &'a str,
}

impl fmt::Debug for Login<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(…)")
    }
}

/// An answer, written as a header's value by its `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Authorization {
    /// Who says that they are.
    pub username: String,
    /// The realm answered for.
    pub realm: String,
    /// The nonce answered.
    pub nonce: String,
    /// The `uri` hashed: the Request-URI as the phone wrote it.
    pub uri: String,
    /// Which hash.
    pub algorithm: Algorithm,
    /// The phone's own nonce.
    pub cnonce: String,
    /// How often the phone has used the nonce: hexadecimal on the wire.
    pub nonce_count: u32,
    /// Echoed from the challenge.
    pub opaque: Option<String>,
    response: String,
    /// `nc` as it was written, which the hash covers.
    nc: String,
    /// Whether it answers a challenge with `qop`; what is read always does.
    has_qop: bool,
}

impl Authorization {
    /// Reads one Authorization or Proxy-Authorization header.
    pub fn read(params: &AuthParams) -> Result<Authorization, DigestFault> {
        if !params.scheme.eq_ignore_ascii_case("Digest") {
            return Err(DigestFault::Scheme);
        }
        if !params.value("qop").is_some_and(|q| q.eq_ignore_ascii_case("auth")) {
            return Err(DigestFault::Qop);
        }
        let wanted = |name: &'static str| params.value(name).map(str::to_owned).ok_or(DigestFault::Parameter(name));
        let nc = wanted("nc")?;
        let is_hex = nc.len() == 8 && nc.bytes().all(|b| b.is_ascii_hexdigit());
        let nonce_count = u32::from_str_radix(&nc, 16).ok().filter(|_| is_hex).ok_or(DigestFault::Parameter("nc"))?;
        Ok(Authorization {
            username: wanted("username")?,
            realm: wanted("realm")?,
            nonce: wanted("nonce")?,
            uri: wanted("uri")?,
            algorithm: Algorithm::parse(params.value("algorithm")).ok_or(DigestFault::Parameter("algorithm"))?,
            cnonce: wanted("cnonce")?,
            nonce_count,
            opaque: params.value("opaque").map(str::to_owned),
            response: wanted("response")?,
            nc,
            has_qop: true,
        })
    }

    /// A phone's answer to `challenge` for one request.
    pub fn answer(challenge: &Challenge, login: &Login<'_>, method: &Method, uri: &str, turn: (&str, u32)) -> Self {
        let (cnonce, nonce_count) = turn;
        let mut answer = Authorization {
            username: login.user.to_owned(),
            realm: challenge.realm.clone(),
            nonce: challenge.nonce.clone(),
            uri: uri.to_owned(),
            algorithm: challenge.algorithm,
            cnonce: cnonce.to_owned(),
            nonce_count,
            opaque: challenge.opaque.clone(),
            response: String::new(),
            nc: format!("{nonce_count:08x}"),
            has_qop: challenge.has_qop,
        };
        let ha1 = challenge.algorithm.ha1(login.user, &challenge.realm, login.password);
        answer.response = answer.expected(&ha1, method);
        answer
    }

    /// Whether the answer was made with the password behind `ha1` (of [`Authorization::algorithm`]), compared in constant time.
    ///
    /// Nonce, realm, count and `uri` are the caller's to check.
    pub fn is_proven_by(&self, ha1: &str, method: &Method) -> bool {
        let expected = self.expected(ha1, method);
        let given = self.response.to_ascii_lowercase();
        expected.as_bytes().ct_eq(given.as_bytes()).into()
    }

    /// RFC 7616 §3.4.1, with `qop=auth`; RFC 2617 §3.2.2.1 without.
    fn expected(&self, ha1: &str, method: &Method) -> String {
        let ha2 = self.algorithm.hash(&[method.as_str(), &self.uri]);
        if !self.has_qop {
            return self.algorithm.hash(&[ha1, &self.nonce, &ha2]);
        }
        self.algorithm.hash(&[ha1, &self.nonce, &self.nc, &self.cnonce, "auth", &ha2])
    }
}

impl fmt::Display for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest username={}, realm={}", quote(&self.username), quote(&self.realm))?;
        write!(f, ", nonce={}, uri={}", quote(&self.nonce), quote(&self.uri))?;
        write!(f, ", response=\"{}\", algorithm={}", self.response, self.algorithm.as_str())?;
        if self.has_qop {
            write!(f, ", cnonce={}, qop=auth, nc={}", quote(&self.cnonce), self.nc)?;
        }
        match &self.opaque {
            Some(opaque) => write!(f, ", opaque={}", quote(opaque)),
            None => Ok(()),
        }
    }
}

/// A proof stays out of every log.
impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authorization({}, nc={})", self.username, self.nc)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGIN: Login<'_> = Login { user: "Mufasa", password: "Circle of Life" };
    const CNONCE: &str = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";

    fn challenge(algorithm: Algorithm) -> Challenge {
        Challenge::new("http-auth@example.org", "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", algorithm)
    }

    fn answer(algorithm: Algorithm) -> Authorization {
        let get = Method::parse("GET").expect("a token");
        Authorization::answer(&challenge(algorithm), &LOGIN, &get, "/dir/index.html", (CNONCE, 1))
    }

    fn read(line: &str) -> Result<Authorization, DigestFault> {
        Authorization::read(&AuthParams::parse(line).expect("parameters"))
    }

    #[test]
    fn the_answers_of_rfc_7616_section_3_9_1_come_out() {
        assert_eq!(answer(Algorithm::Md5).response, "8ca523f5e9506fed4657c9700eebdbec");
        let sha256 = "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1";
        assert_eq!(answer(Algorithm::Sha256).response, sha256);
    }

    #[test]
    fn an_answer_reads_back_and_is_proven_by_its_own_password_only() {
        let get = Method::parse("GET").expect("a token");
        for algorithm in [Algorithm::Md5, Algorithm::Sha256] {
            let read = read(&answer(algorithm).to_string()).expect("valid");
            assert_eq!(read, answer(algorithm));
            let ha1 = |password| algorithm.ha1("Mufasa", "http-auth@example.org", password);
            assert!(read.is_proven_by(&ha1("Circle of Life"), &get));
            assert!(!read.is_proven_by(&ha1("Circle of life"), &get));
            assert!(!read.is_proven_by(&ha1("Circle of Life"), &Method::Register));
        }
    }

    #[test]
    fn a_nonce_count_is_hexadecimal() {
        let line = answer(Algorithm::Md5).to_string().replace("nc=00000001", "nc=0000001f");
        assert_eq!(read(&line).expect("valid").nonce_count, 31);
        for wrong in ["nc=1", "nc=0000000g", "nc=+0000001", "nc=000000001"] {
            let line = answer(Algorithm::Md5).to_string().replace("nc=00000001", wrong);
            assert_eq!(read(&line), Err(DigestFault::Parameter("nc")), "{wrong}");
        }
    }

    #[test]
    fn an_answer_without_qop_is_refused() {
        let line = answer(Algorithm::Md5).to_string().replace("qop=auth, ", "");
        assert_eq!(read(&line), Err(DigestFault::Qop));
        assert_eq!(read("Basic a=b"), Err(DigestFault::Scheme));
        assert_eq!(read("Digest qop=auth"), Err(DigestFault::Parameter("nc")));
    }

    #[test]
    fn a_challenge_of_an_old_carrier_without_qop_is_answered_in_its_own_way() {
        let line = "Digest realm=\"testrealm@host.com\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\"";
        let old = Challenge::read(&AuthParams::parse(line).expect("parameters")).expect("a challenge");
        assert_eq!(old.to_string(), format!("{line}, algorithm=MD5"));
        let get = Method::parse("GET").expect("a token");
        let answer = Authorization::answer(&old, &LOGIN, &get, "/dir/index.html", (CNONCE, 1));
        // MD5(MD5(Mufasa:testrealm@host.com:Circle of Life):nonce:MD5(GET:/dir/index.html)), reckoned with md5sum.
        assert_eq!(answer.response, "2951cdbad33b2271fcb6b8e7b8feac23");
        assert!(!answer.to_string().contains("qop") && !answer.to_string().contains("cnonce"));
        let other = Challenge::read(&AuthParams::parse(&format!("{line}, qop=\"auth-int\"")).expect("parameters"));
        assert_eq!(other, None);
    }

    #[test]
    fn a_challenge_reads_back_as_written() {
        let mut challenge = challenge(Algorithm::Sha256);
        challenge.is_stale = true;
        challenge.opaque = Some("a\"b".into());
        let read = Challenge::read(&AuthParams::parse(&challenge.to_string()).expect("parameters"));
        assert_eq!(read, Some(challenge));
    }
}
