//! History-Info: every target that a call was sent to before it came to us (RFC 7044 §5).

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::address::NameAddr;
use super::pieces::{find, pieces};
use super::reason::Reason;
use crate::sip::uri::decode;

/// The most entries read of one message: a call that went through ten forwardings has about twenty.
pub const ENTRIES_MAX: usize = 32;
/// The deepest index read: RFC 7044 adds a level a hop, and Max-Forwards seldom leaves more.
pub const INDEX_DEPTH_MAX: usize = 32;

/// One target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Whom, without what was escaped behind `?`.
    pub to: NameAddr,
    /// Its place in the tree: `1.2.1`.
    pub index: Vec<u32>,
    /// Why it was left: the escaped Reason, a SIP one before any other.
    pub left_because: Option<Reason>,
    /// Why it was reached: the URI's `cause` (RFC 4458 §2).
    pub reached_because: Option<u16>,
    /// The index that it replaces: `mp` (mapped) or `rc` (retargeted by its own contact), RFC 7044 §10.
    pub instead_of: Option<Vec<u32>>,
    /// Whether nobody is to be shown it: an escaped Privacy, or a URI that was made anonymous on the way.
    pub is_private: bool,
}

/// Reads all lines of the header, in the order of their index; what has no address or no index is passed over.
pub fn read<'a>(lines: impl Iterator<Item = Cow<'a, str>>) -> Vec<Target> {
    let mut all = Vec::new();
    for line in lines {
        let room = ENTRIES_MAX.saturating_sub(all.len());
        all.extend(pieces(&line, b',').filter_map(Target::parse).take(room));
    }
    all.sort_by(|a, b| a.index.cmp(&b.index));
    all
}

/// Those that sent the call on, the last one first, each with the cause: the target was left with a Reason, the next
/// one was reached because of it, or another one stands in its place.
pub fn diverted(targets: &[Target]) -> Vec<(&Target, Option<u16>)> {
    let mut all = Vec::new();
    for (at, target) in targets.iter().enumerate() {
        let successor = targets.iter().skip(at + 1).find(|t| t.instead_of.as_ref() == Some(&target.index));
        let next = successor.or(targets.get(at + 1));
        let reached = next.and_then(|next| next.reached_because);
        let left = target.left_because.as_ref().and_then(|reason| reason.cause);
        if target.left_because.is_some() || reached.is_some() {
            all.push((target, left.or(reached)));
        }
    }
    all.reverse();
    all
}

impl Target {
    fn parse(piece: &str) -> Option<Target> {
        let mut to = NameAddr::parse(piece)?;
        let index = read_index(to.params.value("index")?)?;
        let instead_of = ["mp", "rc"].iter().find_map(|name| read_index(to.params.value(name)?));
        let at = to.uri.rfind('@').unwrap_or(0);
        let escaped = to.uri.get(at..).and_then(|rest| rest.find('?')).map(|mark| at + mark);
        let mut target =
            Target { to: to.clone(), index, left_because: None, reached_because: None, instead_of, is_private: false };
        if let Some(mark) = escaped {
            target.read_escaped(to.uri.get(mark + 1..).unwrap_or_default());
            to.uri.truncate(mark);
        }
        let uri = to.to_uri();
        let cause = uri.as_ref().and_then(|uri| uri.params.value("cause")?.parse().ok());
        target.reached_because = cause.filter(|cause| (100..700).contains(cause));
        target.is_private |= uri.is_some_and(|uri| uri.host.eq_ignore_ascii_case("anonymous.invalid"));
        target.to = to;
        Some(target)
    }

    fn read_escaped(&mut self, headers: &str) {
        for (name, value) in headers.split('&').filter_map(|pair| pair.split_once('=')) {
            let (name, value) = (decode(name), decode(value));
            if name.eq_ignore_ascii_case("Reason") {
                let cut = find(&value, b',').map_or(value.as_str(), |comma| value.get(..comma).unwrap_or_default());
                let reason = Reason::parse(cut);
                let is_sip = reason.as_ref().is_some_and(|r| r.protocol.eq_ignore_ascii_case("SIP"));
                if is_sip || self.left_because.is_none() {
                    self.left_because = reason;
                }
            } else if name.eq_ignore_ascii_case("Privacy") {
                self.is_private |= !value.eq_ignore_ascii_case("none");
            }
        }
    }
}

/// `1.2.1`, from 1 or (before RFC 7044) from 0.
fn read_index(text: &str) -> Option<Vec<u32>> {
    let numbers: Option<Vec<u32>> = text.trim().split('.').take(INDEX_DEPTH_MAX + 1).map(|n| n.parse().ok()).collect();
    numbers.filter(|numbers| numbers.len() <= INDEX_DEPTH_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_lines(lines: &[&str]) -> Vec<Target> {
        read(lines.iter().map(|line| Cow::Borrowed(*line)))
    }

    #[test]
    fn a_forwarded_call_tells_who_sent_it_on_last_first() {
        let targets = read_lines(&[
            "<sip:+33235000003@c;cause=302>;index=1.2.1;mp=1.2",
            "<sip:+33235000001@c?Reason=SIP%3Bcause%3D486%3Btext%3D%22Busy%2C%20Here%22>;index=1, \
             <sip:+33235000002@c;cause=486>;index=1.2;mp=1",
        ]);
        let order: Vec<_> = targets.iter().map(|t| (t.to.uri.as_str(), t.index.as_slice())).collect();
        assert_eq!(
            order,
            [
                ("sip:+33235000001@c", [1].as_slice()),
                ("sip:+33235000002@c;cause=486", &[1, 2]),
                ("sip:+33235000003@c;cause=302", &[1, 2, 1]),
            ]
        );
        let told: Vec<_> = diverted(&targets).into_iter().map(|(t, cause)| (t.index.len(), cause)).collect();
        assert_eq!(told, [(2, Some(302)), (1, Some(486))]);
    }

    #[test]
    fn ten_comes_after_nine_and_a_plain_chain_diverts_nobody() {
        let targets = read_lines(&["<sip:b@c>;index=1.10", "<sip:a@c>;index=1.9"]);
        assert_eq!(targets.first().map(|t| t.to.uri.as_str()), Some("sip:a@c"));
        assert_eq!(diverted(&targets), []);
    }

    #[test]
    fn an_entry_made_anonymous_or_asked_to_be_is_private() {
        let targets = read_lines(&[
            "<sip:anonymous@anonymous.invalid?Reason=SIP%3Bcause%3D302>;index=1",
            "<sip:x@c?Privacy=history&Reason=Q.850%3Bcause%3D17>;index=1.1",
            "<tel:+33235?Privacy=none>;index=1.2",
        ]);
        let told: Vec<_> =
            targets.iter().map(|t| (t.is_private, t.left_because.as_ref().and_then(|r| r.cause))).collect();
        assert_eq!(told, [(true, Some(302)), (true, Some(17)), (false, None)]);
    }

    #[test]
    fn hostile_entries_are_passed_over_and_counted() {
        let deep = format!("<sip:a@c>;index={}", "1.".repeat(20_000));
        for line in
            [deep.as_str(), "<sip:a@c>", "<sip:a@c>;index=", "<sip:a@c>;index=-1", "<sip:a@c>;index=99999999999", "x"]
        {
            assert_eq!(read_lines(&[line]), [], "{line}");
        }
        let many = "<sip:a@c?Reason=%%%&&&=;%00>;index=1,".repeat(3000);
        assert_eq!(read_lines(&[&many]).len(), ENTRIES_MAX);
    }
}
