# What a worker of tier T3 may do: read what is kept for its tier and those below it. Its token
# holds 15 min. It writes nothing, lists nothing, and reads no key.

path "secret/data/tiers/t0/*" {
  capabilities = ["read"]
}

path "secret/data/tiers/t1/*" {
  capabilities = ["read"]
}

path "secret/data/tiers/t2/*" {
  capabilities = ["read"]
}

path "secret/data/tiers/t3/*" {
  capabilities = ["read"]
}

# Users of databases, made when they are asked for and gone when their lease ends.
path "database/creds/t3-*" {
  capabilities = ["read"]
}

path "sys/leases/renew" {
  capabilities = ["update"]
}

path "sys/leases/revoke" {
  capabilities = ["update"]
}
