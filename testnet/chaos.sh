#!/usr/bin/env bash
# Real nodes on this machine under writes, strong reads and compare-and-swaps,
# while members are killed, paused, restarted, cut off from each other, come and
# go. Then everything is mended, and what must hold is checked. Needs Go; as root
# one member also gets a small disk that is filled.
#
# Exit status 0 means that it was proved: nothing that was acknowledged is missing,
# the history is linearizable, all members have the same digest at the same index,
# and their ledgers verify.
set -euo pipefail

usage() {
	cat <<'END'
usage: testnet/chaos.sh [options]
  --minutes M       do harm for so long (default: 10)
  --nodes N         members, 3 to 9; all vote (default: 5)
  --seed S          what happens, in which order (default: another one each time)
  --keep            keep the temporary directory, with data and logs, after success as well
END
}

minutes=10 nodes=5 seed=0 keep=''
while (($#)); do
	case $1 in
	--minutes | --nodes | --seed)
		(($# >= 2)) || { usage >&2; exit 2; }
		case $1 in
		--minutes) minutes=$2 ;;
		--nodes) nodes=$2 ;;
		--seed) seed=$2 ;;
		esac
		shift 2
		;;
	--keep) keep=1; shift ;;
	-h | --help) usage; exit 0 ;;
	*) printf 'chaos: unknown option %s\n' "$1" >&2; usage >&2; exit 2 ;;
	esac
done
[[ $minutes =~ ^[0-9]+(\.[0-9]+)?$ ]] || { echo 'chaos: --minutes must be a number' >&2; exit 2; }
[[ $nodes =~ ^[3-9]$ ]] || { echo 'chaos: --nodes must be 3 to 9' >&2; exit 2; }
[[ $seed =~ ^[0-9]+$ ]] || { echo 'chaos: --seed must be a whole number' >&2; exit 2; }
cd "$(dirname -- "${BASH_SOURCE[0]}")"

work=$(mktemp -d "${TMPDIR:-/tmp}/logmesh-chaos.XXXXXX")
test=''
# finish lets the test end its nodes and unmount what it mounted.
finish() {
	local code=$?
	trap - EXIT INT TERM
	if [[ -n $test ]] && kill -TERM "$test" 2>/dev/null; then wait "$test" || true; fi
	if ((code == 0)) && [[ -z $keep ]]; then
		rm -rf --one-file-system -- "$work"
	else
		printf 'chaos: data and logs are in %s\n' "$work"
	fi
	exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

go test -c -o "$work/chaos.test" . || exit 1
"$work/chaos.test" -test.run '^TestChaos$' -test.timeout 0 -minutes "$minutes" -nodes "$nodes" -seed "$seed" \
	-work "$work" -report 3 3>&1 >"$work/test.log" 2>&1 &
test=$!
code=0
wait "$test" || code=$?
test=''
if ((code != 0)); then tail -n 60 "$work/test.log" >&2; fi
exit "$code"
