//! The demo's short evening: two regulators, four callers, three lines.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, bail, ensure};

use super::story::Story;
use crate::cli::call::samples;
use crate::cli::phone::{Heard, Phone, PhoneNews, PhoneOrder, PhoneSetup};
use crate::clock;
use crate::model::Utc;

/// The longest wait for anything that should happen at once.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long the first two conversations last.
const TALK: Duration = Duration::from_millis(7500);

/// How long the third one lasts.
const SECOND_TALK: Duration = Duration::from_millis(5000);

/// How long the fourth caller has patience for, after the greeting.
const SHORT_PATIENCE: Duration = Duration::from_millis(8500);

/// One caller of the story.
pub struct CallerScript {
    /// In the story.
    pub name: &'static str,
    /// The caller's number.
    pub number: &'static str,
    /// The line dialled, in words.
    pub line: &'static str,
    /// The line's id.
    pub line_id: &'static str,
    /// The number dialled, as the carrier writes it.
    pub dials: &'static str,
    /// Who is to answer; nobody when the caller gives up.
    pub answered_by: Option<&'static str>,
    voice: &'static [u8],
}

/// The four callers, in the order of their calls.
pub const CALLERS: [CallerScript; 4] = [
    CallerScript {
        name: "Mme Durand",
        number: "+33639980001",
        line: "Cherbourg",
        line_id: "cherbourg",
        dials: "0261910101",
        answered_by: Some("yann"),
        voice: include_bytes!("../../../config/sounds/demo/caller-cherbourg.wav"),
    },
    CallerScript {
        name: "Mr Smith",
        number: "+447700900123",
        line: "Rouen in English",
        line_id: "rouen-en",
        dials: "+33261910203",
        answered_by: Some("emma"),
        voice: include_bytes!("../../../config/sounds/demo/caller-rouen.wav"),
    },
    CallerScript {
        name: "M. Rossi",
        number: "+33639980002",
        line: "Cannes paediatrics",
        line_id: "cannes-paediatrics",
        dials: "0033465710101",
        answered_by: Some("yann"),
        voice: include_bytes!("../../../config/sounds/demo/caller-cannes.wav"),
    },
    CallerScript {
        name: "M. Martin",
        number: "+33639980003",
        line: "Cherbourg",
        line_id: "cherbourg",
        dials: "+33261910101",
        answered_by: None,
        voice: include_bytes!("../../../config/sounds/demo/caller-cherbourg.wav"),
    },
];

const YANN: &[u8] = include_bytes!("../../../config/sounds/demo/regulator-cherbourg.wav");
const EMMA: &[u8] = include_bytes!("../../../config/sounds/demo/regulator-rouen.wav");

