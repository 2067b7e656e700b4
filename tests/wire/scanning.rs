//! SIPVicious, the scanner that every open SIP port meets: it learns no name and no
//! password and is banned, a carrier that does the same is not, and phones ring on.

use std::process::Command;

use super::harness::{Process, python_folder, until};
use super::phone::Phone;
use super::server::{Server, Setup};

/// Where the scanner is, and nobody of ours.
const SCANNER: &str = "127.0.0.77";

/// svcrack does not pass on the address that it is told to send from: this starts it with it.
const SVCRACK: &str = "import sys
from sipvicious import svcrack
start = svcrack.ASipOfRedWine.__init__
def start_bound(self, *values, **named): start(self, *values, bindingip=sys.argv[sys.argv.index('-b') + 1], **named)
svcrack.ASipOfRedWine.__init__ = start_bound
svcrack.main()
";

/// What one of its tools says, run from an address of this machine. Its dictionary ends with anne's right password.
async fn scan(server: &Server, from: &str, tool: &str, arguments: &[&str]) -> String {
    let mut process = begin(server, from, tool, arguments);
    process.end().await;
    process.output()
}

fn begin(server: &Server, from: &str, tool: &str, arguments: &[&str]) -> Process {
    let dictionary = server.centre.place.path("words");
    let words: String = (0..300).map(|n| format!("word{n}\n")).collect();
    std::fs::write(&dictionary, format!("anne\nbruno\nnobody\n{words}{}\n", server.password("anne")))
        .expect("a dictionary");
    let mut command = match tool {
        "sipvicious_svcrack" => Command::new(python_folder().join("bin/python")),
        _ => Command::new(python_folder().join("bin").join(tool)),
    };
    if tool == "sipvicious_svcrack" {
        command.args(["-c", SVCRACK]);
    }
    command.args(["-b", from, "-x", from, "-p", &server.centre.sip.port().to_string()]);
    command.args(arguments).arg("127.0.0.1").current_dir(&server.centre.place.folder);
    Process::start(tool, &mut command, &server.centre.place.path(tool))
}

async fn banned(server: &Server) -> Vec<String> {
    let bans = server.api.json("/sip/bans").await;
    bans.as_array().expect("bans").iter().map(|ban| ban["who"].as_str().expect("whom").to_owned()).collect()
}

async fn phones_ring_on(server: &Server, anne: &Phone) {
    let caller = Phone::caller(server, "+33612345678").await;
    caller.dial_in("0261910101").await;
    anne.voice.hears(440.0, 300).await;
    caller.hang_up().await;
    assert_eq!(anne.register(&server.password("anne"), 600).await, 200);
}

#[tokio::test]
async fn a_scanner_learns_no_name_and_no_password_and_is_banned_and_the_phones_ring_on() {
    let server = Setup::new().start().await;
    let anne = Phone::regulator(&server, "anne").await;
    let dictionary = server.centre.place.path("words").display().to_string();
    let said = scan(&server, SCANNER, "sipvicious_svmap", &[]).await;
    assert!(said.contains("127.0.0.1"), "it is found, as it has to be: {said}");
    let said = scan(&server, SCANNER, "sipvicious_svwar", &["-d", &dictionary, "--force", "--maximumtime", "15"]).await;
    let row = |name: &str| {
        said.lines()
            .find(|line| line.contains(&format!("| {name} ")))
            .map(|line| line.replace(name, "x").replace(' ', ""))
    };
    assert_eq!(row("anne"), row("nobody"), "the same is said of who is here and of who is not:\n{said}");
    // Whether asking after names was enough or not: the next tool begins with a clean sheet.
    for ban in banned(&server).await {
        assert_eq!((ban.as_str(), server.api.delete(&format!("/sip/bans/{ban}")).await), (SCANNER, 204));
    }

    let registered = server.metric("vigie_sip_banned_total").await;
    let crack = ["-u", "anne", "-d", &dictionary, "--maximumtime", "15"];
    let said = scan(&server, SCANNER, "sipvicious_svcrack", &crack).await;
    assert!(!said.contains(&server.password("anne")), "the right password is in the dictionary:\n{said}");
    assert!(banned(&server).await.contains(&SCANNER.to_owned()), "{said}");
    assert!(server.metric("vigie_sip_banned_total").await > registered);

    // Not even an answer is had from now on, and no 200 for the right password.
    let scanner = Phone::start([127, 0, 0, 77], server.centre.sip, "anne").await;
    let dropped = server.metric("vigie_sip_banned_dropped_total").await;
    scanner.send(scanner.plain("REGISTER", "sip:127.0.0.1", "anne")).await;
    until("it is dropped", || async {
        (server.metric("vigie_sip_banned_dropped_total").await > dropped).then_some(())
    })
    .await;
    assert!(scanner.received("SIP/2.0").is_empty());
    phones_ring_on(&server, &anne).await;
}

#[tokio::test]
async fn a_carrier_that_does_the_same_gets_in_nowhere_and_is_never_banned() {
    let server = Setup::new().start().await;
    let anne = Phone::regulator(&server, "anne").await;
    let (carrier, dictionary) = (server.centre.place.trunk.to_string(), server.centre.place.path("words"));
    let dictionary = dictionary.display().to_string();
    scan(&server, &carrier, "sipvicious_svwar", &["-d", &dictionary, "--force", "--maximumtime", "15"]).await;
    let crack = ["-u", "anne", "-d", &dictionary, "--maximumtime", "15"];
    // Nobody registers from a carrier's address: told 403 each time, it goes on for ever.
    let received = server.metric("vigie_sip_received_total").await;
    let cracking = begin(&server, &carrier, "sipvicious_svcrack", &crack);
    until("it has tried a thousand times", || async {
        (server.metric("vigie_sip_received_total").await >= received + 1000.0).then_some(())
    })
    .await;
    let said = cracking.output();
    assert!(!said.contains(&server.password("anne")), "{said}");
    drop(cracking);
    assert!(banned(&server).await.is_empty());
    assert_eq!(server.metric("vigie_sip_banned_dropped_total").await, 0.0);
    phones_ring_on(&server, &anne).await;
}
