//! Asks the running server's API: where it is and with which token, as every command of this kind says.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use reqwest::Method;
use serde_json::Value;

use crate::config::Settings;

/// How long the server may take; as long as it gives itself for what takes longest.
const PATIENCE: Duration = Duration::from_secs(120);

/// Which server, and who asks.
#[derive(Args, Clone, Debug)]
pub struct ServerArguments {
    /// The configuration file of the running server: says where its API and its tokens are.
    #[arg(long, value_name = "FILE", default_value = "config/vigie.toml")]
    config: PathBuf,
    /// Where the server's API is, when it is not where the file says.
    #[arg(long, value_name = "URL")]
    api: Option<String>,
    /// A file with the token of the person who asks: where two people must agree, each names an own one. Default:
    /// `STATE/secrets/api-token-admin`.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Print the server's answer as JSON.
    #[arg(long)]
    pub json: bool,
}

impl ServerArguments {
    /// The configuration, checked.
    pub fn settings(&self) -> Result<Settings, String> {
        Settings::read(&self.config).map_err(|faults| faults.to_string())
    }

    /// The answer to a request, or what to tell the person at the console.
    pub fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value, String> {
        let settings = self.settings()?;
        let base = match &self.api {
            Some(api) => api.trim_end_matches('/').to_owned(),
            None => format!("http://{}", reachable(settings.web.listen)),
        };
        let usual = settings.node.state.join("secrets").join("api-token-admin");
        let file = self.token_file.clone().unwrap_or(usual);
        let token = std::fs::read_to_string(&file).map_err(|error| {
            format!("reading a token from {}: {error}; name another with --token-file", file.display())
        })?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| format!("cannot start the runtime: {error}"))?;
        runtime.block_on(send(method, &format!("{base}/api/v1{path}"), token.trim(), body))
    }
}

/// A server that listens everywhere is asked on this machine.
pub(super) fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

async fn send(method: Method, url: &str, token: &str, body: Option<Value>) -> Result<Value, String> {
    // Another part of this process may have installed it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().map_err(|error| error.to_string())?;
    let mut request = client.request(method, url).bearer_auth(token);
    if let Some(body) = body {
        request = request.header("Content-Type", "application/json").body(body.to_string());
    }
    let unreached =
        |error: reqwest::Error| format!("no server answers at {url}: {error}; is it running? --api says where it is");
    let response = request.send().await.map_err(unreached)?;
    let status = response.status();
    let text = response.text().await.map_err(unreached)?;
    let answer: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
    if status.is_success() {
        return Ok(answer);
    }
    let title = answer["title"].as_str().unwrap_or("the server refused");
    Err(format!("{title} ({}): {}", status.as_u16(), answer["detail"].as_str().unwrap_or(&text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_listens_everywhere_is_asked_here() {
        assert_eq!(reachable("0.0.0.0:8060".parse().expect("an address")).to_string(), "127.0.0.1:8060");
        assert_eq!(reachable("[::]:8060".parse().expect("an address")).to_string(), "[::1]:8060");
        assert_eq!(reachable("10.1.2.3:80".parse().expect("an address")).to_string(), "10.1.2.3:80");
    }
}
