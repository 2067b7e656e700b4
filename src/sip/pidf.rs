//! PIDF-LO: where a caller is, as XML (RFC 4119, RFC 5491, RFC 5139).
//!
//! Every shape is reduced to a point and the radius of a circle around it that covers the shape. The usage rules
//! (retransmission, retention) are not read: an emergency service keeps what it was told (RFC 6881 §5).

use std::collections::BTreeMap;

use roxmltree::{Document, Node, ParsingOptions};

use crate::model::record::Location;

mod shape;

/// The longest document read, in bytes: real ones have 1 to 3 KiB.
pub const DOCUMENT_LENGTH_MAX: usize = 16_384;
/// The most XML nodes read: real ones have under 100.
pub const NODES_MAX: u32 = 2_000;
/// The most civic elements kept: RFC 5139 and RFC 6848 know about 40.
pub const CIVIC_MAX: usize = 48;
/// The longest civic value or method kept, in bytes.
pub const VALUE_LENGTH_MAX: usize = 256;

/// Why a document says no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PidfFault {
    /// Over [`DOCUMENT_LENGTH_MAX`], or no UTF-8.
    #[error("reading a PIDF-LO: longer than 16 KiB, or not UTF-8")]
    Size,
    /// No XML, one with a DTD, or more than [`NODES_MAX`] nodes.
    #[error("reading a PIDF-LO: no XML without a DTD and with at most 2000 nodes")]
    Xml,
    /// No point, shape or civic address that can be read.
    #[error("reading a PIDF-LO: no location in it that can be read")]
    Nowhere,
}

/// Reads the location that RFC 5491 §3.4 says comes first: a device's, then a tuple's, then a person's. The document
/// itself is kept with it.
pub fn read(bytes: &[u8]) -> Result<Location, PidfFault> {
    if bytes.len() > DOCUMENT_LENGTH_MAX {
        return Err(PidfFault::Size);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| PidfFault::Size)?;
    let options = ParsingOptions { allow_dtd: false, nodes_limit: NODES_MAX, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text.trim(), options).map_err(|_| PidfFault::Xml)?;
    let mut found: Vec<(usize, Location)> = Vec::new();
    for geopriv in document.descendants().filter(|node| is(node, "geopriv")) {
        if let Some(location) = read_geopriv(geopriv) {
            found.push((precedence(geopriv), location));
        }
    }
    // The sort is stable: of the same precedence, the first counts.
    found.sort_by_key(|(precedence, _)| *precedence);
    let (_, mut location) = found.into_iter().next().ok_or(PidfFault::Nowhere)?;
    location.document = Some(text.to_owned());
    Ok(location)
}

fn is(node: &Node<'_, '_>, name: &str) -> bool {
    node.is_element() && node.tag_name().name() == name
}

fn precedence(geopriv: Node<'_, '_>) -> usize {
    let holds = |name: &str| geopriv.ancestors().any(|node| is(&node, name));
    match (holds("device"), holds("tuple")) {
        (true, _) => 0,
        (false, true) => 1,
        (false, false) => 2,
    }
}

fn read_geopriv(geopriv: Node<'_, '_>) -> Option<Location> {
    let place = geopriv.descendants().find(|node| is(node, "location-info"))?;
    let mut location = Location::default();
    if let Some(circle) = place.descendants().filter(Node::is_element).find_map(shape::read) {
        (location.latitude, location.longitude) = (Some(circle.latitude), Some(circle.longitude));
        location.radius_m = circle.radius_m;
    }
    if let Some(address) = place.descendants().find(|node| is(node, "civicAddress")) {
        location.civic = read_civic(address);
    }
    let method = geopriv.descendants().find(|node| is(node, "method"));
    location.method = method.map(|node| text_of(node)).filter(|method| !method.is_empty());
    (location.latitude.is_some() || !location.civic.is_empty()).then_some(location)
}

fn read_civic(address: Node<'_, '_>) -> BTreeMap<String, String> {
    let mut civic = BTreeMap::new();
    for node in address.children().filter(Node::is_element) {
        let (name, value) = (node.tag_name().name(), text_of(node));
        let is_name = name.len() <= 16 && name.bytes().all(|b| b.is_ascii_alphanumeric());
        if is_name && !value.is_empty() && civic.len() < CIVIC_MAX {
            civic.entry(name.to_owned()).or_insert(value);
        }
    }
    civic
}

