//! What people ask of the switch through the API, and its answers.

use std::collections::BTreeMap;
use std::time::Duration;

use super::decision::CallInput;
use super::leg::Leg;
use super::life::{Call, State};
use super::switch::{Order, Switch};
use crate::model::command::{Room, WaitingView};
use crate::model::person::{CallBack, ClosedBy};
use crate::model::record::Location;
use crate::model::standing::StandingView;
use crate::model::{CallId, Command, EndedBy, Now, PauseReason, RegulatorId, Reply, Ticket};
use crate::waiting::{WaitingError, WaitingPlace};

/// How many there are of what, for the metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Live calls, waiting or talking.
    pub calls_live: u32,
    /// Calls whose recording is being sealed.
    pub calls_sealing: u32,
    /// Callers in the waiting room.
    pub waiting: u32,
    /// The longest present wait.
    pub wait_longest: Duration,
    /// Regulators by the name of their state.
    pub regulators: BTreeMap<&'static str, u32>,
}

impl Switch {
    /// Counts everybody.
    pub fn census(&self, now: Now) -> Census {
        let calls_live = self.calls.values().filter(|call| is_live(call)).count() as u32;
        let states = ["offline", "ready", "ringing", "talking", "wrap-up", "paused"];
        let mut regulators: BTreeMap<&'static str, u32> = states.into_iter().map(|state| (state, 0)).collect();
        for person in self.room.regulators(now) {
            *regulators.entry(person.state.name()).or_default() += 1;
        }
        Census {
            calls_live,
            calls_sealing: (self.calls.len() as u32).saturating_sub(calls_live),
            waiting: self.room.calls().count() as u32,
            wait_longest: self.room.wait_longest(now),
            regulators,
        }
    }

    /// Answers at once, but for [`Command::Drain`], which is answered when the last call is over.
    pub(super) fn command(&mut self, ticket: Ticket, command: Command, now: Now, out: &mut Vec<Order>) {
        let reply = match command {
            Command::Room => Reply::Room(Box::new(self.view(now))),
            Command::Ready { regulator } => {
                let done = self.room.ready(&regulator, now, &mut self.changes);
                self.state_reply(&regulator, done)
            }
            Command::Pause { regulator, reason } => {
                let done = self.room.pause(&regulator, PauseReason::Operator(reason), now, &mut self.changes);
                self.remember_absence(&regulator, now);
                self.state_reply(&regulator, done)
            }
            Command::ExtendWrapUp { regulator, by_s } => {
                let by = by_s.map(|by_s| Duration::from_secs(u64::from(by_s)));
                let done = self.room.extend_wrap_up(&regulator, by, now, &mut self.changes);
                self.state_reply(&regulator, done)
            }
            Command::EndWrapUp { regulator } => {
                let done = self.room.end_wrap_up(&regulator, now, &mut self.changes);
                self.state_reply(&regulator, done)
            }
            Command::LogOut { regulator, reason } => {
                let done = self.room.pause(&regulator, PauseReason::LoggedOut(reason), now, &mut self.changes);
                self.remember_absence(&regulator, now);
                self.state_reply(&regulator, done)
            }
            Command::EndCall { call } => self.end_call(call),
            Command::Legs { call } => match self.calls.get(&call) {
                Some(live) => Reply::Legs(live.legs.iter().filter(|leg| leg.is_alive()).map(Leg::record).collect()),
                None => Reply::Unknown,
            },
            Command::Reload(reload) => Reply::Foreseen(Box::new(self.reload(&reload, now))),
            Command::Control { call, control } => self.control(call, control, now, out),
            Command::Drain => {
                self.draining = true;
                self.end_idle_consults();
                self.rest_call_backs();
                return self.drain_tickets.push(ticket);
            }
            Command::CloseAbandoned { task, by, reason } => {
                let by = ClosedBy::Operator { name: by, reason };
                if self.persons.close(task, by, now, &mut self.facts) { Reply::Done } else { Reply::Unknown }
            }
            Command::NoteCallBack { task, by, reached } => {
                let call_back = CallBack { at: now.utc, by, reached };
                if self.persons.note(task, call_back, &mut self.facts) { Reply::Done } else { Reply::Unknown }
            }
            Command::PlaceCallBack { task, regulator } => self.place_call_back(task, regulator, now, out),
            Command::Standing => {
                let (lists, orders) = (self.centre.lists.values().cloned().collect(), self.orders.all(now));
                Reply::Standing(Box::new(StandingView { lists, orders }))
            }
            Command::Order(order) => match self.orders.give(*order, &self.centre, now, &mut self.facts) {
                Ok(()) => Reply::Done,
                Err(why) => Reply::Refused(why),
            },
            Command::Withdraw { order } => match self.orders.withdraw(&order, &mut self.facts) {
                true => Reply::Done,
                false => Reply::Unknown,
            },
            // The user agent's to answer; asked of the switch they find nothing.
            Command::Bans | Command::Unban { .. } | Command::Trunks => Reply::Unknown,
            Command::EndAll => self.end_all(),
        };
        out.push(Order::Reply { ticket, reply });
    }

