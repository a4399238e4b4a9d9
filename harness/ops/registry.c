/* registry.c: the one list of ops, and the kernels that the linker collected. */
#include <string.h>

#include "ops.h"

const bf_op *const bf_ops[] = {&bf_op_convert, &bf_op_linear, &bf_op_q4k_dequant, &bf_op_q4k_matmul, &bf_op_q4k_matvec, &bf_op_qblock_dequant, &bf_op_qblock_matmul,
                               &bf_op_stream, &bf_op_conv, &bf_op_attention, &bf_op_norm, NULL};

const bf_op *bf_op_find(const char *name) {
    for (int i = 0; name && bf_ops[i]; i++)
        if (!strcmp(bf_ops[i]->name, name)) return bf_ops[i];
    return NULL;
}

/* The linker defines these around section bf_kernels; weak, so that a program without a kernel links. */
extern const bf_kernel *const __start_bf_kernels[] __attribute__((weak));
extern const bf_kernel *const __stop_bf_kernels[] __attribute__((weak));

size_t bf_kernel_count(void) { return (size_t)(__stop_bf_kernels - __start_bf_kernels); }
const bf_kernel *bf_kernel_at(size_t i) { return __start_bf_kernels[i]; }
