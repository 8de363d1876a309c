/* The types of the filter engine that others are made of. */
#ifndef TEREDO_FWPTYPES_H
#define TEREDO_FWPTYPES_H

#include "winnt.h"

typedef UINT32 FWP_ACTION_TYPE;
typedef UINT32 IPSEC_SA_SPI;

typedef struct FWP_BYTE_BLOB_ {
	UINT32 size;
	UINT8 *data;
} FWP_BYTE_BLOB;

#endif
