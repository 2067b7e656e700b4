//! The user agent from outside: bytes in, bytes and signals out, in virtual time.

mod accounts;
mod banning;
mod bench;
mod carriers;
mod choosing;
mod context;
mod cutting;
mod dialling;
mod far;
mod forgetting;
mod hostile;
mod incoming;
mod lamps;
mod malformed;
mod reaching;
mod refer;
mod refreshing;
mod registering;
mod reliable;
mod replaces;
mod reserving;
mod restoring;
mod securing;
mod talking;
