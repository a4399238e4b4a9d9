# kernels/hip/*.hip, kernels/broken/*.hip -> one code object a file and architecture: gfx1151 (Strix Halo), gfx1100 for
# machines that run with an override. kernels/broken/x.hip gives the object "broken_x".
HIP_ARCHS := gfx1151 gfx1100
HIP_STEMS := $(patsubst kernels/hip/%.hip,%,$(wildcard kernels/hip/*.hip)) \
             $(patsubst kernels/broken/%.hip,broken_%,$(wildcard kernels/broken/*.hip))
ifneq ($(HIP_HOW),)
HIP_OBJECTS    := $(foreach a,$(HIP_ARCHS),$(HIP_STEMS:%=$D/hip/$a/%.hsaco))
DEVICE_OBJECTS += $(HIP_OBJECTS)
DEVICE_DEPS    += $(HIP_OBJECTS:.hsaco=.d)
endif

HSACO_FLAGS := -x hip --offload-device-only --no-gpu-bundle-output -mcode-object-version=5 -O3 -std=c++20 $(FP) -Wall -Wextra
HSACO_clang := $(DEVICE_CXX) -nogpuinc -nogpulib $(HSACO_FLAGS)
HSACO_hipcc := $(HIPCC) $(HSACO_FLAGS)

# $1: architecture
define hsaco_rules
$D/hip/$1/broken_%.hsaco: kernels/broken/%.hip $D/hip.flags
	$$(call say,HSACO)
	@mkdir -p $$(@D)
	$$Q$$(HSACO_$$(HIP_HOW)) --offload-arch=$1 -MMD -MP -MF $$(@:.hsaco=.d) -MT $$@ -o $$@ $$<
$D/hip/$1/%.hsaco: kernels/hip/%.hip $D/hip.flags
	$$(call say,HSACO)
	@mkdir -p $$(@D)
	$$Q$$(HSACO_$$(HIP_HOW)) --offload-arch=$1 -MMD -MP -MF $$(@:.hsaco=.d) -MT $$@ -o $$@ $$<
endef
$(foreach a,$(HIP_ARCHS),$(eval $(call hsaco_rules,$a)))
$D/hip.flags: FORCE
	@mkdir -p $(@D); echo '$(HSACO_$(HIP_HOW))' > $@.new; $(update)
