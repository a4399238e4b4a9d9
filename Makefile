#: make               build what the found compilers allow: build/blackframe, build/tests; a line for each backend
#: make check         unit tests, suites on every backend, twins, failures, numpy references, short fuzz, isa gates
#: make report        devices, check, twins, failures, bench on everything found; reports/latest/report.html
#: make isa           registers, spills, occupancy, hot loops of the GPU kernels, from the built objects
#: make asan          tests and suites under AddressSanitizer and UBSan, cpu and both simt
#: make racecheck     both simt under ThreadSanitizer as a race checker of the GPU kernels
#: make coverage      lines and branches that tests and suites reach, harness and kernels
#: make memory        every allocation of every command refused once, from every place (make check: a sample)
#: make fuzz          libFuzzer targets: build/asan/fuzz_*
#: make mutants       kernels and checker changed in one place at a time: what do the checks notice; reports/mutants.md
#: make vendor-check  kernels against the vendors' compilers and headers (ci/setup vendor first)
#: make dist          build/blackframe-VERSION-x86_64.tar.gz: runs without a compiler, glibc 2.34 or newer
#: make clean         remove build/; .toolchain/ stays
#: V=1 shows commands; REQUIRE=all fails where a backend would be skipped; CUDA_HOW=clang|nvcc, HIP_HOW=clang|hipcc

# A file dropped into a folder below is found by wildcard;
# kernels/cuda, kernels/hip and kernels/simt bring their own rules.
#
#   build/blackframe    the command        build/tests    the unit tests (Criterion)
#   build/obj/          host objects       build/device/  GPU code objects, shared by all variants of the host build

B ?= build
D := build/device
V ?= 0
Q := $(if $(filter 0,$V),@)
say = @printf '  %-5s %s\n' $1 $(or $2,$@)

# What compilers this machine has; the answer is a fragment, rewritten only when it changes.
update = mkdir -p $(@D) && { cmp -s $@.new $@ && rm $@.new || mv $@.new $@; }
$(shell mkdir -p $D && ci/compilers > $D/toolchain.mk.new && { cmp -s $D/toolchain.mk.new $D/toolchain.mk || \
        cp $D/toolchain.mk.new $D/toolchain.mk; })
include $D/toolchain.mk

CC       := $(or $(HOST_CC),gcc)
SANITIZE ?=
# Never fast-math, never contraction: what is written is what is computed.
FP       := -ffp-contract=off
CFLAGS   := -std=gnu11 -g -Wall -Wextra -pthread $(FP) $(SANITIZE)
LDLIBS   := $(ROOT_LDFLAGS) -ljansson -lpng -lhwloc -lboost_context -lstdc++ -ldl -lm -lpthread
CPPFLAGS := -MMD -MP $(ROOT_CPPFLAGS)

