//! The media plane: RTP sockets on their own threads, players, bridges and taps.
