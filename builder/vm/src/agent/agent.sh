#!/bin/sh
# Runs commands of a boot test that come over a serial port. It lives only in the clone that a test boots.
# The protocol, seen from the tester, is described in agent.rs. Only tools of Debian's essential packages are used.
port=$1
work=/run/clic-test-agent
mkdir -p "$work" || exit 1
exec 3<>"$port" || exit 1
stty raw -echo clocal -hupcl 115200 <&3 || exit 1

# A frame begins with a newline, so that noise before it does not spoil it.
say() { printf '\n@clic-%s\n' "$*" >&3; }

# Until the tester has been heard: it may listen late, and bytes may get lost.
(until [ -e "$work/met" ]; do say hello; sleep 1; done) &

last=
while IFS= read -r line <&3; do
    case $line in
    *'@clic-run '*) ;;
    *) continue ;;
    esac
    set -f
    # shellcheck disable=SC2086 # split on purpose
    set -- ${line##*@clic-run }
    [ $# = 4 ] || continue
    id=$1 limit=$2 code=$3 sum=$4
    real=$(printf '%s %s %s' "$id" "$limit" "$code" | cksum)
    [ "${real%% *}" = "$sum" ] || continue
    : >"$work/met"
    say ack "$id"
    # Asked twice for the same: the answer got lost, the work is not done again.
    if [ "$id" != "$last" ]; then
        printf '%s' "$code" | base64 -d >"$work/command"
        timeout -k 5 "$limit" /bin/sh "$work/command" >"$work/all-out" 2>"$work/all-err" </dev/null 3>&-
        status=$?
        head -c 262144 "$work/all-out" >"$work/out"
        tail -c 16384 "$work/all-err" >"$work/err"
        last=$id
    fi
    real=$(cat "$work/out" "$work/err" | cksum)
    {
        echo
        base64 -w 200 "$work/out" | sed "s/^/@clic-out $id /"
        base64 -w 200 "$work/err" | sed "s/^/@clic-err $id /"
    } >&3
    say end "$id" "$status" "${real%% *}"
done
