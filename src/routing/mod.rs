//! From the number dialled and the hour to a line and its demand, or a refusal.
