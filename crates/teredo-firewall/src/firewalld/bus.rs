//! firewalld's interface on D-Bus (firewalld.dbus(5)).

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream::select_all};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use zbus::proxy::{self, CacheProperties, MethodFlags};
use zbus::{Connection, MatchRule, MessageStream, Proxy, connection, message};

const NAME: &str = "org.fedoraproject.FirewallD1";
const PATH: &str = "/org/fedoraproject/FirewallD1";
const ZONE: &str = "org.fedoraproject.FirewallD1.zone";

/// A start of firewalld takes a second or two, and until then it answers nobody.
const PATIENCE: Duration = Duration::from_secs(5);

/// The signals after which rules may be gone, or belong in another zone.
const CHANGES: [&str; 9] = [
    "NameOwnerChanged",
    "Reloaded",
    "DefaultZoneChanged",
    "InterfaceAdded",
    "InterfaceRemoved",
    "ZoneChanged",
    "ZoneOfInterfaceChanged",
    "PanicModeEnabled",
    "PanicModeDisabled",
];

/// Why firewalld did not do it.
#[derive(Debug, thiserror::Error)]
pub(super) enum BusError {
    #[error(
        "firewalld's rules are in the kernel, and the D-Bus by which it is asked does not answer: {0}; start dbus and \
         firewalld, or clear its rules with 'nft delete table inet firewalld'"
    )]
    NoBus(zbus::Error),
    #[error(
        "firewalld's rules are in the kernel, and it does not run, so nobody can open the port in them: \
         'systemctl restart firewalld' starts it"
    )]
    NotRunning,
    #[error(
        "firewalld does not let this program open the port ({0}): run the agent as root or by its unit \
         teredo-firewall.service, which a rule of polkit permits"
    )]
    NotAuthorized(String),
    #[error("firewalld has the rule already")]
    AlreadyEnabled,
    #[error("firewalld does not have the rule")]
    NotEnabled,
    #[error("firewalld refuses to open the port: {0}; 'journalctl -u firewalld' may say more")]
    Refused(String),
    #[error("firewalld does not answer: {0}; 'systemctl restart firewalld' restarts it")]
    Other(zbus::Error),
}

impl From<zbus::Error> for BusError {
    fn from(error: zbus::Error) -> Self {
        let zbus::Error::MethodError(name, text, _) = &error else {
            return Self::Other(error);
        };
        let text = text.clone().unwrap_or_default();
        let reason = || text.clone();
        match name.as_str() {
            "org.freedesktop.DBus.Error.ServiceUnknown"
            | "org.freedesktop.DBus.Error.NameHasNoOwner" => Self::NotRunning,
            "org.fedoraproject.FirewallD1.NotAuthorizedException"
            | "org.freedesktop.DBus.Error.AccessDenied" => Self::NotAuthorized(reason()),
            "org.fedoraproject.FirewallD1.Exception" if text.contains("ALREADY_ENABLED") => {
                Self::AlreadyEnabled
            }
            "org.fedoraproject.FirewallD1.Exception" if text.contains("NOT_ENABLED") => {
                Self::NotEnabled
            }
            "org.fedoraproject.FirewallD1.Exception" => Self::Refused(reason()),
            _ => Self::Other(error),
        }
    }
}

/// A connection to firewalld.
#[derive(Debug)]
pub(super) struct Bus {
    firewall: Proxy<'static>,
    zone: Proxy<'static>,
    changed: Arc<Notify>,
    listener: JoinHandle<()>,
}

impl Bus {
    /// Connects to the bus of the system, on which firewalld need not be yet. `changed` is notified when its rules or
    /// zones may have changed, and when the connection ends.
    pub(super) async fn connect(changed: Arc<Notify>) -> Result<Self, BusError> {
        let connection = async {
            let builder = connection::Builder::system()?;
            builder.method_timeout(PATIENCE).build().await
        };
        let connection = connection.await.map_err(BusError::NoBus)?;
        // Before the first question, so that no change after it is missed.
        let listener = listen(&connection, Arc::clone(&changed))
            .await
            .map_err(BusError::NoBus)?;
        Ok(Self {
            firewall: proxy(&connection, NAME).await?,
            zone: proxy(&connection, ZONE).await?,
            changed,
            listener,
        })
    }

