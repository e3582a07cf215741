//! The text of a creds file: a user's JWT and seed, as `nsc` writes it and every client reads it.

/// The creds file of one user.
#[must_use]
pub fn text(jwt: &str, seed: &str) -> String {
    format!(
        "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
         ************************* IMPORTANT *************************\n\
         NKEY Seed printed below can be used to sign and prove identity.\n\
         NKEYs are sensitive and should be treated as secrets.\n\n\
         -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n\n\
         *************************************************************\n"
    )
}

/// The JWT in a creds file.
#[must_use]
pub fn jwt(creds: &str) -> Option<&str> {
    block(creds, "-----BEGIN NATS USER JWT-----")
}

/// The seed in a creds file.
#[must_use]
pub fn seed(creds: &str) -> Option<&str> {
    block(creds, "-----BEGIN USER NKEY SEED-----")
}

fn block<'a>(creds: &'a str, begin: &str) -> Option<&'a str> {
    let mut lines = creds.lines().map(str::trim);
    lines.find(|line| *line == begin)?;
    lines.find(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_parts_are_found_again() {
        let creds = text("a.b.c", "SUXYZ");
        assert_eq!((jwt(&creds), seed(&creds)), (Some("a.b.c"), Some("SUXYZ")));
        assert_eq!(jwt("nothing"), None);
    }
}
