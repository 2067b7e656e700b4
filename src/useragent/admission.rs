//! Who may ask what: trunks by their source address, regulators by digest (RFC 7616, RFC 8760).

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::model::centre::DigestChoice;
use crate::model::srtp::SrtpPolicy;
use crate::model::{Centre, Chance, Codec, Credential, E164, Moment, Path, RegulatorId, Trunk, TrunkId, Utc, Validity};
use crate::sip::digest::{Algorithm, Authorization, Challenge};
use crate::sip::{Request, Response, Uri};

use super::nonce::{Freshness, Nonces};
use super::rules::Rules;

/// Credentials looked at in one request: one a challenge, and a few of other realms.
const CREDENTIALS_MAX: usize = 8;

/// The gate.
#[derive(Debug)]
pub(super) struct Admission {
    realm: String,
    /// What each listener offers, by its index.
    digests: Vec<DigestChoice>,
    centre: Arc<Centre>,
    credentials: HashMap<RegulatorId, Credential>,
    /// What an unknown user's response is verified against, so that it takes as long as a known one's.
    nobody: Credential,
    nonces: Nonces,
    /// Where each trunk's name leads.
    reached: BTreeMap<TrunkId, Vec<IpAddr>>,
}

/// Which pair of headers (RFC 3261 §22.2, §22.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    /// 401, WWW-Authenticate, Authorization.
    Registrar,
    /// 407, Proxy-Authenticate, Proxy-Authorization.
    Proxy,
}

/// A request and the way it came.
pub(super) type Asked<'a> = (Path, &'a Request);

/// What a request's credentials prove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// It is this regulator.
    Is(RegulatorId),
    /// Nothing: there are none, or they are wrong.
    Nothing,
    /// The password is right, but the nonce is to be replaced.
    Stale,
}

impl Gate {
    /// The status of a challenge.
    pub(super) fn status(self) -> u16 {
        match self {
            Gate::Registrar => 401,
            Gate::Proxy => 407,
        }
    }

    fn asks(self) -> &'static str {
        match self {
            Gate::Registrar => "WWW-Authenticate",
            Gate::Proxy => "Proxy-Authenticate",
        }
    }

    /// The header that answers a challenge.
    pub(super) fn answers(self) -> &'static str {
        match self {
            Gate::Registrar => "Authorization",
            Gate::Proxy => "Proxy-Authorization",
        }
    }
}

impl Admission {
    /// A gate for `centre`.
    pub(super) fn new(
        rules: &Rules,
        centre: Arc<Centre>,
        credentials: HashMap<RegulatorId, Credential>,
        mut chance: Chance,
    ) -> Admission {
        let nobody = Credential {
            md5: chance.token() + &chance.token(),
            sha256: [chance.token(), chance.token(), chance.token(), chance.token()].concat(),
        };
        let (realm, digests) = (rules.realm.clone(), rules.digests.clone());
        let nonces = Nonces::new(rules.nonce_lifetime, chance);
        Admission { realm, digests, centre, credentials, nobody, nonces, reached: BTreeMap::new() }
    }

    /// Goes on with other accounts; nonces, and where the trunks' names lead, stay.
    pub(super) fn recentre(&mut self, centre: Arc<Centre>, credentials: HashMap<RegulatorId, Credential>) {
        (self.centre, self.credentials) = (centre, credentials);
    }

    /// The nonces, to be kept.
    pub(super) fn nonces(&self) -> &Nonces {
        &self.nonces
    }

    /// Where the trunks' names lead, to be kept.
    pub(super) fn reached(&self) -> &BTreeMap<TrunkId, Vec<IpAddr>> {
        &self.reached
    }

    /// Goes on with what was kept.
    pub(super) fn go_on(&mut self, nonces: Nonces, reached: BTreeMap<TrunkId, Vec<IpAddr>>) {
        self.nonces = nonces;
        self.reached = reached;
    }

    /// Whether the media of a regulator's phones are to be protected.
    pub(super) fn srtp_of(&self, regulator: &RegulatorId) -> SrtpPolicy {
        self.centre.regulators.get(regulator).map_or_else(SrtpPolicy::default, |person| person.srtp)
    }

