package audit

import (
	"regexp"
	"slices"
	"strings"
)

// A claim is what it means that several states hold an object of one type and ID.
type claim int

const (
	claimName    claim = iota // the ID is a name, which may stand for different objects
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

// globalTypes are types of resources whose IDs are unique across all accounts, or begin
// with a name that is. An entry that ends in an underscore is a prefix.
var globalTypes = []string{
	// Names of buckets.
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

// zoneID begins the IDs of Route 53's hosted zones and of what is in them.
var zoneID = regexp.MustCompile(`^Z[A-Z0-9]{7,31}(?:$|[_:,])`)

// distributionID is an ID of CloudFront.
var distributionID = regexp.MustCompile(`^E[A-Z0-9]{12,13}$`)

// globalName reports whether an ID is unique because of the type that it belongs to.
func globalName(kind, id string) bool {
	switch {
	case strings.HasPrefix(kind, "aws_route53_"):
		return zoneID.MatchString(id)
	case strings.HasPrefix(kind, "aws_cloudfront_"):
		return distributionID.MatchString(id)
	case kind == "aws_s3_bucket_object": // its ID is a key, which may be in every bucket
		return false
	}
	return slices.ContainsFunc(globalTypes, func(t string) bool {
		return kind == t || strings.HasSuffix(t, "_") && strings.HasPrefix(kind, t)
	})
}

// uniqueID reports whether an id looks like one that is given once in the world: a
// path from an account, a UUID, a long run of random characters. Others, such as
// the name of a role, may well stand for different objects in different accounts, and
// so may the number of an account, under which every region has objects of its own.
func uniqueID(id string) bool {
	if strings.HasPrefix(id, "arn:") {
		// arn:partition:service:region:account:resource; an ARN without an account is shared by all accounts.
		parts := strings.SplitN(id, ":", 6)
		if len(parts) < 6 {
			return false
		}
		// Buckets and hosted zones have ARNs without an account, and are unique all the same.
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
	// cloudID is vpc-0a1b2c3d4e5f60718, or the shorter vpc-0a1b2c3d of old, which has no more
	// digits than the names that people and tools make.
	cloudID = regexp.MustCompile(`^[a-z]+(?:-[a-z]+)*-[0-9a-f]{17}$|` +
		`^(?:acl|aclassoc|ami|cgw|dopt|eipalloc|eipassoc|eni|i|igw|nat|pcx|rtb|rtbassoc|sg|snap|subnet|vgw|vol|vpc|vpce|vpn)-[0-9a-f]{8}$`)
	// iamID is the ID of an access key, user, role, group, policy or profile of AWS.
	iamID = regexp.MustCompile(`^A(?:KIA|IDA|ROA|GPA|NPA|NVA|IPA)[A-Z0-9]{16,17}$`)
)

func alphanumeric(r rune) bool {
	return '0' <= r && r <= '9' || 'a' <= r|0x20 && r|0x20 <= 'z'
}

// randomRun reports whether letters and digits are many, and mixed as in no
// name: names end with their digits.
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
