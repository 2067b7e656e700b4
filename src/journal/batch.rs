//! Frames that wait in memory to be written together.
//!
//! They lie in small blocks that go with the write: a thousand legs hold what waits, not what once waited.

use super::frame::Frame;

/// Room of a block: four frames of G.711. A longer record has a block of its own length.
const BLOCK_BYTES: usize = 1024;

/// Records one behind the other, each whole in its block.
#[derive(Debug, Default)]
pub(super) struct Batch {
    blocks: Vec<Vec<u8>>,
    bytes: usize,
}

impl Batch {
    /// What stands before the first record.
    pub(super) fn beginning(head: &[u8]) -> Batch {
        Batch { blocks: vec![head.to_vec()], bytes: head.len() }
    }

    /// Bytes that wait.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Adds a frame's record; `position` is where the batch begins in the file.
    pub(super) fn append(&mut self, frame: &Frame<'_>, position: u64) {
        let length = frame.record_length();
        let position = position + self.bytes as u64;
        self.bytes += length;
        match self.blocks.last_mut().filter(|block| block.capacity() - block.len() >= length) {
            Some(block) => frame.encode(position, block),
            None => {
                let mut block = Vec::with_capacity(length.max(BLOCK_BYTES));
                frame.encode(position, &mut block);
                self.blocks.push(block);
            }
        }
    }

    /// All of it in one piece.
    pub(super) fn joined(&self) -> Vec<u8> {
        self.blocks.concat()
    }

    /// Forgets what waited, and gives its memory back.
    pub(super) fn clear(&mut self) {
        *self = Batch::default();
    }
}

#[cfg(test)]
impl Batch {
    /// The memory that it holds.
    pub(super) fn room_bytes(&self) -> usize {
        self.blocks.iter().map(Vec::capacity).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::tests::frame_of;
    use super::*;

    #[test]
    fn a_batch_is_what_one_run_of_records_would_be_and_holds_little_more_than_that() {
        let (mut batch, mut whole) = (Batch::beginning(b"8 bytes!"), b"8 bytes!".to_vec());
        for number in 0..40 {
            let payload = vec![7; [160, 33, 1500, 0][number as usize % 4]];
            let frame = frame_of(1, 0, number, &payload);
            batch.append(&frame, 4096);
            frame.encode(4096 + whole.len() as u64, &mut whole);
            assert_eq!(batch.bytes(), whole.len());
        }
        assert_eq!(batch.joined(), whole);
        batch.clear();
        assert!(batch.is_empty() && batch.joined().is_empty() && batch.room_bytes() == 0);
        // Half a second of G.711, as it waits in every leg of a recording.
        (0..25).for_each(|number| batch.append(&frame_of(1, 0, number, &[0; 160]), 0));
        let (room, bytes) = (batch.room_bytes(), batch.bytes());
        assert!(room <= bytes * 5 / 4 + BLOCK_BYTES, "{room} for {bytes}");
    }
}
