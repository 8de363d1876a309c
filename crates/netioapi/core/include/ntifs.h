/* For drivers: wdm.h, which has all of its contents that are here. */
#include "wdm.h"
