//! What a picture is drawn on: lines, bars and words, as SVG or as pixels.

use std::fmt::Write as _;

/// Red, green and blue.
pub type Colour = [u8; 3];

/// Which end of a text stands at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    Start,
    Middle,
    End,
}

/// A size, or a place from the left and the top, in pixels.
pub type Pair = (f64, f64);

/// Something that can be drawn on.
pub trait Canvas {
    /// A filled rectangle: its upper left corner and its size.
    fn bar(&mut self, corner: Pair, size: Pair, colour: Colour);
    /// A line from point to point.
    fn line(&mut self, points: &[Pair], width: f64, colour: Colour);
    /// Words, black, their baseline at this place.
    fn words(&mut self, at: Pair, anchor: Anchor, is_title: bool, text: &str);
}

/// The text of an SVG file.
pub struct Svg {
    text: String,
}

impl Svg {
    /// An empty white one.
    pub fn new((width, height): Pair) -> Svg {
        let mut svg = Svg {
            text: format!(
                "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
                 height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n"
            ),
        };
        svg.bar((0.0, 0.0), (width, height), [0xff; 3]);
        svg
    }

    /// The whole file.
    pub fn finish(mut self) -> String {
        self.text.push_str("</svg>\n");
        self.text
    }
}

// Writing to a String does not fail.
impl Canvas for Svg {
    fn bar(&mut self, (x, y): Pair, (width, height): Pair, colour: Colour) {
        let colour = hex(colour);
        let _ = writeln!(
            self.text,
            r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" fill="{colour}"/>"#
        );
    }

    fn line(&mut self, points: &[Pair], width: f64, colour: Colour) {
        let mut path = String::new();
        for (place, (x, y)) in points.iter().enumerate() {
            let _ = write!(path, "{}{x:.1} {y:.1}", if place == 0 { "M" } else { "L" });
        }
        let colour = hex(colour);
        let _ = writeln!(self.text, r#"<path d="{path}" fill="none" stroke="{colour}" stroke-width="{width}"/>"#);
    }

    fn words(&mut self, (x, y): Pair, anchor: Anchor, is_title: bool, text: &str) {
        let size = if is_title { r#" font-size="16""# } else { "" };
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => r#" text-anchor="middle""#,
            Anchor::End => r#" text-anchor="end""#,
        };
        let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let _ = writeln!(self.text, r#"<text x="{x:.1}" y="{y:.1}"{size}{anchor}>{text}</text>"#);
    }
}

fn hex([red, green, blue]: Colour) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}
