//! The shapes of RFC 5491 §5 as a point and a radius: degrees of WGS 84, latitude first.

use roxmltree::Node;

/// The mean radius of the earth, in metres.
const EARTH_RADIUS_M: f64 = 6_371_008.8;
/// No place on earth is farther from another, in metres.
pub const RADIUS_MAX_M: f64 = 20_037_508.0;
/// The most corners read of a polygon: RFC 5491 §5.2.3 allows 15.
pub const CORNERS_MAX: usize = 64;

/// A point and how far around it the caller may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Circle {
    /// Degrees north, -90 to 90.
    pub latitude: f64,
    /// Degrees east, -180 to 180.
    pub longitude: f64,
    /// In metres; nothing when the shape says none that can be read.
    pub radius_m: Option<f64>,
}

/// A shape: Point as it is; Circle and Sphere by their radius; Ellipse and Ellipsoid by the longer half axis; ArcBand by
/// its outer radius; Polygon (and the one of a Prism) by the mean of its corners and the farthest of them.
pub fn read(shape: Node<'_, '_>) -> Option<Circle> {
    let radius = match shape.tag_name().name() {
        "Point" => None,
        "Circle" | "Sphere" => length(shape, "radius"),
        "Ellipse" | "Ellipsoid" => length(shape, "semiMajorAxis"),
        "ArcBand" => length(shape, "outerRadius"),
        "Polygon" => return read_polygon(shape),
        _ => return None,
    };
    let (latitude, longitude) = *points(shape)?.first()?;
    Some(Circle { latitude, longitude, radius_m: radius })
}

fn read_polygon(shape: Node<'_, '_>) -> Option<Circle> {
    // A ring ends where it began; that corner counts once. An inner ring only says where the caller is not.
    let outer = shape.descendants().find(|node| node.tag_name().name() == "exterior").unwrap_or(shape);
    let mut corners = points(outer)?;
    if corners.len() > 1 && corners.first() == corners.last() {
        corners.pop();
    }
    let count = corners.len() as f64;
    // Across the date line, longitudes are reckoned from the first one's.
    let first = corners.first()?.1;
    let near = |east: f64| match east - first {
        d if d > 180.0 => east - 360.0,
        d if d < -180.0 => east + 360.0,
        _ => east,
    };
    let latitude = corners.iter().map(|(north, _)| north).sum::<f64>() / count;
    let mean = corners.iter().map(|(_, east)| near(*east)).sum::<f64>() / count;
    let longitude = (mean + 540.0).rem_euclid(360.0) - 180.0;
    let radius = corners.iter().map(|corner| distance_m((latitude, longitude), *corner)).fold(0.0, f64::max);
    Some(Circle { latitude, longitude, radius_m: Some(radius.round()) })
}

/// A length in metres (EPSG 9001, also when no unit is said); nothing in another unit or out of range.
fn length(shape: Node<'_, '_>, name: &str) -> Option<f64> {
    let node = shape.descendants().find(|node| node.tag_name().name() == name)?;
    let is_metres = node.attribute("uom").is_none_or(|unit| unit.ends_with(":9001") || unit.eq_ignore_ascii_case("m"));
    let length: f64 = node.text()?.trim().parse().ok()?;
    (is_metres && (0.0..=RADIUS_MAX_M).contains(&length)).then_some(length)
}

/// Every position within, when all can be read: of each `pos`, `posList` or (RFC 4119's own example) `coordinates`.
fn points(shape: Node<'_, '_>) -> Option<Vec<(f64, f64)>> {
    let mut all = Vec::new();
    for node in shape.descendants() {
        match node.tag_name().name() {
            "pos" | "posList" => {
                let numbers = numbers(node.text()?, dimensions(node)? * CORNERS_MAX)?;
                all.extend(numbers.chunks_exact(dimensions(node)?).filter_map(|p| Some((*p.first()?, *p.get(1)?))));
            }
            "coordinates" => all.push(read_coordinates(node.text()?)?),
            _ => {}
        }
    }
    let is_on_earth = |(north, east): &(f64, f64)| north.abs() <= 90.0 && east.abs() <= 180.0;
    (!all.is_empty() && all.len() <= CORNERS_MAX && all.iter().all(is_on_earth)).then_some(all)
}