    /// Whether the connection has not ended.
    pub(super) fn is_alive(&self) -> bool {
        !self.listener.is_finished()
    }

    pub(super) async fn default_zone(&self) -> Result<String, BusError> {
        self.ask(&self.firewall, "getDefaultZone", &()).await
    }

    /// The zone of an interface; none if it is in no zone, which means the default zone.
    pub(super) async fn zone_of(&self, interface: &str) -> Result<Option<String>, BusError> {
        let zone: String = self
            .ask(&self.zone, "getZoneOfInterface", &(interface))
            .await?;
        Ok((!zone.is_empty()).then_some(zone))
    }

    pub(super) async fn rules(&self, zone: &str) -> Result<Vec<String>, BusError> {
        self.ask(&self.zone, "getRichRules", &(zone)).await
    }

    /// Adds a rule, until firewalld removes it after `seconds` or restarts.
    pub(super) async fn add(&self, zone: &str, rule: &str, seconds: i32) -> Result<(), BusError> {
        let arguments = (zone, rule, seconds);
        let _: String = self.ask(&self.zone, "addRichRule", &arguments).await?;
        Ok(())
    }

    pub(super) async fn remove(&self, zone: &str, rule: &str) -> Result<(), BusError> {
        let _: String = self
            .ask(&self.zone, "removeRichRule", &(zone, rule))
            .await?;
        Ok(())
    }

    async fn ask<B, R>(&self, proxy: &Proxy<'_>, method: &str, body: &B) -> Result<R, BusError>
    where
        B: serde::Serialize + zbus::zvariant::DynamicType,
        R: for<'d> zbus::zvariant::DynamicDeserialize<'d>,
    {
        // An administrator who has stopped firewalld does not want it back.
        let flags = MethodFlags::NoAutoStart.into();
        let reply = proxy
            .call_with_flags(method.to_owned(), flags, body)
            .await?;
        // Only a call without a reply has none.
        reply.ok_or(BusError::NotRunning)
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        self.listener.abort();
        // The task that waits for changes connects again.
        self.changed.notify_one();
    }
}

async fn proxy(
    connection: &Connection,
    interface: &'static str,
) -> Result<Proxy<'static>, BusError> {
    let builder = proxy::Builder::<Proxy<'static>>::new(connection)
        .destination(NAME)?
        .path(PATH)?
        .interface(interface)?
        .cache_properties(CacheProperties::No);
    Ok(builder.build().await?)
}

/// Notifies of the changes. The task reads all the time: unread signals would hold up the answers.
async fn listen(connection: &Connection, changed: Arc<Notify>) -> zbus::Result<JoinHandle<()>> {
    let signals = || MatchRule::builder().msg_type(message::Type::Signal);
    let rules = [
        signals()
            .sender("org.freedesktop.DBus")?
            .member("NameOwnerChanged")?
            .arg(0, NAME)?
            .build(),
        signals().sender(NAME)?.interface(NAME)?.build(),
        signals().sender(NAME)?.interface(ZONE)?.build(),
    ];
    let mut streams = Vec::new();
    for rule in rules {
        streams.push(MessageStream::for_match_rule(rule, connection, None).await?);
    }
    Ok(tokio::spawn(async move {
        let mut signals = select_all(streams);
        while let Some(Ok(signal)) = signals.next().await {
            let header = signal.header();
            let member = header.member().map(|member| member.as_str());
            if member.is_some_and(|member| CHANGES.contains(&member)) {
                changed.notify_one();
            }
        }
        changed.notify_one();
    }))
}
