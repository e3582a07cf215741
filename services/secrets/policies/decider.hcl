# What a decider may do: read the private keys with which it signs, and nothing else.

path "secret/data/keys/*" {
  capabilities = ["read"]
}
