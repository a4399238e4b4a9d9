#!/bin/bash
# What `make report` does: devices, check, twins, failures and bench on everything found, then the report. Records go to build/records,
# the report to reports/latest (or the directory given). Ends with the status of the worst step; the report is written all the same.
# BENCH_SECONDS: time a kernel and case may take (0.4). BENCH_MB: buffers rotated through, eight last-level caches at least (0).
# MODEL: a GGUF or safetensors file of which the headroom in fp16 is shown; without it a synthetic one of 3 MB with a planted overflow,
# named so on the page. WEIGHTS: a GGUF file whose tensors are checked and timed. GGML: the folder of libggml-base.so and libggml-cpu.so, timed beside ours.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 2
out=${1:-reports/latest}
bf=${BLACKFRAME:-build/blackframe}
weights=${WEIGHTS:-cases/golden/q4k_golden.gguf}
records=build/records
mkdir -p "$records"
rm -f "$records"/*.jsonl "$records"/*.png "$records"/isa.json "$records"/*.safetensors
status=0 step=0 started=$SECONDS
say() { printf '[%s %4d s] %s\n' "$1" "$((SECONDS - started))" "$2" >&2; }
run() { # run NAME COMMAND...: one record
    local name=$1 file
    shift
    step=$((step + 1))
    say "$step/7" "$name"
    file=$records/$step-${name%%[ ,]*}
    "$@" --json "$file.jsonl" >"$file.log" 2>"$file.err"
    local rc=$?
    if [ $rc != 0 ]; then
        printf '      exit status %d: %s\n' "$rc" "$(cat "$file.log" "$file.err" | tail -n 1)" >&2
        [ $rc -gt $status ] && status=$rc
    fi
}
python3=/usr/bin/python3
[ -x $python3 ] || python3=python3
run "devices" "$bf" devices --numerics
run "check of all suites" "$bf" check
run "twins, kernels broken on purpose," "$bf" check --twins
run "failures of the catalogue" "$bf" fail
run "weights of $(basename "$weights")" "$bf" check --weights "$weights"
run "bench of the suite cases/bench" "$bf" bench --best --peers --size "${BENCH_MB:-0}" --seconds "${BENCH_SECONDS:-0.4}"
run "real bench of $(basename "$weights")" "$bf" bench --weights "$weights" --best --seconds 0.1
# Finding an overflow is exit status 1 of scan: of the synthetic model that is what it is for.
if [ -z "${MODEL:-}" ]; then
    MODEL=$records/synthetic-planted-overflow.safetensors
    "$python3" reference/make_model.py "$MODEL" >"$records/8-scan.log" 2>&1 || { say scan "no synthetic model: $(tail -n 1 "$records/8-scan.log")" && status=1; }
fi
say scan "headroom of $(basename "$MODEL")"
"$bf" scan "$MODEL" --json "$records/8-scan.jsonl" >"$records/8-scan.log" 2>"$records/8-scan.err"
rc=$?
[ $rc -gt 1 ] && printf '      exit status %d: %s\n' $rc "$(tail -n 1 "$records/8-scan.err")" >&2 && status=$rc
# Nothing is timed from here on. The static half needs the GPU code objects and their disassemblers; without them the report says that
# it is missing.
say isa "registers, occupancy and hot loops of the GPU kernels, and"
ci/isa.py --json "$records/isa.json" >"$records/isa.log" 2>&1 &
say trace "chains of blocks in fp16, the frame"
reports/trace.sh "$bf" "$records" || status=1
wait
say report "writing $out"
shopt -s nullglob
"$python3" reports/report.py --out "$out" "$records"/*.jsonl "$records"/*.json || status=1
printf 'done in %d s\n' "$((SECONDS - started))" >&2
exit $status
