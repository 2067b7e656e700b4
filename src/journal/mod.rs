//! Append-only, CRC-checked files: the ring of audio frames, the shared journal, one frame file a leg.

pub mod frame;
pub mod ring;

pub use frame::{Frame, FrameKind, PAYLOAD_MAX};
pub use ring::{RingError, RingReader, RingWriter, ScanReport};
