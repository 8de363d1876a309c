/* Windows divides its annotations among four headers. */
#include "sal.h"
