//! Splitting a header's value at a separator, but not within quotes or angle brackets (RFC 3261 §25.1).

/// The pieces of `text` between `separator`s, trimmed; a quoted string or `<…>` is never cut.
pub fn pieces(text: &str, separator: u8) -> Pieces<'_> {
    Pieces { rest: Some(text), separator }
}

/// See [`pieces`].
pub struct Pieces<'a> {
    rest: Option<&'a str>,
    separator: u8,
}

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let text = self.rest?;
        match find(text, self.separator) {
            Some(at) => {
                self.rest = text.get(at + 1..);
                text.get(..at).map(str::trim)
            }
            None => {
                self.rest = None;
                Some(text.trim())
            }
        }
    }
}

/// Where `wanted` stands first outside quotes and angle brackets.
pub fn find(text: &str, wanted: u8) -> Option<usize> {
    let (mut quoted, mut escaped, mut angled) = (false, false, false);
    for (at, b) in text.bytes().enumerate() {
        if escaped {
            escaped = false;
        } else if quoted {
            match b {
                b'\\' => escaped = true,
                b'"' => quoted = false,
                _ => {}
            }
        } else if !angled && b == wanted {
            return Some(at);
        } else {
            match b {
                b'"' if !angled => quoted = true,
                b'<' => angled = true,
                b'>' => angled = false,
                _ => {}
            }
        }
    }
    None
}

/// A quoted string without its quotes and escapes; anything else as it is.
pub fn unquote(text: &str) -> String {
    let Some(inner) = text.strip_prefix('"').map(|t| t.strip_suffix('"').unwrap_or(t)) else {
        return text.to_owned();
    };
    let mut out = String::with_capacity(inner.len());
    let mut escaped = false;
    for c in inner.chars() {
        if !escaped && c == '\\' {
            escaped = true;
        } else {
            out.push(c);
            escaped = false;
        }
    }
    out
}

/// `text` as a quoted string.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\r' | '\n' | '\0' => out.push(' '),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_brackets_protect_a_separator() {
        let text = r#""a, \", b" <sip:x,y@h>;p="1,2" , <sip:z>"#;
        let cut: Vec<_> = pieces(text, b',').collect();
        assert_eq!(cut, [r#""a, \", b" <sip:x,y@h>;p="1,2""#, "<sip:z>"]);
    }

    #[test]
    fn a_quoted_text_reads_back() {
        for text in ["", "plain", r#"a "b" \c"#, "é"] {
            assert_eq!(unquote(&quote(text)), text);
        }
    }
}
