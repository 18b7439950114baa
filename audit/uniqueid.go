package audit

import (
	"regexp"
	"slices"
	"strings"
)

// A claim is what it means if several states hold an object with the same type and ID.
type claim int

const (
	claimName    claim = iota // the ID is a name that different objects may have
	claimObject               // it is the same object
	claimDefault              // it is the same object, which Terraform neither creates nor destroys
)

// claimOn judges an object that several states hold.
func claimOn(kind, id string) claim {
	switch {
	case !uniqueID(id) && !globalName(kind, id):
		return claimName
	case strings.HasPrefix(kind, "aws_default_"):
		return claimDefault
	}
	return claimObject
}

// globalTypes are resource types whose IDs are unique across all accounts, or start with
// a name that is. An entry that ends with an underscore is a prefix.
var globalTypes = []string{
	// Bucket names.
	"aws_s3_bucket", "aws_s3_bucket_", "aws_s3_directory_bucket", "aws_s3_account_public_access_block",
	"google_storage_bucket", "google_storage_bucket_", "google_storage_default_object_", "google_storage_object_", "google_storage_notification",
	"alicloud_oss_bucket", "alicloud_oss_bucket_", "yandex_storage_bucket", "tencentcloud_cos_bucket", "scaleway_object_bucket", "scaleway_object_bucket_",
	"oci_objectstorage_bucket",
	// Names of accounts, projects, folders and organizations.
	"aws_iam_account_alias", "aws_organizations_",
	"google_project", "google_project_", "google_folder_", "google_organization_", "google_app_engine_application",
	// Domains.
	"aws_route53domains_",
}

// zoneID matches the start of the IDs of Route 53 hosted zones and their records.
var zoneID = regexp.MustCompile(`^Z[A-Z0-9]{7,31}(?:$|[_:,])`)

// distributionID matches a CloudFront ID.
var distributionID = regexp.MustCompile(`^E[A-Z0-9]{12,13}$`)

// globalName reports whether an ID is unique because of its type.
func globalName(kind, id string) bool {
	switch {
	case strings.HasPrefix(kind, "aws_route53_"):
		return zoneID.MatchString(id)
	case strings.HasPrefix(kind, "aws_cloudfront_"):
		return distributionID.MatchString(id)
	case kind == "aws_s3_bucket_object": // the ID is a key, which any bucket may have
		return false
	}
	return slices.ContainsFunc(globalTypes, func(t string) bool {
		return kind == t || strings.HasSuffix(t, "_") && strings.HasPrefix(kind, t)
	})
}

// uniqueID reports whether an ID looks unique worldwide: a path with an account, a UUID,
// a long run of random characters. Other IDs, such as a role's name, may stand for
// different objects in different accounts. So may an account number, because every region
// has objects under it.
func uniqueID(id string) bool {
	if strings.HasPrefix(id, "arn:") {
		// arn:partition:service:region:account:resource; without an account the object is
		// public.
		parts := strings.SplitN(id, ":", 6)
		if len(parts) < 6 {
			return false
		}
		// ARNs of buckets and hosted zones are unique without an account.
		return parts[4] != "" && parts[4] != "aws" || parts[2] == "s3" || parts[2] == "route53"
	}
	for _, prefix := range []string{"/subscriptions/", "projects/", "folders/", "organizations/", "billingAccounts/", "https://", "s3://", "gs://", "ocid1."} {
		if strings.HasPrefix(id, prefix) {
			return true
		}
	}
	return uuid.MatchString(id) || cloudID.MatchString(id) || iamID.MatchString(id) || slices.ContainsFunc(strings.FieldsFunc(id, func(r rune) bool { return !alphanumeric(r) }), randomRun)
}

var (
	uuid = regexp.MustCompile(`(?i)\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b`)
	// cloudID is vpc-0a1b2c3d4e5f60718. The shorter vpc-0a1b2c3d of the past has no more
	// digits than names that people and tools choose.
	cloudID = regexp.MustCompile(`^[a-z]+(?:-[a-z]+)*-[0-9a-f]{17}$|` +
		`^(?:acl|aclassoc|ami|cgw|dopt|eipalloc|eipassoc|eni|i|igw|nat|pcx|rtb|rtbassoc|sg|snap|subnet|vgw|vol|vpc|vpce|vpn)-[0-9a-f]{8}$`)
	// iamID is the ID of an AWS access key, user, role, group, policy or profile.
	iamID = regexp.MustCompile(`^A(?:KIA|IDA|ROA|GPA|NPA|NVA|IPA)[A-Z0-9]{16,17}$`)
)

func alphanumeric(r rune) bool {
	return '0' <= r && r <= '9' || 'a' <= r|0x20 && r|0x20 <= 'z'
}

// randomRun reports whether there are many letters and digits, mixed as in no name: names
// have their digits at the end.
func randomRun(run string) bool {
	const many, account = 12, 12
	digits, changes := 0, 0
	for i := range len(run) {
		digit := run[i] <= '9'
		if digit {
			digits++
		}
		if i > 0 && digit != (run[i-1] <= '9') {
			changes++
		}
	}
	if digits == len(run) {
		return digits > account
	}
	return len(run) >= many && digits >= 3 && changes >= 3
}
