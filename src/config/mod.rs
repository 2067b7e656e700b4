//! Typed settings, read from one TOML file; an unknown key or a bad value refuses to start and says where.

pub mod settings;

pub use settings::Settings;
