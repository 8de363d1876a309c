/* Where Windows' programs find netioapi.h. */
#include "windows.h"
#include "ifdef.h"
#include "netioapi.h"
