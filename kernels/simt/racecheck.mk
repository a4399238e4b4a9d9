# make racecheck: the GPU kernels' source under ThreadSanitizer as a race checker (race.h), in two passes: threads of a
# block, then blocks. First the checker's own check. The kernels are compiled with the sanitizer, everything else is the
# ordinary build's.
R      := $B/race
RACE_K := $(wildcard kernels/cuda/*.cu kernels/hip/*.hip)
RACE_O := $(RACE_K:%=$R/%.o)
RACE_FLAGS := -std=c++20 -g -O1 -fno-omit-frame-pointer -fsanitize=thread -Wall -Wextra -pthread $(FP) -DBF_SIMT
RACE_RUNTIME := $(patsubst %,$B/obj/kernels/simt/%.cc.o,runtime fiber sections race)
# Broken twins are left out: their defects are arithmetic.
RACE_HOST := $(filter-out $(RACE_K:%=$B/obj/%.o) $B/obj/kernels/broken/%.cu.o $B/obj/kernels/broken/%.hip.o,$(HOST_O))
RACE_SUITES ?= smoke boundary kernels/simt/race.case
# Of the large suites every sixth case: their tiles, splits and matrix instructions, which the small ones do not reach.
RACE_TILED ?= attention norm linear conv q4k_matmul
# One thread in OpenBLAS: after a fork from several the sanitizer would be blind (and the runtime refuse).
RACE_RUN   := OPENBLAS_NUM_THREADS=1 $R/blackframe check --backend simt-cuda,simt-hip --parallel 2 --timeout 600
RACE_CHECK := $(RACE_RUN) $(RACE_SUITES:%=--suite %)
RACE_SIXTH := $(if $(RACE_TILED),$(RACE_RUN) --shard 1/6 $(RACE_TILED:%=--suite %))

define compile_race
	$(call say,RACE)
	@mkdir -p $(@D)
	$Q$(SIMT_CXX) $(CPPFLAGS) $(RACE_FLAGS) $1 -c -o $@ -x c++ $<
endef
$R/%.cu.o: %.cu $B/flags
	$(call compile_race,-DBF_SIMT_CUDA)
$R/%.hip.o: %.hip $B/flags
	$(call compile_race,-DBF_SIMT_HIP)
$R/%.cc.o: %.cc $B/flags
	$(call compile_race)

$R/selftest: $(RACE_RUNTIME) $R/kernels/simt/race_selftest.cc.o
	$(call say,LD)
	$Q$(SIMT_CXX) -fsanitize=thread -o $@ $^ -lboost_context -lpthread
$R/blackframe: $(RACE_HOST) $(RACE_O) $B/link
	$(call say,LD)
	$Q$(SIMT_CXX) -fsanitize=thread -o $@ $(RACE_HOST) $(RACE_O) $(LDLIBS)

racecheck:
	@$(if $(SAN_CC),$(MAKE) --no-print-directory race-passes,echo 'racecheck: skipped, no clang')
race-passes: $R/selftest $R/blackframe
	$R/selftest threads 2> $R/selftest-threads.log
	$R/selftest blocks 2> $R/selftest-blocks.log
	BF_SIMT_RACE=threads $(RACE_CHECK)
	BF_SIMT_RACE=blocks $(RACE_CHECK)
	$(if $(RACE_SIXTH),BF_SIMT_RACE=threads $(RACE_SIXTH))
	$(if $(RACE_SIXTH),BF_SIMT_RACE=blocks $(RACE_SIXTH))

.PHONY: racecheck race-passes
-include $(RACE_O:.o=.d) $R/kernels/simt/race_selftest.cc.d