/// What the phones experienced.
#[derive(Debug, Default)]
pub struct Experience {
    /// When the first phone registered.
    pub began: Utc,
    /// What each caller heard, in the order of [`CALLERS`].
    pub callers: Vec<Heard>,
    /// What the regulators heard: Yann twice, Emma once.
    pub regulators: Vec<(&'static str, Heard)>,
}

/// Plays the evening against the server at `sip`; `password` gives each regulator's.
pub async fn play(
    sip: SocketAddr,
    password: impl Fn(&str) -> anyhow::Result<String>,
    story: &Story,
) -> anyhow::Result<Experience> {
    let began = clock::utc();
    let mut yann = regulator(sip, "yann", "Yann Le Goff", YANN).await?;
    let mut emma = regulator(sip, "emma", "Emma Lefèvre", EMMA).await?;
    for (phone, user) in [(&mut yann, "yann"), (&mut emma, "emma")] {
        phone.order(PhoneOrder::Register { user: user.into(), password: password(user)? }).await;
        match phone.next(PATIENCE).await {
            Some(PhoneNews::Registered) => story.tell(&format!("{user} registered with digest and is ready")),
            other => bail!("{user} could not register: {other:?}"),
        }
    }
    let [first, second, third, fourth] = &CALLERS;
    let mut durand = call(sip, first, story).await?;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut smith = call(sip, second, story).await?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut rossi = call(sip, third, story).await?;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut martin = call(sip, fourth, story).await?;

    established(&mut yann).await.context("yann was to answer Mme Durand")?;
    story.tell("yann answers Mme Durand (Cherbourg): his own region, and no English is wasted on it");
    established(&mut emma).await.context("emma was to answer Mr Smith")?;
    story.tell("emma answers Mr Smith (Rouen): she is the one who speaks English");
    story.tell("M. Rossi (Cannes, a child) and M. Martin (Cherbourg) hear music: everybody talks");

    let talk = async {
        tokio::time::sleep(TALK).await;
        durand.order(PhoneOrder::HangUp).await;
        let heard = over(&mut durand).await.context("Mme Durand's call was to end")?;
        story.tell("Mme Durand hangs up; yann has 1 s of wrap-up");
        smith.order(PhoneOrder::HangUp).await;
        let heard_too = over(&mut smith).await.context("Mr Smith's call was to end")?;
        story.tell("Mr Smith hangs up");
        anyhow::Ok((heard, heard_too))
    };
    let give_up = async {
        tokio::time::sleep(SHORT_PATIENCE.saturating_sub(Duration::from_secs(3))).await;
        martin.order(PhoneOrder::HangUp).await;
        let heard = over(&mut martin).await.context("M. Martin's call was to end")?;
        story.tell("M. Martin has no more patience and hangs up while waiting");
        anyhow::Ok(heard)
    };
    let (talked, gave_up) = tokio::join!(talk, give_up);
    let ((durand_heard, smith_heard), martin_heard) = (talked?, gave_up?);
    let yann_first = over(&mut yann).await.context("yann's first call was to end")?;
    let emma_heard = over(&mut emma).await.context("emma's call was to end")?;

    established(&mut yann).await.context("yann was to answer M. Rossi after his wrap-up")?;
    story.tell("yann is free again and answers M. Rossi: he is the one for children");
    tokio::time::sleep(SECOND_TALK).await;
    yann.order(PhoneOrder::HangUp).await;
    let yann_second = over(&mut yann).await.context("yann was to hang up")?;
    let rossi_heard = over(&mut rossi).await.context("M. Rossi's call was to end")?;
    story.tell("yann hangs up");
    for phone in [&mut yann, &mut emma] {
        phone.order(PhoneOrder::Unregister).await;
        // Nothing depends on it: a binding that stays ends by itself.
        phone.wait_for(PATIENCE, |news| *news == PhoneNews::Unregistered).await;
    }
    Ok(Experience {
        began,
        callers: vec![durand_heard, smith_heard, rossi_heard, martin_heard],
        regulators: vec![("yann", yann_first), ("emma", emma_heard), ("yann", yann_second)],
    })
}

async fn regulator(sip: SocketAddr, user: &'static str, name: &str, voice: &'static [u8]) -> anyhow::Result<Phone> {
    let setup = PhoneSetup {
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        server: sip,
        voice: samples(voice)?,
        identity: user.into(),
        name: name.into(),
        rings_for: Duration::from_millis(400),
        keeps_heard: false,
    };
    Phone::start(setup).await.context("binding a regulator's phone to 127.0.0.1")
}

async fn call(sip: SocketAddr, script: &CallerScript, story: &Story) -> anyhow::Result<Phone> {
    let setup = PhoneSetup {
        address: IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)),
        server: sip,
        voice: samples(script.voice)?,
        identity: script.number.into(),
        name: script.name.into(),
        rings_for: Duration::ZERO,
        keeps_heard: false,
    };
    let phone = Phone::start(setup).await.context(
        "binding a caller's phone to 127.0.0.2, the demo's carrier (on macOS: sudo ifconfig lo0 alias 127.0.0.2)",
    )?;
    story.tell(&format!("{} dials {} ({}) over the trunk", script.name, script.dials, script.line));
    phone.order(PhoneOrder::Dial(script.dials.into())).await;
    Ok(phone)
}

async fn established(phone: &mut Phone) -> anyhow::Result<()> {
    let news = phone.wait_for(PATIENCE, |news| matches!(news, PhoneNews::Established)).await;
    ensure!(news.is_some(), "nothing was answered in {} s", PATIENCE.as_secs());
    Ok(())
}

async fn over(phone: &mut Phone) -> anyhow::Result<Heard> {
    match phone.wait_for(PATIENCE, |news| matches!(news, PhoneNews::Over { .. })).await {
        Some(PhoneNews::Over { heard, .. }) => Ok(heard),
        other => bail!("the call did not end: {other:?}"),
    }
}
