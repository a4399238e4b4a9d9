/* Broken kernels and steps of the failure catalogue: see ../common/fail_device.h. */
#include "../common/fail_device.h"