/// 2 for EPSG 4326 and when nothing is said, 3 for 4979, nothing for any other system (RFC 5491 §5.1).
fn dimensions(node: Node<'_, '_>) -> Option<usize> {
    let system = node.ancestors().find_map(|node| node.attribute("srsName"));
    let count = node.text().map_or(0, |text| text.split_whitespace().take(4).count());
    match system {
        // A point with an altitude where the system has none is still a point.
        Some(name) if !name.ends_with(":4326") && !name.ends_with(":4979") => None,
        Some(name) if name.ends_with(":4979") => Some(3),
        Some(_) | None if node.tag_name().name() == "pos" && count == 3 => Some(3),
        Some(_) | None => Some(2),
    }
}

fn numbers(text: &str, count_max: usize) -> Option<Vec<f64>> {
    let numbers: Option<Vec<f64>> = text.split_whitespace().take(count_max + 1).map(|word| word.parse().ok()).collect();
    numbers.filter(|numbers| numbers.len() > 1 && numbers.len() <= count_max && numbers.iter().all(|n| n.is_finite()))
}

/// `37.775,-122.4194`, or `37:46:30N 122:25:10W` (RFC 4119 §2.2.1).
fn read_coordinates(text: &str) -> Option<(f64, f64)> {
    let mut words = text.split([',', ' ', '\t', '\r', '\n']).filter(|word| !word.is_empty());
    let (north, east) = (read_angle(words.next()?, ('N', 'S'))?, read_angle(words.next()?, ('E', 'W'))?);
    Some((north, east))
}

fn read_angle(word: &str, (plus, minus): (char, char)) -> Option<f64> {
    if let Ok(degrees) = word.parse::<f64>() {
        return Some(degrees).filter(|d| d.is_finite());
    }
    let (digits, sign) = match word.strip_suffix(plus) {
        Some(digits) => (digits, 1.0),
        None => (word.strip_suffix(minus)?, -1.0),
    };
    let mut parts = digits.splitn(3, ':').map(|part| part.parse::<f64>().ok().filter(|n| n.is_finite() && *n >= 0.0));
    let degrees = parts.next()??;
    let minutes = parts.next().unwrap_or(Some(0.0))?;
    let seconds = parts.next().unwrap_or(Some(0.0))?;
    Some(sign * (degrees + minutes / 60.0 + seconds / 3600.0))
}