    /// Ends everything that lives, but for call-backs that rest.
    fn end_all(&mut self) -> Reply {
        let calls = self.calls.values().filter(|call| !call.is_settled()).map(|call| &call.id);
        let live: Vec<CallId> = calls.chain(self.errands.keys()).chain(self.consults.keys()).copied().collect();
        self.queue.extend(live.into_iter().map(|call| (call, CallInput::End(EndedBy::Shutdown))));
        Reply::Done
    }

    fn end_call(&mut self, call: CallId) -> Reply {
        let is_there = match self.calls.get(&call) {
            Some(live) => is_live(live),
            None => self.consults.contains_key(&call),
        };
        if !is_there {
            return Reply::Unknown;
        }
        self.queue.push_back((call, CallInput::End(EndedBy::Operator)));
        Reply::Done
    }

    fn state_reply(&self, regulator: &RegulatorId, done: Result<(), WaitingError>) -> Reply {
        match (done, self.room.state_of(regulator)) {
            (Ok(()), Some(state)) => Reply::State(state.clone()),
            (Ok(()), None) | (Err(WaitingError::UnknownRegulator), _) => Reply::Unknown,
            (
                Err(
                    error @ (WaitingError::Offline
                    | WaitingError::NotResting
                    | WaitingError::Busy
                    | WaitingError::Full
                    | WaitingError::AlreadyWaiting
                    | WaitingError::NotWaiting
                    | WaitingError::NobodyFits),
                ),
                _,
            ) => Reply::Refused(error.to_string()),
        }
    }

    fn view(&self, now: Now) -> Room {
        Room {
            waiting: self.room.waiting(now).into_iter().filter_map(|place| self.waiting_view(place)).collect(),
            regulators: self.room.regulators(now),
            calls_live: self.calls.values().filter(|call| is_live(call)).count() as u32,
            draining: self.draining,
        }
    }

    fn waiting_view(&self, place: WaitingPlace) -> Option<WaitingView> {
        let call = self.calls.get(&place.call)?;
        Some(WaitingView {
            call: place.call,
            line: place.line,
            association: call.record.association.clone(),
            region: place.region,
            priority: place.priority,
            queued_at: place.queued_at,
            wait_ms: place.waited.as_millis() as u64,
            step: place.step,
            skills: place.needs.levels(),
            needs: place.needs.to_string(),
            reach: place.reach,
            forecast: place.forecast,
            offered_to: place.offered_to,
            offers: place.offers,
            location: call.record.context.location.clone().map(|found| Location { document: None, ..found }),
            caller: call.record.caller.clone(),
        })
    }
}

fn is_live(call: &Call) -> bool {
    match call.state {
        State::Opening { .. }
        | State::Greeting
        | State::Waiting
        | State::Offering(_)
        | State::Talking { .. }
        | State::Transferring(_)
        | State::Choosing(_)
        | State::Forwarding(_)
        | State::Voicemail(_)
        | State::Postponed
        | State::Recalling(_)
        | State::CallingOut(_)
        | State::Farewell { .. } => true,
        State::Ending | State::Sealing => false,
    }
}
