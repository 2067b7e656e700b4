//! The messages of RFC 4475 and RFC 5118, and what Vigie answers to each: written from the RFCs, a file each.

/// Who sends it: what a carrier may ask is refused to a stranger, and the other way round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// A trunk's address.
    Trunk,
    /// Any other.
    Phone,
}

/// One message.
pub struct Row {
    /// Its RFC and section.
    pub section: &'static str,
    /// Its name there.
    pub name: &'static str,
    /// What it tries.
    pub what: &'static str,
    /// Who sends it.
    pub from: From,
    /// The final answers that are right; none: it is dropped.
    pub answers: &'static [u16],
    /// The message, see `notation`.
    pub text: &'static str,
}

macro_rules! rows {
    ($($section:literal $name:literal $from:ident $answers:expr, $what:literal;)+) => {
        /// All of them.
        pub const ROWS: &[Row] = &[$(Row {
            section: $section,
            name: $name,
            what: $what,
            from: From::$from,
            answers: &$answers,
            text: include_str!(concat!($name, ".sip")),
        }),+];
    };
}

rows! {
    "RFC 4475 §3.1.1.1" "wsinv" Trunk [481], "a short tortuous INVITE; its To has a tag, so it is for a dialog that we do not know";
    "RFC 4475 §3.1.1.2" "intmeth" Trunk [501], "every character that is allowed, in every place";
    "RFC 4475 §3.1.1.3" "esc01" Trunk [200], "escapes within URIs";
    "RFC 4475 §3.1.1.4" "escnull" Phone [401], "escaped NULs within URIs; a stranger is challenged";
    "RFC 4475 §3.1.1.5" "esc02" Trunk [501], "percent signs that are no escapes: an unknown method";
    "RFC 4475 §3.1.1.6" "lwsdisp" Trunk [200], "no space between a display name and its bracket";
    "RFC 4475 §3.1.1.7" "longreq" Trunk [200], "long values everywhere";
    "RFC 4475 §3.1.1.8" "dblreq" Phone [401], "another message behind the end of the first";
    "RFC 4475 §3.1.1.9" "semiuri" Trunk [200], "a semicolon in the user part";
    "RFC 4475 §3.1.1.10" "transports" Trunk [200], "every transport in Via, an unknown one too";
    "RFC 4475 §3.1.1.11" "mpart01" Trunk [405], "a multipart MESSAGE with binary content";
    "RFC 4475 §3.1.1.12" "unreason" Trunk [], "a reason phrase in UTF-8; nobody asked";
    "RFC 4475 §3.1.1.13" "noreason" Trunk [], "an empty reason phrase; nobody asked";
    "RFC 4475 §3.1.2.1" "badinv01" Trunk [400], "separators where nothing is separated";
    "RFC 4475 §3.1.2.2" "clerr" Trunk [400], "Content-Length beyond the datagram";
    "RFC 4475 §3.1.2.3" "ncl" Trunk [400], "a negative Content-Length";
    "RFC 4475 §3.1.2.4" "scalar02" Phone [400], "overlarge numbers in a request";
    "RFC 4475 §3.1.2.5" "scalarlg" Trunk [], "overlarge numbers in a response";
    "RFC 4475 §3.1.2.6" "quotbal" Trunk [400], "a quoted string without its end";
    "RFC 4475 §3.1.2.7" "ltgtruri" Trunk [400], "brackets around the Request-URI";
    "RFC 4475 §3.1.2.8" "lwsruri" Trunk [400], "a space within the Request-URI";
    "RFC 4475 §3.1.2.9" "lwsstart" Trunk [400], "two spaces in the Request-Line";
    "RFC 4475 §3.1.2.10" "trws" Trunk [400], "spaces behind the Request-Line";
    "RFC 4475 §3.1.2.11" "escruri" Trunk [400], "headers escaped in the Request-URI";
    "RFC 4475 §3.1.2.12" "baddate" Trunk [200], "a time zone that Date must not have; nobody reads it here";
    "RFC 4475 §3.1.2.13" "regbadct" Phone [400], "a Contact with a question mark and without brackets";
    "RFC 4475 §3.1.2.14" "badaspec" Trunk [200], "spaces within the brackets of To: may be forgiven";
    "RFC 4475 §3.1.2.15" "baddn" Trunk [200], "a comma in an unquoted display name: may be forgiven";
    "RFC 4475 §3.1.2.16" "badvers" Trunk [505], "a version that does not exist";
    "RFC 4475 §3.1.2.17" "mismatch01" Trunk [400], "CSeq of another method";
    "RFC 4475 §3.1.2.18" "mismatch02" Trunk [400], "an unknown method and CSeq of another";
    "RFC 4475 §3.1.2.19" "bigcode" Trunk [], "a status of ten digits";
    "RFC 4475 §3.2.1" "badbranch" Trunk [200], "a branch of the magic cookie alone";
    "RFC 4475 §3.3.1" "insuf" Trunk [400], "no Call-ID, From or To";
    "RFC 4475 §3.3.2" "unkscm" Trunk [416], "a Request-URI of an unknown scheme";
    "RFC 4475 §3.3.3" "novelsc" Trunk [416], "a Request-URI of a known scheme that is not SIP's";
    "RFC 4475 §3.3.4" "unksm2" Phone [401], "unknown schemes in To, From and Contact; a stranger is challenged first";
    "RFC 4475 §3.3.5" "bext01" Trunk [420], "an extension required that nobody has";
    "RFC 4475 §3.3.6" "invut" Trunk [415], "a body of an unknown type";
    "RFC 4475 §3.3.7" "regaut01" Phone [401], "credentials of an unknown scheme";
    "RFC 4475 §3.3.8" "multi01" Trunk [400], "single headers twice";
    "RFC 4475 §3.3.9" "mcl01" Trunk [400], "two Content-Lengths";
    "RFC 4475 §3.3.10" "bcast" Trunk [], "a response whose second Via is the broadcast address; nobody asked";
    "RFC 4475 §3.3.11" "zeromf" Trunk [483], "no hop left";
    "RFC 4475 §3.3.12" "cparam01" Phone [401], "a parameter of the Contact header";
    "RFC 4475 §3.3.13" "cparam02" Phone [401], "a parameter of the Contact's URI";
    "RFC 4475 §3.3.14" "regescrt" Phone [401], "a header escaped in a Contact";
    "RFC 4475 §3.3.15" "sdp01" Trunk [406], "an INVITE that accepts no SDP in return";
    "RFC 4475 §3.4.1" "inv2543" Trunk [200], "an INVITE of RFC 2543: no branch, no tag, no length";
    "RFC 5118 §4.1" "ipv6-good" Phone [401], "an IPv6 reference as Request-URI";
    "RFC 5118 §4.2" "ipv6-bad" Phone [400], "an IPv6 address without brackets";
    "RFC 5118 §4.3" "port-ambiguous" Phone [401], "what looks like a port is part of the address";
    "RFC 5118 §4.4" "port-unambiguous" Phone [401], "a port behind the bracket";
    "RFC 5118 §4.5" "via-received-param-with-delim" Trunk [481], "received with brackets";
    "RFC 5118 §4.5" "via-received-param-no-delim" Trunk [200], "received without brackets";
    "RFC 5118 §4.6" "ipv6-in-sdp" Trunk [200], "IPv6 in the SDP";
    "RFC 5118 §4.7" "mult-ip-in-header" Trunk [481], "IPv4 and IPv6 in several Vias";
    "RFC 5118 §4.8" "mult-ip-in-sdp" Trunk [200], "IPv4 and IPv6 in one SDP";
    "RFC 5118 §4.9" "ipv4-mapped-ipv6" Trunk [200], "IPv4-mapped addresses";
    "RFC 5118 §4.10" "ipv6-bug-abnf-3-colons" Trunk [200, 400], "three colons, which RFC 3261's grammar let through by mistake: may be forgiven";
}
