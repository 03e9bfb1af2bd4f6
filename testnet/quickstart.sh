#!/usr/bin/env bash
# The main job of logmesh on real input, on this machine: a group of nodes takes
# in a tree of files, then an empty node joins late and catches up from all of
# them at once. Needs Go, coreutils, find and diff.
#
# Exit status 0 means that it was proved: all nodes have the same digest at the
# same index, and what the late node exports equals the tree that was imported.
set -euo pipefail

usage() {
	cat <<'END'
usage: testnet/quickstart.sh [options]
  --input DIR       import this tree (default: the Go toolchain's own source)
  --nodes N         members before the late one, 2 to 9 (default: 4)
  --serve-rate N    bytes per second that a member serves (default: 8388608; 0: no limit)
  --check           also fail if the late node is slower than it should be
  --keep            keep the temporary directory, with data and logs
END
}

die() {
	printf '\nquickstart: %s\n' "$*" >&2
	exit 1
}

input='' nodes=4 serve_rate=8388608 check='' keep=''
while (($#)); do
	case $1 in
	--input | --nodes | --serve-rate)
		(($# >= 2)) || { usage >&2; exit 2; }
		case $1 in
		--input) input=$2 ;;
		--nodes) nodes=$2 ;;
		--serve-rate) serve_rate=$2 ;;
		esac
		shift 2
		;;
	--check) check=1; shift ;;
	--keep) keep=1; shift ;;
	-h | --help) usage; exit 0 ;;
	*) printf 'quickstart: unknown option %s\n' "$1" >&2; usage >&2; exit 2 ;;
	esac
done
[[ $nodes =~ ^[2-9]$ ]] || { echo 'quickstart: --nodes must be 2 to 9' >&2; exit 2; }
[[ $serve_rate =~ ^[0-9]+$ ]] || { echo 'quickstart: --serve-rate must be a number of bytes per second' >&2; exit 2; }
if [[ -n $input ]]; then
	input=$(cd -- "$input" && pwd -P) || exit 2
fi
cd "$(dirname -- "${BASH_SOURCE[0]}")/.."
# The slash matters: in some installations src is a link.
[[ -n $input ]] || input=$(go env GOROOT)/src/

work=$(mktemp -d "${TMPDIR:-/tmp}/logmesh-quickstart.XXXXXX")
pids=() # of our nodes, by number; each is a child of this shell, so no other process can get its pid

# stop_nodes ends the processes that were started here, and only those.
stop_nodes() {
	local pid left
	for pid in ${pids[@]+"${pids[@]}"}; do
		kill -TERM "$pid" 2>/dev/null || true
	done
	for ((left = 60; left > 0; left--)); do
		any_running || break
		sleep 0.1
	done
	for pid in ${pids[@]+"${pids[@]}"}; do
		kill -KILL "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
}

any_running() {
	local pid
	for pid in ${pids[@]+"${pids[@]}"}; do
		if running "$pid"; then return 0; fi
	done
	return 1
}

# running tells a process from one that has ended and was not waited for.
running() {
	local pid
	for pid in $(jobs -pr); do
		if [[ $pid == "$1" ]]; then return 0; fi
	done
	return 1
}

finish() {
	local status=$?
	trap - EXIT
	trap '' INT TERM HUP
	stop_nodes
	if [[ -n $keep ]]; then
		echo "kept: $work"
	else
		chmod -R u+w "$work" && rm -rf "$work"
	fi
	exit "$status"
}
trap finish EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

terminal=''
[[ -t 1 ]] && terminal=1
step() { printf '\n== %s\n' "$*"; }

# live shows a line in place of the one before, off a terminal one below the other.
live() {
	if [[ -n $terminal ]]; then printf '\r\033[K   %s' "$*"; else printf '   %s\n' "$*"; fi
}
live_end() { if [[ -n $terminal ]]; then printf '\n'; fi; }

logmesh=$work/logmesh
ask() { # ask NODE TEMPLATE: a node's status through a template
	"$logmesh" status --data "$work/node$1" --timeout 5s --format "$2"
}

