resource "terraform_data" "service" {
  count = 2
  input = "web-${count.index}"
}
