//! Contact: where a peer can be reached (RFC 3261 §20.10).

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::InvalidHeader;
use super::address::NameAddr;
use super::pieces::pieces;

/// The most contacts read of one message; a device registers one or two.
pub const CONTACTS_MAX: usize = 32;

/// All contacts of one message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Contacts {
    /// `*`: every binding (RFC 3261 §10.2.2).
    Everything,
    /// These, in order.
    List(Vec<Contact>),
}

/// One contact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// Its address and parameters.
    pub address: NameAddr,
}

impl Contacts {
    /// Reads all lines of the header. `*` beside anything else is invalid.
    pub fn read<'a>(lines: impl Iterator<Item = Cow<'a, str>>) -> Result<Contacts, InvalidHeader> {
        let mut list = Vec::new();
        let mut everything = false;
        for line in lines {
            for piece in pieces(&line, b',') {
                if piece == "*" {
                    everything = true;
                    continue;
                }
                let address = NameAddr::parse(piece).ok_or(InvalidHeader("Contact"))?;
                list.push(Contact { address });
                if list.len() > CONTACTS_MAX {
                    return Err(InvalidHeader("Contact"));
                }
            }
        }
        match (everything, list.is_empty()) {
            (true, true) => Ok(Contacts::Everything),
            (true, false) => Err(InvalidHeader("Contact")),
            (false, _) => Ok(Contacts::List(list)),
        }
    }

    /// The first contact of a list.
    pub fn first(&self) -> Option<&Contact> {
        match self {
            Contacts::Everything => None,
            Contacts::List(list) => list.first(),
        }
    }
}

impl Contact {
    /// The `expires` parameter in seconds; an unreadable one counts as 3600 (RFC 3261 §10.2.1.1).
    pub fn expires(&self) -> Option<u32> {
        self.address.params.value("expires").map(|v| super::expires::parse(v).unwrap_or(3600))
    }

    /// The `q` parameter in thousandths, 1000 when it is missing or wrong.
    pub fn preference(&self) -> u16 {
        let q = self.address.params.value("q").and_then(|q| q.parse::<f32>().ok());
        q.filter(|q| (0.0..=1.0).contains(q)).map_or(1000, |q| (q * 1000.0).round() as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Result<Contacts, InvalidHeader> {
        Contacts::read(lines.iter().map(|l| Cow::Borrowed(*l)))
    }

    #[test]
    fn several_contacts_on_several_lines_are_one_list() {
        let contacts = read(&[r#""A, B" <sip:a@h>;expires=60;q=0.7, <sip:b@h>"#, "sip:c@h;expires=x"]).expect("valid");
        let Contacts::List(list) = contacts else { panic!("a list") };
        let shown: Vec<_> = list.iter().map(|c| (c.address.uri.as_str(), c.expires(), c.preference())).collect();
        assert_eq!(shown, [("sip:a@h", Some(60), 700), ("sip:b@h", None, 1000), ("sip:c@h", Some(3600), 1000)]);
    }

    #[test]
    fn a_star_stands_alone() {
        assert_eq!(read(&["*"]), Ok(Contacts::Everything));
        assert!(read(&["*, <sip:a@b>"]).is_err());
        assert!(read(&["<sip:a@b>, nonsense"]).is_err());
        assert_eq!(read(&[]), Ok(Contacts::List(vec![])));
    }
}
