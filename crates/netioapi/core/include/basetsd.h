/* Integers by their width, and integers as wide as a pointer. */
#ifndef TEREDO_BASETSD_H
#define TEREDO_BASETSD_H

#include "teredo_types.h"

typedef int8_t INT8, *PINT8;
typedef int16_t INT16, *PINT16;
typedef int32_t INT32, *PINT32;
typedef int64_t INT64, *PINT64;
typedef uint8_t UINT8, *PUINT8;
typedef UINT16 *PUINT16;
typedef UINT32 *PUINT32;
typedef UINT64 *PUINT64;
typedef int32_t LONG32, *PLONG32;
typedef uint32_t ULONG32, *PULONG32;
typedef uint32_t DWORD32, *PDWORD32;
typedef int64_t LONG64, *PLONG64;
typedef uint64_t ULONG64, *PULONG64;
typedef uint64_t DWORD64, *PDWORD64;

typedef intptr_t INT_PTR, *PINT_PTR;
typedef uintptr_t UINT_PTR, *PUINT_PTR;
typedef intptr_t LONG_PTR, *PLONG_PTR;
typedef uintptr_t ULONG_PTR, *PULONG_PTR;
typedef ULONG_PTR DWORD_PTR, *PDWORD_PTR;
typedef ULONG_PTR SIZE_T, *PSIZE_T;
typedef LONG_PTR SSIZE_T, *PSSIZE_T;
typedef ULONG_PTR KAFFINITY, *PKAFFINITY;
typedef uintptr_t POINTER_64_INT;
typedef intptr_t SHANDLE_PTR;
typedef uintptr_t HANDLE_PTR;
#if UINTPTR_MAX > 0xFFFFFFFF
typedef int32_t HALF_PTR, *PHALF_PTR;
typedef uint32_t UHALF_PTR, *PUHALF_PTR;
#else
typedef int16_t HALF_PTR, *PHALF_PTR;
typedef uint16_t UHALF_PTR, *PUHALF_PTR;
#endif

/* Kinds of pointers: there is one. */
#ifndef POINTER_32
#define POINTER_32
#endif
#ifndef POINTER_64
#define POINTER_64
#endif
#ifndef POINTER_SIGNED
#define POINTER_SIGNED
#endif
#ifndef POINTER_UNSIGNED
#define POINTER_UNSIGNED
#endif
#ifndef SPOINTER_32
#define SPOINTER_32
#endif
#ifndef UPOINTER_32
#define UPOINTER_32
#endif
#ifndef FIRMWARE_PTR
#define FIRMWARE_PTR
#endif

