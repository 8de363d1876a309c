/* The status codes of drivers. */
#ifndef TEREDO_NTSTATUS_H
#define TEREDO_NTSTATUS_H

#include "teredo_types.h"
#include "ntstatus_codes.h"

#endif
