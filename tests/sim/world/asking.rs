//! What operators and supervisors ask by the API: of regulators, of live calls, of lists.

use vigie::call::State;
use vigie::model::control::{Control, Destination, Supervision};
use vigie::model::standing::{ListedNumber, Numbers, StandingOrder, Surge};
use vigie::model::{AskedBy, CallId, Command, DemandChange, Input, Reach, RegulatorId, Reply, Ticket};

use super::{DAY_S, Event, SECOND, SHIFT_S, World};
use crate::people::exponential_ms;
use crate::voice::{DOCTOR, OTHER_CENTRE};

/// What an operator asks of live calls is asked about so often.
const STEER_MEAN_MS: f64 = 40_000.0;

impl World {
    fn command(&mut self, command: Command) -> Result<(), String> {
        self.tickets += 1;
        self.step(Input::Command { ticket: Ticket(self.tickets), command })
    }

    fn draw<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.chance.below(all.len() as u64) as usize].clone()
    }

    fn draw_regulator(&mut self) -> RegulatorId {
        let ids: Vec<_> = self.centre.regulators.keys().cloned().collect();
        self.draw(&ids)
    }

    /// An operator does something.
    pub(super) fn ask(&mut self) -> Result<(), String> {
        if self.now_us < (DAY_S + SHIFT_S) * SECOND {
            let next = exponential_ms(&mut self.chance, 100_000.0) * 1_000;
            self.after(next, Event::Ask);
        }
        let regulator = self.draw_regulator();
        let command = match self.chance.below(17) {
            0 => Command::Pause { regulator, reason: "a word with you".into() },
            1..=3 => Command::Ready { regulator },
            4 => {
                let live = self.live_calls(|_| true);
                if live.is_empty() { Command::Room } else { Command::EndCall { call: self.draw(&live) } }
            }
            5 => {
                self.checks.extends(&regulator, self.subject.inner.switch(), std::time::Duration::from_secs(20));
                Command::ExtendWrapUp { regulator, by_s: Some(20) }
            }
            6 => Command::EndWrapUp { regulator },
            7 => Command::LogOut { regulator, reason: "gone home".into() },
            8 => Command::Standing,
            9 | 10 => self.draw_order(),
            11 => Command::Withdraw { order: "surge/seine".into() },
            12 => match self.draw_task() {
                Some(task) => Command::CloseAbandoned { task, by: "op".into(), reason: "seen to".into() },
                None => Command::Room,
            },
            13 => match self.draw_task() {
                Some(task) => Command::NoteCallBack { task, by: "op".into(), reached: false },
                None => Command::Room,
            },
            _ => Command::Room,
        };
        self.command(command)
    }

    fn draw_task(&mut self) -> Option<CallId> {
        let all = self.checks.ledger.tasks();
        (!all.is_empty()).then(|| self.draw(&all))
    }

    fn draw_order(&mut self) -> Command {
        let (by, at) = ("op".to_owned(), self.now().utc);
        let order = if self.chance.below(2) == 0 {
            let number = self.chance.below(150);
            let number = Numbers::parse(&format!("+3361{number:07}")).expect("a number");
            let list = self.draw(&["homes", "tests"]).into();
            StandingOrder::Listed(ListedNumber { list, number, reason: None, until: None, by, at })
        } else {
            let message = Some("closed".into());
            StandingOrder::Surge(Surge { region: "seine".into(), message, until: None, by, at })
        };
        Command::Order(Box::new(order))
    }

    fn live_calls(&self, is_meant: impl Fn(&State) -> bool) -> Vec<CallId> {
        let meant = self.subject.inner.switch().calls().filter(|call| is_meant(&call.state));
        let mut all: Vec<_> = meant.map(|call| call.id).collect();
        all.sort();
        all
    }

    /// Somebody has something done with a live call: mostly with one that talks, but with any.
    pub(super) fn steer(&mut self) -> Result<(), String> {
        if self.now_us < (DAY_S + SHIFT_S) * SECOND {
            let next = exponential_ms(&mut self.chance, STEER_MEAN_MS) * 1_000;
            self.after(next, Event::Steer);
        }
        let state = self.chance.below(10);
        let calls = self.live_calls(|one| match one {
            State::Talking { .. } => true,
            State::Waiting | State::Offering(_) => state < 4,
            _ => state == 0,
        });
        if calls.is_empty() {
            return Ok(());
        }
        let call = self.draw(&calls);
        let control = self.draw_control(call);
        let asked = control.clone();
        self.command(Command::Control { call, control })?;
        if self.replied == Some(Reply::Done) {
            self.checks.note_control(&asked);
        }
        Ok(())
    }

    fn draw_control(&mut self, call: CallId) -> Control {
        match self.chance.below(27) {
            0 | 1 => Control::Hold,
            2 | 3 => Control::Resume,
            4..=6 => Control::Add { to: self.draw_party() },
            7 | 22 | 23 => Control::Join,
            8 | 9 => Control::Drop { leg: self.draw_guest(call) },
            10 | 11 => Control::HandToSamu,
            12 => Control::Leave,
            13 => Control::Requeue,
            14 | 15 => Control::Transfer(self.draw_destination()),
            16..=18 => Control::Demand(self.draw_change()),
            19 | 20 => Control::PauseRecording { by: AskedBy::Token("desk".into()), reason: None },
            21 => Control::ResumeRecording { by: AskedBy::Token("desk".into()) },
            _ => {
                let way = self.draw(&Supervision::ALL);
                Control::Supervise { by: self.draw_supervisor(call), way }
            }
        }
    }

    /// A leg of somebody who has joined the call, or none.
    fn draw_guest(&mut self, call: CallId) -> Option<u16> {
        let switch = self.subject.inner.switch();
        let guests = switch.calls().find(|one| one.id == call).map(|one| one.guests.clone()).unwrap_or_default();
        let last = guests.last().and_then(|guest| guest.live_leg()).map(|leg| leg.number);
        last.filter(|_| self.chance.below(2) == 0)
    }

    /// Often who takes part already, in another way from now on.
    fn draw_supervisor(&mut self, call: CallId) -> RegulatorId {
        let switch = self.subject.inner.switch();
        let guests = switch.calls().filter(|one| one.id == call).flat_map(|one| one.guests.iter());
        let known = guests.filter_map(|guest| guest.to.regulator().cloned()).last();
        match known {
            Some(known) if self.chance.below(2) == 0 => known,
            _ => self.draw_regulator(),
        }
    }

    fn draw_party(&mut self) -> String {
        match self.chance.below(10) {
            0..=3 => DOCTOR.to_owned(),
            4 => OTHER_CENTRE.replace("+33", "0"),
            5 => "nobody".to_owned(),
            _ => self.draw_regulator().to_string(),
        }
    }

    fn draw_destination(&mut self) -> Destination {
        let (to, level) = match self.chance.below(8) {
            0 => ("rouen".to_owned(), 1),
            1 => ("+33380000001".to_owned(), 1),
            2 => ("paediatrics".to_owned(), 50),
            3 => ("lang-en".to_owned(), 20),
            4 => (OTHER_CENTRE.to_owned(), 1),
            _ => (self.draw_regulator().to_string(), 1),
        };
        Destination { to, level }
    }

    fn draw_change(&mut self) -> DemandChange {
        let mut change = DemandChange::default();
        if self.chance.below(2) == 0 {
            change.priority = Some(1 + self.chance.below(9) as u8);
        }
        if self.chance.below(3) == 0 {
            change.region = Some(self.draw(&["cotentin", "seine", "cote-d-or", "azur"]).into());
        }
        if self.chance.below(3) == 0 {
            let needs = ["regulation >= 20", "regulation >= 50 and (paediatrics or physician)", "lang-en >= 60"];
            change.needs = Some(self.draw(&needs).parse().expect("an expression"));
        }
        if self.chance.below(3) == 0 {
            change.reach = Some(self.draw(&[Reach::Home, Reach::Neighbours, Reach::Parent, Reach::All]));
        }
        change
    }

    /// In the evening what still stands in line to be called back is taken out of it.
    pub(super) fn dusk(&mut self) -> Result<(), String> {
        self.after(300 * SECOND, Event::Dusk);
        let calls = self.subject.inner.switch().calls();
        let stands = calls.filter(|call| call.recall.is_some());
        let stands = stands.filter(|call| matches!(call.state, State::Waiting | State::Postponed));
        let mut all: Vec<CallId> = stands.map(|call| call.id).collect();
        all.sort();
        all.into_iter().try_for_each(|call| self.command(Command::EndCall { call }))
    }
}
