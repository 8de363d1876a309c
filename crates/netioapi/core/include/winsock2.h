/* For sources that include it ahead of iphlpapi.h, as Windows wants it: windows.h. Sockets are Linux' own. */
#include "windows.h"
