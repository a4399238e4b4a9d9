# The GPU kernels' own sources compiled as host C++ over kernels/simt; their descriptors come from here too, so this
# is built even where no GPU compiler was found.
# The runtime's self-test kernels go into build/tests only.
SIMT_O := $(patsubst %,$B/obj/%.o,$(filter-out %selftest.cc,$(wildcard kernels/simt/*.cc)) \
            $(wildcard kernels/cuda/*.cu kernels/hip/*.hip kernels/broken/*.cu kernels/broken/*.hip))
SIMT_TEST_O := $B/obj/kernels/simt/selftest.cc.o
# Two C++20 deprecations that C-like constants run into; g++ does not know the unroll pragma.
SIMT_QUIET := -Wno-unknown-pragmas -Wno-deprecated-anon-enum-enum-conversion -Wno-deprecated-enum-float-conversion
SIMT_FLAGS := -std=c++20 -g -O2 -Wall -Wextra -pthread $(FP) -DBF_SIMT \
              $(SIMT_QUIET) $(SANITIZE) $(if $(findstring address,$(SANITIZE)),$(SIMT_LEAN))
# What AddressSanitizer sees anyway is not checked twice: tiles of many templates take minutes to compile.
SIMT_LEAN := -O1 -fno-sanitize=pointer-overflow,alignment,null,object-size

define compile_simt
	$(call say,SIMT)
	@mkdir -p $(@D)
	$Q$(SIMT_CXX) $(CPPFLAGS) $(SIMT_FLAGS) $1 -c -o $@ -x c++ $<
endef
$B/obj/%.cu.o: %.cu $B/flags
	$(call compile_simt,-DBF_SIMT_CUDA)
$B/obj/%.hip.o: %.hip $B/flags
	$(call compile_simt,-DBF_SIMT_HIP)
$B/obj/%.cc.o: %.cc $B/flags
	$(call compile_simt)
