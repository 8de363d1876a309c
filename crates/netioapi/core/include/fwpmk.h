/* Where Windows' drivers find what programs find in fwpmu.h. */
#include "fwpmu.h"