# start NODE FLAGS…: runs a node until it says how it is reached
start() {
	local n=$1 deadline=$((SECONDS + 30))
	shift
	"$logmesh" run --data "$work/node$n" --http 127.0.0.1:0 --group-key "$work/group.key" "$@" \
		</dev/null >"$work/node$n.log" 2>&1 &
	pids[n]=$!
	until [[ -e $work/node$n/node.json ]]; do
		alive "$n"
		((SECONDS < deadline)) || fail_node "$n" "is not ready after 30 s"
		sleep 0.05
	done
}

alive() { running "${pids[$1]}" || fail_node "$1" 'ended by itself'; }

fail_node() {
	printf '\nthe last lines of node %s:\n' "$1" >&2
	tail -n 15 "$work/node$1.log" >&2 || true
	die "node $1 $2"
}

# wait_for SECONDS NODE TEMPLATE WANT: until a node's status is as wanted
wait_for() {
	local deadline=$((SECONDS + $1)) got=''
	until got=$(ask "$2" "$3" 2>&1) && [[ $got == "$4" ]]; do
		alive "$2"
		((SECONDS < deadline)) || fail_node "$2" "does not say '$4' after $1 s, but '$got'"
		sleep 0.1
	done
}

# prove_digests NODE…: all at one index, with one digest
prove_digests() {
	local deadline=$((SECONDS + 60)) n said first
	while :; do
		first='' said=''
		for n in "$@"; do
			alive "$n"
			said=$(ask "$n" 'index {{.Applied}} digest {{.Digest}}') || break
			[[ -n $first ]] || first=$said
			[[ $said == "$first" ]] || break
		done
		[[ -n $said && $said == "$first" ]] && break
		((SECONDS < deadline)) || {
			for n in "$@"; do ask "$n" "node $n: index {{.Applied}} digest {{.Digest}}" >&2 || true; done
			die 'the nodes do not come to one digest'
		}
		sleep 0.2
	done
	echo "   $# nodes, each at $first"
}

# catch_up NODE: shows a catch-up from its start to its end
catch_up() {
	local n=$1 deadline=$((SECONDS + 300)) line='' last='' said=''
	while :; do
		alive "$n"
		line=$(ask "$n" '{{if eq .Phase "online"}}online{{else}}{{with .Sync}}{{if eq .Needed 0}}asking the members what they have{{else}}{{.Done}} of {{.Needed}} blocks, {{MB .Bytes}} MB, {{MB .PerSec}} MB/s{{if ge .Left 0}}, {{seconds .Left}} s left{{end}}{{end}}{{else}}{{.Phase}}{{end}}{{end}}')
		if [[ $line != "$last" ]]; then live "$line"; last=$line; fi
		if [[ $line == online ]]; then break; fi
		((SECONDS < deadline)) || fail_node "$n" 'does not catch up within 300 s'
		if [[ -n $terminal ]]; then sleep 0.2; else sleep 0.5; fi
	done
	live_end
	said=$(ask "$n" '{{with .LastSync}}{{if .Error}}{{.Error}}{{else if .Entries}}done{{else}}none{{end}}{{else}}none{{end}}')
	if [[ $said == none ]]; then
		echo '   nothing to fetch: the log is shorter than a block'
		return
	fi
	[[ $said == 'done' ]] || fail_node "$n" "has a catch-up that ended with: $said"
	table "$n"
}

# table NODE: what its catch-up took, and what each peer gave
table() {
	local n=$1 peer leader blocks bytes total name share
	ask "$n" '{{with .LastSync}}   entries {{.Entries}}   MB {{MB .Bytes}}   seconds {{seconds .Elapsed}}   MB/s {{MB .PerSec}}   twice {{MB .Doubled}} MB{{end}}'
	total=$(ask "$n" '{{.LastSync.Bytes}}')
	lowest_share=''
	printf '   %-22s %8s %8s %7s\n' 'from' 'blocks' 'MB' 'share'
	while read -r peer leader blocks bytes; do
		name=${peer: -6}
		share=$((total > 0 ? 100 * bytes / total : 0))
		if [[ $leader == true ]]; then
			name="$name (leader)"
		elif [[ -z $lowest_share ]] || ((share < lowest_share)); then
			lowest_share=$share
		fi
		printf '   %-22s %8d %8s %6d%%\n' "$name" "$blocks" "$((bytes / 1000000)).$((bytes / 100000 % 10))" "$share"
	done < <(ask "$n" '{{range .LastSync.Peers}}{{.Peer}} {{.Leader}} {{.Blocks}} {{.Bytes}}{{"\n"}}{{end}}' | sed '/^$/d')
}

