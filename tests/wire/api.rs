//! The server's API as a program uses it.

use std::net::SocketAddr;

use serde_json::Value;

use super::harness::until;

/// A client with both tokens.
pub struct Api {
    base: String,
    admin: String,
    compliance: String,
    client: reqwest::Client,
}

impl Api {
    /// For the server at `web`.
    pub fn new(web: SocketAddr) -> Api {
        // Installed already by another scenario of this process: the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().build().expect("an HTTP client");
        Api { base: format!("http://{web}"), admin: String::new(), compliance: String::new(), client }
    }

    /// The tokens from now on.
    pub fn trust(&mut self, admin: String, compliance: String) {
        (self.admin, self.compliance) = (admin, compliance);
    }

    /// The status of a GET; none when nobody answers.
    pub async fn status(&self, path: &str) -> Option<u16> {
        Some(self.client.get(format!("{}{path}", self.base)).send().await.ok()?.status().as_u16())
    }

    /// A GET without a token.
    pub async fn text(&self, path: &str) -> String {
        let answer = self.client.get(format!("{}{path}", self.base)).send().await.expect("an answer");
        answer.text().await.expect("a text")
    }

    /// A GET as compliance: status and bytes.
    pub async fn fetch(&self, path: &str) -> (u16, Vec<u8>) {
        let request = self.client.get(format!("{}{path}", self.base)).bearer_auth(&self.compliance);
        let answer = request.send().await.expect("an answer");
        (answer.status().as_u16(), answer.bytes().await.expect("a body").to_vec())
    }

    /// The length that HEAD tells, without a body.
    pub async fn measure(&self, path: &str) -> usize {
        let request = self.client.head(format!("{}{path}", self.base)).bearer_auth(&self.compliance);
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), 200, "HEAD {path}");
        let length = answer.headers().get("content-length").and_then(|length| length.to_str().ok()?.parse().ok());
        assert!(answer.bytes().await.expect("no body").is_empty());
        length.expect("a length")
    }

    /// A GET of JSON under `/api/v1`.
    pub async fn json(&self, path: &str) -> Value {
        let (status, bytes) = self.fetch(&format!("/api/v1{path}")).await;
        assert_eq!(status, 200, "GET {path}: {}", String::from_utf8_lossy(&bytes));
        serde_json::from_slice(&bytes).expect("JSON")
    }

    /// A POST as admin; its status.
    pub async fn post(&self, path: &str, body: Option<Value>) -> u16 {
        let mut request = self.client.post(format!("{}/api/v1{path}", self.base)).bearer_auth(&self.admin);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        request.send().await.expect("an answer").status().as_u16()
    }

    /// A POST as admin: its status, and the JSON that was answered.
    pub async fn told(&self, path: &str, body: Value) -> (u16, Value) {
        let request = self.client.post(format!("{}/api/v1{path}", self.base)).bearer_auth(&self.admin);
        let request = request.header("content-type", "application/json").body(body.to_string());
        let answer = request.send().await.expect("an answer");
        let status = answer.status().as_u16();
        (status, serde_json::from_slice(&answer.bytes().await.expect("a body")).unwrap_or_default())
    }

    /// A PUT as admin; its status.
    pub async fn put(&self, path: &str, body: Value) -> u16 {
        let request = self.client.put(format!("{}/api/v1{path}", self.base)).bearer_auth(&self.admin);
        let request = request.header("content-type", "application/json").body(body.to_string());
        request.send().await.expect("an answer").status().as_u16()
    }

    /// A DELETE as admin; its status.
    pub async fn delete(&self, path: &str) -> u16 {
        let request = self.client.delete(format!("{}/api/v1{path}", self.base)).bearer_auth(&self.admin);
        request.send().await.expect("an answer").status().as_u16()
    }

    /// Waits until so many calls live.
    pub async fn lives(&self, calls: u64) {
        until(&format!("{calls} calls live"), || async {
            (self.json("/room").await["calls_live"].as_u64() == Some(calls)).then_some(())
        })
        .await;
    }

    /// What a regulator is doing: `ready`, `paused no-answer`…
    pub async fn regulator(&self, id: &str) -> String {
        let one = self.json(&format!("/regulators/{id}")).await;
        match one["pause"]["reason"].as_str() {
            Some(reason) => format!("paused {reason}"),
            None => one["state"].as_str().expect("a state").to_owned(),
        }
    }

    /// Waits until a regulator is doing that.
    pub async fn regulator_is(&self, id: &str, wanted: &str) {
        until(&format!("{id} is {wanted}"), || async { (self.regulator(id).await == wanted).then_some(()) }).await;
    }

    /// Every call, newest first.
    pub async fn calls(&self) -> Vec<Value> {
        self.json("/calls").await["items"].as_array().expect("items").clone()
    }

    /// Waits until there is a newest call and `is_it` says yes to its whole story; the story.
    pub async fn story(&self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        until(what, || async {
            let newest = self.calls().await.into_iter().next()?;
            let story = self.json(&format!("/calls/{}", newest["id"].as_str()?)).await;
            is_it(&story).then_some(story)
        })
        .await
    }

    /// Waits until the newest call is over.
    pub async fn ended(&self) -> Value {
        self.story("the call is over", |story| !story["call"]["outcome"].is_null()).await
    }

    /// Waits until the newest call's recording is sealed.
    pub async fn sealed(&self) -> Value {
        self.story("the recording is sealed", |story| !story["recording"].is_null()).await
    }

    /// The audio of a sealed recording that nobody spoke wide in: left, right.
    pub async fn audio(&self, story: &Value) -> [Vec<i16>; 2] {
        let (rate, sides) = self.audio_at(story).await;
        assert_eq!(rate, super::sound::RATE);
        sides
    }

    /// The audio of a sealed recording: its rate; left, right.
    pub async fn audio_at(&self, story: &Value) -> (u32, [Vec<i16>; 2]) {
        let id = story["call"]["id"].as_str().expect("an id");
        let (status, bytes) = self.fetch(&format!("/api/v1/recordings/{id}/audio?reason=wire+test")).await;
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&bytes));
        super::sound::read_stereo(&bytes)
    }
}

/// The types of a story's events, in order.
pub fn event_types(story: &Value) -> Vec<String> {
    let events = story["events"].as_array().expect("events");
    events.iter().map(|event| event["type"].as_str().expect("a type").to_owned()).collect()
}
