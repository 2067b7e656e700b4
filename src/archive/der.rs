//! The little of DER (ITU-T X.690) that a time stamp's question and answer need.

/// The most bytes that a length is written in: four say 4 GiB.
const LENGTH_BYTES_MAX: usize = 4;

/// One element: tag, length, content.
pub fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut written = vec![tag];
    match u8::try_from(content.len()) {
        Ok(length) if length < 0x80 => written.push(length),
        Ok(_) | Err(_) => {
            let bytes: Vec<u8> = content.len().to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
            written.push(0x80 | bytes.len() as u8);
            written.extend(bytes);
        }
    }
    written.extend_from_slice(content);
    written
}

/// A number that is not negative, from its big-endian bytes.
pub fn integer(bytes: &[u8]) -> Vec<u8> {
    let mut content: Vec<u8> = bytes.iter().copied().skip_while(|byte| *byte == 0).collect();
    // A first bit that is set would make it negative; no byte at all would be no number.
    if content.first().is_none_or(|byte| byte & 0x80 != 0) {
        content.insert(0, 0);
    }
    element(0x02, &content)
}

/// Reads elements one after another.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    left: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads these bytes.
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { left: bytes }
    }

    /// The content of the next element, if it has this tag; else nothing is taken.
    pub fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (first, rest) = self.left.split_first()?;
        let (length, rest) = rest.split_first()?;
        if *first != tag {
            return None;
        }
        let (length, rest) = match length {
            short @ 0..=0x7f => (usize::from(*short), rest),
            long => {
                let count = usize::from(long & 0x7f);
                let bytes = rest.get(..count).filter(|_| (1..=LENGTH_BYTES_MAX).contains(&count))?;
                (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest.get(count..)?)
            }
        };
        let content = rest.get(..length)?;
        self.left = rest.get(length..)?;
        Some(content)
    }

    /// A reader of the next element's content, if it has this tag.
    pub fn enter(&mut self, tag: u8) -> Option<Reader<'a>> {
        self.take(tag).map(Reader::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_what_is_cut_is_not() {
        for length in [0, 1, 127, 128, 255, 256, 70_000] {
            let content = vec![7; length];
            let written = element(0x04, &content);
            assert_eq!(Reader::new(&written).take(0x04), Some(&content[..]), "{length}");
            assert_eq!(Reader::new(&written[..written.len() - 1]).take(0x04), None, "{length}");
            assert_eq!(Reader::new(&written).take(0x05), None);
        }
        for bytes in [&[0x04][..], &[0x04, 0x80], &[0x04, 0x85, 1, 1, 1, 1, 1], &[0x04, 0x84, 0xff, 0xff, 0xff, 0xff]] {
            assert_eq!(Reader::new(bytes).take(0x04), None);
        }
    }

    #[test]
    fn a_number_is_never_negative_nor_empty() {
        assert_eq!(integer(&[0, 0, 1]), [2, 1, 1]);
        assert_eq!(integer(&[0x80]), [2, 2, 0, 0x80]);
        assert_eq!(integer(&[0, 0]), [2, 1, 0]);
    }
}
