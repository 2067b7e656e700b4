//! Trunks and their codecs: read as written, each fault told with its place.

use super::*;

#[test]
fn a_wrong_trunk_is_told_with_its_key() {
    let table = [
        (PEERS, r#"host = "sip:carrier.example""#, "trunks.carrier.host", "without sip:"),
        (PEERS, r#"host = "192.0.2.300""#, "trunks.carrier.host", "192.0.2.7"),
        (PEERS, "host = \"127.0.0.3\"\nport = 0", "trunks.carrier.port", "1 to 65535"),
        (PEERS, "host = \"127.0.0.3\"\ntransport = \"tlss\"", "trunks.carrier.transport", "\"tls\""),
        (PEERS, "host = \"::1\"", "trunks.carrier.transport|", "family"),
        (PEERS, "host = \"127.0.0.3\"\nregister = true", "trunks.carrier.register", "user = "),
        (PEERS, "host = \"127.0.0.3\"\npassword_file = \"x\"", "trunks.carrier.password_file", "user = "),
        (PEERS, "host = \"127.0.0.3\"\nuser = \"a b\"", "trunks.carrier.user", "before the @"),
        (PEERS, "host = \"127.0.0.3\"\nuser = \"a\"\nexpires = \"30s\"", "trunks.carrier.expires", "1m"),
        (PEERS, "host = \"127.0.0.3\"\noptions_every = \"1s\"", "trunks.carrier.options_every", "30s"),
        (PEERS, "host = \"127.0.0.3\"\ndials = [\"33 1\"]", "trunks.carrier.dials[0]", "+33"),
        (PEERS, "host = \"127.0.0.3\"\nnumber_shown = \"0199\"", "trunks.carrier.number_shown", "country code"),
        (PEERS, "host = \"127.0.0.3\"\nrate_max = 0", "trunks.carrier.rate_max", "1 to 10000"),
        (PEERS, "host = \"127.0.0.3\"\nca = \"music.wav\"\ntransport = \"udp\"", "trunks.carrier.ca", "tls"),
        (PEERS, "host = \"carrier.example\"\nca = \"/nowhere/ca.pem\"", "trunks.carrier.ca", "PEM"),
        (PEERS, "host = \"carrier.example\"\nkey = \"/nowhere/key.pem\"", "trunks.carrier.key", "both files"),
        (PEERS, "peers = [\"127.0.0.2\"]\ndials = [\"15\"]", "trunks.carrier.dials", "host = "),
        (r#"realm = "vigie""#, r#"nameservers = ["dns.example"]"#, "sip.nameservers[0]", "127.0.0.1:5353"),
    ];
    for (from, to, key, remedy) in table {
        told(&(from, to, key.trim_end_matches('|'), remedy));
    }
    let second = "[trunks.second]\nhost = \"127.0.0.3\"\nfallback_line = \"main\"\n";
    let text = format!("{}{second}", changed(PEERS, "host = \"127.0.0.3\""));
    let faults = read(&text).expect_err("two trunks at one place");
    assert_eq!(faults.errors.iter().map(|f| f.key.as_str()).collect::<Vec<_>>(), ["trunks.second.host"]);
}

#[test]
fn the_samples_registering_carrier_reads_once_it_is_uncommented() {
    let block = SAMPLE.split("# [trunks.operator]").nth(1).and_then(|rest| rest.split("\n\n").next()).expect("a block");
    let block: String = block.lines().map(|line| format!("{}\n", line.strip_prefix("# ").unwrap_or(line))).collect();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/vigie.toml");
    let text = format!("{SAMPLE}\n[trunks.operator]{block}");
    let settings = Settings::from_text(&text, &file).unwrap_or_else(|faults| panic!("{faults}"));
    let trunk = settings.centre.trunks.get(&"operator".into()).expect("the trunk");
    let registration = trunk.registration.as_ref().expect("an account");
    assert!(registration.registers && trunk.peers.is_empty() && trunk.dials.len() == 2);
    assert_eq!(registration.digest_user, "sos199000199");
    assert_eq!(trunk.options_every, Some(Duration::from_secs(30)));
}

#[test]
fn a_wrong_codec_is_told_with_its_key() {
    let table = [
        ("[media]", "[media]\ncodecs = [\"g723\", \"pcma\"]", "media.codecs[0]", "did you mean \"g722\"?"),
        ("[media]", "[media]\ncodecs = [\"pcma\", \"pcma\"]", "media.codecs[1]", "take one of them out"),
        ("[media]", "[media]\ncodecs = []", "media.codecs", "that may be spoken"),
        ("[media]", "[media]\ncodecs = \"opus\"", "media.codecs", "brackets"),
        (PEERS, "peers = [\"127.0.0.2\"]\ncodecs = []", "trunks.carrier.codecs", "that may be spoken"),
    ];
    table.iter().for_each(told);
}

#[test]
fn a_trunk_has_the_codecs_of_media_unless_it_has_its_own() {
    use crate::model::Codec;
    let codecs = |text: &str| {
        let settings = read(text).unwrap_or_else(|faults| panic!("{faults}"));
        let trunk = settings.centre.trunks.values().next().expect("a trunk").codecs.clone();
        (settings.media.codecs, trunk)
    };
    assert_eq!(codecs(SMALL), (Codec::USUAL.to_vec(), Codec::USUAL.to_vec()));
    let media = changed("[media]", "[media]\ncodecs = [\"opus\", \"pcma\"]");
    assert_eq!(codecs(&media), (vec![Codec::Opus, Codec::Pcma], vec![Codec::Opus, Codec::Pcma]));
    let own = media.replace(PEERS, &format!("{PEERS}\ncodecs = [\"pcmu\"]"));
    assert_eq!(codecs(&own), (vec![Codec::Opus, Codec::Pcma], vec![Codec::Pcmu]));
}

#[test]
fn codecs_without_g711_are_warned_of() {
    let folder = folder();
    let file = folder.path().join("wide.toml");
    std::fs::write(&file, changed(PEERS, &format!("{PEERS}\ncodecs = [\"g722\"]"))).expect("written");
    let (_, warnings) = Settings::read_with_warnings(&file).unwrap_or_else(|faults| panic!("{faults}"));
    assert!(warnings.iter().any(|warning| warning.key == "trunks.carrier.codecs"), "{warnings:?}");
}

#[test]
fn a_trunk_of_the_whole_world_is_a_warning() {
    let text = SMALL.replace("127.0.0.2", "0.0.0.0/0");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("vigie.toml");
    std::fs::write(&file, text.replace("music = \"music.wav\"", "")).expect("written");
    let warnings = match Settings::read_with_warnings(&file) {
        Ok((_, warnings)) => warnings,
        Err(faults) => faults.warnings,
    };
    assert!(warnings.iter().any(|warning| warning.problem.contains("without a password")), "{warnings:?}");
}
