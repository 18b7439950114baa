package audit

import (
	"slices"
	"strings"
	"testing"
)

func TestUniqueIDs(t *testing.T) {
	unique := strings.Fields(`i-0123456789abcdef0 vpc-0a1b2c3d sg-0a1b2c3d4e5f60718 subnet-aaaabbbbccccdddd1 arn:aws:iam::123456789012:role/x
		01234567-89ab-cdef-0123-456789abcdef projects/p/zones/z/instances/i /subscriptions/0/resourceGroups/x https://sqs.eu-west-1.amazonaws.com/123456789012/q
		Z0A1B2C3D4E5F6G7 1234567890123456789 name-20240101123456789000000001
		arn:aws:s3:::acme-logs arn:aws:route53:::hostedzone/Z1D633PJN98FT9 folders/123456 AKIAIOSFODNNSEXAMPLE gs://acme`)
	name := strings.Fields(`deploy 123456789012 123456789012:deploy arn:aws:securityhub:::ruleset/cis/v/1.2.0 arn:aws:iam::aws:policy/ReadOnlyAccess
		eksclusterrole2023 backup-20240101 service-0a1b2c3d /aws/lambda/production2024 AuthenticationService2024 default kube-system/coredns 42 production-eu-west-1 api-gateway-account`)
	for _, id := range slices.Concat(unique, name) {
		if got, want := uniqueID(id), slices.Contains(unique, id); got != want {
			t.Errorf("uniqueID(%q) = %v", id, got)
		}
	}
}

func TestGlobalNames(t *testing.T) {
	tests := []struct {
		kind, id string
		want     claim
	}{
		{"aws_s3_bucket", "acme-logs", claimObject},
		{"aws_s3_bucket_versioning", "acme-logs", claimObject},
		{"aws_s3_bucket_object", "index.html", claimName},
		{"aws_s3_object", "index.html", claimName},
		{"google_storage_bucket", "acme-logs", claimObject},
		{"google_storage_bucket_iam_member", "b/acme-logs/roles/storage.admin/user:ana@example.com", claimObject},
		{"azurerm_storage_account", "/subscriptions/0/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/acme", claimObject},
		{"aws_iam_account_alias", "acme", claimObject},
		{"aws_iam_role", "deploy", claimName},
		{"aws_iam_access_key", "AKIAIOSFODNNSEXAMPLE", claimObject},
		{"aws_route53_zone", "Z3M3LMPEXAMPLE", claimObject},
		{"aws_route53_record", "Z3M3LMPEXAMPLE_www.example.com_A", claimObject},
		{"aws_route53_resolver_rule", "shared", claimName},
		{"aws_route53domains_registered_domain", "example.com", claimObject},
		{"aws_cloudfront_distribution", "EDFDVBDEXAMPLE", claimObject},
		{"aws_ses_domain_identity", "example.com", claimName}, // may exist in every region
		{"google_project_iam_member", "acme-prod/roles/viewer/user:ana@example.com", claimObject},
		{"google_dns_managed_zone", "projects/acme/managedZones/example", claimObject},
		{"aws_organizations_account", "123456789012", claimObject},
		{"aws_default_vpc", "vpc-0a1b2c3d", claimDefault},
		{"aws_default_security_group", "sg-0123456789abcdef0", claimDefault},
		{"kubernetes_namespace", "default", claimName},
	}
	for _, test := range tests {
		if got := claimOn(test.kind, test.id); got != test.want {
			t.Errorf("claimOn(%s, %q) = %v, want %v", test.kind, test.id, got, test.want)
		}
	}
}
