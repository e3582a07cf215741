# What a person may do who looks after the tiers' secrets: write them, list and delete them. Reading
# a value is not needed for that.

path "secret/data/tiers/*" {
  capabilities = ["create", "update", "patch"]
}

path "secret/metadata/tiers/*" {
  capabilities = ["read", "list", "delete"]
}

path "secret/destroy/tiers/*" {
  capabilities = ["update"]
}
