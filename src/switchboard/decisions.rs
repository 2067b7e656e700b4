//! The whole of the decisions, pure: the user agent and the switch, one `step`, one `deadline`.

use std::collections::VecDeque;

use crate::call::signal::LegOrder;
use crate::call::{Order, Switch, SwitchInput};
use crate::model::command::TrunkView;
use crate::model::{Action, Command, Fact, Input, Moment, Now, Ticket};
use crate::useragent::{Effect, UserAgent};

/// Who wants the next [`Input::Tick`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// A SIP timer, a binding's or a nonce's end.
    UserAgent,
    /// A call's deadline, a wrap-up's end, a step of a demand.
    Switch,
}

/// The user agent and the switch, joined: inputs in, actions out, in virtual time.
pub struct Decisions {
    useragent: UserAgent,
    switch: Switch,
    effects: VecDeque<Effect>,
    orders: VecDeque<Order>,
    facts: Vec<Fact>,
}

impl Decisions {
    /// The decisions of a server that has just started.
    pub fn new(useragent: UserAgent, switch: Switch) -> Decisions {
        Decisions { useragent, switch, effects: VecDeque::new(), orders: VecDeque::new(), facts: Vec::new() }
    }

    /// The user agent, to look at.
    pub fn useragent(&self) -> &UserAgent {
        &self.useragent
    }

    /// Goes on with another user agent: one restored from a snapshot of the one that was there.
    pub fn replace_user_agent(&mut self, useragent: UserAgent) {
        self.useragent = useragent;
    }

    /// The switch, to look at.
    pub fn switch(&self) -> &Switch {
        &self.switch
    }

    /// The trunks, to look at.
    pub fn trunks(&self, now: Now) -> Vec<TrunkView> {
        self.useragent.trunk_views(now)
    }

    /// Everything that is kept now, by table: all zero once nothing lives and nobody is registered. A table that
    /// only grows is a leak.
    pub fn count_kept(&self) -> Vec<(&'static str, usize)> {
        let mut kept = self.useragent.count_kept();
        kept.extend(self.switch.count_kept());
        kept
    }

    /// One input and all that follows from it. Everything to be stored is one [`Action::Store`]: one transaction. It
    /// comes first: nobody hears of what the writer has not got.
    pub fn step(&mut self, input: Input, now: Now, out: &mut Vec<Action>) {
        let first = out.len();
        match input {
            Input::Sip { path, bytes } => self.user_agent(|agent, effects| {
                agent.receive(path, &bytes, now, effects);
            }),
            Input::Cut { path, why } => self.user_agent(|agent, effects| agent.cut(path, &why, now, effects)),
            Input::Resolved { trunk, targets, why } => self.user_agent(|agent, effects| {
                agent.resolved(&trunk, targets, why, now, effects);
            }),
            Input::Media(report) => self.tell_switch(SwitchInput::Media(report), now),
            Input::Recorder(report) => self.tell_switch(SwitchInput::Recorder(report), now),
            Input::Command { ticket, command } => self.command(ticket, command, now, out),
            Input::Remembered(mut remembered) => {
                let bindings = std::mem::take(&mut remembered.bindings);
                self.tell_switch(SwitchInput::Remembered(remembered), now);
                self.user_agent(|agent, effects| agent.restore(bindings, now, effects));
            }
            Input::Tick => {
                self.user_agent(|agent, effects| agent.tick(now, effects));
                // First what the dialogs say: a caller whose phone has just failed to ring stands before those behind it,
                // when at the same instant somebody's pause ends.
                self.settle(now, out);
                self.tell_switch(SwitchInput::Tick, now);
            }
        }
        self.settle(now, out);
        if !self.facts.is_empty() {
            out.insert(first, Action::Store(std::mem::take(&mut self.facts)));
        }
    }

    /// When [`Input::Tick`] is due next, and for whom.
    pub fn deadline(&self) -> Option<(Moment, Why)> {
        let agent = self.useragent.deadline().map(|(at, _)| (at, Why::UserAgent));
        let switch = self.switch.deadline().map(|at| (at, Why::Switch));
        match (agent, switch) {
            (Some(agent), Some(switch)) => Some(if switch.0 < agent.0 { switch } else { agent }),
            (one, other) => one.or(other),
        }
    }

