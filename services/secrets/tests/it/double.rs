//! A server that answers what a test tells it to: what no real vault says on demand. It logs in
//! whoever asks, and counts.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use canonry_secrets::{Config, Vault};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::secret;

/// The token that it gives.
pub const TOKEN: &str = "canary-token-5f1d";
/// The secret id that is sent to it.
pub const SECRET_ID: &str = "canary-secret-id-77aa";

/// What is answered to a request that is no login.
#[derive(Debug, Clone)]
pub enum Says {
    /// A status and a body.
    Status(u16, String),
    /// A redirect to an address.
    Moved(String),
    /// Half of an answer.
    Cut,
}

/// The server.
pub struct Double {
    pub address: String,
    asked: Arc<AtomicUsize>,
    seen: Arc<Mutex<String>>,
}

impl Double {
    /// Answers in order, and the last for ever.
    pub async fn start(says: Vec<Says>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (asked, seen) = (Arc::new(AtomicUsize::new(0)), Arc::<Mutex<String>>::default());
        let double = Self { address, asked: Arc::clone(&asked), seen: Arc::clone(&seen) };
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let request = request(&mut stream).await;
                seen.lock().unwrap().push_str(&request);
                let answer = if request.contains("/v1/auth/approle/login") {
                    let auth = format!(
                        r#"{{"auth":{{"client_token":"{TOKEN}","lease_duration":900,"renewable":true}}}}"#
                    );
                    whole(200, &auth)
                } else {
                    let number = asked.fetch_add(1, Ordering::SeqCst);
                    match &says[number.min(says.len() - 1)] {
                        Says::Status(status, body) => whole(*status, body),
                        Says::Moved(to) => format!(
                            "HTTP/1.1 307 X\r\nLocation: {to}\r\nContent-Length: 0\r\n\
                             Connection: close\r\n\r\n"
                        ),
                        Says::Cut => {
                            "HTTP/1.1 200 X\r\nContent-Length: 999\r\n\r\n{\"da".to_owned()
                        }
                    }
                };
                drop(stream.write_all(answer.as_bytes()).await);
            }
        });
        double
    }

    pub fn config(&self) -> Config {
        Config {
            address: self.address.clone(),
            ca: None,
            namespace: Some("team-a".to_owned()),
            mount: "secret".to_owned(),
            login: "approle".to_owned(),
            role_id: secret("role"),
            secret_id: secret(SECRET_ID),
            wrapped: false,
        }
    }

    pub async fn vault(&self) -> Vault {
        Vault::open(self.config()).await.unwrap()
    }

    /// How many requests came that were no login.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// All that came, in lower case.
    pub fn seen(&self) -> String {
        self.seen.lock().unwrap().to_lowercase()
    }
}

fn whole(status: u16, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
}

/// Head and body of one request.
async fn request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_lowercase();
            let length = head.lines().find_map(|l| l.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |l| l.trim().parse().unwrap()) {
                return text;
            }
        }
        let mut part = [0; 4_096];
        match stream.read(&mut part).await {
            Ok(0) | Err(_) => return text,
            Ok(n) => bytes.extend_from_slice(&part[..n]),
        }
    }
}
