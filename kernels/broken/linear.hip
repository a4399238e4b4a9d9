/* Twins of linear: the same text as for sm_61. */
#include "linear.cu"
