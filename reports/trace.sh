#!/bin/bash
# reports/trace.sh BLACKFRAME DIR: the part of `make report` about chains: DIR/trace-CHAIN.jsonl of every chain of cases/trace in fp16, with
# the smallest set of kinds that must be wider; DIR/frame-{fp16-rgb,fp16-yuv,sound}.png. Ends with the status of the worst run.
set -uo pipefail
cd "$(dirname "$0")/.."
bf=${1:-build/blackframe} out=${2:-build/records} status=0
mkdir -p "$out"
run() { # run NAME ARGUMENT...: its output is DIR/trace-NAME.log
    local name=$1 rc
    shift
    "$bf" trace "$@" >"$out/trace-$name.log" 2>&1
    rc=$?
    if [ $rc != 0 ]; then
        printf '      trace %s: exit status %d: %s\n' "$name" $rc "$(tail -n 1 "$out/trace-$name.log")" >&2
        [ $rc -gt $status ] && status=$rc
    fi
}
for chain in cases/trace/*.chain; do
    name=$(basename "$chain" .chain)
    run "$name" "$name" --plan fp16 --bisect --json "$out/trace-$name.jsonl"
done
run frame ltx-video-2.3 --plan fp16 --frame "$out"
exit $status
