//! The program `teredo`: client, server, relay, firewall agent, and the commands that query them.
//!
//! ```text
//!  args ──> config ──> settings ──> client, server, relay, firewall, announce, lab  run in the foreground
//!    ├────> service ──> status, top, port, metrics, monitor, hooks, control   ask the local service
//!    ├────> doctor                                                            looks at everything
//!    └────> address, explain, probe, trace, secret, manual                    need no service
//! ```
//!
//! Every command returns an [`Exit`](failure::Exit) or a [`Failure`]; only `main` ends the process, or
//! a signal. Data goes to standard output through [`Output`], everything else to standard error.

#![forbid(unsafe_code)]

mod address;
mod announce;
mod args;
#[cfg(test)]
mod children;
mod client;
mod config;
mod control;
mod daemon;
mod doctor;
mod explain;
mod failure;
mod feed;
mod file;
mod firewall;
mod fleet;
mod hooks;
mod lab;
mod logging;
mod manual;
mod metrics;
mod monitor;
mod nat_pairs;
mod nearest;
mod output;
mod port;
mod probe;
mod relay;
mod secret;
mod server;
mod service;
mod settings;
mod status;
mod text;
mod top;
mod trace;

use std::env;
use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory as _, FromArgMatches as _};
use tracing_subscriber::filter::LevelFilter;

use crate::args::{Cli, Command, Global, ServersArgs, StatusArgs};
use crate::config::Config;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::settings::{
    ClientSettings, FirewallSettings, RelaySettings, ServerSettings, ServerSocket,
};

fn main() -> ExitCode {
    let exit = run().unwrap_or_else(|failure| {
        report(&failure);
        failure.exit()
    });
    logging::flush(true);
    ExitCode::from(exit.code())
}

/// Tells why the command failed; the journal as an error.
fn report(failure: &Failure) {
    if !logging::is_journal() {
        return failure.report(anstream::stderr().lock());
    }
    let mut text = Vec::new();
    failure.report(anstream::StripStream::new(&mut text));
    for line in String::from_utf8_lossy(&text).lines() {
        let _ = writeln!(anstream::stderr().lock(), "<3>{line}");
    }
}

fn run() -> Result<Exit, Failure> {
    let mut output = Output::stdout();
    let matches = args::variables::command().try_get_matches();
    let Cli { global, command } = match matches.and_then(|matches| Cli::from_arg_matches(&matches))
    {
        Ok(cli) => cli,
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
            ) =>
        {
            output.bytes(error.render().ansi().to_string().as_bytes())?;
            return Ok(Exit::Done);
        }
        Err(error) => return Err(usage_failure(&error, env::args_os().skip(1))),
    };
    let command = command.unwrap_or_else(|| Command::Status(StatusArgs::default()));
    let daemon = match command {
        Command::Client(_) => Some("client"),
        Command::Server(_) => Some("server"),
        Command::Relay(_) => Some("relay"),
        Command::Firewall(_) => Some("firewall"),
        Command::Publish(_) => Some("publish"),
        Command::Announce(_) => Some("announce"),
        Command::Hooks(_) => Some("hooks"),
        _ => None,
    };
    logging::start(&logging::Choices {
        verbose: global.verbose,
        addresses: global.log_addresses,
        usual: daemon.map_or(LevelFilter::WARN, |_| LevelFilter::INFO),
        role: daemon.unwrap_or("command"),
    })?;

    let Global { socket, config, .. } = global;
    let named = socket.or_else(teredo_notify::named_socket);
    let socket = named.clone();
    let socket = socket.unwrap_or_else(|| teredo_notify::DEFAULT_SOCKET.into());
    let config = config.as_deref();
    let outcome = match command {
        Command::Client(args) => client::run(|| {
            let section = Config::load(config)?.client;
            ClientSettings::new(args.clone(), section, socket.clone())
        }),
        Command::Server(args) => {
            let socket = ServerSocket::new(named);
            server::run(|| {
                let section = Config::load(config)?.server;
                ServerSettings::new(args.clone(), section, socket.clone())
            })
        }
        Command::Relay(args) => relay::run(|| {
            let section = Config::load(config)?.relay;
            RelaySettings::new(args.clone(), section, socket.clone())
        }),
        Command::Firewall(args) if args.fleet.is_some() => {
            let socket = named.unwrap_or_else(|| fleet::report::PERIMETER_SOCKET.into());
            fleet::perimeter::run(args, &socket)
        }
        Command::Firewall(args) if args.servers != ServersArgs::default() => {
            let what = "--creds and --ca belong to --fleet, which names no servers";
            Err(Failure::new(Exit::Usage, what).hint(
                "for the unit: 'systemctl edit teredo-perimeter', with the line [Service] and \
                 Environment=\"OPTIONS=--fleet tls://nats.example\"",
            ))
        }
        Command::Firewall(args) => firewall::run(|| {
            let section = Config::load(config)?.firewall;
            Ok(FirewallSettings::new(args.clone(), section, socket.clone()))
        }),
        Command::Publish(args) => fleet::publish::run(args, &socket),
        Command::Announce(command) => announce::run(&command, config),
        Command::Hooks(args) => hooks::run(&args, &socket),
        Command::Status(args) => status::run(&args, named.as_deref(), &mut output),
        Command::Top(args) => top::run(&args, named.as_deref()),
        Command::Metrics => metrics::run(named.as_deref(), &mut output),
        Command::Doctor(args) => doctor::run(&args, config, &socket, named.is_none(), &mut output),
        Command::Port(args) => port::run(&args, &socket, &mut output),
        Command::Monitor(args) => monitor::run(&args, &socket, &mut output),
        Command::Rebind(args) => control::rebind(&args, &socket, &mut output),
        Command::Stop => control::stop(&socket, &mut output),
        Command::Start => control::start(&socket, &mut output),
        Command::Address(command) => address::run(command, &mut output),
        Command::Probe(args) => probe::run(&args, &mut output),
        Command::Trace(args) => trace::run(&args, &mut output),
        Command::Explain(args) => explain::run(&args, &mut output),
        Command::Lab(args) => lab::run(args, output),
        Command::Config(command) => config::run(&command, config, &mut output),
        Command::Secret(command) => secret::run(&command, &mut output),
        Command::Completions { shell } => manual::completions(shell, &mut output),
        Command::Man { directory } => manual::pages(&directory),
    };
    let service = daemon.is_some() && daemon::has_service_manager();
    outcome.map_err(|failure| {
        if service {
            failure.of_service()
        } else {
            failure
        }
    })
}

