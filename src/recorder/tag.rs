//! The tag of a WAV: a LIST/INFO chunk behind the samples that says whose they are and what they hash to.
//!
//! hound writes the samples and is done with the file before the chunk is added; nothing of what it wrote is touched but
//! the RIFF's own length (RIFF MCI, "LIST chunk"; sox, ffprobe and players show or pass over it).

use std::io::{self, Seek, SeekFrom, Write};

use crate::model::CallId;

/// Where a RIFF says its length, which is the file's less 8.
const LENGTH_AT: u64 = 4;

/// The chunk: `INAM` the call's id, `ISFT` the software, `ICMT` both call and essence hash as JSON. Its length depends on
/// nothing but the software's version.
pub fn chunk(call: CallId, essence_sha256: &str) -> Vec<u8> {
    chunk_with(call, &format!(r#"{{"call":"{call}","essence_sha256":"{essence_sha256}"}}"#))
}

/// The same with another comment.
pub fn chunk_with(call: CallId, comment: &str) -> Vec<u8> {
    let mut list = b"INFO".to_vec();
    let texts = [
        (b"INAM", call.to_string()),
        (b"ISFT", concat!("Vigie ", env!("CARGO_PKG_VERSION")).to_owned()),
        (b"ICMT", comment.to_owned()),
    ];
    for (name, text) in texts {
        let mut value = text.into_bytes();
        // Each text ends with a zero, which counts; a chunk of odd length is followed by a byte that does not.
        value.push(0);
        list.extend_from_slice(name);
        list.extend_from_slice(&(value.len() as u32).to_le_bytes());
        list.extend_from_slice(&value);
        if value.len() % 2 == 1 {
            list.push(0);
        }
    }
    let mut chunk = b"LIST".to_vec();
    chunk.extend_from_slice(&(list.len() as u32).to_le_bytes());
    chunk.append(&mut list);
    chunk
}

/// Adds the chunk to a finished WAV, which `wav` writes: what is encrypted on its way to the disk is so with the chunk.
///
/// # Errors
/// When it cannot be written, or the RIFF would outgrow what it can say.
pub fn append(wav: &mut (impl Write + Seek), call: CallId, essence_sha256: &str) -> io::Result<()> {
    let end = wav.seek(SeekFrom::End(0))?;
    let chunk = chunk(call, essence_sha256);
    let length =
        u32::try_from(end + chunk.len() as u64 - 8).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
    wav.write_all(&chunk)?;
    wav.seek(SeekFrom::Start(LENGTH_AT))?;
    wav.write_all(&length.to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_leaves_the_samples_and_stands_whole_behind_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.wav");
        let spec = hound::WavSpec {
            channels: 2,
            sample_rate: 8000,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut wav = hound::WavWriter::create(&path, spec).expect("a WAV");
        (0..800i16).for_each(|n| wav.write_sample(n).expect("a sample"));
        wav.finalize().expect("a whole WAV");
        let before = std::fs::read(&path).expect("read");
        let call = CallId(uuid::Uuid::from_u128(7));
        let mut file = std::fs::OpenOptions::new().write(true).open(&path).expect("the WAV");
        append(&mut file, call, "abcd").expect("tagged");
        let after = std::fs::read(&path).expect("read");
        assert_eq!(after[8..before.len()], before[8..]);
        assert_eq!(u32::from_le_bytes(after[4..8].try_into().expect("4")) as usize, after.len() - 8);
        let tag = &after[before.len()..];
        assert_eq!(u32::from_le_bytes(tag[4..8].try_into().expect("4")) as usize, tag.len() - 8);
        assert!(String::from_utf8_lossy(tag).contains(&format!(r#"{{"call":"{call}","essence_sha256":"abcd"}}"#)));
        let samples: Vec<i16> =
            hound::WavReader::open(&path).expect("a WAV").into_samples().map(|s| s.expect("a sample")).collect();
        assert_eq!(samples, (0..800i16).collect::<Vec<_>>());
    }
}
