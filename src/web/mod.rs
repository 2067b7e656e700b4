//! The HTTP door: the API, its description, metrics and health.
