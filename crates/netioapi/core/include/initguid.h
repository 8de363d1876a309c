/* From here on DEFINE_GUID defines what it declares. */
#ifndef INITGUID
#define INITGUID
#endif
#include "guiddef.h"