/// A wrong command line: one clear line, and a hint.
///
/// clap gives text alone; the first paragraph says what is wrong.
fn usage_failure(error: &clap::Error, arguments: impl IntoIterator<Item = OsString>) -> Failure {
    let arguments: Vec<_> = arguments.into_iter().collect();
    if let Some(wrong) = args::variables::behind(error, &arguments) {
        return Failure::new(Exit::Usage, wrong.to_string()).hint(wrong.remedy());
    }
    let rendered = error.render().to_string();
    let what = rendered
        .lines()
        .take_while(|line| !line.is_empty())
        .map(str::trim)
        .collect::<Vec<_>>()
        .join(" ");
    let what = what.strip_prefix("error: ").unwrap_or(&what).to_owned();
    let failure = match error.kind() {
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            Failure::new(Exit::Usage, "a command is missing")
        }
        _ => Failure::new(Exit::Usage, what),
    };
    failure.hint(
        suggestion(error).unwrap_or_else(|| format!("see '{} --help'", command_path(arguments))),
    )
}

fn suggestion(error: &clap::Error) -> Option<String> {
    let kinds = [
        ContextKind::SuggestedArg,
        ContextKind::SuggestedSubcommand,
        ContextKind::SuggestedValue,
    ];
    let typed = match error.get(ContextKind::InvalidSubcommand) {
        Some(ContextValue::String(typed)) => Some(typed.as_str()),
        _ => None,
    };
    kinds.into_iter().find_map(|kind| match error.get(kind)? {
        ContextValue::String(name) => Some(format!("did you mean '{name}'?")),
        // clap puts the best match last, but a completion of the typed word is a better one.
        ContextValue::Strings(names) => {
            let begins = |name: &&String| typed.is_some_and(|typed| name.starts_with(typed));
            let name = names.iter().find(begins).or_else(|| names.last());
            name.map(|name| format!("did you mean '{name}'?"))
        }
        _ => None,
    })
}

/// The command on the command line, such as `teredo address decode`.
///
/// A value that equals the name of a command gives a wrong path, and then only another page of help.
fn command_path(arguments: impl IntoIterator<Item = OsString>) -> String {
    let root = Cli::command();
    let mut command = &root;
    let mut names = vec![root.get_name()];
    for argument in arguments {
        if let Some(subcommand) = command.find_subcommand(argument) {
            names.push(subcommand.get_name());
            command = subcommand;
        }
    }
    names.join(" ")
}