HOST_C := $(wildcard reference/*.c harness/*.c $(filter-out harness/tests/%,$(wildcard harness/*/*.c)))
CPU_C  := $(wildcard kernels/cpu/*.c kernels/broken/*.c)
TEST_C := $(filter-out harness/tests/fuzz_% harness/tests/fake_%,$(wildcard harness/tests/*.c))
FAKE_C := $(wildcard harness/tests/fake_*.c)
FUZZ_C := $(wildcard harness/tests/fuzz_*.c)

DEVICE_OBJECTS :=
all: backends $(if $(wildcard harness/main.c),$B/blackframe) $B/tests
include kernels/cuda/rules.mk kernels/hip/rules.mk kernels/simt/rules.mk

HOST_O := $(HOST_C:%=$B/obj/%.o) $(CPU_C:%=$B/obj/%.o) $(SIMT_O) $B/obj/objects.c.o
MAIN_O := $B/obj/harness/main.c.o
LIB_O  := $(filter-out $(MAIN_O),$(HOST_O))
TEST_O := $(TEST_C:%=$B/obj/%.o) $(SIMT_TEST_O)
FAKES  := $(FAKE_C:harness/tests/%.c=$B/%.so)

# ---- host ----
# What the stand-ins for the drivers' libraries find in the program that opened them (harness/tests/fake_gpu.h).
EXPORTS := $(foreach s,bf_simt_run bf_step_in_hand bf_job_in_hand,-Wl,--export-dynamic-symbol=$s)
$B/blackframe: $(HOST_O) $B/link
	$(call say,LD)
	$Q$(CC) $(SANITIZE) $(EXPORTS) -o $@ $(HOST_O) $(LDLIBS)

$B/blackframe: | $(FAKES)
$B/tests: $(LIB_O) $(TEST_O) $(FAKES) $B/link
	$(call say,LD)
	$Q$(CC) $(SANITIZE) -rdynamic -o $@ $(LIB_O) $(TEST_O) $(LDLIBS) -lcriterion -lmpfr -lgmp

# Stand-ins for the drivers' libraries, opened by the tests at run time.
$B/%.so: harness/tests/%.c $B/flags
	$(call say,SO)
	$Q$(CC) $(CPPFLAGS) $(CFLAGS) -O1 -shared -fPIC -o $@ $<

$B/obj/kernels/%.c.o: OPT := -O3
$B/obj/%.c.o: OPT := -O2
$B/obj/%.c.o: %.c $B/flags
	$(call say,CC)
	@mkdir -p $(@D)
	$Q$(CC) $(CPPFLAGS) $(CFLAGS) $(OPT) $(COVER) -DBF_BUILD='"$B"' -c -o $@ $<

# The code objects, embedded with their table (harness/backends/objects.h).
$D/objects.c: $(DEVICE_OBJECTS) $D/objects.list ci/embed
	$(call say,EMBED)
	$Qci/embed $(DEVICE_OBJECTS) > $@
$B/obj/objects.c.o: $D/objects.c $B/flags
	$(call say,CC)
	@mkdir -p $(@D)
	$Q$(CC) $(CPPFLAGS) $(CFLAGS) -O1 -I. -c -o $@ $<

# Stamps that change only when the text in them does: flags and lists are prerequisites too.
$B/flags: FORCE
	@mkdir -p $(@D); echo '$(CC) $(CFLAGS) / $(SIMT_CXX) $(SIMT_FLAGS)' > $@.new; $(update)
$B/link: FORCE
	@mkdir -p $(@D); echo '$(HOST_O) $(TEST_O) $(LDLIBS)' > $@.new; $(update)
$D/objects.list: FORCE
	@mkdir -p $(@D); echo '$(DEVICE_OBJECTS)' > $@.new; $(update)

# libFuzzer targets, linked with what they need of the harness only (make fuzz).
$B/libharness.a: $(filter-out $(MAIN_O),$(HOST_C:%=$B/obj/%.o)) $B/link
	$(call say,AR)
	$Qrm -f $@; ar rc $@ $(filter %.o,$^)
$B/fuzz_%: harness/tests/fuzz_%.c $B/libharness.a $B/flags
	$(call say,FUZZ)
	$Q$(CC) $(CPPFLAGS) $(CFLAGS) -O1 -fsanitize=fuzzer -o $@ $< $B/libharness.a $(LDLIBS)
FUZZERS := $(FUZZ_C:harness/tests/%.c=$B/%)

# ---- check ----
# The sanitized build is a second build of the host side in build/asan; GPU objects are shared. Only what reads files is
# instrumented for the fuzzer's coverage.
ASAN := B=build/asan CC='$(SAN_CC)' SANITIZE='-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer'
# Unrolled vector loops: a check is a call there, and what AddressSanitizer sees anyway is not checked twice; otherwise compiling takes
# minutes a file.
LEAN := -O1 -fno-sanitize=pointer-overflow,alignment,null,object-size -mllvm -asan-instrumentation-with-call-threshold=0
$B/obj/kernels/cpu/%.c.o $B/obj/kernels/broken/%.c.o: OPT = $(if $(findstring address,$(SANITIZE)),$(LEAN),-O3)
$B/obj/harness/%.c.o: COVER = $(if $(findstring address,$(SANITIZE)),-fsanitize=fuzzer-no-link)

check: all fuzz
	@B=$B ci/check tests suites twins fail chain numpy report memory isa readme coverage fuzz
asan:
	@$(MAKE) --no-print-directory $(ASAN) all
	@B=build/asan ci/check tests sanitized
# Counters are found through a bias, which lets them live in the mapped file (ci/coverage).
coverage:
	@$(MAKE) --no-print-directory B=build/cov CC='$(SAN_CC)' SANITIZE='-fprofile-instr-generate -fcoverage-mapping -mllvm -runtime-counter-relocation' all
	@ci/coverage $(RECORD)
fuzz:
	@$(if $(SAN_CC),$(MAKE) --no-print-directory $(ASAN) fuzzers,echo 'fuzz: skipped, no clang')
fuzzers: $(FUZZERS)
include kernels/simt/racecheck.mk
mutants: all
	@ci/mutants --build $B --self-test
	@ci/mutants --build $B; ci/mutants --build $B --report

memory: $B/blackframe
	@ci/memory --build $B
report: backends $B/blackframe
	@BLACKFRAME=$B/blackframe reports/make.sh
isa: $(DEVICE_OBJECTS)
	@ci/isa.py
dist: $B/blackframe
	@B=$B CC=$(CC) ci/dist
vendor-check:
	@ci/vendor-check

help:
	@sed -n 's/^#: //p' Makefile

objects: $(HOST_O) $(TEST_O) $(FAKES)
backends:
	@sed -n 's/^[A-Z]*_LINE := //p' $D/toolchain.mk
	@$(if $(filter all,$(REQUIRE)),$(if $(MISSING),echo 'REQUIRE=all: missing $(MISSING); run ci/setup' >&2; exit 1,:),:)
clean:
	rm -rf build

.PHONY: all objects backends check mutants memory report asan coverage fuzz fuzzers isa vendor-check help clean FORCE
.SECONDARY:
.DELETE_ON_ERROR:
-include $(patsubst %.o,%.d,$(HOST_O) $(TEST_O)) $(FAKES:.so=.d) $(DEVICE_DEPS)
