/* Twins of conv: see ../common/conv_twins.h. */
#include "../common/conv_twins.h"
