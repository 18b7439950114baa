variable "cidr" {
  default = "10.0.0.0/16"
}

resource "terraform_data" "vpc" {
  input = var.cidr
}

resource "terraform_data" "subnet" {
  for_each = toset(["a", "b", "c"])
  input    = "${terraform_data.vpc.output} ${each.key}"
}

output "cidr" {
  value = terraform_data.vpc.output
}
