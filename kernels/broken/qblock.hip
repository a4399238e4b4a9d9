/* Twins of qblock: the same text as for sm_61. */
#include "qblock.cu"
