//! The policy file of each tier, on the real server: each tier against each path.

use canonry_secrets::SecretStore as _;

use crate::bao::Bao;
use crate::support::{place, reference, secret, vault};

const TIERS: [&str; 5] = ["t0", "t1", "t2", "t3", "t4"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_tier_reads_what_its_policy_says_and_no_more() {
    let Some(bao) = Bao::start() else { return };
    for tier in TIERS {
        bao.run(&["kv", "put", &format!("secret/tiers/{tier}/tool"), "token=x"]);
    }
    bao.run(&["kv", "put", "secret/keys/acme/0123456789abcdef", "seed=x"]);
    for (number, tier) in TIERS.into_iter().enumerate() {
        let vault = vault(&bao, &bao.role(tier, &[])).await;
        for (other, path) in TIERS.into_iter().enumerate() {
            let tool = reference(&format!("secret://vault/tiers/{path}/tool#token"));
            match vault.get(&tool).await {
                Ok(value) => assert!(other <= number && value == secret("x"), "{tier} {path}"),
                Err(e) => assert!(other > number && e.code() == "vault-refused", "{tier}: {e}"),
            }
            let written = vault.put(&tool, &secret("y")).await.unwrap_err();
            assert_eq!(written.code(), "vault-refused", "{tier} writes {path}");
            let gone = vault.delete(tool.place()).await.unwrap_err();
            assert_eq!(gone.code(), "vault-refused", "{tier} deletes {path}");
        }
        let key = reference("secret://vault/keys/acme/0123456789abcdef#seed");
        assert_eq!(vault.get(&key).await.unwrap_err().code(), "vault-refused", "{tier}");
        let all = vault.list(Some(&place("secret://vault/tiers"))).await.unwrap_err();
        assert_eq!(all.code(), "vault-refused", "{tier}");
        for (role, from) in [("t3-reports", 3), ("t4-all", 4)] {
            // No database is there, so whoever may ask is told so.
            let role_at = place(&format!("secret://vault/database/creds/{role}"));
            let code = vault.lease(&role_at).await.unwrap_err().code();
            assert_eq!(code != "vault-refused", number >= from, "{tier} {role}: {code}");
        }
    }
    let decider = vault(&bao, &bao.role("decider", &[])).await;
    let key = reference("secret://vault/keys/acme/0123456789abcdef#seed");
    assert_eq!(decider.get(&key).await.unwrap(), secret("x"));
    let tool = reference("secret://vault/tiers/t0/tool#token");
    assert_eq!(decider.get(&tool).await.unwrap_err().code(), "vault-refused");

    let keeper = vault(&bao, &bao.role("keeper", &[])).await;
    assert_eq!(keeper.get(&tool).await.unwrap_err().code(), "vault-refused");
    keeper.put(&tool, &secret("new")).await.unwrap();
    keeper.put(&reference("secret://vault/tiers/t1/other#token"), &secret("z")).await.unwrap();
    let names = keeper.list(Some(&place("secret://vault/tiers/t1"))).await.unwrap();
    assert_eq!(names, ["other", "tool"]);
    keeper.delete(&place("secret://vault/tiers/t1/other")).await.unwrap();
}
