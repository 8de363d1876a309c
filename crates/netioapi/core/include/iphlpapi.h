/* Where Windows' programs find netioapi.h. */
#include "netioapi.h"
