/* Twins of norm: see ../common/norm_twins.h. */
#include "../common/norm_twins.h"
