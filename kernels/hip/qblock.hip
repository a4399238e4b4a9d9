/* qblock_dequant and qblock_matmul for gfx1151, the plain versions: the same text as for sm_61. */
#include "../cuda/qblock.cu"
