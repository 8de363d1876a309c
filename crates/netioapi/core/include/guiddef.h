/* Unique identifiers. DEFINE_GUID declares one, and defines it if INITGUID is defined. */
#ifndef TEREDO_GUIDDEF_H
#define TEREDO_GUIDDEF_H

#include "teredo_types.h"

#include <string.h>

typedef struct _GUID {
	uint32_t Data1;
	uint16_t Data2;
	uint16_t Data3;
	uint8_t Data4[8];
} GUID, *LPGUID, *PGUID, UUID;
typedef const GUID *LPCGUID;
typedef GUID IID, *LPIID;
typedef GUID CLSID, *LPCLSID;
typedef GUID FMTID, *LPFMTID;

#ifdef __cplusplus
#define REFGUID const GUID &
#define REFIID const IID &
#define REFCLSID const CLSID &
#define REFFMTID const FMTID &
static inline bool IsEqualGUID(REFGUID one, REFGUID other)
{
	return memcmp(&one, &other, sizeof(GUID)) == 0;
}
static inline bool operator==(REFGUID one, REFGUID other)
{
	return IsEqualGUID(one, other);
}
static inline bool operator!=(REFGUID one, REFGUID other)
{
	return !IsEqualGUID(one, other);
}
#define TEREDO_GUID_LINKAGE extern "C"
#else
#define REFGUID const GUID *
#define REFIID const IID *
#define REFCLSID const CLSID *
#define REFFMTID const FMTID *
#define IsEqualGUID(one, other) (memcmp(one, other, sizeof(GUID)) == 0)
#define TEREDO_GUID_LINKAGE extern
#endif
#define IsEqualIID(one, other) IsEqualGUID(one, other)
#define IsEqualCLSID(one, other) IsEqualGUID(one, other)
#define IsEqualFMTID(one, other) IsEqualGUID(one, other)

#endif

/* Outside of the guard: initguid.h and sources include this again after they define INITGUID. */
#undef DEFINE_GUID
#ifdef INITGUID
#define DEFINE_GUID(name, l, w1, w2, b1, b2, b3, b4, b5, b6, b7, b8) \
	TEREDO_GUID_LINKAGE const GUID name __attribute__((__weak__)); \
	const GUID name = {l, w1, w2, {b1, b2, b3, b4, b5, b6, b7, b8}}
#else
#define DEFINE_GUID(name, l, w1, w2, b1, b2, b3, b4, b5, b6, b7, b8) TEREDO_GUID_LINKAGE const GUID name
#endif
