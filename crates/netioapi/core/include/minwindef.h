/* The types and macros of programs. */
#ifndef TEREDO_MINWINDEF_H
#define TEREDO_MINWINDEF_H

#include "winnt.h"

typedef BYTE *LPBYTE;
typedef INT *LPINT;
typedef WORD *LPWORD;
typedef LONG *LPLONG;
typedef DWORD *LPDWORD;
typedef const void *LPCVOID;
typedef UINT_PTR WPARAM;
typedef LONG_PTR LPARAM;
typedef LONG_PTR LRESULT;
typedef WORD ATOM;
typedef int HFILE;
typedef HANDLE *SPHANDLE, *LPHANDLE;
typedef HANDLE HGLOBAL, HLOCAL, GLOBALHANDLE, LOCALHANDLE;

typedef struct _FILETIME {
	DWORD dwLowDateTime;
	DWORD dwHighDateTime;
} FILETIME, *PFILETIME, *LPFILETIME;

/* A kind of handles that the compiler keeps apart from others. */
#ifndef DECLARE_HANDLE
#define DECLARE_HANDLE(name) \
	struct name##__ { \
		int unused; \
	}; \
	typedef struct name##__ *name
#endif
DECLARE_HANDLE(HINSTANCE);
DECLARE_HANDLE(HKEY);
DECLARE_HANDLE(HKL);
DECLARE_HANDLE(HLSURF);
DECLARE_HANDLE(HMETAFILE);
DECLARE_HANDLE(HRGN);
DECLARE_HANDLE(HRSRC);
DECLARE_HANDLE(HSPRITE);
DECLARE_HANDLE(HSTR);
DECLARE_HANDLE(HTASK);
DECLARE_HANDLE(HWINSTA);
typedef HINSTANCE HMODULE;
typedef HKEY *PHKEY;

#ifndef MAX_PATH
#define MAX_PATH 260
#endif
#ifndef HFILE_ERROR
#define HFILE_ERROR ((HFILE)-1)
#endif

#ifndef APIENTRY
#define APIENTRY WINAPI
#endif
#ifndef APIPRIVATE
#define APIPRIVATE
#endif
#ifndef PASCAL
#define PASCAL
#endif
#ifndef CDECL
#define CDECL
#endif
#ifndef WINAPIV
#define WINAPIV
#endif
#ifndef WINAPI_INLINE
#define WINAPI_INLINE WINAPI
#endif
#ifndef FAR
#define FAR
#endif
#ifndef NEAR
#define NEAR
#endif

#ifndef LOBYTE
#define LOBYTE(word) ((BYTE)((DWORD_PTR)(word) & 0xff))
#endif
#ifndef HIBYTE
#define HIBYTE(word) ((BYTE)((DWORD_PTR)(word) >> 8 & 0xff))
#endif
#ifndef LOWORD
#define LOWORD(dword) ((WORD)((DWORD_PTR)(dword) & 0xffff))
#endif
#ifndef HIWORD
#define HIWORD(dword) ((WORD)((DWORD_PTR)(dword) >> 16 & 0xffff))
#endif
#ifndef MAKEWORD
#define MAKEWORD(low, high) ((WORD)(LOBYTE(low) | (WORD)LOBYTE(high) << 8))
#endif
#ifndef MAKELONG
#define MAKELONG(low, high) ((LONG)(LOWORD(low) | (DWORD)LOWORD(high) << 16))
#endif

#endif
