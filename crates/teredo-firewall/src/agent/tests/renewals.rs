//! The agent's renewals as others hear them.

use teredo_nft::{RulesetChange, Transactions};

use super::*;

/// Proofs of the path in the kernel outlive the renewals of the agent, and no other transaction of it.
#[test]
fn renewals_are_told_from_changes() {
    for config in [AgentConfig::default(), with_set()] {
        Namespace::new().run_async(move || async move {
            nft::run(DECLARATION);
            let mut agent = Running::start(AgentConfig {
                renew: Duration::from_millis(20),
                ..config
            });
            agent.follow(4500).await;
            let mut transactions = Transactions::open().unwrap();
            let mut renewals = 0;
            eventually("renewals", LIMIT, || {
                if let Some(change) = transactions.read().unwrap() {
                    assert_eq!(change, RulesetChange::Renewal);
                    renewals += 1;
                }
                renewals == 5
            })
            .await;
            agent.follow(4501).await;
            eventually("the change", LIMIT, || {
                transactions.read().unwrap() == Some(RulesetChange::Plain)
            })
            .await;
            agent.stop().await;
        });
    }
}
