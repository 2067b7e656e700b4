//! From frames to a sealed recording: frame files, WAV, sidecar, signature, seal log.
