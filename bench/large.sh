# Moves the one large state $1 into the workspace $2 with what every machine has, in flat memory, and, with a third
# argument, reads it back and compares it. (jq would hold the whole state in memory, many times over.)
set -eu
api() {
	curl --silent --show-error --fail --cacert "$TFHAUL_CA_FILE" \
		--header "Authorization: Bearer $TFE_TOKEN" --header "Content-Type: application/vnd.api+json" "$@"
}
v2="$TFE_ADDRESS/api/v2"
id=$(api "$v2/organizations/$TFE_ORG/workspaces/$2" | jq -r .data.id)
api --data '{"reason":"migration"}' "$v2/workspaces/$id/actions/lock" >/dev/null
md5=$(openssl dgst -md5 "$1" | sed 's/.*= *//')
serial=$(head -c 4096 "$1" | sed -n 's/^  "serial": \([0-9]*\),$/\1/p')
lineage=$(head -c 4096 "$1" | sed -n 's/^  "lineage": "\(.*\)",$/\1/p')
{
	printf '{"data":{"type":"state-versions","attributes":{"serial":%s,"lineage":"%s","md5":"%s","state":"' "$serial" "$lineage" "$md5"
	base64 <"$1" | tr -d '\n'
	printf '"}}}'
} | api --request POST --upload-file - "$v2/workspaces/$id/state-versions" >/dev/null
if [ $# -gt 2 ]; then
	url=$(api "$v2/workspaces/$id/current-state-version" | jq -r '.data.attributes["hosted-state-download-url"]')
	arrived=$(curl --silent --show-error --fail --cacert "$TFHAUL_CA_FILE" "$url" | openssl dgst -md5 | sed 's/.*= *//')
	[ "$arrived" = "$md5" ]
fi
api --request POST "$v2/workspaces/$id/actions/unlock" >/dev/null
