/* For sources that include it ahead of iphlpapi.h, as Windows wants it. Sockets are Linux' own. */
#include "winsock2.h"
