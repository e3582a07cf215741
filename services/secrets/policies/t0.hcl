# What a worker of tier T0 may do: read what is kept for its tier and those below it. Its token
# holds 1 h. It writes nothing, lists nothing, and reads no key.

path "secret/data/tiers/t0/*" {
  capabilities = ["read"]
}
