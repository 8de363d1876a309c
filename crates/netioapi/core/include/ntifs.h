/* For drivers: wdm.h holds everything. */
#include "wdm.h"
