/* Constants and macros, without the functions: docs/windows-source.md lists replacements for those. */
#ifndef TEREDO_WINBASE_H
#define TEREDO_WINBASE_H

#include "windef.h"

#ifndef INVALID_HANDLE_VALUE
#define INVALID_HANDLE_VALUE ((HANDLE)(LONG_PTR)-1)
#endif
#ifndef INFINITE
#define INFINITE 0xffffffff
#endif
#ifndef WAIT_OBJECT_0
#define WAIT_OBJECT_0 ((DWORD)0)
#endif
#ifndef WAIT_ABANDONED
#define WAIT_ABANDONED ((DWORD)0x80)
#endif
#ifndef WAIT_ABANDONED_0
#define WAIT_ABANDONED_0 ((DWORD)0x80)
#endif
#ifndef WAIT_IO_COMPLETION
#define WAIT_IO_COMPLETION ((DWORD)0xC0)
#endif
#ifndef WAIT_FAILED
#define WAIT_FAILED ((DWORD)0xffffffff)
#endif
#ifndef STILL_ACTIVE
#define STILL_ACTIVE ((DWORD)0x103)
#endif
#ifndef INVALID_ATOM
#define INVALID_ATOM ((ATOM)0)
#endif

#ifndef CopyMemory
#define CopyMemory(to, from, bytes) RtlCopyMemory(to, from, bytes)
#endif
#ifndef MoveMemory
#define MoveMemory(to, from, bytes) RtlMoveMemory(to, from, bytes)
#endif
#ifndef FillMemory
#define FillMemory(to, bytes, value) RtlFillMemory(to, bytes, value)
#endif
#ifndef ZeroMemory
#define ZeroMemory(to, bytes) RtlZeroMemory(to, bytes)
#endif
#ifndef SecureZeroMemory
#define SecureZeroMemory(to, bytes) RtlSecureZeroMemory(to, bytes)
#endif

#endif
