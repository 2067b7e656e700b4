//! The user agent from outside: bytes in, bytes and signals out, in virtual time.

mod banning;
mod bench;
mod carriers;
mod context;
mod dialling;
mod hostile;
mod incoming;
mod reaching;
mod refer;
mod registering;
mod replaces;
mod talking;
