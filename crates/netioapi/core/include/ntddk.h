/* For sources that include it ahead of netioapi.h: of its contents, what those need. */
#include "teredo_types.h"
