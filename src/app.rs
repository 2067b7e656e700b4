//! Builds, starts and stops every part; the one file that knows them all.
