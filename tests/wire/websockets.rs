//! SIP over WebSocket as a browser speaks it (RFC 7118): frames in pieces, pings, origins, and what ends the connection.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::harness::{PATIENCE, free_port, local, until};
use super::link::Link;
use super::phone::Phone;
use super::server::{Server, Setup};
use super::text::token;

const SIP: (&str, &str) = ("Sec-WebSocket-Protocol", "sip");

/// A server with a WebSocket listener, and that one's address.
async fn start(idle_max: &str) -> (Server, SocketAddr) {
    let ws = local(free_port());
    let listener = format!("{{ address = \"ws:{ws}\", origins = [\"https://desk.example\"] }}");
    let idle = format!("digest = \"md5\"\nconnection_idle_max = \"{idle_max}\"");
    (Setup::new().listening(&listener).change("digest = \"md5\"", &idle).start().await, ws)
}

async fn open(ws: SocketAddr, headers: &[(&'static str, &str)]) -> Result<WebSocketStream<TcpStream>, Error> {
    let io = TcpStream::connect(ws).await.expect("connected");
    let mut request = format!("ws://{ws}/").into_client_request().expect("a request");
    for (name, value) in headers {
        request.headers_mut().insert(*name, HeaderValue::from_str(value).expect("a value"));
    }
    client_async(request, io).await.map(|(socket, _)| socket)
}

fn options(ws: SocketAddr) -> String {
    let branch = token();
    format!(
        "OPTIONS sip:{ws} SIP/2.0\r\nVia: SIP/2.0/WS a.invalid;branch=z9hG4bK{branch}\r\nMax-Forwards: 70\r\n\
         From: <sip:a@a.invalid>;tag=1\r\nTo: <sip:{ws}>\r\nCall-ID: {branch}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    )
}

/// The next frame that is looked for.
async fn next<T>(socket: &mut WebSocketStream<TcpStream>, mut look: impl FnMut(&Message) -> Option<T>) -> T {
    let find = async {
        loop {
            let frame = socket.next().await.expect("still open").expect("a frame");
            if let Some(found) = look(&frame) {
                return found;
            }
        }
    };
    timeout(PATIENCE, find).await.expect("in time")
}

/// Waits until the server has hung up.
async fn is_closed(mut socket: WebSocketStream<TcpStream>) {
    let end = async { while let Some(Ok(_)) = socket.next().await {} };
    timeout(PATIENCE, end).await.expect("closed in time");
}

fn is_ok(frame: &Message) -> Option<()> {
    matches!(frame, Message::Text(text) if text.starts_with("SIP/2.0 200")).then_some(())
}

#[tokio::test]
async fn a_message_in_pieces_is_one_message_and_a_ping_gets_its_pong_amid_it() {
    let (server, ws) = start("1m").await;
    let mut socket = open(ws, &[SIP, ("Origin", "https://desk.example")]).await.expect("welcome");
    let message = options(ws);
    let (first, rest) = message.split_at(40);
    let (second, third) = rest.split_at(1);
    let piece =
        |text: &str, kind, is_last| Message::Frame(Frame::message(text.to_owned(), OpCode::Data(kind), is_last));
    socket.send(piece(first, Data::Text, false)).await.expect("sent");
    socket.send(Message::Ping(b"amid".as_slice().into())).await.expect("sent");
    next(&mut socket, |frame| matches!(frame, Message::Pong(what) if &what[..] == b"amid").then_some(())).await;
    socket.send(piece(second, Data::Continue, false)).await.expect("sent");
    socket.send(piece(third, Data::Continue, true)).await.expect("sent");
    next(&mut socket, is_ok).await;

    // SIP's own keep-alive, and one frame of bytes rather than text.
    socket.send(Message::text("\r\n\r\n")).await.expect("sent");
    next(&mut socket, |frame| (*frame == Message::text("\r\n")).then_some(())).await;
    socket.send(Message::binary(options(ws).into_bytes())).await.expect("sent");
    next(&mut socket, is_ok).await;
    socket.close(None).await.expect("closed");
    assert_eq!(server.metric("vigie_sip_malformed_total").await, 0.0);
}

#[tokio::test]
async fn a_page_of_another_origin_is_told_403_and_two_origins_400() {
    let (server, ws) = start("1m").await;
    for (headers, status) in [
        (vec![SIP, ("Origin", "https://evil.example")], 403),
        (vec![SIP, ("Origin", "https://desk.example.evil.example")], 403),
        (vec![SIP, ("Origin", "null")], 403),
        (vec![("Sec-WebSocket-Protocol", "chat"), ("Origin", "https://desk.example")], 400),
    ] {
        match open(ws, &headers).await {
            Err(Error::Http(answer)) => assert_eq!(answer.status().as_u16(), status, "{headers:?}"),
            other => panic!("{headers:?}: {other:?}"),
        }
    }
    until("the refusals are counted", || async {
        (server.metric("vigie_sip_connections_refused_total").await == 4.0).then_some(())
    })
    .await;
    assert!(open(ws, &[SIP]).await.is_ok(), "what sends no Origin is no browser");
}

#[tokio::test]
async fn too_much_in_a_frame_or_in_pieces_and_what_is_no_websocket_end_the_connection_alone() {
    let (server, ws) = start("1m").await;
    let anne = Phone::over(Link::websocket(ws, None, &[SIP]).await.expect("welcome"), ws, "anne").await;
    assert_eq!(anne.register(&server.password("anne"), 600).await, 200);
    server.api.regulator_is("anne", "ready").await;

    let mut giant = open(ws, &[SIP]).await.expect("welcome");
    // The server hangs up amid it.
    let _ = giant.send(Message::binary(vec![b'x'; 4 << 20])).await;
    is_closed(giant).await;
    let mut endless = open(ws, &[SIP]).await.expect("welcome");
    for number in 0..200 {
        let kind = if number == 0 { Data::Text } else { Data::Continue };
        let piece = Frame::message(vec![b'x'; 1000], OpCode::Data(kind), false);
        if endless.send(Message::Frame(piece)).await.is_err() {
            break;
        }
    }
    is_closed(endless).await;
    let mut torn = open(ws, &[SIP]).await.expect("welcome");
    let not_text = Frame::message(&b"OPTIONS \xff\xfe"[..], OpCode::Data(Data::Text), true);
    torn.send(Message::Frame(not_text)).await.expect("sent");
    is_closed(torn).await;

    let caller = Phone::caller(&server, "+33612345678").await;
    caller.dial_in("0261910101").await;
    anne.talks().await;
    anne.voice.hears(440.0, 300).await;
    caller.hang_up().await;
}

#[tokio::test]
async fn a_websocket_that_says_nothing_is_closed_and_the_one_that_speaks_is_not() {
    let (server, ws) = start("10s").await;
    let mut speaks = open(ws, &[SIP]).await.expect("welcome");
    let mut silent = open(ws, &[SIP]).await.expect("welcome");
    for socket in [&mut speaks, &mut silent] {
        socket.send(Message::text(options(ws))).await.expect("sent");
        next(socket, is_ok).await;
    }
    // It answers pings, as every library does by itself, but speaks no SIP.
    let silence = is_closed(silent);
    let speech = async {
        loop {
            tokio::time::sleep(Duration::from_secs(2)).await;
            speaks.send(Message::text("\r\n\r\n")).await.expect("still open");
            next(&mut speaks, |frame| (*frame == Message::text("\r\n")).then_some(())).await;
        }
    };
    tokio::select! { () = silence => {}, () = speech => {} }
    speaks.send(Message::text(options(ws))).await.expect("sent");
    next(&mut speaks, is_ok).await;
    until("one connection is left", || async { (server.metric("vigie_sip_connections{").await == 1.0).then_some(()) })
        .await;
}
