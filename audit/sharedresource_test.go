package audit

import (
	"slices"
	"strings"
	"testing"
)

func TestUniqueIDs(t *testing.T) {
	unique := strings.Fields(`i-0123456789abcdef0 vpc-0a1b2c3d sg-0a1b2c3d4e5f60718 subnet-aaaabbbbccccdddd1 arn:aws:iam::123456789012:role/x
		01234567-89ab-cdef-0123-456789abcdef projects/p/zones/z/instances/i /subscriptions/0/resourceGroups/x https://sqs.eu-west-1.amazonaws.com/123456789012/q
		Z0A1B2C3D4E5F6G7 1234567890123456789 name-20240101123456789000000001`)
	name := strings.Fields(`deploy 123456789012 123456789012:deploy arn:aws:securityhub:::ruleset/cis/v/1.2.0 arn:aws:iam::aws:policy/ReadOnlyAccess
		eksclusterrole2023 backup-20240101 service-0a1b2c3d /aws/lambda/production2024 AuthenticationService2024 default kube-system/coredns 42 production-eu-west-1 api-gateway-account`)
	for _, id := range slices.Concat(unique, name) {
		if got, want := uniqueID(id), slices.Contains(unique, id); got != want {
			t.Errorf("uniqueID(%q) = %v", id, got)
		}
	}
}