    /// Whether the media of calls over a trunk are.
    pub(super) fn srtp_over(&self, trunk: &TrunkId) -> SrtpPolicy {
        self.centre.trunks.get(trunk).map_or_else(SrtpPolicy::default, |trunk| trunk.srtp)
    }

    /// The codecs that may be spoken over a trunk; `None` for one that is not known.
    pub(super) fn codecs_over(&self, trunk: &TrunkId) -> Option<&[Codec]> {
        self.centre.trunks.get(trunk).map(|trunk| &trunk.codecs[..])
    }

    /// The trunk that this address belongs to.
    pub(super) fn trunk_at(&self, address: IpAddr) -> Option<&Trunk> {
        let own = self.centre.trunks.values().find(|trunk| trunk.peers.iter().any(|block| block.contains(address)));
        own.or_else(|| self.trunks_reached_at(address).next())
    }

    /// The trunk that a request comes over. Of several accounts with one carrier it is the one whose user is called.
    pub(super) fn trunk_of(&self, (path, request): Asked<'_>) -> Option<&Trunk> {
        let called = Uri::parse(&request.uri).and_then(|uri| uri.user_decoded());
        let is_called = |trunk: &&Trunk| {
            called.is_some() && trunk.registration.as_ref().map(|account| &account.user) == called.as_ref()
        };
        self.trunks_reached_at(path.peer.ip()).find(is_called).or_else(|| self.trunk_at(path.peer.ip()))
    }

    fn trunks_reached_at(&self, address: IpAddr) -> impl Iterator<Item = &Trunk> {
        let address = address.to_canonical();
        let reached = self.reached.iter().filter(move |(_, all)| all.contains(&address));
        reached.filter_map(|(trunk, _)| self.centre.trunks.get(trunk))
    }

    /// Where a trunk's name leads now.
    pub(super) fn learn(&mut self, trunk: &TrunkId, addresses: Vec<IpAddr>) {
        self.reached.insert(trunk.clone(), addresses);
    }

    /// Whether this number's line goes first.
    pub(super) fn is_urgent(&self, ddi: &E164, priority: u8) -> bool {
        let line = self.centre.ddis.get(ddi).and_then(|line| self.centre.lines.get(line));
        line.is_some_and(|line| line.demand.priority <= priority)
    }

    /// Whether any line goes first.
    pub(super) fn has_urgent(&self, priority: u8) -> bool {
        self.centre.lines.values().any(|line| line.demand.priority <= priority)
    }

    /// Whether there is such a regulator, with a password.
    pub(super) fn knows(&self, regulator: &RegulatorId) -> bool {
        self.centre.regulators.contains_key(regulator) && self.credentials.contains_key(regulator)
    }

    /// Whether a regulator's account is good now, and for how long.
    pub(super) fn validity(&self, regulator: &RegulatorId, now: Utc) -> Validity {
        let person = self.centre.regulators.get(regulator);
        person.map_or(Validity::Not, |person| Validity::of(&person.terms.valid, now))
    }

    /// Looks at a request's credentials, keeping nothing: a count that was used before is not found here.
    pub(super) fn weigh(&self, asked: Asked<'_>, gate: Gate, now: Moment) -> Proof {
        match self.proven(asked, gate, now) {
            Some((regulator, authorization))
                if self.nonces.is_current(&authorization.nonce, asked.0.peer.ip(), now) =>
            {
                Proof::Is(regulator)
            }
            Some(_) => Proof::Stale,
            None => Proof::Nothing,
        }
    }

    /// Looks at a request's credentials and takes the count of their nonce.
    pub(super) fn prove(&mut self, asked: Asked<'_>, gate: Gate, now: Moment) -> Proof {
        let Some((regulator, authorization)) = self.proven(asked, gate, now) else { return Proof::Nothing };
        let used = (authorization.nonce.as_str(), authorization.nonce_count);
        match self.nonces.spend(used, asked.0.peer.ip(), now) {
            Freshness::Fresh => Proof::Is(regulator),
            Freshness::Stale => Proof::Stale,
        }
    }