# judge NODE: the late node against one member's rate
judge() {
	local rate tenths
	((serve_rate > 0)) || return 0
	[[ $(ask "$1" '{{with .LastSync}}{{if .Entries}}yes{{end}}{{end}}') == yes ]] || return 0
	lowest_share=${lowest_share:-0} # nobody but the leader gave anything
	rate=$(ask "$1" '{{printf "%.0f" .LastSync.PerSec}}')
	tenths=$((10 * rate / serve_rate))
	echo "   $((tenths / 10)).$((tenths % 10)) times one member's rate; every member that does not lead gave at least $lowest_share %"
	[[ -n $check ]] || return 0
	((tenths >= 25)) || die "slower than 2.5 times one member's rate"
	((lowest_share >= 15)) || die 'a member that does not lead gave less than 15 %'
}

step 'building the node'
go build -o "$logmesh" ./cmd/node
built=$SECONDS

step "staging $input (files up to 1 MiB)"
mkdir "$work/tree"
cp -r -- "$input/." "$work/tree"
chmod -R u+rwX "$work/tree"
find "$work/tree" ! -type d ! -type f -delete
find "$work/tree" -type f -size +1048576c -delete
find "$work/tree" -mindepth 1 -type d -empty -delete
files=$(find "$work/tree" -type f | wc -l)
((files > 0)) || die "no files in $input"
echo "   $((files)) files, $(($(find "$work/tree" -type f -exec cat {} + | wc -c) / 1000000)) MB"

voters=$((nodes < 3 ? 1 : 3))
limit="at most $serve_rate bytes/s"
((serve_rate > 0)) || limit='without limit'
step "starting $nodes members as processes, $voters voters and $((nodes - voters)) standby; each serves $limit"
"$logmesh" key new "$work/group.key" 2>/dev/null
members=()
for ((n = 1; n <= nodes; n++)); do
	if ((n == 1)); then
		start 1 --found --voters "$voters" --serve-rate "$serve_rate"
		ticket=$("$logmesh" ticket --data "$work/node1")
	else
		start "$n" --join "$ticket" --serve-rate "$serve_rate"
	fi
	members+=("$n")
done
for n in "${members[@]}"; do
	wait_for 60 "$n" '{{.Phase}} {{len .Members}}' "online $nodes"
done
wanted=$(printf 'v%.0s' $(seq "$voters"))
wait_for 60 1 '{{range .Members}}{{if eq .Role.String "voter"}}v{{end}}{{end}}' "$wanted"
"$logmesh" status --data "$work/node1" || true

through=''
for n in "${members[@]}"; do
	if [[ $(ask "$n" '{{.Role}}') != leader ]]; then
		through=$n
		break
	fi
done
[[ -n $through ]] || die 'every node says that it leads'
step "importing through node $through, which does not lead"
"$logmesh" kv import --data "$work/node$through" "$work/tree"
prove_digests "${members[@]}"

late=$((nodes + 1))
step "starting node $late, empty: it catches up from all members at once"
start "$late" --join "$ticket" --serve-rate "$serve_rate"
catch_up "$late"
judge "$late"

step 'the digests of all nodes'
prove_digests "${members[@]}" "$late"

step "the export of node $late against what was imported"
"$logmesh" kv export --data "$work/node$late" --local "$work/export"
diff -r "$work/tree" "$work/export" || die "what node $late exports is not what was imported"
echo '   equal, file by file'

last=$((nodes + 2))
step "the same for node $last, with nobody's rate limited"
for n in "${members[@]}" "$late"; do
	"$logmesh" tune --data "$work/node$n" --serve-rate 0
done
start "$last" --join "$ticket"
catch_up "$last"
prove_digests "${members[@]}" "$late" "$last"

step "proved in $((SECONDS - built)) s after the build ($built s)"
