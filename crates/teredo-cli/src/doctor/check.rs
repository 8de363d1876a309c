//! A check: its lasting name, its result, the reason and the mend.

use serde::Serialize;

use crate::text::plain;

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    /// It is right, or has nothing to do with this host.
    Ok,
    /// It cannot be told, and `why` says what would tell.
    Skip,
    /// It works, with a limit or a risk.
    Warn,
    /// It does not work, or is dangerous.
    Fail,
}

impl Verdict {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Skip => "skip",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// The name of a check. Scripts depend on the names: they may be added, and never change their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Id {
    pub(crate) name: &'static str,
    /// The question that the check answers.
    pub(crate) about: &'static str,
    /// The next step, in general.
    pub(crate) next: &'static str,
}

/// Defines the names, and the list of all in the order of the report.
macro_rules! ids {
    ($($constant:ident = $name:literal, $about:literal, $next:literal;)*) => {
        $(pub(crate) const $constant: Id = Id { name: $name, about: $about, next: $next };)*

        /// All names, in the order of the report.
        pub(crate) const ALL: &[Id] = &[$($constant),*];
    };
}

/// The names of the checks.
pub(crate) mod id {
    use super::Id;

    ids! {
        SETTINGS_VALID = "settings.valid",
            "whether the settings and the files of secrets that they name are free of mistakes",
            "'teredo config check' names each mistake with its line";
        SETTINGS_COMPLETE = "settings.complete",
            "whether the settings will do without options on a command line",
            "add the missing key to /etc/teredo/teredo.toml";
        HOST_IPV6 = "host.ipv6",
            "whether the kernel has IPv6, and lets the tunnel have addresses",
            "turn IPv6 on: 'sysctl -w net.ipv6.conf.all.disable_ipv6=0'";
        HOST_TUN = "host.tun",
            "whether the TUN device is there and can be used",
            "'modprobe tun', or give the container the device /dev/net/tun";
        HOST_CAPABILITIES = "host.capabilities",
            "whether the service may have CAP_NET_ADMIN, which the tunnel and the firewall need",
            "run it as root or by its unit; give a container the capability NET_ADMIN";
        HOST_ROUTE = "host.route",
            "whether there is an IPv4 route to the server",
            "'ip route get ADDRESS' with the server's address";
        HOST_NATIVE_IPV6 = "host.native_ipv6",
            "whether the host has IPv6 by other means, so that Teredo rests (RFC 4380 §5.5)",
            "nothing, or 'native_ipv6 = \"ignore\"' under [client] to have both";
        HOST_PREFIX_POLICY = "host.prefix_policy",
            "which programs use Teredo: the order of addresses (RFC 6724, /etc/gai.conf)",
            "nothing: names with IPv4 addresses are reached over IPv4, and that is faster";
        HOST_CLOCK = "host.clock",
            "whether the clock can be right",
            "set the clock, and let a time service keep it";
        HOST_CONNTRACK = "host.conntrack",
            "whether the kernel's table of connections has room",
            "'sysctl -w net.netfilter.nf_conntrack_max=N' with a larger N";
        SERVICE_UNIT = "service.unit",
            "whether the systemd units of this host run, and start with it",
            "'systemctl status UNIT' and 'journalctl -u UNIT'";
        SERVICE_SOCKET = "service.socket",
            "whether the client's service answers on its socket, and who may reach it",
            "start the client, or name its socket with --socket";
        SERVICE_GROUP = "service.group",
            "whether the group exists whose members control the client and confirm the port",
            "install the package again, or create the group";
        SERVICE_VERSION = "service.version",
            "whether program, service and agent are of one version",
            "restart the units after an upgrade";
        SERVICE_STATE = "service.state",
            "whether the client is qualified, so that it has an address",
            "mend what the checks behind it name";
        CLIENT_INTERFACE = "client.interface",
            "whether the tunnel's interface is the client's",
            "end the program that holds the interface, or set another 'interface'";
        CLIENT_PORT = "client.port",
            "whether the configured port is free for the client",
            "end the program that has the port, or set another 'port'";
        CLIENT_RIVAL = "client.rival",
            "whether another Teredo client, such as miredo, runs on this host",
            "stop one of the two";
        RELAY_FORWARDING = "relay.forwarding",
            "whether the host of a relay forwards IPv6",
            "'sysctl -w net.ipv6.conf.all.forwarding=1'";
        SERVER_NAME = "server.name",
            "whether the server's name has an IPv4 address",
            "correct 'servers', or mend the name service of this host";
        SERVER_ADDRESS = "server.address",
            "whether the server's address can be one of a server",
            "use the server's primary, public address";
        SERVER_BLOCKED = "server.blocked",
            "whether the rules of this host let datagrams to the server and its answers through (F-1)",
            "let them through in the chain that the check names";
        SERVER_ANSWERS = "server.answers",
            "whether both addresses of the server answer, and how fast; else where they get lost",
            "try another server, or ask who runs this one";
        SERVER_CONFORMS = "server.conforms",
            "whether the server's answers follow RFC 4380",
            "'teredo probe SERVER' shows the findings";
        NAT_MAPPING = "nat.mapping",
            "whether the NAT keeps one mapping for all destinations, which Teredo needs",
            "turn the router's endpoint-independent mapping (full cone) on";
        NAT_FILTERING = "nat.filtering",
            "which datagrams the NAT lets in",
            "nothing: Teredo opens the way with bubbles";
        NAT_PORT = "nat.port",
            "whether the NAT keeps the port's number",
            "nothing: Teredo works either way";
        NAT_HAIRPIN = "nat.hairpin",
            "whether two hosts behind the NAT reach each other by its public address",
            "keep 'local_discovery' on";
        NAT_LIFETIME = "nat.lifetime",
            "whether the NAT keeps a mapping longer than the refresh interval",
            "'teredo probe SERVER --lifetime' measures it; lower 'refresh_interval'";
        NAT_CARRIER = "nat.carrier",
            "whether the provider shares the public address among customers (carrier-grade NAT)",
            "nothing while the mapping is endpoint-independent";
        PATH_MTU = "path.mtu",
            "whether the path to the server takes tunnel packets of full size: 1308 bytes of IPv4",
            "raise the MTU of the link that is too small";
        PATH_OFFLOAD = "path.offload",
            "whether the kernel cuts and joins datagrams for the client (UDP_SEGMENT, UDP_GRO)",
            "nothing: it costs speed alone";
        PATH_KERNEL = "path.kernel",
            "which path the packets of known peers take, that in the kernel or the daemon's, and why not the kernel's",
            "what the check names: a kernel of Linux 6.6 or later, CAP_BPF, or other rules of a firewall";
        FIREWALL_AGENT = "firewall.agent",
            "whether a firewall agent follows the port, and keeps up",
            "restart it: 'systemctl restart teredo-firewall'";
        FIREWALL_WAY = "firewall.way",
            "which way lets the port through here: the table 'inet teredo', or a set in rules that drop",
            "paste the lines of the check";
        FIREWALL_SET = "firewall.set",
            "whether the administrator's set exists, can hold a port, holds it, and a rule looks in it",
            "declare it as '{ type inet_service; flags timeout; }', and look in it with 'udp dport @SET accept'";
        FIREWALL_TABLE = "firewall.table",
            "whether the table 'inet teredo' is the agent's, and in effect",
            "rename or delete a table of that name that something else made";
        FIREWALL_PORT = "firewall.port",
            "whether a datagram from anybody gets through to the port (F-2)",
            "let it through in the chain that the check names";
        FIREWALL_SHADOWED = "firewall.shadowed",
            "whether a rule drops the port's datagrams before the rule of the exception sees them (F-2)",
            "move the rule of the exception before the one that drops";
        FIREWALL_STALE = "firewall.stale",
            "whether no exception is left for a port that is not in use (F-2)",
            "delete the port from the set; the agent does so itself";
        FIREWALL_DISCOVERY = "firewall.discovery",
            "whether clients on the same link can find this one: UDP 3544 to 224.0.0.253, and IGMP (F-3)",
            "let 'ip daddr 224.0.0.253 udp dport 3544' and 'ip protocol igmp' in";
        FIREWALL_UPNP = "firewall.upnp",
            "whether UPnP needs an exception for UDP 1900 (F-4)",
            "nothing: the client asks its router first, so the answers pass";
        FIREWALL_ICMPV6 = "firewall.icmpv6",
            "whether ICMPv6 gets in from inside the tunnel (F-5)",
            "let ICMPv6 of the tunnel's interface in";
        FIREWALL_INSIDE = "firewall.inside",
            "whether the inside of the tunnel is closed to what nobody asked for (F-6)",
            "start the agent, or set 'protect = true' under [client]";
        FIREWALL_LEGACY = "firewall.legacy",
            "whether iptables-legacy has rules, which nftables does not show",
            "look at them with 'iptables-legacy-save'";
        FIREWALL_TUNNEL = "firewall.tunnel",
            "whether the tunnel's own traffic gets out and its answers in; of a relay, what it forwards",
            "let IPv6 of the tunnel's interface pass in the chain that the check names";
        HOST_ROUTE6 = "host.route6",
            "whether the client's packets take the tunnel, and no rule or route before it",
            "'ip -6 rule', and 'ip -6 route get' with an address";
        RELAY_ROUTE = "relay.route",
            "whether a relay's packets to clients take its tunnel, and others an IPv6 route of the host",
            "'ip -6 route get' with an address of each kind";
        RELAY_SERVE = "relay.serve",
            "whether the networks that a relay or a server serves are those of this host",
            "correct 'serve'";
        SERVER_SECRETS = "server.secrets",
            "whether the server of this host has read its file of secrets since it changed",
            "'systemctl reload teredo-server'";
        FLEET_PUBLISHER = "fleet.publisher",
            "whether the firewalls at the perimeter learn of this host's port; only if it is published",
            "'journalctl -u teredo-publish'";
        FLEET_PERIMETER = "fleet.perimeter",
            "whether this host's set follows the hosts of its fleet; only at a perimeter",
            "'teredo status' shows the trouble, and 'journalctl -u teredo-perimeter' more";
        RELAY_ANSWERS = "relay.answers",
            "whether a native host to which this client sends is reached through a relay",
            "'teredo status --peers'; a relay for the clients of this server must announce 2001::/32";
    }
}

