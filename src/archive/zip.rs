//! A zip that is written while it is sent: stored entries, lengths behind them, the list at the end (APPNOTE 6.3).
//!
//! Nothing is compressed: what is in it must be the very bytes, and audio does not shrink.

use std::io::{self, Write};

use sha2::{Digest, Sha256};

use crate::recorder::render::hex;

/// The most entries: a u16 counts them.
const ENTRIES_MAX: usize = 60_000;
/// Lengths stand behind the entry; names are UTF-8.
const FLAGS: u16 = 1 << 3 | 1 << 11;
/// What a reader must know: data descriptors.
const VERSION: u16 = 20;
/// Made on Unix, so that the mode means something.
const MADE_BY: u16 = 3 << 8 | VERSION;
/// A plain file, 0644.
const MODE: u32 = 0o100_644 << 16;

/// A zip being written.
pub struct Zip<W> {
    out: W,
    at: u64,
    entries: Vec<Entry>,
    /// MS-DOS date and time of every entry.
    stamp: (u16, u16),
}

struct Entry {
    name: String,
    crc: u32,
    length: u32,
    offset: u32,
}

impl<W: Write> Zip<W> {
    /// Begins one; `time` is when it was made, and stands with every entry.
    pub fn new(out: W, time: jiff::civil::DateTime) -> Zip<W> {
        let year = (time.year() - 1980).clamp(0, 127) as u16;
        let date = year << 9 | (time.month() as u16) << 5 | time.day() as u16;
        let clock = (time.hour() as u16) << 11 | (time.minute() as u16) << 5 | (time.second() as u16 / 2);
        Zip { out, at: 0, entries: Vec::new(), stamp: (date, clock) }
    }

    /// Adds a file that `fill` writes; its SHA-256.
    ///
    /// # Errors
    /// When writing fails, or the zip would outgrow 4 GiB.
    pub fn add(&mut self, name: &str, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<String> {
        let offset = self.at;
        let name_length = u16::try_from(name.len()).map_err(io::Error::other)?;
        if self.entries.len() >= ENTRIES_MAX {
            return Err(too_large());
        }
        let (date, clock) = self.stamp;
        let mut head = 0x0403_4b50u32.to_le_bytes().to_vec();
        [VERSION, FLAGS, 0, clock, date].iter().for_each(|word| head.extend(word.to_le_bytes()));
        head.extend([0; 12]);
        [name_length, 0].iter().for_each(|word| head.extend(word.to_le_bytes()));
        head.extend(name.as_bytes());
        self.write(&head)?;
        let mut sink = Sink { zip: self, crc: Crc::new(), length: 0, hash: Sha256::new() };
        fill(&mut sink)?;
        let Sink { crc, length, hash, .. } = sink;
        let (crc, length) = (crc.value(), u32::try_from(length).map_err(|_| too_large())?);
        let behind = [0x0807_4b50, crc, length, length];
        self.write(&behind.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>())?;
        let offset = u32::try_from(offset).map_err(|_| too_large())?;
        self.entries.push(Entry { name: name.to_owned(), crc, length, offset });
        Ok(hex(&hash.finalize()))
    }

    /// Writes the list of entries and hands the writer back.
    ///
    /// # Errors
    /// When writing fails.
    pub fn finish(mut self) -> io::Result<W> {
        let begin = self.at;
        let (date, clock) = self.stamp;
        let mut list = Vec::new();
        for entry in &self.entries {
            list.extend(0x0201_4b50u32.to_le_bytes());
            [MADE_BY, VERSION, FLAGS, 0, clock, date].iter().for_each(|word| list.extend(word.to_le_bytes()));
            [entry.crc, entry.length, entry.length].iter().for_each(|word| list.extend(word.to_le_bytes()));
            [entry.name.len() as u16, 0, 0, 0, 0].iter().for_each(|word| list.extend(word.to_le_bytes()));
            [MODE, entry.offset].iter().for_each(|word| list.extend(word.to_le_bytes()));
            list.extend(entry.name.as_bytes());
        }
        let length = u32::try_from(list.len()).map_err(|_| too_large())?;
        let count = self.entries.len() as u16;
        list.extend(0x0605_4b50u32.to_le_bytes());
        [0, 0, count, count].iter().for_each(|word| list.extend(word.to_le_bytes()));
        [length, u32::try_from(begin).map_err(|_| too_large())?]
            .iter()
            .for_each(|word| list.extend(word.to_le_bytes()));
        list.extend([0; 2]);
        self.write(&list)?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.at += bytes.len() as u64;
        if self.at > u64::from(u32::MAX) {
            return Err(too_large());
        }
        self.out.write_all(bytes)
    }
}

/// One entry being written.
struct Sink<'a, W> {
    zip: &'a mut Zip<W>,
    crc: Crc,
    length: u64,
    hash: Sha256,
}

impl<W: Write> Write for Sink<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.crc.update(bytes);
        self.hash.update(bytes);
        self.length += bytes.len() as u64;
        self.zip.write(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn too_large() -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, "more than one zip can hold (4 GiB): export fewer calls at once")
}

/// CRC-32 as zip counts it (ISO 3309, reflected 0x04c11db7).
struct Crc(u32);

/// One step of eight bits, for each byte.
const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut n = 0;
    while n < 256 {
        let (mut value, mut bit) = (n as u32, 0);
        while bit < 8 {
            value = if value & 1 == 1 { value >> 1 ^ 0xedb8_8320 } else { value >> 1 };
            bit += 1;
        }
        table[n] = value;
        n += 1;
    }
    table
};

impl Crc {
    fn new() -> Crc {
        Crc(u32::MAX)
    }

    fn update(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let step = TABLE.get(usize::from(self.0 as u8 ^ byte)).copied().unwrap_or_default();
            self.0 = self.0 >> 8 ^ step;
        }
    }

    fn value(&self) -> u32 {
        !self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crc_is_the_one_that_everybody_counts() {
        let mut crc = Crc::new();
        crc.update(b"123456789");
        assert_eq!(crc.value(), 0xcbf4_3926);
    }

    #[test]
    fn unzip_finds_every_entry_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.zip");
        let mut zip =
            Zip::new(std::fs::File::create(&path).expect("a file"), jiff::civil::date(2026, 11, 22).at(13, 5, 9, 0));
        let large: Vec<u8> = (0..300_000u32).map(|n| n as u8).collect();
        zip.add("a/empty", |_| Ok(())).expect("added");
        let hash =
            zip.add("a/large", |out| large.chunks(1000).try_for_each(|some| out.write_all(some))).expect("added");
        zip.add("é.txt", |out| out.write_all(b"x")).expect("added");
        zip.finish().expect("finished");
        assert_eq!(hash, hex(&Sha256::digest(&large)));
        let run = |arguments: &[&str]| {
            let out = std::process::Command::new("unzip").args(arguments).current_dir(&folder).output().expect("unzip");
            assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stdout));
        };
        run(&["-tq", "a.zip"]);
        run(&["-q", "a.zip"]);
        assert_eq!(std::fs::read(folder.path().join("a/large")).expect("there"), large);
        assert_eq!(std::fs::read(folder.path().join("é.txt")).expect("there"), b"x");
    }
}