/* The smallest and largest values. */
#ifndef MAXINT8
#define MAXINT8 ((INT8)INT8_MAX)
#endif
#ifndef MININT8
#define MININT8 ((INT8)INT8_MIN)
#endif
#ifndef MAXUINT8
#define MAXUINT8 ((UINT8)UINT8_MAX)
#endif
#ifndef MAXINT16
#define MAXINT16 ((INT16)INT16_MAX)
#endif
#ifndef MININT16
#define MININT16 ((INT16)INT16_MIN)
#endif
#ifndef MAXUINT16
#define MAXUINT16 ((UINT16)UINT16_MAX)
#endif
#ifndef MAXINT32
#define MAXINT32 ((INT32)INT32_MAX)
#endif
#ifndef MININT32
#define MININT32 ((INT32)INT32_MIN)
#endif
#ifndef MAXUINT32
#define MAXUINT32 ((UINT32)UINT32_MAX)
#endif
#ifndef MAXINT64
#define MAXINT64 ((INT64)INT64_MAX)
#endif
#ifndef MININT64
#define MININT64 ((INT64)INT64_MIN)
#endif
#ifndef MAXUINT64
#define MAXUINT64 ((UINT64)UINT64_MAX)
#endif
#ifndef MAXLONG32
#define MAXLONG32 ((LONG32)INT32_MAX)
#endif
#ifndef MINLONG32
#define MINLONG32 ((LONG32)INT32_MIN)
#endif
#ifndef MAXULONG32
#define MAXULONG32 ((ULONG32)UINT32_MAX)
#endif
#ifndef MAXDWORD32
#define MAXDWORD32 ((DWORD32)UINT32_MAX)
#endif
#ifndef MAXLONG64
#define MAXLONG64 ((LONG64)INT64_MAX)
#endif
#ifndef MINLONG64
#define MINLONG64 ((LONG64)INT64_MIN)
#endif
#ifndef MAXULONG64
#define MAXULONG64 ((ULONG64)UINT64_MAX)
#endif
#ifndef MAXDWORD64
#define MAXDWORD64 ((DWORD64)UINT64_MAX)
#endif
#ifndef MAXINT
#define MAXINT ((INT)INT32_MAX)
#endif
#ifndef MININT
#define MININT ((INT)INT32_MIN)
#endif
#ifndef MAXUINT
#define MAXUINT ((UINT)UINT32_MAX)
#endif
#ifndef MAXULONGLONG
#define MAXULONGLONG ((ULONGLONG)UINT64_MAX)
#endif
#ifndef MINLONGLONG
#define MINLONGLONG ((LONGLONG)INT64_MIN)
#endif
#ifndef MAXINT_PTR
#define MAXINT_PTR ((INT_PTR)INTPTR_MAX)
#endif
#ifndef MININT_PTR
#define MININT_PTR ((INT_PTR)INTPTR_MIN)
#endif
#ifndef MAXUINT_PTR
#define MAXUINT_PTR ((UINT_PTR)UINTPTR_MAX)
#endif
#ifndef MAXLONG_PTR
#define MAXLONG_PTR ((LONG_PTR)INTPTR_MAX)
#endif
#ifndef MINLONG_PTR
#define MINLONG_PTR ((LONG_PTR)INTPTR_MIN)
#endif
#ifndef MAXULONG_PTR
#define MAXULONG_PTR ((ULONG_PTR)UINTPTR_MAX)
#endif
#ifndef MAXSIZE_T
#define MAXSIZE_T ((SIZE_T)UINTPTR_MAX)
#endif
#ifndef MAXSSIZE_T
#define MAXSSIZE_T ((SSIZE_T)INTPTR_MAX)
#endif
#ifndef MINSSIZE_T
#define MINSSIZE_T ((SSIZE_T)INTPTR_MIN)
#endif

/* Between pointers and integers that may be narrower. */
#ifndef PtrToUlong
#define PtrToUlong(pointer) ((ULONG)(ULONG_PTR)(pointer))
#endif
#ifndef PtrToLong
#define PtrToLong(pointer) ((LONG)(LONG_PTR)(pointer))
#endif
#ifndef PtrToUint
#define PtrToUint(pointer) ((UINT)(UINT_PTR)(pointer))
#endif
#ifndef PtrToInt
#define PtrToInt(pointer) ((INT)(INT_PTR)(pointer))
#endif
#ifndef PtrToUshort
#define PtrToUshort(pointer) ((USHORT)(ULONG_PTR)(pointer))
#endif
#ifndef PtrToShort
#define PtrToShort(pointer) ((SHORT)(LONG_PTR)(pointer))
#endif
#ifndef ULongToPtr
#define ULongToPtr(number) ((VOID *)(ULONG_PTR)(ULONG)(number))
#endif
#ifndef UlongToPtr
#define UlongToPtr(number) ULongToPtr(number)
#endif
#ifndef LongToPtr
#define LongToPtr(number) ((VOID *)(LONG_PTR)(LONG)(number))
#endif
#ifndef UIntToPtr
#define UIntToPtr(number) ((VOID *)(UINT_PTR)(UINT)(number))
#endif
#ifndef UintToPtr
#define UintToPtr(number) UIntToPtr(number)
#endif
#ifndef IntToPtr
#define IntToPtr(number) ((VOID *)(INT_PTR)(INT)(number))
#endif
#ifndef HandleToULong
#define HandleToULong(handle) PtrToUlong(handle)
#endif
#ifndef HandleToUlong
#define HandleToUlong(handle) PtrToUlong(handle)
#endif
#ifndef HandleToLong
#define HandleToLong(handle) PtrToLong(handle)
#endif
#ifndef ULongToHandle
#define ULongToHandle(number) ((HANDLE)ULongToPtr(number))
#endif
#ifndef UlongToHandle
#define UlongToHandle(number) ((HANDLE)ULongToPtr(number))
#endif
#ifndef LongToHandle
#define LongToHandle(number) ((HANDLE)LongToPtr(number))
#endif

#endif
