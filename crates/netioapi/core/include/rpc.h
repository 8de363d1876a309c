/* The part of rpc.h that fwpmu.h needs. */
#include "rpcdce.h"
