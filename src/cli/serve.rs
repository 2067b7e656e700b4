//! `vigie serve`: the server itself, until Ctrl-C.

use std::path::PathBuf;
use std::process::ExitCode;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::app::{self, App};
use crate::config::Settings;

/// Run the server until Ctrl-C: then no new calls, live ones may end; a second Ctrl-C ends them. SIGHUP puts the changed
/// configuration in force (see `vigie reload`).
#[derive(clap::Args, Clone, Debug)]
pub struct ServeArguments {
    /// The configuration file.
    #[arg(long, value_name = "FILE", default_value = "config/vigie.toml")]
    pub config: PathBuf,
}

/// Reads the configuration and serves.
pub fn run(arguments: &ServeArguments) -> ExitCode {
    let _log = super::write_log("info");
    let settings = match Settings::read_with_warnings(&arguments.config) {
        Ok((settings, warnings)) => {
            for warning in warnings {
                tracing::warn!("{warning}");
            }
            settings
        }
        Err(faults) => {
            eprintln!("{faults}");
            eprintln!(
                "vigie: the configuration has errors; nothing was started. Look again with: vigie check --config {}",
                arguments.config.display()
            );
            return ExitCode::FAILURE;
        }
    };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("vigie: cannot start the runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(serve(settings)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vigie: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(settings: Settings) -> anyhow::Result<()> {
    let signals = Signals::listen()?;
    let (regulators, lines) = (settings.centre.regulators.len(), settings.centre.lines.len());
    let secrets = settings.node.state.join("secrets");
    let app = app::start(settings).await?;
    if !app.made.is_empty() {
        tracing::info!("secrets were made (files of mode 0600): passwords.txt for the phones, api-token-* for the API");
        for file in &app.made {
            tracing::info!(file = %file.display(), "made");
        }
    }
    tracing::info!(sip = ?app.sip, api = %format!("http://{}", app.web), lines, regulators, secrets = %secrets.display(),
        "{} is ready", app::SOFTWARE);
    stop_when_told(app, signals).await;
    Ok(())
}

/// Ctrl-C, SIGTERM and SIGHUP, from now on.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

/// What a signal asks.
enum Told {
    Stop,
    Reload,
}

impl Signals {
    /// Listens for them: none ends the process by itself any more.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn listen() -> std::io::Result<Signals> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.interrupt.recv() => Told::Stop,
            _ = self.terminate.recv() => Told::Stop,
            _ = self.hangup.recv() => Told::Reload,
        }
    }

    /// Waits until the process is told to stop.
    pub async fn told_to_stop(&mut self) {
        while let Told::Reload = self.next().await {}
    }
}

/// Waits for the first signal to stop: live calls may end, a second signal ends them. At SIGHUP before that the
/// configuration is read again.
pub async fn stop_when_told(app: App, mut signals: Signals) {
    while let Told::Reload = signals.next().await {
        app.reload().await;
    }
    tracing::info!("stopping: no new calls; live ones may end (a second Ctrl-C ends them)");
    tokio::select! {
        () = app.drain() => {}
        () = end_when_told(&app, &mut signals) => {
            tracing::warn!("told a third time: stopping without waiting; recordings are finished at the next start");
        }
    }
    app.stop().await;
    tracing::info!("stopped");
}

/// The second signal ends the live calls; returns at the third.
async fn end_when_told(app: &App, signals: &mut Signals) {
    signals.told_to_stop().await;
    tracing::info!("ending the live calls");
    app.end_all().await;
    signals.told_to_stop().await;
}