/// Along the surface of a sphere, in metres.
fn distance_m(from: (f64, f64), to: (f64, f64)) -> f64 {
    let (north, south) = (from.0.to_radians(), to.0.to_radians());
    let half = |angle: f64| (angle / 2.0).sin().powi(2);
    let chord = half(south - north) + north.cos() * south.cos() * half((to.1 - from.1).to_radians());
    2.0 * EARTH_RADIUS_M * chord.clamp(0.0, 1.0).sqrt().asin()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Option<Circle> {
        let document = roxmltree::Document::parse(text).expect("XML");
        read(document.root_element())
    }

    fn point(text: &str) -> Option<(f64, f64, Option<f64>)> {
        read_text(text).map(|circle| (circle.latitude, circle.longitude, circle.radius_m))
    }

    #[test]
    fn each_round_shape_keeps_its_centre_and_longest_reach() {
        for (text, expected) in [
            (
                "<Point srsName='urn:ogc:def:crs:EPSG::4326'><pos> 49.4431\n 1.0993 </pos></Point>",
                (49.4431, 1.0993, None),
            ),
            ("<Point srsName='urn:ogc:def:crs:EPSG::4979'><pos>-34.4 150.8 22</pos></Point>", (-34.4, 150.8, None)),
            (
                "<Circle><pos>1 2</pos><radius uom='urn:ogc:def:uom:EPSG::9001'>850.24</radius></Circle>",
                (1.0, 2.0, Some(850.24)),
            ),
            ("<Circle><pos>1 2</pos><radius uom='urn:ogc:def:uom:EPSG::9002'>850</radius></Circle>", (1.0, 2.0, None)),
            ("<Circle><pos>1 2</pos><radius>-5</radius></Circle>", (1.0, 2.0, None)),
            ("<Sphere><pos>1 2 3</pos><radius>NaN</radius></Sphere>", (1.0, 2.0, None)),
            (
                "<Ellipse><pos>42.5463 -73.2512</pos><semiMajorAxis>1275</semiMajorAxis><semiMinorAxis>670</semiMinorAxis></Ellipse>",
                (42.5463, -73.2512, Some(1275.0)),
            ),
            (
                "<ArcBand><pos>42.5 -73.2</pos><innerRadius>1661</innerRadius><outerRadius>2215</outerRadius></ArcBand>",
                (42.5, -73.2, Some(2215.0)),
            ),
            ("<Point><coordinates>37.775,-122.4194</coordinates></Point>", (37.775, -122.4194, None)),
        ] {
            assert_eq!(point(text), Some(expected), "{text}");
        }
        let (north, east, _) =
            point("<Point><coordinates>37:46:30N 122:25:10W</coordinates></Point>").expect("a point");
        assert!((north - 37.775).abs() < 1e-9 && (east + 122.419_444).abs() < 1e-6, "{north} {east}");
    }

    #[test]
    fn a_polygon_is_the_mean_of_its_corners_and_covers_them() {
        let list = "<Polygon><exterior><LinearRing><posList>0 0 0 2 2 2 2 0 0 0</posList></LinearRing></exterior>\
                    <interior><LinearRing><posList>80 80 81 81 80 80</posList></LinearRing></interior></Polygon>";
        let each = "<Polygon><exterior><LinearRing><pos>0 0</pos><pos>0 2</pos><pos>2 2</pos><pos>2 0</pos><pos>0 0</pos></LinearRing></exterior></Polygon>";
        for text in [list, each] {
            let circle = read_text(text).expect("a polygon");
            assert!((circle.latitude - 1.0).abs() < 1e-9 && (circle.longitude - 1.0).abs() < 1e-9, "{circle:?}");
            assert!(circle.radius_m.is_some_and(|r| (157_000.0..158_000.0).contains(&r)), "{circle:?}");
        }
        let across =
            read_text("<Polygon><exterior><posList>0 179 0 -179 2 -179 2 179 0 179</posList></exterior></Polygon>");
        assert!(across.is_some_and(|c| (c.longitude.abs() - 180.0).abs() < 1e-9), "{across:?}");
    }

    #[test]
    fn what_is_off_the_earth_in_another_system_or_no_number_is_refused() {
        for text in [
            "<Point><pos>90.1 0</pos></Point>",
            "<Point><pos>0 180.1</pos></Point>",
            "<Point><pos>NaN 1</pos></Point>",
            "<Point><pos>inf 1</pos></Point>",
            "<Point><pos>1e999 1</pos></Point>",
            "<Point><pos>49</pos></Point>",
            "<Point><pos/></Point>",
            "<Point><pos>north east</pos></Point>",
            "<Point srsName='urn:ogc:def:crs:EPSG::2154'><pos>49 1</pos></Point>",
            "<Point><coordinates>x:y:zN 1E</coordinates></Point>",
            "<Polygon><exterior/></Polygon>",
            "<Square><pos>1 2</pos></Square>",
        ] {
            assert_eq!(read_text(text), None, "{text}");
        }
        let many = format!("<Polygon><posList>{}</posList></Polygon>", "1 2 ".repeat(CORNERS_MAX + 1));
        assert_eq!(read_text(&many), None);
    }
}
