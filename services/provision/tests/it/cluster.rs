//! Three nodes: accounts and streams are the same on all of them, and survive one.

use canonry_provision::testing::TestCell;
use canonry_provision::{CellUser, check_streams};

use crate::support::{cell_user, found, member, tenant};

#[tokio::test]
async fn a_tenant_founded_on_one_node_is_served_by_all() {
    let mut test = TestCell::start_cluster(3).await.unwrap();
    let acme = tenant("acme");
    found(&test, &[&acme]).await;
    let checker = cell_user(&test, CellUser::Committer).await;
    check_streams(&checker, &acme, 3).await.unwrap();
    let committer = cell_user(&test, CellUser::Committer).await;
    assert_eq!(committer.json("ledger.acme.ticket.opened", "{}").await["seq"], 1);
    // What follows talks to the second node: the first goes away.
    test.servers_mut().rotate_left(1);
    test.servers_mut()[2].kill().unwrap();
    let responder = cell_user(&test, CellUser::Responder).await;
    responder.serve("command.acme.>", "done").await;
    let founder = member(&test, &acme, "founder").await;
    assert_eq!(founder.request("command.acme.founder.x", "").await.payload, "done");
    test.servers_mut()[2].start_again().await.unwrap();
    assert_eq!(test.urls().len(), 3);
}
