/* A session with the filter engine, as FwpmEngineOpen0 takes it. */
#ifndef TEREDO_FWPMTYPES_H
#define TEREDO_FWPMTYPES_H

#include "fwptypes.h"

#ifndef FWPM_SESSION_FLAG_DYNAMIC
#define FWPM_SESSION_FLAG_DYNAMIC 0x00000001
#endif

typedef struct FWPM_DISPLAY_DATA0_ {
	wchar_t *name;
	wchar_t *description;
} FWPM_DISPLAY_DATA0;

typedef struct FWPM_SESSION0_ {
	GUID sessionKey;
	FWPM_DISPLAY_DATA0 displayData;
	UINT32 flags;
	UINT32 txnWaitTimeoutInMSec;
	DWORD processId;
	SID *sid;
	wchar_t *username;
	BOOL kernelMode;
} FWPM_SESSION0;

#ifndef FWPM_SESSION
#define FWPM_SESSION FWPM_SESSION0
#ifndef FWPM_DISPLAY_DATA
#define FWPM_DISPLAY_DATA FWPM_DISPLAY_DATA0
#endif
#endif

#endif
