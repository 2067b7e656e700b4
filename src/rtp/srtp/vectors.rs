//! SRTP and SRTCP against published packets: RFC 3711 appendix B (its key derivation is tested where it stands), RFC 7714
//! §16 and §17, and those that libsrtp publishes of whole packets from a master key on, for every profile.

use super::cipher::Cipher;
use super::keys::Derived;
use super::*;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap()).collect()
}

/// The packet keys themselves, as the RFCs' examples have them.
fn cipher(profile: Profile, key: &str, salt: &str) -> Cipher {
    let mut whole = [0; 14];
    whole.iter_mut().zip(bytes(salt)).for_each(|(to, from)| *to = from);
    let keys = Derived { encryption: bytes(key).try_into().unwrap(), authentication: [0; 20], salt: whole };
    Cipher::new(profile, &keys)
}

fn gcm() -> Cipher {
    cipher(Profile::Gcm, "000102030405060708090a0b0c0d0e0f", "51756964 2070726f 2071756f")
}

#[test]
fn counter_mode_gives_the_key_stream_of_rfc_3711_appendix_b_2() {
    let cipher = cipher(Profile::Sha1Tag80, "2B7E151628AED2A6ABF7158809CF4F3C", "F0F1F2F3F4F5F6F7F8F9FAFBFCFD");
    let Cipher::Counter(cipher) = cipher else { panic!("counter mode") };
    // Counters 0 to 2, and the last three before 65,280: the key stream of one packet.
    let mut stream = vec![0; 0xff02 * 16];
    cipher.scramble(0, 0, &mut stream);
    let right = "E03EAD0935C95E80E166B16DD92B4EB4 D23513162B02D0F72A43A2FE4A5F97AB 41E95B3BB0A2E8DD477901E4FCA894C0";
    assert_eq!(stream[..48], bytes(right));
    let right = "EC8CDF7398607CB0F2D21675EA9EA1E4 362B7C3C6773516318A077D7FC5073AE 6A2CC3787889374FBEB4C81B17BA6C44";
    assert_eq!(stream[0xfeff * 16..], bytes(right));
}

#[test]
fn gcm_seals_and_opens_the_packet_of_rfc_7714_section_16_1() {
    let Cipher::Gcm(cipher) = gcm() else { panic!("GCM") };
    let clear = bytes("8040f17b 8041f8d3 5501a0b2");
    let mut body = bytes("47616c6c 69612065 7374206f 6d6e6973 20646976 69736120 696e2070 61727465 73207472 6573");
    let tag = cipher.seal((0x5501_a0b2, 0xf17b), &clear, &mut body).expect("sealed");
    let right = bytes(
        "f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f 42a5f47a 51c7d19b 36de3adf 8833 \
         899d7f27 beb16a91 52cf765e e4390cce",
    );
    assert_eq!([body.as_slice(), &tag].concat(), right);
    assert!(cipher.open((0x5501_a0b2, 0xf17b), &clear, &mut body, &tag));
    assert!(body.starts_with(b"Gallia est omnis divisa"));
}

#[test]
fn gcm_seals_and_opens_the_report_of_rfc_7714_section_17_1_and_opens_the_one_that_is_only_signed() {
    let plain = bytes(
        "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61 deadbeef deadbeef deadbeef deadbeef \
         deadbeef",
    );
    let mut buffer = plain.clone();
    buffer.resize(plain.len() + GROWTH_BYTES_MAX, 0);
    let length = control::protect(&gcm(), &mut buffer, plain.len(), 0x5d4).expect("sealed");
    let right = bytes(
        "81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d c676a5f1 730d6fda 4ce09b46 86303ded \
         0bb9275b c84aa458 96cf4d2f c5abf872 45d9eade 800005d4",
    );
    assert_eq!(buffer[..length], right);
    assert_eq!(control::open(&gcm(), &mut buffer[..length]), Ok(plain.len()));
    assert_eq!(buffer[..plain.len()], plain);
    let mut signed = [plain.clone(), bytes("841dd968 3dd78ec9 2ae58790 125f62b3 000005d4")].concat();
    assert_eq!(control::open(&gcm(), &mut signed), Ok(plain.len()));
    assert_eq!(signed[..plain.len()], plain);
    *signed.last_mut().expect("a byte") ^= 1;
    assert_eq!(control::open(&gcm(), &mut signed), Err(SrtpFault::Forged), "another index");
}

/// From the master key on: the packet with sequence 0x1234 of source cafebabe, and the report with index 1.
#[test]
fn whole_packets_and_reports_are_those_that_libsrtp_publishes() {
    const COUNTER_KEY: &str = "e1f97a0d3e018be0d64fa32c06de4139 0ec675ad498afeebb6960b3aabe6";
    const COUNTER_BODY: &str = "4e55dc4ce79978d88ca4d215949d2402";
    const COUNTER_REPORT: &str = "7128035be487b9bdbef89041f977a5a8 80000001 993e08cd54d6c1230798";
    let tables = [
        (Profile::Sha1Tag80, COUNTER_KEY, [COUNTER_BODY, "b78d6acc99ea179b8dbb"].concat(), COUNTER_REPORT),
        (Profile::Sha1Tag32, COUNTER_KEY, [COUNTER_BODY, "b78d6acc"].concat(), COUNTER_REPORT),
        (
            Profile::Gcm,
            "000102030405060708090a0b0c0d0e0f a0a1a2a3a4a5a6a7a8a9aaab",
            "c5002ede04cfdd2eb91159e0880aa06e d2976826f796b201df3131a127e8a392".to_owned(),
            "c98b8b5df0392a55852b6c21ac8e7025 c52c6fbea2b3b446ea31123ba88ce61e 80000001",
        ),
    ];
    for (profile, key, body, report) in tables {
        let (head, said) = (bytes("800f1234decafbadcafebabe"), [0xab; 16]);
        let key = MasterKey::new(profile, &bytes(key)).expect("a key");
        let (mut outgoing, mut incoming) = (Outgoing::new(key.clone()), Incoming::new(key.clone()));
        let plain = [head.as_slice(), &said].concat();
        let mut buffer = plain.clone();
        buffer.resize(plain.len() + GROWTH_BYTES_MAX, 0);
        let length = outgoing.protect(&mut buffer, plain.len()).expect("protected");
        assert_eq!(buffer[..length], [head, bytes(&body)].concat(), "{profile:?}");
        let length = incoming.open(&mut buffer[..length]).expect("opened");
        assert_eq!(buffer[..length], plain);

        let head = bytes("81c8000bcafebabe");
        let mut sealed = [head.clone(), bytes(report)].concat();
        let length = incoming.open_rtcp(&mut sealed).expect("opened");
        assert_eq!(sealed[..length], [head.as_slice(), &said].concat(), "{profile:?}");
        // Our own reports count from nought: the second one is theirs.
        for index in 0..2 {
            let mut buffer = [0; BUFFER_BYTES];
            buffer[..length].copy_from_slice(&sealed[..length]);
            let written = outgoing.protect_rtcp(&mut buffer, length).expect("protected");
            if index == 1 {
                assert_eq!(buffer[..written], [head.clone(), bytes(report)].concat(), "{profile:?}");
            }
        }
    }
}
