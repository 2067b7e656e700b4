//! The HTTP door over real HTTP: its router, a real database, a real WAV.
