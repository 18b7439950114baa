# What tfhaul audit tells of a state of format 4, less its findings, by jq.
def count(f): [f] | length;
[.resources[]? ] as $r | [$r[].instances[]?] as $i |
[input_filename, .version, .terraform_version, .serial, .lineage,
 count($r[] | select(.mode == "managed")), count($r[] | select(.mode == "data")),
 count($i[] | select(.deposed | not)), count($i[] | select(.deposed)), count($i[] | select(.status == "tainted")),
 ([$r[].module // empty] | unique | length), ([$r[].provider] | group_by(.) | map("\(.[0]) \(length)") | join(" ")),
 (.outputs // {} | length), count(.outputs[]? | select(.sensitive)), count($i[].sensitive_attributes[]?),
 count(.check_results[]?)] | @tsv
