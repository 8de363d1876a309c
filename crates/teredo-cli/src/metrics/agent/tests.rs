use super::*;

fn samples(source: &AgentSource, now: Instant) -> Vec<String> {
    let text = source.exposition(now).into_text();
    assert!(text.ends_with("# EOF\n"));
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples.map(str::to_owned).skip(1).collect()
}

#[test]
fn an_agent_in_full() {
    let started = Instant::now();
    let after = |seconds| started + Duration::from_secs(seconds);
    let (sender, status) = watch::channel(AgentStatus::default());
    let source = AgentSource {
        status,
        started,
        lease: Duration::from_secs(15),
    };
    // Nothing is confirmed yet.
    let text = samples(&source, after(1)).join("\n");
    assert!(text.contains("teredo_fw_in_step 0"), "{text}");
    for absent in ["confirmation_age", "sync_seconds"] {
        assert!(!text.contains(absent), "{text}");
    }
    sender.send_modify(|status| {
        status.port = 40_001;
        status.leases = 2;
        status.in_step = true;
        status.confirmed_at = Some(after(4));
        status.swaps = 3;
        status.last_swap = Some(Duration::from_micros(1500));
        status.resyncs.start = 1;
        status.resyncs.flush = 2;
        status.refusals = 4;
        status.random_refusals = 5;
        status.trouble = Some("shadowed".into());
    });
    assert_eq!(
        samples(&source, after(6)),
        [
            "teredo_uptime_seconds 6.0",
            "teredo_fw_in_step 1",
            "teredo_fw_trouble 1",
            "teredo_fw_port 40001",
            "teredo_fw_leases 2",
            "teredo_fw_lease_seconds 15.0",
            "teredo_fw_confirmation_age_seconds 2.0",
            "teredo_fw_swaps_total 3",
            "teredo_fw_sync_seconds 0.0015",
            "teredo_fw_resyncs_total{cause=\"start\"} 1",
            "teredo_fw_resyncs_total{cause=\"flush\"} 2",
            "teredo_fw_resyncs_total{cause=\"enobufs\"} 0",
            "teredo_fw_refusals_total 4",
            "teredo_fw_random_refusals_total 5",
        ]
    );
}
