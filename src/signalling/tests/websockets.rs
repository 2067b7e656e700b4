//! SIP over WebSocket: the handshake, frames of both kinds, keep-alives, limits.

use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error, Message as WsMessage};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::*;

async fn dial(running: &Running, headers: &[(&'static str, &str)]) -> Result<WebSocketStream<TcpStream>, Error> {
    let io = TcpStream::connect(running.address()).await.expect("connected");
    let mut request = format!("ws://{}/", running.address()).into_client_request().expect("a request");
    for (name, value) in headers {
        request.headers_mut().insert(*name, HeaderValue::from_str(value).expect("a value"));
    }
    client_async(request, io).await.map(|(socket, _)| socket)
}

async fn next(socket: &mut WebSocketStream<TcpStream>) -> WsMessage {
    loop {
        match tokio::time::timeout(PATIENCE, socket.next()).await.expect("in time").expect("open").expect("a frame") {
            WsMessage::Ping(_) | WsMessage::Pong(_) => {}
            frame => return frame,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_a_frame_of_either_kind_and_a_ping_gets_its_pong() {
    let running = Running::of(Transport::Ws);
    let mut phone = dial(&running, &[("Sec-WebSocket-Protocol", "sip")]).await.expect("welcome");
    // RFC 7118 §5 lets Content-Length go: the frame has its own.
    let short = OPTIONS.replace("Content-Length: 4\r\n", "");
    phone.send(WsMessage::text(short.clone())).await.expect("sent");
    let (path, bytes) = running.received().await;
    assert_eq!((path.transport, &bytes[..]), (Transport::Ws, short.as_bytes()));
    phone.send(WsMessage::binary(OPTIONS)).await.expect("sent");
    assert_eq!(running.received().await.1, OPTIONS.as_bytes());
    phone.send(WsMessage::text("\r\n\r\n")).await.expect("sent");
    assert_eq!(next(&mut phone).await, WsMessage::text("\r\n"));
    running.sender.send(path, &Bytes::from_static(b"SIP/2.0 200 OK\r\n\r\n"));
    assert_eq!(next(&mut phone).await, WsMessage::text("SIP/2.0 200 OK\r\n\r\n"));
    running.sender.send(path, &Bytes::from_static(b"SIP/2.0 200 \xff\r\n\r\n"));
    assert_eq!(next(&mut phone).await, WsMessage::binary(&b"SIP/2.0 200 \xff\r\n\r\n"[..]));
    drop(phone);
    assert_eq!(running.cut().await.0, path);
    running.sender.send(path, &Bytes::from_static(b"BYE"));
    let (cut, why) = running.cut().await;
    assert_eq!(cut, path);
    assert!(why.contains("only the far end can open it"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_origin_or_subprotocol_opens_nothing() {
    let running = Running::of(Transport::Ws);
    for (headers, status) in [
        (vec![], 400),
        (vec![("Sec-WebSocket-Protocol", "chat")], 400),
        (vec![("Sec-WebSocket-Protocol", "sip"), ("Origin", "https://evil.example")], 403),
    ] {
        match dial(&running, &headers).await {
            Err(Error::Http(response)) => assert_eq!(response.status().as_u16(), status, "{headers:?}"),
            other => panic!("{headers:?}: {other:?}"),
        }
    }
    let own = format!("https://{}", running.address().ip());
    assert!(dial(&running, &[("Sec-WebSocket-Protocol", "sip"), ("Origin", &own)]).await.is_ok());
    assert!(running.is_silent());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_that_is_too_large_or_in_too_many_pieces_ends_the_connection() {
    use tokio_tungstenite::tungstenite::protocol::frame::Frame;
    use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
    let running = Running::of(Transport::Ws);
    let mut phone = dial(&running, &[("Sec-WebSocket-Protocol", "sip")]).await.expect("welcome");
    // The server hangs up amid it.
    let _ = phone.send(WsMessage::binary(vec![b'x'; 70_000])).await;
    while let Some(Ok(_)) = phone.next().await {}
    let mut phone = dial(&running, &[("Sec-WebSocket-Protocol", "sip")]).await.expect("welcome");
    for number in 0..80 {
        let kind = if number == 0 { Data::Text } else { Data::Continue };
        let piece = Frame::message(vec![b'x'; 1000], OpCode::Data(kind), false);
        if phone.send(WsMessage::Frame(piece)).await.is_err() {
            break;
        }
    }
    while let Some(Ok(_)) = phone.next().await {}
    assert!(running.is_silent());
}
