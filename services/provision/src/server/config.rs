//! The configuration file of one server, from the templates in nats-config.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

const SERVER: &str = include_str!("../../../../nats-config/server.conf");
const CLUSTER: &str = include_str!("../../../../nats-config/cluster.conf");
const TLS: &str = include_str!("../../../../nats-config/tls.conf");
const TLS_MUTUAL: &str = include_str!("../../../../nats-config/tls-mutual.conf");
const CLUSTER_TLS: &str = include_str!("../../../../nats-config/cluster-tls.conf");

/// The ports of one server on the loopback interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// For clients.
    pub client: u16,
    /// For monitoring.
    pub http: u16,
    /// For routes; used in a cluster only.
    pub route: u16,
}

/// Certificates of a server, PEM files with absolute paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The server's certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// With it clients must show a certificate of this authority, and so must the other servers of
    /// a cluster.
    pub ca: Option<PathBuf>,
}

/// What all servers of a cell trust.
#[derive(Debug, Clone)]
pub struct Trust {
    /// The operator's token.
    pub operator_jwt: String,
    /// The system account's public key.
    pub system_account: String,
    /// Accounts that every server knows from the start: public key and token.
    pub preload: Vec<(String, String)>,
    /// What a server shows to join the cluster.
    pub route_password: String,
}

/// The text of the configuration file; `routes` are the route ports of the whole cluster, empty
/// for a single server.
#[must_use]
pub fn text(
    name: &str,
    dir: &Path,
    ports: Ports,
    trust: &Trust,
    routes: &[u16],
    tls: Option<&Tls>,
) -> String {
    let mut preload = String::new();
    for (account, jwt) in &trust.preload {
        let _ = writeln!(preload, "  {account}: \"{jwt}\"");
    }
    let mut template = SERVER.to_owned();
    let ca = tls.and_then(|tls| tls.ca.as_deref());
    template.push_str(match (tls, ca) {
        (None, _) => "",
        (Some(_), None) => TLS,
        (Some(_), Some(_)) => TLS_MUTUAL,
    });
    if !routes.is_empty() {
        template.push_str(if ca.is_some() { CLUSTER_TLS } else { CLUSTER });
    }
    let file = |path: Option<&Path>| path.map_or_else(String::new, |p| p.display().to_string());
    let mut urls = String::new();
    for port in routes {
        let _ =
            writeln!(urls, "    \"nats-route://route:{}@127.0.0.1:{port}\"", trust.route_password);
    }
    let values: [(&str, &str); 13] = [
        ("${tls_cert}", &file(tls.map(|tls| tls.cert.as_path()))),
        ("${tls_key}", &file(tls.map(|tls| tls.key.as_path()))),
        ("${tls_ca}", &file(ca)),
        ("${name}", name),
        ("${dir}", &dir.to_string_lossy()),
        ("${client_port}", &ports.client.to_string()),
        ("${http_port}", &ports.http.to_string()),
        ("${route_port}", &ports.route.to_string()),
        ("${operator_jwt}", &trust.operator_jwt),
        ("${system_account}", &trust.system_account),
        ("${preload}", &preload),
        ("${route_password}", &trust.route_password),
        ("${routes}", &urls),
    ];
    values.iter().fold(template, |text, (placeholder, value)| text.replace(placeholder, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_unfilled() {
        let trust = Trust {
            operator_jwt: "a.b.c".to_owned(),
            system_account: "ASYS".to_owned(),
            preload: vec![("ASYS".to_owned(), "d.e.f".to_owned())],
            route_password: "secret".to_owned(),
        };
        let ports = Ports { client: 1, http: 2, route: 3 };
        let single = text("n1", Path::new("/x"), ports, &trust, &[], None);
        assert!(single.contains("sync_interval: always") && !single.contains("cluster:"));
        let three = text("n1", Path::new("/x"), ports, &trust, &[3, 4, 5], None);
        assert!(three.contains("nats-route://route:secret@127.0.0.1:5"));
        let mut tls = Tls { cert: "/c".into(), key: "/k".into(), ca: None };
        let clients = text("n1", Path::new("/x"), ports, &trust, &[], Some(&tls));
        assert!(clients.contains("cert_file: \"/c\"") && !clients.contains("verify"));
        tls.ca = Some("/a".into());
        let mutual = text("n1", Path::new("/x"), ports, &trust, &[3, 4], Some(&tls));
        assert_eq!(mutual.matches("verify: true").count(), 2, "clients and routes");
        assert!(!single.contains("tls:") && !three.contains("tls:"));
        for text in [single, three, clients, mutual] {
            assert!(!text.contains("${"), "{text}");
        }
    }
}
