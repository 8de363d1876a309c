/* Win32 errors and HRESULTs, with the macros that take them apart. */
#ifndef TEREDO_WINERROR_H
#define TEREDO_WINERROR_H

#include "teredo_types.h"
#include "winerror_codes.h"

typedef LONG SCODE;

#ifndef SUCCEEDED
#define SUCCEEDED(result) ((HRESULT)(result) >= 0)
#endif
#ifndef FAILED
#define FAILED(result) ((HRESULT)(result) < 0)
#endif
#ifndef IS_ERROR
#define IS_ERROR(status) ((DWORD)(status) >> 31 == SEVERITY_ERROR)
#endif
#ifndef HRESULT_CODE
#define HRESULT_CODE(result) ((result) & 0xFFFF)
#endif
#ifndef HRESULT_FACILITY
#define HRESULT_FACILITY(result) ((result) >> 16 & 0x1FFF)
#endif
#ifndef HRESULT_SEVERITY
#define HRESULT_SEVERITY(result) ((result) >> 31 & 1)
#endif
#ifndef SCODE_CODE
#define SCODE_CODE(code) HRESULT_CODE(code)
#endif
#ifndef SCODE_FACILITY
#define SCODE_FACILITY(code) HRESULT_FACILITY(code)
#endif
#ifndef SCODE_SEVERITY
#define SCODE_SEVERITY(code) HRESULT_SEVERITY(code)
#endif
#ifndef MAKE_HRESULT
#define MAKE_HRESULT(severity, facility, code) \
	((HRESULT)((DWORD)(severity) << 31 | (DWORD)(facility) << 16 | (DWORD)(code)))
#endif
#ifndef MAKE_SCODE
#define MAKE_SCODE(severity, facility, code) ((SCODE)MAKE_HRESULT(severity, facility, code))
#endif
#ifndef HRESULT_FROM_WIN32
#define HRESULT_FROM_WIN32(error) \
	((HRESULT)(error) <= 0 \
		? (HRESULT)(error) \
		: (HRESULT)(((DWORD)(error) & 0xFFFF) | (DWORD)FACILITY_WIN32 << 16 | 0x80000000))
#endif
#ifndef HRESULT_FROM_NT
#define HRESULT_FROM_NT(status) ((HRESULT)((status) | FACILITY_NT_BIT))
#endif

#endif
