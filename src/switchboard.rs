//! THE loop: one thread owns the user agent and the switch.
