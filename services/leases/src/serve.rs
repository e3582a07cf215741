//! The process's part: three connections, a follower and a watch for each tenant of the key store.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use canonry_decider::serve::connect_cell;
use canonry_keystore::KeyStore;
use canonry_nats::Connection;
use canonry_provision::CellUser;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::follow::{Book, follow};
use crate::issuer::{self, Books};
use crate::warden;

/// How often new tenants are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What issuer and warden need.
#[derive(Debug, Clone)]
pub struct Config {
    /// Addresses of the servers, joined by commas.
    pub url: String,
    /// Creds, and the keys that sign the users of leases.
    pub keys: KeyStore,
}

/// A running issuer and warden.
pub struct Leases {
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
    ended: watch::Sender<u64>,
}

struct Shop {
    config: Config,
    reader: Connection,
    issuer: Connection,
    warden: Connection,
    books: Books,
    ended: watch::Sender<u64>,
}

impl Leases {
    /// Connects and begins to serve every tenant of the key store.
    ///
    /// # Errors
    /// A sentence: creds, connection.
    pub async fn start(config: Config) -> Result<Self, String> {
        let connect = async |user| connect_cell(&config.url, &config.keys, &user).await;
        let reader = connect(CellUser::Reader).await?;
        let issuer = connect(CellUser::LeaseIssuer).await?;
        let warden = connect(CellUser::Warden).await?;
        let (stop, stopped) = watch::channel(false);
        let ended = watch::Sender::new(0);
        let books = Arc::new(Mutex::new(BTreeMap::new()));
        let shop = Shop { config, reader, issuer, warden, books, ended: ended.clone() };
        let task = tokio::spawn(all(shop, stopped));
        Ok(Self { stop, task, ended })
    }

    /// How many connections were ended so far.
    #[must_use]
    pub fn ended(&self) -> u64 {
        *self.ended.borrow()
    }

    /// Ends in good order.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        if tokio::time::timeout(Duration::from_secs(10), &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

async fn all(shop: Shop, mut stop: watch::Receiver<bool>) {
    // Its tasks end with the set.
    let mut tasks = JoinSet::new();
    let keys = shop.config.keys.clone();
    tasks.spawn(issuer::serve(shop.issuer.clone(), keys, Arc::clone(&shop.books)));
    let books = Arc::clone(&shop.books);
    tasks.spawn(warden::hear(shop.warden.clone(), books, shop.ended.clone()));
    loop {
        for tenant in shop.config.keys.tenants().unwrap_or_default() {
            let book = {
                let mut books = shop.books.lock().unwrap_or_else(PoisonError::into_inner);
                if books.contains_key(&tenant) {
                    continue;
                }
                let book = Book::new(tenant.clone());
                books.insert(tenant, Arc::clone(&book));
                book
            };
            tasks.spawn(follow(shop.reader.clone(), Arc::clone(&book)));
            tasks.spawn(warden::watch(shop.warden.clone(), book, shop.ended.clone()));
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            _ = stop.wait_for(|stop| *stop) => break,
        }
    }
    tasks.shutdown().await;
    for connection in [shop.issuer, shop.warden, shop.reader] {
        connection.close().await;
    }
}
