//! The configuration file of one server, from the templates in nats-config.

use std::fmt::Write as _;
use std::path::Path;

const SERVER: &str = include_str!("../../../../nats-config/server.conf");
const CLUSTER: &str = include_str!("../../../../nats-config/cluster.conf");

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
pub fn text(name: &str, dir: &Path, ports: Ports, trust: &Trust, routes: &[u16]) -> String {
    let mut preload = String::new();
    for (account, jwt) in &trust.preload {
        let _ = writeln!(preload, "  {account}: \"{jwt}\"");
    }
    let mut template = SERVER.to_owned();
    if !routes.is_empty() {
        template.push_str(CLUSTER);
    }
    let mut urls = String::new();
    for port in routes {
        let _ =
            writeln!(urls, "    \"nats-route://route:{}@127.0.0.1:{port}\"", trust.route_password);
    }
    let values: [(&str, &str); 10] = [
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
        let single = text("n1", Path::new("/x"), ports, &trust, &[]);
        assert!(single.contains("sync_interval: always") && !single.contains("cluster:"));
        let three = text("n1", Path::new("/x"), ports, &trust, &[3, 4, 5]);
        assert!(three.contains("nats-route://route:secret@127.0.0.1:5"));
        assert!(!single.contains("${") && !three.contains("${"));
    }
}
