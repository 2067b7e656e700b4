//! The SIP sockets: datagrams in, datagrams out, admission per source.
