use std::time::Duration;

use rustix::io::Errno;
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
use teredo_lab::until;

use super::{nft_program as nft, *};

/// A network namespace whose failures fail the test.
struct Namespace(teredo_lab::Namespace);

impl Namespace {
    fn new() -> Self {
        Self(teredo_lab::Namespace::new().expect("the tests need root for network namespaces"))
    }

    fn run<T: Send>(&self, job: impl FnOnce() -> T + Send) -> T {
        self.0.run(job).expect("a thread enters the namespace")
    }

    fn run_async<F: Future<Output = ()>>(&self, job: impl FnOnce() -> F + Send) {
        self.run(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.expect("a runtime on this thread").block_on(job());
        });
    }
}

fn table() -> TableName {
    TableName::new(Family::Inet, "t")
}

fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    until(Duration::from_secs(10), what, || condition().then_some(())).unwrap();
}

fn port_set() -> Batch {
    let mut batch = Batch::new();
    batch.add_table(&table(), TableFlags::default()).add_set(
        &table(),
        &Set::new("ports", KeyType::INET_SERVICE).with_timeouts(),
    );
    batch
}

#[test]
fn every_kind_of_object_reaches_the_kernel_as_nft_understands_it() {
    Namespace::new()
        .run(|| {
            let mut batch = port_set();
            let chain = Chain::base("in", ChainKind::Filter, Hook::Input, -10).policy(Policy::Drop);
            batch
                .add_chain(&table(), &Chain::regular("sub"))
                .add_chain(&table(), &chain)
                .add_elements(
                    &table(),
                    "ports",
                    [Element::port(4500).with_timeout(Duration::from_secs(60))],
                )
                .add_rule(
                    &table(),
                    "in",
                    Rule::new()
                        .protocol(17)
                        .destination_port()
                        .in_set("ports")
                        .counter()
                        .accept()
                        .comment("in a set"),
                )
                .add_rule(
                    &table(),
                    "in",
                    Rule::new()
                        .ipv6()
                        .protocol(6)
                        .destination_port()
                        .among(KeyType::INET_SERVICE, [22_u16, 80].map(u16::to_be_bytes))
                        .ct_state(CtState::ESTABLISHED | CtState::RELATED)
                        .verdict(Verdict::Jump("sub".to_owned())),
                )
                .add_rule(
                    &table(),
                    "sub",
                    Rule::new()
                        .protocol(17)
                        .source_port()
                        .within([0, 10]..=[0, 20])
                        .drop(),
                );
            Netlink::open()?.execute(&batch)?;

            let chains = nft::objects("chain");
            assert_eq!(chains[0]["name"], "sub");
            assert_eq!(
                (&chains[1]["hook"], &chains[1]["prio"]),
                (&"input".into(), &(-10).into())
            );
            assert_eq!(
                (&chains[1]["type"], &chains[1]["policy"]),
                (&"filter".into(), &"drop".into())
            );
            assert_eq!(nft::objects("set")[0]["type"], "inet_service");
            assert_eq!(nft::ports("ports"), [4500]);
            assert_eq!(nft::elements("ports")[0]["elem"]["timeout"], 60);

            let rules = nft::rules();
            assert_eq!(rules[0]["chain"], "sub");
            assert_eq!(rules[1]["comment"], "in a set");
            let text: Vec<String> = rules.iter().map(|rule| rule["expr"].to_string()).collect();
            assert!(
                text[0].contains(r#"{"range":[10,20]}"#) && text[0].contains(r#""field":"sport""#),
                "{text:#?}"
            );
            assert!(
                text[1].contains(r#""right":"@ports""#) && text[1].contains(r#""accept":null"#),
                "{text:#?}"
            );
            assert!(
                text[2].contains(r#"{"set":[22,80]}"#)
                    && text[2].contains(r#""jump":{"target":"sub"}"#),
                "{text:#?}"
            );
            assert!(
                text[2].contains("established") && text[2].contains("related"),
                "{text:#?}"
            );
            Ok::<_, NftError>(())
        })
        .unwrap();
}

#[test]
fn a_nat_chain_masquerades() {
    Namespace::new().run(|| {
        let nat = TableName::new(Family::Ip, "nat");
        let mut batch = Batch::new();
        batch
            .add_table(&nat, TableFlags::default())
            .add_chain(
                &nat,
                &Chain::base("post", ChainKind::Nat, Hook::Postrouting, 100),
            )
            .add_rule(
                &nat,
                "post",
                Rule::new().oifname("wan0").counter().masquerade(),
            );
        Netlink::open().unwrap().execute(&batch).unwrap();

        assert_eq!(nft::objects("chain")[0]["type"], "nat");
        let rule = nft::rules()[0]["expr"].to_string();
        assert!(
            rule.contains(r#""right":"wan0""#) && rule.contains("masquerade"),
            "{rule}"
        );
    });
}

#[test]
fn a_refused_request_undoes_the_whole_batch_and_is_named() {
    Namespace::new().run(|| {
        let mut batch = port_set();
        batch.add_rule(&table(), "missing", Rule::new().accept());
        let error = Netlink::open().unwrap().execute(&batch).unwrap_err();
        assert_eq!(error.refusal(), Some(Errno::NOENT));
        assert_eq!(
            error.to_string(),
            "the kernel refused to add rule inet t missing: No such file or directory (os error 2)"
        );
        assert_eq!(nft::ruleset(), "");
    });
}

#[test]
fn a_socket_goes_on_after_a_refusal() {
    Namespace::new().run(|| {
        let mut netlink = Netlink::open().unwrap();
        let mut batch = Batch::new();
        batch.delete_table(&table()).delete_table(&table());
        netlink.execute(&batch).unwrap_err();
        netlink.execute(&port_set()).unwrap();
        assert!(netlink.table(&table()).unwrap().is_some());
    });
}

#[test]
fn what_is_not_there_is_none() {
    Namespace::new().run(|| {
        let mut netlink = Netlink::open().unwrap();
        assert_eq!(netlink.table(&table()).unwrap(), None);
        assert_eq!(netlink.set(&table(), "ports").unwrap(), None);
        assert_eq!(netlink.elements(&table(), "ports").unwrap(), None);
        assert_eq!(netlink.sets(&table()).unwrap(), None);
    });
}

#[test]
fn sets_and_elements_are_read_back() {
    Namespace::new().run(|| {
        nft::run(
            "table inet t {
            set ports { type inet_service; flags timeout; elements = { 53, 4500 timeout 1m } }
            set ranges { type inet_service; flags interval; }
            map names { type inet_service : mark; }
        }",
        );
        let mut netlink = Netlink::open().unwrap();

        let sets = netlink.sets(&table()).unwrap().unwrap();
        assert_eq!(
            sets.iter().map(|set| set.name.as_str()).collect::<Vec<_>>(),
            ["ports", "ranges", "names"]
        );
        assert!(sets.iter().all(|set| set.key == KeyType::INET_SERVICE));
        assert_eq!(
            sets.iter().map(|set| set.timeouts).collect::<Vec<_>>(),
            [true, false, false]
        );
        assert_eq!(
            sets.iter().map(|set| set.intervals).collect::<Vec<_>>(),
            [false, true, false]
        );
        assert_eq!(
            sets.iter().map(|set| set.map).collect::<Vec<_>>(),
            [false, false, true]
        );
        assert_eq!(
            netlink.set(&table(), "ports").unwrap().as_ref(),
            Some(&sets[0])
        );

        let mut elements = netlink.elements(&table(), "ports").unwrap().unwrap();
        elements.sort_by_key(ElementInfo::port);
        assert_eq!(
            elements.iter().map(ElementInfo::port).collect::<Vec<_>>(),
            [Some(53), Some(4500)]
        );
        assert_eq!(elements[0].timeout, None);
        assert_eq!(elements[1].timeout, Some(Duration::from_secs(60)));
        assert!(elements[1].expires.unwrap() <= Duration::from_secs(60));
    });
}

#[test]
fn a_dump_of_many_messages_is_read_to_its_end() {
    Namespace::new().run(|| {
        let mut netlink = Netlink::open().unwrap();
        let mut batch = port_set();
        batch.add_elements(&table(), "ports", (1..=1500).map(Element::port));
        batch.add_elements(&table(), "ports", (1501..=3000).map(Element::port));
        netlink.execute(&batch).unwrap();
        let expected: Vec<u16> = (1..=3000).collect();
        // The kernel resizes its table meanwhile and then lists elements twice.
        wait_for("all are listed", || {
            let elements = netlink.elements(&table(), "ports").unwrap().unwrap();
            let mut read: Vec<_> = elements.iter().filter_map(ElementInfo::port).collect();
            read.sort_unstable();
            read == expected
        });
    });
}

#[test]
fn an_owned_table_resists_others_and_ends_with_its_socket() {
    Namespace::new().run(|| {
        let mut netlink = Netlink::open().unwrap();
        let mut batch = Batch::new();
        batch.add_table(&table(), TableFlags::OWNER);
        netlink.execute(&batch).unwrap();
        assert_eq!(
            netlink.table(&table()).unwrap().unwrap().owner,
            Some(netlink.port())
        );

        nft::run("flush ruleset");
        assert!(nft::ruleset().starts_with("table inet t {"));
        let mut delete = Batch::new();
        delete.delete_table(&table());
        let error = Netlink::open().unwrap().execute(&delete).unwrap_err();
        assert_eq!(error.refusal(), Some(Errno::PERM));

        drop(netlink);
        wait_for("the table ends", || nft::ruleset().is_empty());
    });
}

#[test]
fn the_lack_of_permission_is_told_apart_from_a_refusal() {
    Namespace::new().run(|| {
        // Of this thread alone.
        let mut sets = capabilities(None).unwrap();
        sets.effective.remove(CapabilitySet::NET_ADMIN);
        set_capabilities(None, sets).unwrap();
        let mut netlink = Netlink::open().unwrap();
        assert!(matches!(
            netlink.execute(&port_set()),
            Err(NftError::NotPermitted)
        ));
        assert!(matches!(
            netlink.table(&table()),
            Err(NftError::NotPermitted)
        ));
    });
}

#[test]
fn the_monitor_reports_the_transactions_of_others_alone() {
    Namespace::new().run_async(|| async {
        let mut netlink = Netlink::open().unwrap();
        let mut monitor = Monitor::open(netlink.port()).unwrap();
        netlink.execute(&port_set()).unwrap();
        nft::run("add element inet t ports { 1 }");
        let Change::Committed {
            process,
            generation,
            ..
        } = monitor.changed().await.unwrap()
        else {
            panic!("nothing was lost")
        };
        assert_eq!(process.as_deref(), Some("nft"));

        nft::run("add element inet t ports { 2 }");
        netlink.execute(&port_set()).unwrap();
        let Change::Committed {
            process,
            generation: next,
            ..
        } = monitor.changed().await.unwrap()
        else {
            panic!("nothing was lost")
        };
        assert_eq!(process.as_deref(), Some("nft"));
        assert_eq!(next, generation + 1);
        // The last transaction was its own.
        assert_eq!(netlink.generation().unwrap(), next + 1);
    });
}

#[test]
fn lost_reports_are_no_failure() {
    Namespace::new().run_async(|| async {
        let mut monitor = Monitor::open(0).unwrap();
        let mut netlink = Netlink::open().unwrap();
        netlink.execute(&port_set()).unwrap();
        for port in 1..=2000 {
            let mut batch = Batch::new();
            batch.add_elements(&table(), "ports", [Element::port(port)]);
            netlink.execute(&batch).unwrap();
        }
        assert_eq!(monitor.changed().await.unwrap(), Change::Lost);
        nft::run("add element inet t ports { 2001 }");
        assert!(matches!(
            monitor.changed().await.unwrap(),
            Change::Committed { .. }
        ));
    });
}

#[test]
fn maps_and_translations_are_what_nft_would_have_made() {
    let by_nft = "table ip nat {
        map mappings {
            type inet_service : ipv4_addr . inet_service
            size 100
            flags dynamic,timeout
            timeout 30s
        }
        set permitted {
            type inet_service . ipv4_addr
            size 100
            flags dynamic,timeout
            timeout 30s
        }
        chain pre {
            type nat hook prerouting priority dstnat
            meta l4proto udp udp dport . ip saddr @permitted dnat ip to udp dport map @mappings
        }
        chain post {
            type nat hook postrouting priority srcnat
            oifname wan0 meta l4proto udp masquerade to :1000-1999 fully-random
            oifname wan1 meta l4proto udp masquerade to :2000-2999
        }
        chain learn {
            type filter hook postrouting priority 300
            meta l4proto udp ct direction reply update @mappings { udp sport : ct original ip saddr . ct original proto-src }
            meta l4proto udp update @permitted { udp sport . ip daddr }
            ct status dnat,snat accept
        }
    }";
    let expected = Namespace::new().run(|| {
        nft::run(by_nft);
        nft::ruleset()
    });
    let found = Namespace::new().run(|| {
        let nat = TableName::new(Family::Ip, "nat");
        let service = KeyType::INET_SERVICE;
        let endpoint = KeyType::IPV4_ADDR.then(service);
        let timeout = Duration::from_secs(30);
        let mappings = Set::map("mappings", service, endpoint)
            .with_default_timeout(timeout)
            .with_size(100)
            .dynamic();
        let permitted = Set::new("permitted", service.then(KeyType::IPV4_ADDR))
            .with_default_timeout(timeout)
            .with_size(100)
            .dynamic();
        let masquerade = |interface, ports, fully_random| {
            let ports = Some(ports);
            let options = Masquerade {
                ports,
                fully_random,
            };
            Rule::new()
                .oifname(interface)
                .protocol(17)
                .masquerade_with(&options)
        };
        let udp = || Rule::new().protocol(17);
        let origin = [
            Field::Ct(CtKey::Ipv4Source(CtDirection::Original)),
            Field::Ct(CtKey::SourcePort(CtDirection::Original)),
        ];
        let mut batch = Batch::new();
        batch
            .add_table(&nat, TableFlags::default())
            .add_set(&nat, &mappings)
            .add_set(&nat, &permitted)
            .add_chain(
                &nat,
                &Chain::base("pre", ChainKind::Nat, Hook::Prerouting, -100),
            )
            .add_chain(
                &nat,
                &Chain::base("post", ChainKind::Nat, Hook::Postrouting, 100),
            )
            .add_chain(
                &nat,
                &Chain::base("learn", ChainKind::Filter, Hook::Postrouting, 300),
            )
            .add_rule(
                &nat,
                "pre",
                udp()
                    .load([Field::DESTINATION_PORT, Field::IPV4_SOURCE])
                    .in_set("permitted")
                    .destination_port()
                    .dnat_ipv4_to_map("mappings"),
            )
            .add_rule(&nat, "post", masquerade("wan0", 1000..=1999, true))
            .add_rule(&nat, "post", masquerade("wan1", 2000..=2999, false))
            .add_rule(
                &nat,
                "learn",
                udp()
                    .ct_direction(CtDirection::Reply)
                    .source_port()
                    .update_map("mappings", origin),
            )
            .add_rule(
                &nat,
                "learn",
                udp()
                    .load([Field::SOURCE_PORT, Field::IPV4_DESTINATION])
                    .update_set("permitted"),
            )
            .add_rule(
                &nat,
                "learn",
                Rule::new()
                    .ct_status(CtStatus::DNAT | CtStatus::SNAT)
                    .accept(),
            );
        Netlink::open().unwrap().execute(&batch).unwrap();
        nft::ruleset()
    });
    assert_eq!(found, expected);
}

#[test]
fn a_rule_that_needs_too_many_registers_is_refused() {
    Namespace::new().run(|| {
        let mut batch = port_set();
        let names = [Field::Meta(MetaKey::Iifname); 5];
        batch
            .add_chain(&table(), &Chain::regular("chain"))
            .add_rule(&table(), "chain", Rule::new().load(names));
        let error = Netlink::open().unwrap().execute(&batch).unwrap_err();
        assert_eq!(error.refusal(), Some(Errno::RANGE));
    });
}

#[test]
fn tracked_connections_are_forgotten() {
    Namespace::new().run(|| {
        let mut batch = port_set();
        batch
            .add_chain(
                &table(),
                &Chain::base("out", ChainKind::Filter, Hook::Output, 0),
            )
            .add_rule(&table(), "out", Rule::new().ct_state(CtState::NEW).accept());
        let mut netlink = Netlink::open().unwrap();
        netlink.execute(&batch).unwrap();
        let count = || std::fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_count");
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.send_to(b"x", socket.local_addr().unwrap()).unwrap();
        assert_eq!(count().unwrap().trim(), "1");
        netlink.flush_conntrack(Family::Ip).unwrap();
        assert_eq!(count().unwrap().trim(), "0");
    });
}

#[test]
fn an_error_keeps_its_kind_as_an_io_error() {
    let refused = NftError::Refused {
        request: "add table ip t".to_owned(),
        errno: Errno::NOENT,
    };
    for (error, kind) in [
        (NftError::NotPermitted, std::io::ErrorKind::PermissionDenied),
        (refused, std::io::ErrorKind::NotFound),
    ] {
        let text = error.to_string();
        let error = std::io::Error::from(error);
        assert_eq!(error.kind(), kind);
        assert_eq!(error.to_string(), text);
    }
}