    /// What is asked of the user agent is answered here, all else by the switch.
    fn command(&mut self, ticket: Ticket, command: Command, now: Now, out: &mut Vec<Action>) {
        let reply = match command {
            Command::Bans => self.useragent.bans(now),
            Command::Trunks => self.useragent.trunks(now),
            Command::Unban { who } => {
                let mut effects = Vec::new();
                let reply = self.useragent.unban(&who, now, &mut effects);
                self.effects.extend(effects);
                reply
            }
            Command::Reload(reload) => {
                if !reload.is_trial {
                    let (centre, credentials) = (reload.centre.clone(), reload.credentials.as_ref().clone());
                    self.user_agent(|agent, effects| agent.recentre(centre, credentials, now, effects));
                }
                // The switch first: who has no device any more is told to it afterwards.
                let command = Command::Reload(reload);
                return self.tell_switch(SwitchInput::Command { ticket, command }, now);
            }
            Command::Drain | Command::EndAll => {
                self.user_agent(|agent, effects| agent.retire(now, effects));
                return self.tell_switch(SwitchInput::Command { ticket, command }, now);
            }
            command @ Command::LogOut { .. } => {
                if let Command::LogOut { regulator, .. } = &command {
                    self.user_agent(|agent, effects| agent.log_out(regulator, effects));
                    // First the phones are gone: what is asked for then waits for them.
                    self.settle(now, out);
                }
                return self.tell_switch(SwitchInput::Command { ticket, command }, now);
            }
            command @ (Command::Room
            | Command::Ready { .. }
            | Command::Pause { .. }
            | Command::ExtendWrapUp { .. }
            | Command::EndWrapUp { .. }
            | Command::EndCall { .. }
            | Command::Legs { .. }
            | Command::CloseAbandoned { .. }
            | Command::NoteCallBack { .. }
            | Command::PlaceCallBack { .. }
            | Command::Standing
            | Command::Order(_)
            | Command::Withdraw { .. }
            | Command::Control { .. }) => {
                return self.tell_switch(SwitchInput::Command { ticket, command }, now);
            }
        };
        out.push(Action::Reply { ticket, reply });
    }

    fn user_agent(&mut self, act: impl FnOnce(&mut UserAgent, &mut Vec<Effect>)) {
        let mut effects = Vec::new();
        act(&mut self.useragent, &mut effects);
        self.effects.extend(effects);
    }

    fn tell_switch(&mut self, input: SwitchInput, now: Now) {
        let mut orders = Vec::new();
        self.switch.step(input, now, &mut orders);
        self.orders.extend(orders);
    }

    /// What one half says to the other goes back and forth until both are silent.
    fn settle(&mut self, now: Now, out: &mut Vec<Action>) {
        loop {
            if let Some(effect) = self.effects.pop_front() {
                self.take_effect(effect, now, out);
            } else if let Some(order) = self.orders.pop_front() {
                self.take_order(order, now, out);
            } else {
                self.user_agent(|agent, effects| agent.settle(now, effects));
                if self.effects.is_empty() {
                    return;
                }
            }
        }
    }

    fn take_effect(&mut self, effect: Effect, now: Now, out: &mut Vec<Action>) {
        match effect {
            Effect::Send { path, bytes } => out.push(Action::Send { path, bytes }),
            Effect::Signal(signal) => self.tell_switch(SwitchInput::Signal(signal), now),
            Effect::Remember(fact) => self.facts.push(fact),
            Effect::Alarm(alarm) => out.push(Action::Alarm(alarm)),
            Effect::Notice(text) => out.push(Action::Notice(text)),
            Effect::Resolve { trunk } => out.push(Action::Resolve { trunk }),
            Effect::Ban { source, until } => out.push(Action::Ban { source, until }),
            Effect::Count(counter) => out.push(Action::Count(counter)),
        }
    }

    fn take_order(&mut self, order: Order, now: Now, out: &mut Vec<Action>) {
        match order {
            Order::Leg(order) => {
                let dialled = match &order {
                    LegOrder::Dial(dial) => Some(dial.leg),
                    LegOrder::Accept { .. }
                    | LegOrder::Progress { .. }
                    | LegOrder::Ring { .. }
                    | LegOrder::Refuse { .. }
                    | LegOrder::Reoffer { .. }
                    | LegOrder::Transfer { .. }
                    | LegOrder::Key { .. }
                    | LegOrder::Rename { .. }
                    | LegOrder::Hangup { .. } => None,
                };
                self.user_agent(|agent, effects| agent.order(order, now, effects));
                if let Some(leg) = dialled
                    && let Some(sip_call_id) = self.useragent.sip_call_id(leg).map(str::to_owned)
                {
                    self.tell_switch(SwitchInput::Named { leg, sip_call_id }, now);
                }
            }
            Order::Media(command) => out.push(Action::Media(command)),
            Order::Recorder(command) => out.push(Action::Recorder(command)),
            Order::Store(facts) => self.facts.extend(facts),
            Order::Reply { ticket, reply } => out.push(Action::Reply { ticket, reply }),
            Order::Alarm(alarm) => out.push(Action::Alarm(alarm)),
            Order::Count(counter) => out.push(Action::Count(counter)),
        }
    }
}
