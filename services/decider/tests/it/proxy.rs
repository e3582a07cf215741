//! A TCP proxy before nats-server, on the loopback interface: passes, swallows what the server
//! says, holds everything, cuts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

const PASS: u8 = 0;
const SWALLOW: u8 = 1;
const HOLD: u8 = 2;

/// What of the traffic is disturbed.
#[derive(Clone, Default)]
pub struct Plan {
    /// Only connections that name themselves so are swallowed or held; all when `None`.
    pub only: Option<&'static str>,
    /// Bytes of the client that are replaced by others of the same length.
    pub rewrite: Option<(&'static [u8], &'static [u8])>,
}

#[derive(Default)]
struct State {
    mode: AtomicU8,
    swallowed: AtomicUsize,
}

pub struct Proxy {
    pub url: String,
    state: Arc<State>,
    cut: watch::Sender<u64>,
    task: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        self.cut.send_modify(|n| *n += 1);
    }
}

impl Proxy {
    /// One proxy for the server at `nats://host:port`.
    pub async fn before(url: &str, plan: Plan) -> Self {
        let target = url.strip_prefix("nats://").unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("nats://{}", listener.local_addr().unwrap());
        let (cut, _) = watch::channel(0);
        let state = Arc::<State>::default();
        let (shared, cuts) = (Arc::clone(&state), cut.clone());
        let task = tokio::spawn(async move {
            loop {
                let Ok((client, _)) = listener.accept().await else { continue };
                let Ok(server) = TcpStream::connect(&target).await else { continue };
                let (state, cut, plan) = (Arc::clone(&shared), cuts.subscribe(), plan.clone());
                tokio::spawn(pass(client, server, state, cut, plan));
            }
        });
        Self { url, state, cut, task }
    }

    pub fn pass(&self) {
        self.state.mode.store(PASS, Ordering::SeqCst);
    }

    /// The server hears everything, the client nothing.
    pub fn swallow(&self) {
        self.state.swallowed.store(0, Ordering::SeqCst);
        self.state.mode.store(SWALLOW, Ordering::SeqCst);
    }

    /// Neither hears anything; nothing is lost.
    pub fn hold(&self) {
        self.state.mode.store(HOLD, Ordering::SeqCst);
    }

    /// Bytes swallowed since [`Self::swallow`].
    pub fn swallowed(&self) -> usize {
        self.state.swallowed.load(Ordering::SeqCst)
    }

    /// Ends all connections.
    pub fn cut(&self) {
        self.cut.send_modify(|n| *n += 1);
    }
}

fn replace(bytes: &mut [u8], from: &[u8], to: &[u8]) {
    assert_eq!(from.len(), to.len());
    let found: Vec<usize> =
        bytes.windows(from.len()).enumerate().filter(|(_, w)| *w == from).map(|(i, _)| i).collect();
    for at in found {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
}

async fn held(state: &State, concerned: bool) {
    while concerned && state.mode.load(Ordering::SeqCst) == HOLD {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

async fn pass(
    client: TcpStream,
    server: TcpStream,
    state: Arc<State>,
    mut cut: watch::Receiver<u64>,
    plan: Plan,
) {
    cut.mark_unchanged();
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let concerned = Arc::new(AtomicU8::new(u8::from(plan.only.is_none())));
    let named = Arc::clone(&concerned);
    let up_state = Arc::clone(&state);
    let up = async move {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from_client.read(&mut buffer).await {
            let bytes = &mut buffer[..count];
            if let Some(only) = plan.only {
                let name = format!("\"name\":\"{only}\"");
                if bytes.windows(name.len()).any(|w| w == name.as_bytes()) {
                    named.store(1, Ordering::SeqCst);
                }
            }
            if let Some((from, to)) = plan.rewrite {
                replace(bytes, from, to);
            }
            held(&up_state, named.load(Ordering::SeqCst) == 1).await;
            if to_server.write_all(bytes).await.is_err() {
                break;
            }
        }
    };
    let down = async move {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from_server.read(&mut buffer).await {
            let bytes = &mut buffer[..count];
            // The servers of a cluster tell clients of each other: not past this proxy.
            replace(bytes, b"\"connect_urls\"", b"\"connect_none\"");
            let concerned = concerned.load(Ordering::SeqCst) == 1;
            held(&state, concerned).await;
            if concerned && state.mode.load(Ordering::SeqCst) == SWALLOW {
                state.swallowed.fetch_add(count, Ordering::SeqCst);
                continue;
            }
            if to_client.write_all(bytes).await.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        () = up => {}
        () = down => {}
        _ = cut.changed() => {}
    }
}
