/* The dialect makes one source serve both: see there. */
#include "../cuda/proof.cu"