    /// Whose password the credentials were made with, whatever their nonce. Of several the first that is right and
    /// whose nonce still lives, else the first that is right.
    fn proven(&self, (path, request): Asked<'_>, gate: Gate, now: Moment) -> Option<(RegulatorId, Authorization)> {
        let params = request.headers.auth_params(gate.answers());
        let all = params.iter().take(CREDENTIALS_MAX).filter_map(|params| Authorization::read(params).ok());
        let allows = |a: &Authorization| algorithms(self.choice(&a.username, path.listener)).contains(&a.algorithm);
        let mut right = None;
        for authorization in all.filter(|a| a.realm == self.realm && allows(a)) {
            let Some(regulator) = self.owner(&authorization, request) else { continue };
            if self.nonces.is_current(&authorization.nonce, path.peer.ip(), now) {
                return Some((regulator, authorization));
            }
            right = right.or(Some((regulator, authorization)));
        }
        right
    }

    /// Whether a credential of the request answers a challenge that was sent to the address it comes from, so that its
    /// source is not forged; and the regulator whom such a credential names.
    pub(super) fn answers_challenge(&self, (path, request): Asked<'_>, gate: Gate) -> Option<Option<RegulatorId>> {
        let params = request.headers.auth_params(gate.answers());
        let mut all = params.iter().take(CREDENTIALS_MAX).filter_map(|params| Authorization::read(params).ok());
        let answering = all.find(|a| self.nonces.is_of(&a.nonce, path.peer.ip()))?;
        Some(Some(RegulatorId::from(answering.username.as_str())).filter(|regulator| self.knows(regulator)))
    }

    /// Whose password one credential was made with; reckoned for unknown names too, so that both take the same time.
    fn owner(&self, authorization: &Authorization, request: &Request) -> Option<RegulatorId> {
        let regulator = RegulatorId::from(authorization.username.as_str());
        let is_known = self.knows(&regulator);
        let credential = self.credentials.get(&regulator).filter(|_| is_known).unwrap_or(&self.nobody);
        let ha1 = match authorization.algorithm {
            Algorithm::Md5 => &credential.md5,
            Algorithm::Sha256 => &credential.sha256,
        };
        let is_proven = authorization.is_proven_by(ha1, &request.method);
        // RFC 7616 §3.4.6: the `uri` that was hashed names what was asked for.
        let is_same = Uri::are_same(&authorization.uri, &request.uri);
        (is_proven && is_known && is_same).then_some(regulator)
    }

    /// Writes the challenges for `user` on this listener into a 401 or 407.
    pub(super) fn challenge(
        &mut self,
        response: &mut Response,
        gate: Gate,
        (path, user, is_stale): (Path, &str, bool),
        now: Moment,
    ) {
        for algorithm in algorithms(self.choice(user, path.listener)) {
            let mut challenge = Challenge::new(self.realm.clone(), self.nonces.issue(path.peer.ip(), now), *algorithm);
            challenge.is_stale = is_stale;
            response.headers.push(gate.asks(), challenge.to_string());
        }
    }

    /// What a regulator and the listener both allow; when that is nothing, the regulator's own: `vigie check` warns of
    /// it. For an unknown name it is reckoned as for a regulator chosen by the name, so that asking again and again
    /// tells no stranger who exists.
    fn choice(&self, user: &str, listener: u8) -> DigestChoice {
        let regulators = &self.centre.regulators;
        // Reckoned for known names too, so that both take the same time.
        let hash = Sha256::digest(format!("{}:{user}", self.realm));
        let draw = hash.iter().take(4).fold(0usize, |sum, byte| sum << 8 | usize::from(*byte));
        let at = draw % regulators.len().max(1);
        let drawn = regulators.values().nth(at).map_or(DigestChoice::Both, |regulator| regulator.digest);
        let own = regulators.get(&RegulatorId::from(user)).map_or(drawn, |regulator| regulator.digest);
        let offered = self.digests.get(usize::from(listener)).copied().unwrap_or(DigestChoice::Both);
        own.shared_with(offered).unwrap_or(own)
    }
}

fn algorithms(choice: DigestChoice) -> &'static [Algorithm] {
    match choice {
        DigestChoice::Md5 => &[Algorithm::Md5],
        DigestChoice::Sha256 => &[Algorithm::Sha256],
        DigestChoice::Both => &[Algorithm::Sha256, Algorithm::Md5],
    }
}
