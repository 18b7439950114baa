# What scripts do to leave: list the workspaces of the organization and, for each of them, read its current
# state version, download the state, and copy it to the directory $1, or with curl's signatures to the bucket
# at the URL $2.
set -eu
api() {
	curl --silent --show-error --fail --retry 10 --cacert "$TFHAUL_CA_FILE" --header "Authorization: Bearer $TFE_TOKEN" "$@"
}
v2="$TFE_ADDRESS/api/v2"
page=1
while [ "$page" != null ]; do
	list=$(api "$v2/organizations/$TFE_ORG/workspaces?page%5Bsize%5D=100&page%5Bnumber%5D=$page")
	printf '%s' "$list" | jq -r '.data[] | "\(.id) \(.attributes.name)"' | while read -r id name; do
		url=$(api "$v2/workspaces/$id/current-state-version" | jq -r '.data.attributes["hosted-state-download-url"]')
		curl --silent --show-error --fail --retry 10 --cacert "$TFHAUL_CA_FILE" --location --output "$1/part" "$url"
		if [ -n "$2" ]; then
			curl --silent --show-error --fail --retry 10 --aws-sigv4 "aws:amz:$AWS_REGION:s3" --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" \
				--header "x-amz-content-sha256: UNSIGNED-PAYLOAD" --upload-file "$1/part" "$2/$name/terraform.tfstate"
		else
			mkdir -p "$1/$name"
			cp "$1/part" "$1/$name/terraform.tfstate"
		fi
	done
	page=$(printf '%s' "$list" | jq -r '.meta.pagination["next-page"]')
done
rm -f "$1/part"
