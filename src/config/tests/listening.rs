//! Where SIP is listened for: read as written, each fault told with its place.

use super::*;

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
