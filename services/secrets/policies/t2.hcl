# What a worker of tier T2 may do: read what is kept for its tier and those below it. Its token
# holds 30 min. It writes nothing, lists nothing, and reads no key.

path "secret/data/tiers/t0/*" {
  capabilities = ["read"]
}

path "secret/data/tiers/t1/*" {
  capabilities = ["read"]
}

path "secret/data/tiers/t2/*" {
  capabilities = ["read"]
}
