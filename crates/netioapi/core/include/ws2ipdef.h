/* For sources that include it ahead of iphlpapi.h: of its contents, what those need. */
#include "teredo_types.h"
