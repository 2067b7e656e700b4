//! VERIFY.txt: how somebody who has never seen Vigie checks an export, with sha256sum, openssl, and sox or ffmpeg alone.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::model::CallId;

const HEAD: &str = "\
HOW TO CHECK THIS EXPORT

Everything here can be checked without Vigie, with three programs that every system has or can get: sha256sum (GNU
coreutils), openssl (3.0 or newer), and sox or ffmpeg. Unpack the zip, open a shell in its folder, and give each line that
begins with a dollar sign (without it). Each must end without an error: exit status 0.

ONE THING NO FILE CAN PROVE: that the public keys in keys/ are the centre's. Ask the centre for the fingerprint of its key
by another way (telephone, letter), and compare it with what this prints:

";

/// The instructions, growing as files are added.
#[derive(Debug, Default)]
pub(super) struct Instructions {
    keys: String,
    calls: String,
}

impl Instructions {
    pub(super) fn newer_key(&mut self, newer: &str, older: &str, word: &str) {
        let _ =
            writeln!(self.keys, "The newer key vouches for the one before it:\n\n$ {}\n", checked(newer, older, word));
    }

    pub(super) fn begin_call(&mut self, call: CallId, times: &BTreeMap<String, String>) {
        let _ = writeln!(self.calls, "CALL {call}\n");
        for (words, name) in [
            ("The call came", "received_at"),
            ("It was answered", "answered_at"),
            ("It ended", "ended_at"),
            ("The recording begins", "recording_started_at"),
            ("It was sealed", "sealed_at"),
        ] {
            if let (Some(local), Some(utc)) = (times.get(name), times.get(&format!("{name}_utc"))) {
                let _ = writeln!(self.calls, "{words}: {local} (local), {utc} (UTC)");
            }
        }
        self.calls.push('\n');
    }

    pub(super) fn audio(&mut self, call: CallId, file: &str, is_as_sealed: bool) {
        let _ = writeln!(
            self.calls,
            "The samples are those that were sealed: their hash is `vigie.audio.essence_sha256` in {call}/recording.json.\n\
             With sox, or with ffmpeg:\n\n{}",
            essence(call, file)
        );
        let whole = if is_as_sealed {
            "The whole file is as it was sealed, too: `vigie.audio.sha256` there is its hash in MANIFEST.sha256.\n"
                .to_owned()
        } else {
            "The file rests encrypted at the centre; `vigie.audio.sha256` is the hash of what rests there.\n".to_owned()
        };
        let _ = writeln!(self.calls, "{whole}");
    }

    pub(super) fn redacted(&mut self, call: CallId, file: &str, number: usize) {
        let _ = writeln!(
            self.calls,
            "This is a REDACTED COPY: the spans listed in {call}/addendum-{number:04}.json were silenced, everything else is\n\
             sample for sample the original, which rests untouched at the centre. The hash of the copy's samples is\n\
             `body.essence_sha256` there. With sox, or with ffmpeg:\n\n{}",
            essence(call, file)
        );
    }

    pub(super) fn signature(&mut self, key: &str, file: &str, signature: &str) {
        let _ = writeln!(self.calls, "{file} was signed by the centre:\n\n$ {}\n", checked(key, file, signature));
    }

    pub(super) fn custody(&mut self, call: CallId, is_redacted: bool) {
        let (bound, left_out) = match is_redacted {
            true => ("", " Reasons and case numbers are left out of this copy."),
            false => (", each with its `hash`, by which the next entry of the audit is bound to it", ""),
        };
        let _ = writeln!(
            self.calls,
            "{call}/custody.json tells who had this recording, who held it and who let it go: the entries of the centre's audit\n\
             that name it{bound}; the centre proves the audit with `vigie audit verify`.\n\
             {call}/holds.json lists its legal holds: each was placed by an entry `recording.hold` there, and ended by an entry\n\
             `recording.release`.{left_out} Both files stand in MANIFEST.sha256, which is signed.\n"
        );
    }

    pub(super) fn root(&mut self, call: CallId, key: &str) {
        let _ = writeln!(
            self.calls,
            "The line of the seal log ({call}/seal-line.json) names the SHA-256 of the file that it seals, and stands under\n\
             the root of its hour ({call}/root.json). Each of these files has the hash beside it; each hash stands in the text\n\
             of the next file, and the last one is `root` in {call}/root.json:\n\n$ sha256sum -c {call}/root-steps.sha256\n\
             $ {}\n",
            checked(key, &format!("{call}/root.json"), &format!("{call}/root.json.sig"))
        );
    }

    pub(super) fn no_root(&mut self, call: CallId) {
        let _ =
            writeln!(self.calls, "The hour's root over call {call}'s seal was not made yet when this was exported.\n");
    }

    pub(super) fn time_stamp(&mut self, call: CallId, has_authority: bool) {
        let words = "A time-stamping authority (RFC 3161) has seen that root at the time that its answer says";
        let _ = if has_authority {
            writeln!(
                self.calls,
                "{words}:\n\n$ openssl ts -verify -data {call}/root.json -in {call}/root.json.tsr -CAfile keys/timestamp-authority.pem\n\
                 $ openssl ts -reply -in {call}/root.json.tsr -text\n"
            )
        } else {
            writeln!(
                self.calls,
                "{words}; its certificates are not in here: get them from the authority for\n`openssl ts -verify -CAfile`. What it says:\n\n\
                 $ openssl ts -reply -in {call}/root.json.tsr -text\n"
            )
        };
    }

    /// The whole text; `own` is the key that signed the manifest.
    pub(super) fn text(&self, own: &str) -> String {
        let Instructions { keys, calls } = self;
        let manifest = checked(own, "MANIFEST.sha256", "MANIFEST.sha256.sig");
        format!(
            "{HEAD}$ openssl pkey -pubin -in {own} -outform DER | sha256sum\n\n\
             THE WHOLE\n\nNo file is missing or was changed since the export, and the list of them was signed:\n\n\
             $ sha256sum --quiet -c MANIFEST.sha256\n$ {manifest}\n\n{keys}{calls}"
        )
    }
}

fn checked(key: &str, file: &str, signature: &str) -> String {
    format!("openssl pkeyutl -verify -pubin -inkey {key} -rawin -in {file} -sigfile {signature}")
}

fn essence(call: CallId, file: &str) -> String {
    format!(
        "$ sox {call}/{file} -t raw - | sha256sum -c {call}/{file}.essence.sha256\n\
         $ ffmpeg -v error -i {call}/{file} -f s16le - | sha256sum -c {call}/{file}.essence.sha256\n"
    )
}
