//! The configuration against files that are right and files that are wrong.

mod calling;
mod custody;

use std::path::Path;
use std::time::Duration;

use super::*;
use crate::model::E164;
use crate::model::centre::{DigestChoice, RecordingPolicy};

const SAMPLE: &str = include_str!("../../config/vigie.toml");

/// A small centre that is right, but for its missing sounds' sake without any.
const SMALL: &str = r#"
[sip]
realm = "vigie"
[media]
ports = "20000-20999"
[skills]
regulation = "may regulate"
[associations.sos]
[regions.here]
neighbours = ["there"]
[regions.there]
[lines.main]
association = "sos"
ddis = ["+33199000101"]
region = "here"
skills = { regulation = 50 }
steps = [{ after = "20s", lowered_by = 20 }]
[regulators.anne]
association = "sos"
skills = { regulation = 60 }
regions = { here = 0 }
[trunks.carrier]
peers = ["127.0.0.2"]
fallback_line = "main"
[sounds]
music = "music.wav"
"#;

/// The trunk's peers in it.
const PEERS: &str = r#"peers = ["127.0.0.2"]"#;

/// A folder with the one sound of `SMALL`.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    make_sound(&folder.path().join("music.wav"));
    folder
}

fn make_sound(file: &Path) {
    let form =
        hound::WavSpec { channels: 1, sample_rate: 8000, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
    let mut wav = hound::WavWriter::create(file, form).expect("a file");
    wav.write_sample(1_i16).expect("a sample");
    wav.finalize().expect("a header");
}

fn read(text: &str) -> Result<Settings, Faults> {
    let folder = folder();
    Settings::from_text(text, &folder.path().join("test.toml"))
}

/// `SMALL` with one piece replaced.
fn changed(from: &str, to: &str) -> String {
    assert!(SMALL.contains(from), "{from} is not in the small centre");
    SMALL.replacen(from, to, 1)
}

#[test]
fn a_small_centre_reads_with_its_defaults() {
    let settings = read(SMALL).unwrap_or_else(|faults| panic!("{faults}"));
    let line = settings.centre.lines.values().next().expect("a line");
    assert_eq!(
        (line.demand.priority, line.wrap_up, line.recording),
        (5, Duration::from_secs(30), RecordingPolicy::Always)
    );
    assert_eq!(
        line.demand.steps.first().map(|s| s.needs.as_ref().map(ToString::to_string)),
        Some(Some("regulation >= 30".to_owned()))
    );
    let listeners: Vec<_> = settings.sip.listen.iter().map(|l| (l.address.to_string(), l.digest)).collect();
    assert_eq!(listeners, [("127.0.0.1:5060".to_owned(), DigestChoice::Both)]);
    assert_eq!(settings.storage.url, "sqlite:state/vigie.db");
    let there = settings.centre.regions.get(&"there".into()).expect("a region");
    assert_eq!(there.neighbours, ["here".into()], "a neighbour is one both ways");
}

#[test]
fn a_listener_may_limit_the_digest_algorithms_and_check_tells_whom_it_leaves_out() {
    let listen = r#"listen = ["udp:127.0.0.1:5060", { address = "udp:127.0.0.1:5062", digest = "sha256" }]"#;
    let listen = format!("realm = \"vigie\"\n{listen}");
    let settings = read(&changed(r#"realm = "vigie""#, &listen)).unwrap_or_else(|faults| panic!("{faults}"));
    let digests: Vec<_> = settings.sip.listen.iter().map(|listener| listener.digest).collect();
    assert_eq!(digests, [DigestChoice::Both, DigestChoice::Sha256]);
    let text = changed(r#"realm = "vigie""#, &format!("{listen}\ndigest = \"md5\""));
    let folder = folder();
    let file = folder.path().join("listener.toml");
    std::fs::write(&file, text).expect("written");
    let (_, warnings) = Settings::read_with_warnings(&file).unwrap_or_else(|faults| panic!("{faults}"));
    assert!(warnings.iter().any(|w| w.key == "sip.listen[1].digest" && w.problem.contains("anne")), "{warnings:?}");
}

#[test]
fn listeners_of_every_transport_are_read_with_what_is_their_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let made = rcgen::generate_simple_self_signed(["vigie.test".to_owned()]).expect("made");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    };
    let (pem, key) = (file("a.pem", &made.cert.pem()), file("a.key", &made.signing_key.serialize_pem()));
    let listen = format!(
        r#"realm = "vigie"
listen = ["udp:127.0.0.1:5060", "tcp:127.0.0.1:5060", "udp:[::1]:5060", "ws:127.0.0.1:5080",
{{ address = "tls:127.0.0.1:5061", certificate = "{pem}", key = "{key}", client_ca = "{pem}" }},
{{ address = "wss:[::1]:5081", certificate = "{pem}", key = "{key}", origins = ["https://Desk.example"], advertised = "::2",
  connections_per_source_max = 7 }}]"#
    );
    let settings = read(&changed(r#"realm = "vigie""#, &listen)).unwrap_or_else(|faults| panic!("{faults}"));
    let names: Vec<_> = settings.sip.listen.iter().map(|l| format!("{}:{}", l.transport.name(), l.address)).collect();
    let all = ["udp:127.0.0.1:5060", "tcp:127.0.0.1:5060", "udp:[::1]:5060", "ws:127.0.0.1:5080", "tls:127.0.0.1:5061"];
    assert_eq!((&names[..5], names[5].as_str()), (&all.map(str::to_owned)[..], "wss:[::1]:5081"));
    assert!(settings.sip.listen[4].tls.as_ref().is_some_and(|tls| tls.client_ca.is_some()));
    let wss = &settings.sip.listen[5];
    assert_eq!((wss.origins.as_slice(), wss.connections_per_source_max), (&["https://desk.example".to_owned()][..], 7));
    assert_eq!(wss.reached_at("192.0.2.1".parse().ok()).to_string(), "::2");
    for (listen, key, said) in [
        ("{ address = \"tls:127.0.0.1:5061\" }".to_owned(), "sip.listen[0].certificate", "is missing"),
        ("\"wss:127.0.0.1:5061\"".to_owned(), "sip.listen[0]", "needs a certificate"),
        (
            format!("{{ address = \"tls:127.0.0.1:1\", certificate = \"{key}\", key = \"{key}\" }}"),
            "sip.listen[0].certificate",
            "holds no certificate",
        ),
        (format!("{{ address = \"tcp:127.0.0.1:1\", key = \"{key}\" }}"), "sip.listen[0].key", "means nothing"),
        (
            "{ address = \"tcp:127.0.0.1:1\", origins = [\"https://a\"] }".to_owned(),
            "sip.listen[0].origins",
            "means nothing",
        ),
        ("{ address = \"ws:127.0.0.1:1\", origins = [\"desk\"] }".to_owned(), "sip.listen[0].origins[0]", "no origin"),
        (
            "{ address = \"udp:127.0.0.1:1\", advertised = \"::1\" }".to_owned(),
            "sip.listen[0].advertised",
            "other kind",
        ),
    ] {
        let text = changed(r#"realm = "vigie""#, &format!("realm = \"vigie\"\nlisten = [{listen}]"));
        let faults = read(&text).expect_err("a fault").errors;
        assert!(faults.iter().any(|f| f.key == key && f.problem.contains(said)), "{listen}: {faults:?}");
    }
}

#[test]
fn a_certificate_outside_its_time_is_warned_of() {
    let folder = tempfile::tempdir().expect("a folder");
    for (years, said) in
        [((2001, 2002), Some("has expired")), ((2090, 2091), Some("not hold yet")), ((2001, 2090), None)]
    {
        let mut params = rcgen::CertificateParams::new(["vigie.test".to_owned()]).expect("parameters");
        params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
        params.not_after = rcgen::date_time_ymd(years.1, 1, 1);
        let own_key = rcgen::KeyPair::generate().expect("a key");
        let made = params.self_signed(&own_key).expect("made");
        let (pem, key) = (folder.path().join("a.pem"), folder.path().join("a.key"));
        std::fs::write(&pem, made.pem()).expect("written");
        std::fs::write(&key, own_key.serialize_pem()).expect("written");
        let listen = format!(
            "realm = \"vigie\"\nlisten = [{{ address = \"tls:127.0.0.1:1\", certificate = \"{}\", key = \"{}\" }}]",
            pem.display(),
            key.display()
        );
        let (folder, text) = (self::folder(), changed(r#"realm = "vigie""#, &listen));
        let file = folder.path().join("certified.toml");
        std::fs::write(&file, text).expect("written");
        let (_, warnings) = Settings::read_with_warnings(&file).unwrap_or_else(|faults| panic!("{faults}"));
        let warned = warnings.iter().find(|w| w.key == "sip.listen[0].certificate");
        assert_eq!(warned.is_some(), said.is_some(), "{warnings:?}");
        assert!(warned.zip(said).is_none_or(|(warned, said)| warned.problem.contains(said)), "{warned:?}");
    }
}

#[test]
fn a_wrong_listener_is_told_with_its_key() {
    let table = [
        (r#"realm = "vigie""#, r#"listen = [{ digest = "md5" }] # no address"#, "sip.listen[0].address", "udp:"),
        (
            r#"realm = "vigie""#,
            r#"listen = [{ address = "udp:127.0.0.1:5060", digest = "md4" }]"#,
            "sip.listen[0].digest",
            "md5",
        ),
        (r#"realm = "vigie""#, r#"listen = [{ adress = "udp:127.0.0.1:5060" }]"#, "sip.listen[0].adress", "`address`"),
        (
            r#"realm = "vigie""#,
            r#"listen = ["udp:[::1]:5060", { address = "udp:[::1]:5060" }]"#,
            "sip.listen[1].address",
            "take one",
        ),
    ];
    table.iter().for_each(told);
}

#[test]
fn each_fault_is_told_with_its_key_its_line_and_a_remedy() {
    let table = [
        (r#"realm = "vigie""#, r#"relm = "vigie""#, "sip.relm", "`realm`"),
        (r#"realm = "vigie""#, "realm = 5", "sip.realm", "quotes"),
        (r#"realm = "vigie""#, r#"listen = ["127.0.0.1:5060"]"#, "sip.listen[0]", "udp:127.0.0.1:5060"),
        (r#"realm = "vigie""#, r#"listen = ["udp:0.0.0.0:5060"]"#, "sip.advertised", "address"),
        (r#"realm = "vigie""#, r#"listen = ["udp:127.0.0.1:20100"]"#, "sip.listen[0]", "media.ports"),
        (r#"realm = "vigie""#, "devices_max = 0", "sip.devices_max", "1 to 16"),
        (r#"realm = "vigie""#, r#"expires_min = "30""#, "sip.expires_min", "units"),
        (r#"realm = "vigie""#, r#"expires_min = "2h""#, "sip.expires_min", "longest"),
        (r#"ports = "20000-20999""#, r#"ports = "20999-20000""#, "media.ports", "20000-29999"),
        (r#"ports = "20000-20999""#, r#"ring_size = "5""#, "media.ring_size", "MiB"),
        (r#"neighbours = ["there"]"#, r#"neighbours = ["ther"]"#, "regions.here.neighbours[0]", "`there`"),
        (r#"neighbours = ["there"]"#, r#"neighbours = ["here"]"#, "regions.here.neighbours[0]", "take it out"),
        (r#"neighbours = ["there"]"#, r#"parent = "here""#, "regions.here.parent", "no parent"),
        (r#"neighbours = ["there"]"#, r#"second = "here""#, "regions.here.second", "another region"),
        (r#"neighbours = ["there"]"#, r#"second = "ther""#, "regions.here.second", "`there`"),
        (r#"region = "here""#, "region = \"there\"\nreach = \"home\"", "lines.main.skills", "lower the levels"),
        (r#"ddis = ["+33199000101"]"#, r#"ddis = ["0199000101"]"#, "lines.main.ddis[0]", "E.164 form|country code"),
        (r#"ddis = ["+33199000101"]"#, r#"ddis = "+33199000101""#, "lines.main.ddis", "brackets"),
        (r#"association = "sos""#, r#"association = "soss""#, "lines.main.association", "`sos`"),
        (r#"region = "here""#, "", "lines.main.region", "[regions.ID]"),
        (r#"region = "here""#, r#"region = "paris""#, "lines.main.region", "here, there"),
        (r#"{ regulation = 50 }"#, r#"{ regulatoin = 50 }"#, "lines.main.skills.regulatoin", "`regulation`"),
        (r#"{ regulation = 50 }"#, r#"{ regulation = 101 }"#, "lines.main.skills.regulation", "1 to 100"),
        (r#"{ regulation = 50 }"#, "{}", "lines.main.skills", "regulation = 50"),
        (r#"{ regulation = 50 }"#, r#"{ regulation = 90 }"#, "lines.main.skills", "lower the levels"),
        (r#"lowered_by = 20"#, r#"lowerd_by = 20"#, "lines.main.steps[0].lowerd_by", "`lowered_by`"),
        (r#"skills = { regulation = 50 }"#, r#"needs = "regulation >= 50 or""#, "lines.main.needs", "such as"),
        (r#"skills = { regulation = 50 }"#, r#"needs = "regulation > 50""#, "lines.main.needs", "`>=`"),
        (r#"skills = { regulation = 50 }"#, r#"needs = "regulatoin >= 50""#, "lines.main.needs", "`regulation`"),
        (r#"skills = { regulation = 50 }"#, r#"needs = "regulation >= 99""#, "lines.main.needs", "lower the levels"),
        (r#"lowered_by = 20"#, r#"without = ["english"]"#, "lines.main.steps[0].without[0]", "asked until then"),
        (r#"lowered_by = 20"#, r#"reach = "hom""#, "lines.main.steps[0].reach", "\"home\""),
        (r#"lowered_by = 20"#, r#"message = "nothing""#, "lines.main.steps[0].message", "sounds"),
        (r#"after = "20s", "#, "", "lines.main.steps[0].after", "forecast"),
        (r#"region = "here""#, "region = \"here\"\npriority = 10", "lines.main.priority", "1 to 9"),
        (r#"region = "here""#, "region = \"here\"\nrecording = \"alway\"", "lines.main.recording", "\"always\""),
        (r#"region = "here""#, "region = \"here\"\ngreeting = \"musik\"", "lines.main.greeting", "`music`"),
        (r#"region = "here""#, "region = \"here\"\nhours = [\"8-20\"]", "lines.main.hours[0]", "Mon-Fri"),
        (
            r#"region = "here""#,
            "region = \"here\"\nhours = [\"Mon-Fri 08:00-12:00\", \"Fri 11:00-13:00\"]",
            "lines.main.hours[1]",
            "ended",
        ),
        (r#"regions = { here = 0 }"#, r#"regions = { her = 0 }"#, "regulators.anne.regions.her", "`here`"),
        (r#"regions = { here = 0 }"#, r#"digest = "sha-256""#, "regulators.anne.digest", "sha256"),
        (r#"peers = ["127.0.0.2"]"#, r#"peers = ["carrier.example"]"#, "trunks.carrier.peers[0]", "addresses"),
        (r#"peers = ["127.0.0.2"]"#, "", "trunks.carrier.peers", "peers = "),
        (r#"fallback_line = "main""#, r#"fallback_line = "mian""#, "trunks.carrier.fallback_line", "`main`"),
        (r#"music = "music.wav""#, r#"music = "gone.wav""#, "sounds.music", "8000 Hz"),
        (r#"music = "music.wav""#, r#"music = "test.wav""#, "sounds.music", "8000 Hz"),
        (r#"music = "music.wav""#, "", "lines.main.music", "[sounds]"),
        ("[associations.sos]", "[associations.SOS]", "associations.SOS", "a–z"),
    ];
    table.iter().for_each(told);
}

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

/// That the change (from, to) is told at the key, with the remedy.
fn told((from, to, key, remedy): &(&str, &str, &str, &str)) {
    let text = changed(from, to);
    let faults = read(&text).expect_err(to);
    let found = faults.errors.iter().find(|fault| fault.key == *key);
    let found = found.unwrap_or_else(|| panic!("{to}: no fault at {key}, but\n{faults}"));
    assert!(remedy.split('|').any(|part| found.remedy.contains(part)), "{to}: {found}");
    // The line is that of the change, or of the table in which a key is missing.
    let line = text.lines().nth(found.line - 1).unwrap_or_default();
    let last = key.rsplit('.').next().unwrap_or_default().split('[').next().unwrap_or_default();
    assert!(line.contains(last) || line.starts_with('[') || to.is_empty(), "{to}: told at line {line}");
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
fn all_faults_are_told_at_once_and_in_the_order_of_the_file() {
    let text = changed(r#"realm = "vigie""#, r#"relm = "vigie""#)
        .replace("regulation = 60", "regulation = \"x\"")
        .replace("127.0.0.2", "127.0.0.x");
    let faults = read(&text).expect_err("three faults");
    let keys: Vec<&str> = faults.errors.iter().map(|fault| fault.key.as_str()).collect();
    assert_eq!(keys, ["sip.relm", "regulators.anne.skills.regulation", "trunks.carrier.peers[0]"]);
    assert!(faults.to_string().contains(":3:1: sip.relm: this key is unknown\n    what to do: did you mean `realm`?"));
    assert!(faults.to_string().ends_with("3 errors in the configuration"));
}

#[test]
fn a_number_that_two_lines_claim_is_told() {
    let second = "[lines.other]\nassociation = \"sos\"\nddis = [\"+33199000101\"]\nregion = \"here\"\nskills = { regulation = 1 }\n";
    let faults = read(&format!("{SMALL}{second}")).expect_err("a clash");
    assert_eq!(faults.errors.iter().map(|f| f.key.as_str()).collect::<Vec<_>>(), ["lines.other.ddis[0]"]);
}

#[test]
fn a_circle_of_parents_is_told_once_a_region() {
    let text = changed("[regions.there]", "[regions.there]\nparent = \"here\"")
        .replace("neighbours = [\"there\"]", "parent = \"there\"");
    let faults = read(&text).expect_err("a circle");
    assert_eq!(faults.errors.len(), 2, "{faults}");
}

#[test]
fn a_text_that_is_no_toml_is_told_with_its_lines() {
    let faults = read("[sip\nrealm = \"x\"\n[media]\nports = \n").expect_err("no TOML");
    let lines: Vec<usize> = faults.errors.iter().map(|fault| fault.line).collect();
    assert!(lines.contains(&1) && lines.contains(&4), "{faults}");
}

#[test]
fn a_file_that_is_missing_is_told_with_its_name() {
    let faults = Settings::read(Path::new("/nowhere/vigie.toml")).expect_err("no file");
    assert!(faults.to_string().contains("/nowhere/vigie.toml: the file cannot be read"), "{faults}");
}

#[test]
fn a_first_step_that_nobody_meets_is_a_warning_when_a_later_one_is_met() {
    let folder = folder();
    let file = folder.path().join("test.toml");
    std::fs::write(&file, changed("{ regulation = 50 }", "{ regulation = 70 }")).expect("written");
    let (_, warnings) = Settings::read_with_warnings(&file).unwrap_or_else(|faults| panic!("{faults}"));
    assert!(warnings.iter().any(|w| w.problem == "no regulator can answer before 20s"), "{warnings:?}");
}

#[test]
fn the_sample_centre_reads_without_error() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/vigie.toml");
    let (settings, warnings) = Settings::read_with_warnings(&file).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(warnings, []);
    let centre = &settings.centre;
    assert_eq!([centre.associations.len(), centre.lines.len(), centre.regulators.len()], [4, 6, 6]);
    assert!(centre.ddis.contains_key(&E164::parse("+33261910101").expect("a number")));
    assert!(centre.regulators.values().all(|person| person.digest == DigestChoice::Md5));
    let names: Vec<String> = centre.trunks.values().flat_map(|t| &t.peers).map(|p| p.address.to_string()).collect();
    assert_eq!(names, ["127.0.0.2"], "127.0.0.1 stays free for phones");
}

/// Every key of the sample has a comment above it where it first stands, so that the file is its own manual.
#[test]
fn every_key_of_the_sample_is_explained_where_it_first_stands() {
    let mut explained = std::collections::HashSet::new();
    let mut section = String::new();
    let mut after_comment = false;
    for line in SAMPLE.lines() {
        let line = line.trim();
        if let Some(header) = line.strip_prefix('[').filter(|_| line.ends_with(']')) {
            let kind = header.split(['.', ']']).find(|part| !part.is_empty()).unwrap_or_default();
            section = kind.to_owned();
            after_comment = false;
        } else if line.starts_with('#') {
            after_comment = true;
        } else if let Some((key, _)) = line.split_once(" = ").filter(|_| !line.starts_with('{')) {
            let listed = matches!(section.as_str(), "skills" | "sounds");
            if listed || after_comment {
                explained.insert((section.clone(), key.to_owned()));
            }
            assert!(explained.contains(&(section.clone(), key.to_owned())), "{section}.{key} has no comment");
        } else if line.is_empty() {
            after_comment = false;
        }
    }
}

/// Every key that the reader knows stands in the sample, so that nothing can only be found in the source.
#[test]
fn every_key_that_is_read_stands_in_the_sample() {
    let sources = [
        include_str!("parts.rs"),
        include_str!("lines.rs"),
        include_str!("demand.rs"),
        include_str!("centre.rs"),
        include_str!("hours.rs"),
        include_str!("trunks.rs"),
        include_str!("listeners.rs"),
    ];
    for source in sources {
        // A call may go on in the next line.
        let source: String = source.split_whitespace().collect();
        for call in [
            ".or(\"",
            ".take(\"",
            ".must(\"",
            ".list(\"",
            ".pairs(\"",
            ".named(\"",
            ".each(\"",
            "sound(\"",
            "farewell(\"",
            "pause(\"",
        ] {
            for piece in source.split(call).skip(1) {
                let key = piece.split('"').next().unwrap_or_default();
                assert!(SAMPLE.contains(&format!("{key} = ")) || SAMPLE.contains(&format!("[{key}")), "{key}");
            }
        }
    }
}

#[test]
fn what_works_but_is_odd_is_a_warning() {
    let table = [
        (r#"realm = "vigie""#, r#"listen = ["udp:192.0.2.7:5060"]"#, "media.address"),
        (r#"peers = ["127.0.0.2"]"#, r#"peers = ["192.0.2.0/24"]"#, "trunks.carrier.peers"),
        (r#"region = "here""#, "region = \"here\"\nhours = [\"Mon 08:00-12:00\"]", "lines.main.hours"),
        (r#"region = "here""#, "region = \"here\"\nwaiting_max = \"15s\"", "lines.main.steps[0].after"),
        ("[associations.sos]", "chess = \"plays well\"\n[associations.sos]", "skills.chess"),
        (r#"ports = "20000-20999""#, r#"ports = "20000-20099""#, "media.ports"),
        (
            "{ regulation = 60 }",
            "{ regulation = 60 }\n[regulators.eve]\nassociation = \"sos\"",
            "regulators.eve.skills",
        ),
    ];
    for (from, to, key) in table {
        let folder = folder();
        let file = folder.path().join("test.toml");
        std::fs::write(&file, changed(from, to)).expect("written");
        let (_, warnings) = Settings::read_with_warnings(&file).unwrap_or_else(|faults| panic!("{to}: {faults}"));
        assert!(warnings.iter().any(|warning| warning.key == key), "{to}: {warnings:?}");
    }
}

#[test]
fn a_sample_that_lost_any_one_line_is_read_or_told_with_a_place_and_a_remedy() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/vigie.toml");
    let lines: Vec<&str> = SAMPLE.lines().collect();
    for lost in (0..lines.len()).filter(|n| lines.get(*n).is_some_and(|line| line.contains(['=', '[', ']']))) {
        let text: String =
            lines.iter().enumerate().filter(|(n, _)| *n != lost).map(|(_, l)| format!("{l}\n")).collect();
        if let Err(faults) = Settings::from_text(&text, &file) {
            assert!(!faults.errors.is_empty());
            assert!(faults.errors.iter().all(|f| f.line > 0 && f.column > 0 && !f.remedy.is_empty()), "{faults}");
        }
    }
}

#[test]
fn a_table_that_stands_twice_is_told_once_by_its_name() {
    let text =
        SMALL.replace("[trunks.carrier]", "[regulators.anne]\nassociation = \"sos\"\nskills = {}\n[trunks.carrier]");
    let faults = Settings::from_text(&text, Path::new("x/vigie.toml")).expect_err("a doubled table");
    let told: Vec<_> = faults.errors.iter().map(|fault| fault.problem.as_str()).collect();
    assert_eq!(told, ["the table [regulators.anne] stands twice"]);
}

#[test]
fn a_key_that_stands_twice_is_named() {
    let text = SMALL.replace("realm = \"vigie\"", "realm = \"vigie\"\nrealm = \"other\"");
    let faults = Settings::from_text(&text, Path::new("x/vigie.toml")).expect_err("a doubled key");
    assert!(faults.errors[0].problem.contains("`realm` stands twice"), "{faults}");
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

#[test]
fn what_a_line_asks_in_vain_is_told_with_its_place_and_remedy() {
    let folder = folder();
    let read = |from: &str, to: &str| {
        let text = changed(from, to);
        let file = folder.path().join("vain.toml");
        std::fs::write(&file, &text).expect("a file");
        let (_, warnings) = Settings::read_with_warnings(&file).unwrap_or_else(|faults| panic!("{faults}"));
        let told: Vec<(String, usize, String)> =
            warnings.into_iter().map(|one| (one.key, one.line, format!("{} {}", one.problem, one.remedy))).collect();
        (text, told)
    };
    for (from, to, key, expected) in [
        (
            "skills = { regulation = 50 }",
            "needs = \"regulation >= 50 or regulation >= 90\"",
            "lines.main.needs",
            "`regulation >= 90`",
        ),
        ("skills = { regulation = 50 }", "needs = \"regulation >= 70\"", "lines.main.needs", "before 20s"),
        ("lowered_by = 20", "reach = \"all\"", "lines.main.steps[0].reach", "nothing changes"),
        ("lowered_by = 20", "priority = 7", "lines.main.steps[0].priority", "lower number"),
        (
            "region = \"here\"",
            "region = \"here\"\nreach = \"neighbours\"",
            "lines.main.reach",
            "farther away may be free",
        ),
    ] {
        let (text, told) = read(from, to);
        let found = told.iter().find(|(at, _, what)| at == key && what.contains(expected));
        let (_, line, _) = found.unwrap_or_else(|| panic!("{key}: {expected} is not in {told:?}"));
        let place = text.lines().position(|line| line.contains(to.lines().last().unwrap_or_default())).expect("there");
        assert_eq!(*line, place + 1, "{key}");
    }
}
