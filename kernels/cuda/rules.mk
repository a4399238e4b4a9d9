# kernels/cuda/*.cu, kernels/broken/*.cu -> PTX -> sm_61 machine code -> one fatbin a file, the PTX beside it.
# kernels/broken/x.cu gives the object "broken_x". CUDA_HOW (ci/compilers): clang or nvcc; empty: skipped.
CUDA_STEMS := $(patsubst kernels/cuda/%.cu,%,$(wildcard kernels/cuda/*.cu)) \
              $(patsubst kernels/broken/%.cu,broken_%,$(wildcard kernels/broken/*.cu))
ifneq ($(CUDA_HOW),)
DEVICE_OBJECTS += $(if $(PTXAS),$(CUDA_STEMS:%=$D/cuda/sm_61/%.fatbin),$(CUDA_STEMS:%=$D/cuda/compute_61/%.ptx))
DEVICE_DEPS    += $(CUDA_STEMS:%=$D/cuda/compute_61/%.d)
endif

# PTX ISA 6.3: the oldest that has what the kernels use, so that older drivers load it.
PTX_clang := $(DEVICE_CXX) -x cuda --cuda-device-only --cuda-gpu-arch=sm_61 -nocudainc -nocudalib \
             --cuda-path=/nonexistent --cuda-feature=+ptx63 -O3 -std=c++20 $(FP) -Wall -Wextra -S
PTX_nvcc  := $(NVCC) -arch=compute_61 -O3 -std=c++17 -fmad=false -ptx

define compile_ptx
	$(call say,PTX)
	@mkdir -p $(@D)
	$Q$(PTX_$(CUDA_HOW)) -MMD -MP -MF $(@:.ptx=.d) -o $@ $<
endef
$D/cuda/compute_61/broken_%.ptx: kernels/broken/%.cu $D/cuda.flags
	$(compile_ptx)
$D/cuda/compute_61/%.ptx: kernels/cuda/%.cu $D/cuda.flags
	$(compile_ptx)
$D/cuda/sm_61/%.cubin: $D/cuda/compute_61/%.ptx
	$(call say,SASS)
	@mkdir -p $(@D)
	$Q$(PTXAS) -arch=sm_61 -O3 --fmad=false -v --warn-on-spills -o $@ $< 2> $(@:.cubin=.ptxas) || { cat $(@:.cubin=.ptxas); exit 1; }
$D/cuda/sm_61/%.fatbin: $D/cuda/sm_61/%.cubin $D/cuda/compute_61/%.ptx
	$Q$(FATBINARY) --create=$@ -64 --image3=kind=elf,sm=61,file=$(word 1,$^) --image3=kind=ptx,sm=61,file=$(word 2,$^)
$D/cuda.flags: FORCE
	@mkdir -p $(@D); echo '$(PTX_$(CUDA_HOW)) $(PTXAS)' > $@.new; $(update)
