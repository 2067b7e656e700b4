//! A dispatch endpoint: a real HTTP server that checks signatures and answers as its script says.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use vigie::clock;
use vigie::outbox::{Secret, signature};

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Taken {
    pub id: String,
    pub subject: String,
    pub sequence: u32,
    pub body: Value,
    pub headers: HeaderMap,
    pub answered: StatusCode,
}

/// What the server answers to a request, given all that were answered before.
pub type Script = Arc<dyn Fn(&Taken, &[Taken]) -> StatusCode + Send + Sync>;

#[derive(Clone)]
struct Desk {
    secret: Secret,
    script: Script,
    taken: Arc<Mutex<Vec<Taken>>>,
}

pub struct Receiver {
    pub address: SocketAddr,
    taken: Arc<Mutex<Vec<Taken>>>,
    server: JoinHandle<()>,
}

impl Receiver {
    pub async fn start(secret: &Secret, script: Script) -> Receiver {
        Receiver::start_at("127.0.0.1:0".parse().expect("an address"), secret, script).await
    }

    pub async fn start_at(address: SocketAddr, secret: &Secret, script: Script) -> Receiver {
        let listener = TcpListener::bind(address).await.expect("binds");
        let (address, taken) = (listener.local_addr().expect("bound"), Arc::new(Mutex::new(Vec::new())));
        let desk = Desk { secret: secret.clone(), script, taken: taken.clone() };
        let app = Router::new().route("/hook", post(receive)).with_state(desk);
        let server = tokio::spawn(async move { axum::serve(listener, app).await.expect("serves") });
        Receiver { address, taken, server }
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// Everything that came, in the order of coming.
    pub fn taken(&self) -> Vec<Taken> {
        self.taken.lock().expect("taken").clone()
    }

    /// The sequences of a call that were answered with 2xx, in the order of coming.
    pub fn accepted(&self, subject: &str) -> Vec<u32> {
        let of = |taken: &&Taken| taken.subject == subject && taken.answered.is_success();
        self.taken().iter().filter(of).map(|taken| taken.sequence).collect()
    }

    pub fn accepted_count(&self) -> usize {
        self.taken().iter().filter(|taken| taken.answered.is_success()).count()
    }

    pub async fn stop(self) {
        self.server.abort();
        let _ = self.server.await;
    }
}

pub fn always(status: StatusCode) -> Script {
    Arc::new(move |_, _| status)
}

async fn receive(State(desk): State<Desk>, headers: HeaderMap, body: Bytes) -> Response {
    let trusted = signature::verify(&[desk.secret], &headers, &body, clock::utc(), signature::TOLERANCE);
    if let Err(distrust) = trusted {
        return (StatusCode::UNAUTHORIZED, distrust.to_string()).into_response();
    }
    let event: Value = serde_json::from_slice(&body).expect("JSON");
    let text = |name: &str| event[name].as_str().expect("text").to_owned();
    let mut taken = Taken {
        id: text("id"),
        subject: text("subject"),
        sequence: text("sequence").parse().expect("a number"),
        headers,
        answered: StatusCode::OK,
        body: event.clone(),
    };
    let mut all = desk.taken.lock().expect("taken");
    taken.answered = (desk.script)(&taken, &all);
    let answered = taken.answered;
    all.push(taken);
    (answered, "as the script says").into_response()
}
