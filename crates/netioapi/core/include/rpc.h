/* Of its contents, what fwpmu.h needs. */
#include "rpcdce.h"
