#!/bin/sh
# Builds an object once for all who want it: whoever comes first runs the command, and
# all others wait for what it prints. Needs curl.
#
#   build-once.sh NODE KEY COMMAND [ARGUMENT...]
#   build-once.sh http://127.0.0.1:8080 prices/2022-01-04 ./load-prices 2022-01-04 > prices.csv
#
# KEY is written as in a URL. TOKEN in the environment is the caller's token, if the
# cluster has any. Without an answer of the node the command is run all the same.
set -eu
node=$1 key=$2
shift 2
work=$(mktemp -d)
claim='' beats=''

# ask METHOD PATH [OPTION...] prints the status, and leaves the answer in a file.
ask() {
	method=$1 path=$2
	shift 2
	curl --silent --max-time 90 --output "$work/answer" --write-out '%{http_code}' --request "$method" \
		${TOKEN:+--header "Authorization: Bearer $TOKEN"} "$@" "$node$path" || true
}

# give_up [JSON] lets the next in line build.
give_up() {
	[ -z "$claim" ] || ask DELETE "/v1/builds/objects/$key" --header "Larder-Claim: $claim" --data "${1:-}" >"$work/status"
	claim=''
}

finish() {
	[ -z "$beats" ] || kill "$beats" 2>/dev/null || true
	give_up
	rm -rf "$work"
}
trap finish EXIT
trap 'exit 1' INT TERM

waiter="{\"waiter\": \"$(hostname) $$ $(date +%s)\"}"
while :; do
	case $(ask POST "/v1/builds/objects/$key" --header 'Prefer: wait=60' --data "$waiter") in
	202) ;; # somebody else builds
	303)
		if [ "$(ask GET "/v1/objects/$key")" = 200 ]; then
			cat "$work/answer"
			exit
		fi
		;;
	201)
		claim=$(sed -n 's/.*"claim":"\([^"]*\)".*/\1/p' "$work/answer")
		break
		;;
	*) break ;; # another's build failed, or no node answers: this one builds for itself
	esac
done

if [ -n "$claim" ]; then
	# A claim is lost 15 seconds after its last beat. The output is closed here: who reads it
	# would wait for the last sleep.
	while sleep 5; do
		ask PUT "/v1/builds/objects/$key" --header "Larder-Claim: $claim" >"$work/beat"
	done >/dev/null 2>&1 &
	beats=$!
fi
"$@" >"$work/value" || {
	status=$?
	give_up "{\"error\": \"the command ended with status $status\"}"
	exit "$status"
}
if [ -n "$claim" ]; then
	ask PUT "/v1/objects/$key" --header "Larder-Claim: $claim" --upload-file "$work/value" >"$work/status"
	claim='' # the put has ended it, or it was lost
fi
cat "$work/value"
