//! Rust taken apart as far as the rules of the house need it: words and signs, paths, functions, what is text or comment.

/// A word, a number, `::`, `->`, or one sign.
#[derive(Debug)]
pub struct Token {
    pub line: usize,
    pub text: String,
}

pub fn tokens(plain: &str) -> Vec<Token> {
    let mut found: Vec<Token> = Vec::new();
    for (number, line) in plain.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let length = match first {
                _ if is_letter(first) => rest.find(|c| !is_letter(c)).unwrap_or(rest.len()),
                _ if rest.starts_with("::") || rest.starts_with("->") || rest.starts_with("=>") => 2,
                _ => first.len_utf8(),
            };
            found.push(Token { line: number + 1, text: rest[..length].to_owned() });
            rest = rest[length..].trim_start();
        }
    }
    found
}

fn is_letter(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

pub fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Every path `a::b::c` of the file with its line; a group `a::{b, c::d}` is written out.
pub fn paths(all: &[Token]) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < all.len() {
        if is_word(&all[at].text) {
            at = path_from(all, at, "", &mut found);
        } else {
            at += 1;
        }
    }
    found
}

/// Reads one path at `at`; returns where it ended.
fn path_from(all: &[Token], mut at: usize, before: &str, found: &mut Vec<(usize, String)>) -> usize {
    let is = |at: usize, text: &str| all.get(at).is_some_and(|token| token.text == text);
    let line = all[at].line;
    let mut path = if before.is_empty() { all[at].text.clone() } else { format!("{before}::{}", all[at].text) };
    at += 1;
    while is(at, "::") {
        at += 1;
        if is(at, "{") {
            at += 1;
            while at < all.len() && !is(at, "}") {
                at = if is_word(&all[at].text) { path_from(all, at, &path, found) } else { at + 1 };
            }
            return at + 1;
        }
        match all.get(at).filter(|token| is_word(&token.text)) {
            Some(token) => path = format!("{path}::{}", token.text),
            None => break,
        }
        at += 1;
    }
    found.push((line, path));
    at
}

/// The first of `texts` from `from` on that no round or square bracket encloses.
pub fn find_at_depth(all: &[Token], from: usize, texts: &[&str]) -> Option<usize> {
    let mut depth = 0_i32;
    for (at, token) in all.iter().enumerate().skip(from) {
        if depth == 0 && texts.contains(&token.text.as_str()) {
            return Some(at);
        }
        match token.text.as_str() {
            "(" | "[" => depth += 1,
            ")" | "]" => depth -= 1,
            _ => {}
        }
    }
    None
}

/// Where the bracket at `open` closes.
pub fn closing(all: &[Token], open: usize) -> usize {
    let mut depth = 0_i32;
    for (at, token) in all.iter().enumerate().skip(open) {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    all.len()
}

/// How many parameters stand in the brackets at `open`, without `self`.
pub fn parameters(all: &[Token], open: usize) -> usize {
    let (mut depth, mut count, mut is_empty) = (0_i32, 0, true);
    let inside = all.get(open + 1..closing(all, open)).unwrap_or_default();
    for token in inside {
        match token.text.as_str() {
            "(" | "[" | "{" | "<" => depth += 1,
            ")" | "]" | "}" | ">" => depth -= 1,
            "," if depth == 0 => is_empty = true,
            "self" if depth == 0 => count -= 1,
            _ => {}
        }
        if is_empty && token.text != "," {
            (count, is_empty) = (count + 1, false);
        }
    }
    count.max(0) as usize
}

/// The text with comments, texts and characters blanked out; lines stay where they are.
pub fn strip(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    let mut before = ' ';
    while let Some(first) = rest.chars().next() {
        let length = match opaque_length(rest, before) {
            Some(length) => {
                plain.extend(rest[..length].chars().map(|c| if c == '\n' { c } else { ' ' }));
                length
            }
            None => {
                plain.push(first);
                first.len_utf8()
            }
        };
        before = rest[..length].chars().next_back().unwrap_or(' ');
        rest = &rest[length..];
    }
    plain
}

/// The length of the comment, text or character that `rest` begins with, if it does.
fn opaque_length(rest: &str, before: char) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(block_comment_length(rest));
    }
    if let Some(body) = rest.strip_prefix('"') {
        return Some(1 + quoted_length(body, '"'));
    }
    if rest.starts_with('r') && !is_letter(before) || rest.starts_with("br") && !is_letter(before) {
        let prefix = if rest.starts_with("br") { 2 } else { 1 };
        let marks = rest[prefix..].chars().take_while(|c| *c == '#').count();
        let start = prefix + marks;
        if rest[start..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(marks));
            return Some(rest[start + 1..].find(&end).map_or(rest.len(), |at| start + 1 + at + end.len()));
        }
    }
    // A character, and no lifetime: it closes after one character or an escape.
    let body = rest.strip_prefix('\'')?;
    let mut letters = body.char_indices();
    let (_, first) = letters.next()?;
    let (second_at, second) = letters.next()?;
    if first == '\\' { Some(1 + quoted_length(body, '\'')) } else { (second == '\'').then_some(1 + second_at + 1) }
}

fn quoted_length(body: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, letter) in body.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if letter == quote => return at + 1,
            _ => {}
        }
    }
    body.len()
}

fn block_comment_length(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        let here = &rest.as_bytes()[at..];
        if here.starts_with(b"/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if here.starts_with(b"*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// The text with every `#[cfg(test)] mod … { … }` blanked out.
pub fn without_tests(plain: &str) -> String {
    let mut kept = plain.to_owned();
    while let Some(start) = kept.find("#[cfg(test)]") {
        let body = kept[start..].find(['{', ';']).map_or(kept.len(), |at| start + at);
        let mut depth = 0_i32;
        let end = kept[body..].char_indices().find_map(|(at, letter)| {
            depth += i32::from(letter == '{') - i32::from(letter == '}');
            (depth == 0).then_some(body + at + 1)
        });
        let end = end.unwrap_or(kept.len());
        let blank: String = kept[start..end].chars().map(|c| if c == '\n' { c } else { ' ' }).collect();
        kept.replace_range(start..end, &blank);
    }
    kept
}
