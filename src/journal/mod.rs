//! Append-only, CRC-checked files: the ring of audio frames, the shared journal, one frame file a leg.
