resource "terraform_data" "queue" {
  input = "orders"
}
