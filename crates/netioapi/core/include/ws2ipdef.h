/* For sources that include it ahead of iphlpapi.h: of its contents, what those need. */
#include "windef.h"
