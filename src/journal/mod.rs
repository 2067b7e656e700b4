//! Append-only, CRC-checked files: the ring of audio frames, the shared journal, one frame file a leg.

mod batch;
pub mod frame;
pub mod frames;
pub mod ring;
mod scan;
pub mod segment;
mod written;

pub use frame::{Frame, FrameKind, PAYLOAD_MAX};
pub use frames::FrameFile;
pub use ring::{RingError, RingReader, RingWriter, ScanReport};
pub use scan::FileScan;
pub use segment::{EndedSegment, Journal, JournalLock};
pub use written::Written;
