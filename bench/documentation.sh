# The sequence of the state versions API's documentation, for each line "file<TAB>workspace" of $1:
# create the workspace, lock it, POST the state, unlock it, read the current state version.
set -eu
api() {
	curl --silent --show-error --fail --retry 10 --cacert "$TFHAUL_CA_FILE" \
		--header "Authorization: Bearer $TFE_TOKEN" --header "Content-Type: application/vnd.api+json" "$@"
}
v2="$TFE_ADDRESS/api/v2"
tab=$(printf '\t')
while IFS="$tab" read -r file workspace; do
	id=$(api --data '{"data":{"type":"workspaces","attributes":{"name":"'"$workspace"'"}}}' \
		"$v2/organizations/$TFE_ORG/workspaces" | jq -r .data.id)
	api --data '{"reason":"migration"}' "$v2/workspaces/$id/actions/lock" >/dev/null
	md5=$(openssl dgst -md5 "$file" | sed 's/.*= *//')
	header=$(jq -r '"\"serial\":\(.serial),\"lineage\":\"\(.lineage)\""' "$file")
	{
		printf '{"data":{"type":"state-versions","attributes":{%s,"md5":"%s","state":"' "$header" "$md5"
		base64 <"$file" | tr -d '\n'
		printf '"}}}'
	} | api --data-binary @- "$v2/workspaces/$id/state-versions" >/dev/null
	api --request POST "$v2/workspaces/$id/actions/unlock" >/dev/null
	api "$v2/workspaces/$id/current-state-version" >/dev/null
done <"$1"
