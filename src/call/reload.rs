//! Another configuration: live calls go on as they began, what comes afterwards follows it.

use std::sync::Arc;

use super::switch::Switch;
use crate::model::{Foresight, Now, Reload, Stranded};

impl Switch {
    /// What the configuration means for who waits and who answers now; unless it is a trial, it is in force afterwards.
    pub(super) fn reload(&mut self, reload: &Reload, now: Now) -> Foresight {
        let stranded = self.room.stranded_under(&reload.centre, now);
        let stranded = stranded.into_iter().map(|place| Stranded {
            call: place.call,
            line: place.line,
            wait_ms: place.waited.as_millis() as u64,
        });
        let foresight = Foresight {
            waiting: self.room.count_waiting() as u32,
            stranded: stranded.collect(),
            leaving: self.room.leaving_under(&reload.centre),
            is_applied: !reload.is_trial,
        };
        if !reload.is_trial {
            self.room.recentre(&reload.centre);
            self.lines = reload.centre.lines.iter().map(|(id, line)| (id.clone(), Arc::new(line.clone()))).collect();
            self.centre = reload.centre.clone();
            self.persons.change_rules(self.centre.callers);
        }
        foresight
    }
}
