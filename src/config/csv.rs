//! Comma-separated text (RFC 4180), as spreadsheets write it: `,`, `;` or tabs between cells, quotes around some.

/// One row, and the line on which it begins, from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub line: usize,
    pub cells: Vec<Cell>,
}

/// One cell without its quotes, trimmed, and the column on which it begins, from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    pub text: String,
    pub column: usize,
}

/// A quote that nothing closes: the line and the column on which it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unclosed {
    pub line: usize,
    pub column: usize,
}

/// The rows that hold anything. The byte order mark of some programs is passed over.
pub(super) fn rows(text: &str) -> Result<Vec<Row>, Unclosed> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let separator = separator_of(text.lines().next().unwrap_or_default());
    let mut reader = Reader { rows: Vec::new(), cells: Vec::new(), row: 1, line: 1, column: 1 };
    let mut letters = text.chars().peekable();
    let (mut cell, mut start, mut quote) = (String::new(), 1, None);
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quote.is_some() && letters.peek() == Some(&'"') => {
                letters.next();
                reader.column += 1;
                cell.push('"');
            }
            '"' if quote.is_some() => quote = None,
            '"' if cell.trim().is_empty() => quote = Some(Unclosed { line: reader.line, column: reader.column }),
            '\n' if quote.is_none() => {
                reader.end_cell(&mut cell, start);
                reader.end_row();
                start = 1;
                continue;
            }
            letter if letter == separator && quote.is_none() => {
                reader.end_cell(&mut cell, start);
                start = reader.column + 1;
            }
            letter => cell.push(letter),
        }
        reader.pass(letter);
    }
    if let Some(unclosed) = quote {
        return Err(unclosed);
    }
    reader.end_cell(&mut cell, start);
    reader.end_row();
    Ok(reader.rows)
}

/// Spreadsheets of countries with a decimal comma write semicolons.
fn separator_of(header: &str) -> char {
    [';', '\t'].into_iter().find(|separator| header.contains(*separator)).unwrap_or(',')
}

struct Reader {
    rows: Vec<Row>,
    cells: Vec<Cell>,
    /// Where the row began.
    row: usize,
    line: usize,
    column: usize,
}

impl Reader {
    fn pass(&mut self, letter: char) {
        self.column += 1;
        if letter == '\n' {
            (self.line, self.column) = (self.line + 1, 1);
        }
    }

    fn end_cell(&mut self, cell: &mut String, column: usize) {
        self.cells.push(Cell { text: std::mem::take(cell).trim().to_owned(), column });
    }

    fn end_row(&mut self) {
        let cells = std::mem::take(&mut self.cells);
        if cells.iter().any(|cell| !cell.text.is_empty()) {
            self.rows.push(Row { line: self.row, cells });
        }
        (self.line, self.column) = (self.line + 1, 1);
        self.row = self.line;
    }
}

/// A cell as it must be written beside commas.
pub(super) fn quoted(cell: &str) -> String {
    let is_plain = !cell.contains([',', ';', '\t', '"', '\n', '\r']) && cell.trim() == cell;
    if is_plain { cell.to_owned() } else { format!("\"{}\"", cell.replace('"', "\"\"")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<Vec<String>> {
        let rows = rows(text).expect("readable");
        rows.into_iter().map(|row| row.cells.into_iter().map(|cell| cell.text).collect()).collect()
    }

    #[test]
    fn what_spreadsheets_write_reads_the_same() {
        let expected = [["id", "name"], ["anne", "Anne, \"la\" Lemoine"]];
        for text in [
            "id,name\nanne,\"Anne, \"\"la\"\" Lemoine\"\n",
            "\u{feff}id;name\r\nanne;\"Anne, \"\"la\"\" Lemoine\"",
            "id\tname\n\n\n anne \t\"Anne, \"\"la\"\" Lemoine\"\n\n",
        ] {
            assert_eq!(texts(text), expected, "{text}");
        }
        assert_eq!(quoted("Anne, \"la\" Lemoine"), "\"Anne, \"\"la\"\" Lemoine\"");
    }

    #[test]
    fn every_cell_knows_its_place_behind_a_cell_of_two_lines_too() {
        let rows = rows("id,name\nanne,\"two\nlines\"\n\nbruno,x\n").expect("readable");
        let places: Vec<_> = rows.iter().map(|row| (row.line, row.cells[1].column)).collect();
        assert_eq!(places, [(1, 4), (2, 6), (5, 7)]);
        assert_eq!(super::rows("id\n\"open\nline"), Err(Unclosed { line: 2, column: 1 }));
    }
}
