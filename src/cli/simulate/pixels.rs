//! A picture as pixels, for whoever cannot show SVG: a PNG file.

use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

use super::canvas::{Anchor, Canvas, Colour, Pair};
use super::png;

const WEIGHT: FontWeight = FontWeight::Regular;
const PLAIN: RasterHeight = RasterHeight::Size16;
const TITLE: RasterHeight = RasterHeight::Size20;

/// The part of a letter's box that lies above its baseline.
const ABOVE_BASELINE: f64 = 0.78;

/// A white sheet that is drawn on.
pub struct Pixels {
    width: usize,
    /// Red, green and blue of each, row by row.
    colours: Vec<Colour>,
}

impl Pixels {
    /// An empty one.
    pub fn new((width, height): Pair) -> Pixels {
        let (width, height) = (width as usize, height as usize);
        Pixels { width, colours: vec![[0xff; 3]; width * height] }
    }

    /// The whole file.
    pub fn finish(&self) -> Vec<u8> {
        png::encode(self.width, &self.colours)
    }

    /// Each pixel's colour, row by row.
    #[cfg(test)]
    pub fn colours(&self) -> &[Colour] {
        &self.colours
    }

    /// Mixes a colour into one pixel, by its share of it.
    fn mix(&mut self, x: i64, y: i64, (colour, share): (Colour, f64)) {
        let (Ok(x), Ok(y)) = (usize::try_from(x), usize::try_from(y)) else { return };
        if x >= self.width {
            return;
        }
        let Some(pixel) = self.colours.get_mut(y * self.width + x) else { return };
        for (there, new) in pixel.iter_mut().zip(colour) {
            let mixed = f64::from(*there) + (f64::from(new) - f64::from(*there)) * share.clamp(0.0, 1.0);
            *there = mixed.round() as u8;
        }
    }

    fn segment(&mut self, from: Pair, to: Pair, (width, colour): (f64, Colour)) {
        let half = width / 2.0;
        let margin = half + 1.0;
        let (left, right) = (from.0.min(to.0) - margin, from.0.max(to.0) + margin);
        let (top, bottom) = (from.1.min(to.1) - margin, from.1.max(to.1) + margin);
        for y in top.floor() as i64..=bottom.ceil() as i64 {
            for x in left.floor() as i64..=right.ceil() as i64 {
                let away = distance((x as f64 + 0.5, y as f64 + 0.5), from, to);
                // A pixel that the edge crosses has its part of the colour: no steps are seen.
                let share = (half + 0.5 - away).clamp(0.0, 1.0);
                if share > 0.0 {
                    self.mix(x, y, (colour, share));
                }
            }
        }
    }
}

/// From a point to the nearest one between two others.
fn distance(point: Pair, from: Pair, to: Pair) -> f64 {
    let (along, up) = (to.0 - from.0, to.1 - from.1);
    let length = along * along + up * up;
    let part = if length == 0.0 { 0.0 } else { ((point.0 - from.0) * along + (point.1 - from.1) * up) / length };
    let part = part.clamp(0.0, 1.0);
    (point.0 - from.0 - part * along).hypot(point.1 - from.1 - part * up)
}

impl Canvas for Pixels {
    fn bar(&mut self, corner: Pair, size: Pair, colour: Colour) {
        let (right, bottom) = (corner.0 + size.0, corner.1 + size.1);
        for y in corner.1.round() as i64..bottom.round() as i64 {
            for x in corner.0.round() as i64..right.round() as i64 {
                self.mix(x, y, (colour, 1.0));
            }
        }
    }

    fn line(&mut self, points: &[Pair], width: f64, colour: Colour) {
        for (from, to) in points.iter().zip(points.iter().skip(1)) {
            self.segment(*from, *to, (width, colour));
        }
    }

    fn words(&mut self, (x, y): Pair, anchor: Anchor, is_title: bool, text: &str) {
        let size = if is_title { TITLE } else { PLAIN };
        let step = get_raster_width(WEIGHT, size);
        let length = (text.chars().count() * step) as f64;
        let left = match anchor {
            Anchor::Start => x,
            Anchor::Middle => x - length / 2.0,
            Anchor::End => x - length,
        };
        let top = (y - size.val() as f64 * ABOVE_BASELINE).round() as i64;
        for (place, letter) in text.chars().enumerate() {
            // A letter that is not there is a question mark, so that nobody takes it for a blank.
            let Some(drawn) = get_raster(letter, WEIGHT, size).or_else(|| get_raster('?', WEIGHT, size)) else {
                continue;
            };
            let left = left.round() as i64 + (place * step) as i64;
            for (row, pixels) in (0..).zip(drawn.rows()) {
                for (column, share) in (0..).zip(pixels) {
                    self.mix(left + column, top + row, ([0; 3], f64::from(*share) / 255.0));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_its_colour_inside_half_of_it_at_the_edge_and_none_beyond_the_sheet() {
        let mut sheet = Pixels::new((20.0, 10.0));
        sheet.line(&[(-5.0, 5.0), (30.0, 5.0)], 3.0, [0, 0, 0]);
        let at = |x: usize, y: usize| sheet.colours[y * 20 + x][0];
        assert_eq!([at(3, 2), at(3, 4), at(3, 5), at(3, 8)], [255, 0, 0, 255]);
        assert!((1..255).contains(&at(3, 3)), "{}", at(3, 3));
    }

    #[test]
    fn words_stand_where_their_anchor_says() {
        for (anchor, from, to) in [(Anchor::Start, 50, 90), (Anchor::Middle, 30, 70), (Anchor::End, 10, 50)] {
            let mut sheet = Pixels::new((100.0, 30.0));
            sheet.words((50.0, 20.0), anchor, false, "HHHH");
            let inked = |x: usize| (0..30).any(|y| sheet.colours[y * 100 + x][0] < 128);
            let columns: Vec<usize> = (0..100).filter(|x| inked(*x)).collect();
            let (first, last) = (columns[0], columns[columns.len() - 1]);
            assert!(first >= from && last < to && last - first > 20, "{anchor:?}: {first} to {last}");
        }
    }
}
