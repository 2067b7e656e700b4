//! A PNG file (ISO/IEC 15948): a head, the pixels deflated, an end, a checksum to each.

use super::canvas::Colour;

const SIGNATURE: [u8; 8] = *b"\x89PNG\r\n\x1a\n";
/// 8 bits each of red, green and blue; deflate, filters by row, no interlacing (§11.2.1).
const FORM: [u8; 5] = [8, 2, 0, 0, 0];
/// Every row as it is (§9.2): flat colours deflate well without a filter.
const NO_FILTER: u8 = 0;
/// Of ten: what takes no time and is small enough.
const DEFLATE_LEVEL: u8 = 6;

/// The whole file; the pixels are row by row.
pub fn encode(width: usize, pixels: &[Colour]) -> Vec<u8> {
    let rows = pixels.chunks(width.max(1));
    let size = [width as u32, rows.len() as u32].map(u32::to_be_bytes).concat();
    let mut plain = Vec::with_capacity(pixels.len() * 3 + rows.len());
    for row in rows {
        plain.push(NO_FILTER);
        plain.extend_from_slice(row.as_flattened());
    }
    let mut file = SIGNATURE.to_vec();
    push(&mut file, b"IHDR", &[size.as_slice(), &FORM].concat());
    push(&mut file, b"IDAT", &miniz_oxide::deflate::compress_to_vec_zlib(&plain, DEFLATE_LEVEL));
    push(&mut file, b"IEND", &[]);
    file
}

/// One chunk: its length, its name, what it holds, the checksum of name and content (§5.3).
fn push(file: &mut Vec<u8>, name: &[u8; 4], content: &[u8]) {
    file.extend_from_slice(&(content.len() as u32).to_be_bytes());
    file.extend_from_slice(name);
    file.extend_from_slice(content);
    file.extend_from_slice(&checksum([name, content]).to_be_bytes());
}

/// CRC-32 as Annex D has it.
fn checksum(parts: [&[u8]; 2]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { 0xedb8_8320 ^ (crc >> 1) } else { crc >> 1 })
    };
    !parts.into_iter().flatten().fold(u32::MAX, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_standard_and_the_rows_are_found_again() {
        // The end of every PNG file.
        assert_eq!(checksum([b"IEND", b""]), 0xae42_6082);
        let pixels: Vec<Colour> = (0..6).map(|n| [n, 2 * n, 255 - n]).collect();
        let file = encode(3, &pixels);
        assert!(file.starts_with(b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x03\0\0\0\x02\x08\x02\0\0\0"));
        assert!(file.ends_with(b"\0\0\0\0IEND\xae\x42\x60\x82"));
        let at = file.windows(4).position(|name| name == b"IDAT").expect("the pixels");
        let length = u32::from_be_bytes(file[at - 4..at].try_into().expect("four bytes")) as usize;
        let rows = miniz_oxide::inflate::decompress_to_vec_zlib(&file[at + 4..at + 4 + length]).expect("deflated");
        assert_eq!(rows, [&[0], pixels[..3].as_flattened(), &[0], pixels[3..].as_flattened()].concat());
    }
}