/// An element's text on one line, cut at [`VALUE_LENGTH_MAX`].
fn text_of(node: Node<'_, '_>) -> String {
    let mut text = node.text().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
    text.truncate(text.floor_char_boundary(VALUE_LENGTH_MAX));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(place: &str) -> String {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" \
             xmlns:gp=\"urn:ietf:params:xml:ns:pidf:geopriv10\" xmlns:gml=\"http://www.opengis.net/gml\" \
             xmlns:gs=\"http://www.opengis.net/pidflo/1.0\" xmlns:ca=\"urn:ietf:params:xml:ns:pidf:geopriv10:civicAddr\" \
             xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" entity=\"pres:a@h\">{place}</presence>"
        )
    }

    fn tuple(shapes: &str) -> String {
        document(&format!(
            "<tuple id=\"a\"><status><gp:geopriv><gp:location-info>{shapes}</gp:location-info><gp:usage-rules>\
             <gp:retransmission-allowed>no</gp:retransmission-allowed></gp:usage-rules><gp:method>GPS</gp:method>\
             </gp:geopriv></status><timestamp>2026-11-22T00:00:00Z</timestamp></tuple>"
        ))
    }

    fn read_text(text: &str) -> Result<Location, PidfFault> {
        read(text.as_bytes())
    }

    #[test]
    fn a_circle_and_a_civic_address_of_one_place_are_both_read() {
        let text = tuple(
            "<gs:Circle srsName=\"urn:ogc:def:crs:EPSG::4326\"><gml:pos>49.4431 1.0993</gml:pos>\
             <gs:radius uom=\"urn:ogc:def:uom:EPSG::9001\">30</gs:radius></gs:Circle>\
             <ca:civicAddress xml:lang=\"fr\"><ca:country>FR</ca:country><ca:A3>Rouen</ca:A3><ca:RD>Rue  du\n Gros-Horloge</ca:RD>\
             <ca:HNO>12</ca:HNO><ca:PC>76000</ca:PC><ca:LOC/></ca:civicAddress>",
        );
        let location = read_text(&text).expect("a place");
        assert_eq!(
            (location.latitude, location.longitude, location.radius_m),
            (Some(49.4431), Some(1.0993), Some(30.0))
        );
        let civic: Vec<_> = location.civic.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(
            civic,
            [("A3", "Rouen"), ("HNO", "12"), ("PC", "76000"), ("RD", "Rue du Gros-Horloge"), ("country", "FR")]
        );
        assert_eq!((location.method.as_deref(), location.document), (Some("GPS"), Some(text)));
    }

    #[test]
    fn a_device_comes_before_a_tuple_and_a_person() {
        let place = |lat: u8| {
            format!(
                "<gp:geopriv><gp:location-info><gml:Point><gml:pos>{lat} 1</gml:pos></gml:Point></gp:location-info></gp:geopriv>"
            )
        };
        let text = document(&format!(
            "<dm:person id=\"p\">{}</dm:person><tuple id=\"t\"><status>{}</status></tuple><dm:device id=\"d\">{}</dm:device>",
            place(10),
            place(20),
            place(30)
        ));
        assert_eq!(read_text(&text).map(|l| l.latitude), Ok(Some(30.0)));
    }

    #[test]
    fn a_first_location_that_cannot_be_read_gives_way_to_the_next() {
        let good = "<gml:Point><gml:pos>49 1</gml:pos></gml:Point>";
        let text = tuple(&format!("<gml:Point><gml:pos>490 1</gml:pos></gml:Point>{good}"));
        assert_eq!(read_text(&text).map(|l| l.latitude), Ok(Some(49.0)));
    }

    #[test]
    fn what_is_hostile_or_no_place_is_refused() {
        let bomb = "<!DOCTYPE a [<!ENTITY x \"xxxxxxxxxx\"><!ENTITY y \"&x;&x;&x;&x;\">]><a>&y;&y;</a>";
        let outside = "<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><a>&x;</a>";
        for text in [bomb, outside, "", "no xml", "<a>", "<a></b>", &"<a>".repeat(5000), &"<a/>".repeat(4000)] {
            assert_eq!(read_text(text), Err(PidfFault::Xml), "{text:.60}");
        }
        let deep = format!("{}{}", "<a>".repeat(2200), "</a>".repeat(2200));
        assert_eq!(read_text(&deep), Err(PidfFault::Xml));
        assert_eq!(read_text(&"x".repeat(DOCUMENT_LENGTH_MAX + 1)), Err(PidfFault::Size));
        assert_eq!(read(b"<a>\xff\xfe</a>"), Err(PidfFault::Size));
        for shapes in
            ["", "<gml:Point/>", "<ca:civicAddress/>", "<ca:civicAddress><ca:LOC> </ca:LOC></ca:civicAddress>"]
        {
            assert_eq!(read_text(&tuple(shapes)), Err(PidfFault::Nowhere), "{shapes}");
        }
    }

    #[test]
    fn a_civic_flood_is_cut() {
        let many: String = (0..400).map(|n| format!("<ca:E{n}>x</ca:E{n}>")).collect();
        let long = "é".repeat(VALUE_LENGTH_MAX);
        let text = tuple(&format!("<ca:civicAddress><ca:RD>{long}</ca:RD>{many}</ca:civicAddress>"));
        let civic = read_text(&text).expect("a place").civic;
        assert_eq!((civic.len(), civic.get("RD").map(String::len)), (CIVIC_MAX, Some(VALUE_LENGTH_MAX)));
    }
}
