//! What stands in the place of whoever puts configurations in force.

use vigie::model::Utc;
use vigie::web::{InForce, Reloaded, Reloader, Waiting};

/// Has one file in force for ever.
pub struct Still;

impl Reloader for Still {
    fn state(&self) -> Waiting<'_, InForce> {
        let since = Utc(1_700_000_000_000_000);
        Box::pin(async move { InForce { file: "config/vigie.toml".into(), since, is_changed: false, is_sound: true } })
    }

    fn reload(&self, _dry_run: bool) -> Waiting<'_, Reloaded> {
        Box::pin(async { Reloaded::Done(Box::default()) })
    }
}
