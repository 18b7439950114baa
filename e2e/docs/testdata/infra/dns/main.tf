resource "terraform_data" "zone" {
  input = "example.com"
}

resource "terraform_data" "record" {
  for_each = toset(["api", "www"])
  input    = "${each.key}.${terraform_data.zone.output}"
}
