//! Where recordings live, and the proof that they are unchanged.