/// A line that a shell ignores.
pub(crate) fn advice_line(text: &str) -> String {
    format!("# {text}")
}

/// The answer to one question. Its texts may repeat words of others, and drive no terminal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Check {
    pub(crate) id: &'static str,
    pub(crate) result: Verdict,
    /// The finding, in one line.
    pub(crate) what: String,
    /// The reason, or the consequence; may be empty.
    pub(crate) why: String,
    /// The commands that mend it; what no command can do is a comment of the shell. Empty: nothing is to be done.
    pub(crate) fix: String,
}

impl Check {
    fn new(id: Id, result: Verdict, what: impl AsRef<str>) -> Self {
        Self {
            id: id.name,
            result,
            what: plain(what.as_ref()),
            why: String::new(),
            fix: String::new(),
        }
    }

    pub(crate) fn ok(id: Id, what: impl AsRef<str>) -> Self {
        Self::new(id, Verdict::Ok, what)
    }

    pub(crate) fn warn(id: Id, what: impl AsRef<str>) -> Self {
        Self::new(id, Verdict::Warn, what)
    }

    pub(crate) fn fail(id: Id, what: impl AsRef<str>) -> Self {
        Self::new(id, Verdict::Fail, what)
    }

    /// Not judged, and why not.
    pub(crate) fn skip(id: Id, what: impl AsRef<str>) -> Self {
        Self::new(id, Verdict::Skip, what)
    }

    /// Not judged, because only root may see it.
    pub(crate) fn needs_root(id: Id, what: &str) -> Self {
        Self::skip(id, format!("run it as root to see {what}"))
    }

    #[must_use]
    pub(crate) fn why(mut self, why: impl AsRef<str>) -> Self {
        self.why = plain(why.as_ref());
        self
    }

    #[must_use]
    pub(crate) fn fix(mut self, fix: impl AsRef<str>) -> Self {
        let lines: Vec<_> = fix.as_ref().split('\n').map(plain).collect();
        self.fix = lines.join("\n");
        self
    }

    /// What to do if no command of this host can: a comment of the shell, so that the mend can be pasted.
    #[must_use]
    pub(crate) fn advise(self, advice: impl AsRef<str>) -> Self {
        let lines: Vec<_> = advice.as_ref().lines().map(advice_line).collect();
        self.fix(lines.join("\n"))
    }

    pub(crate) fn is_trouble(&self) -> bool {
        matches!(self.result, Verdict::Warn | Verdict::Fail)
    }
}
