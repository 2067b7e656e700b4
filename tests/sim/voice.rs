//! What the callers of the simulated centre hear and press: menus, keys, messages, ways out, and where lines lead that
//! cannot serve them.

use std::collections::BTreeMap;
use std::time::Duration;

use vigie::model::centre::{DemandChange, Farewell, Line};
use vigie::model::standing::{CallerList, ListKind, Numbers};
use vigie::model::{Destination, E164, ListId, Menu, MenuId, Tells, WaitingMessage, Way};

/// A doctor on the road.
pub const DOCTOR: &str = "+33700000001";
/// A number that callers are put through to.
pub const OTHER_CENTRE: &str = "+33700000002";
/// The keys that callers press: those of menus and of the waiting room, and wrong ones.
pub const KEYS: &[u8] = b"0123456789*#D";

fn to(to: Destination) -> Way {
    Way { to, ..Way::default() }
}

fn changed(change: DemandChange) -> Way {
    Way { say: vec!["noted".into()], change, ..Way::default() }
}

fn priority(priority: u8) -> DemandChange {
    DemandChange { priority: Some(priority), ..DemandChange::default() }
}

fn needs(needs: &str) -> DemandChange {
    DemandChange { needs: Some(needs.parse().expect("an expression")), ..DemandChange::default() }
}

/// Every menu, by id.
pub fn menus() -> BTreeMap<MenuId, Menu> {
    let menu = |id: &str, keys: Vec<(char, Way)>, otherwise: Way| Menu {
        id: id.into(),
        say: vec!["menu".into()],
        keys: keys.into_iter().collect(),
        key_wait: Duration::from_secs(4),
        attempts_max: 3,
        wrong: Some("wrong".into()),
        otherwise,
    };
    let english = Way { language: Some("en".into()), ..changed(needs("regulation >= 30 and lang-en >= 20")) };
    let main = menu(
        "main",
        vec![
            ('0', changed(needs("regulation >= 30 and paediatrics"))),
            ('1', changed(priority(4))),
            ('2', to(Destination::Menu("language".into()))),
            ('3', to(Destination::Number("15".into()))),
            ('4', to(Destination::Line("rouen".into()))),
            ('5', to(Destination::Voicemail)),
            ('6', to(Destination::CallBack)),
            ('9', Way { say: vec!["bye".into()], ..to(Destination::HangUp) }),
        ],
        Way::default(),
    );
    let language = menu(
        "language",
        vec![
            ('1', english),
            ('2', to(Destination::Menu("main".into()))),
            ('#', to(Destination::Line("rouen-en".into()))),
        ],
        to(Destination::Line("cherbourg".into())),
    );
    // Without keys it only says something.
    let notice = menu("notice", Vec::new(), Way::default());
    [main, language, notice].into_iter().map(|menu| (menu.id.clone(), menu)).collect()
}

fn messages() -> Vec<WaitingMessage> {
    let message = |after_s, every_s: Option<u64>, sounds: &[&str], tells: &[Tells]| WaitingMessage {
        after: Duration::from_secs(after_s),
        every: every_s.map(Duration::from_secs),
        sounds: sounds.iter().map(|name| (*name).into()).collect(),
        tells: tells.iter().copied().collect(),
        language: None,
    };
    vec![message(12, Some(25), &[], &[Tells::Position, Tells::Forecast]), message(40, None, &["patience"], &[])]
}

fn keys() -> BTreeMap<char, Way> {
    [
        ('1', to(Destination::CallBack)),
        ('2', to(Destination::Number("15".into()))),
        ('3', to(Destination::Voicemail)),
        ('4', to(Destination::Menu("main".into()))),
        ('5', changed(priority(2))),
        ('6', to(Destination::Line("cannes".into()))),
        ('7', changed(needs("regulation >= 20"))),
        ('8', to(Destination::Number(OTHER_CENTRE.to_owned()))),
        ('9', to(Destination::HangUp)),
    ]
    .into()
}

/// Gives a line what its callers hear and press beside greeting and music.
pub fn dress(mut line: Line) -> Line {
    let leads = |message: &str, to: Destination| Farewell { message: Some(message.into()), to: Some(to) };
    match line.id.as_str() {
        "rouen" => {
            line.voice.menu = Some("main".into());
            line.voice.keys = keys();
            line.voice.messages = messages();
            line.voice.callback_noted = Some("noted".into());
            line.voice.voicemail.prompt = Some("prompt".into());
            line.voice.voicemail.duration_max = Duration::from_secs(60);
        }
        "dijon" => {
            line.voice.keys = keys();
            line.voice.callback_refused = Some("refused".into());
            line.overflow = leads("overflow", Destination::Number(OTHER_CENTRE.to_owned()));
            line.waiting_max = Duration::from_secs(180);
        }
        "cannes" => line.overflow = leads("overflow", Destination::Line("dijon".into())),
        "cannes-child" => line.voice.menu = Some("notice".into()),
        "cherbourg-urgent" => line.nobody = leads("nobody", Destination::Number("15".into())),
        "office" => {
            // The line's calls are not recorded; a message that somebody leaves is.
            line.overflow = leads("overflow", Destination::Voicemail);
            line.nobody = leads("nobody", Destination::Voicemail);
        }
        "night" => line.closed = leads("closed", Destination::Line("cherbourg".into())),
        _ => {}
    }
    line
}

/// Lists of callers: one goes first, one is refused, one is a test.
pub fn lists() -> BTreeMap<ListId, CallerList> {
    let list = |id: &str, kind: ListKind, numbers: &str| CallerList {
        id: id.into(),
        name: id.to_owned(),
        kind,
        numbers: vec![Numbers::One(E164::parse(numbers).expect("a number"))],
        lines: Vec::new(),
        reason: None,
        until: None,
    };
    let lists = [
        list("homes", ListKind::Priority(Box::new(priority(2))), "+33610000003"),
        list("nuisance", ListKind::Blocked, "+33610000007"),
        list("tests", ListKind::Test, "+33610000011"),
    ];
    lists.into_iter().map(|list| (list.id.clone(), list)).collect()
}
