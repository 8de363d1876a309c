/* The types and macros that programs and drivers share. */
#ifndef TEREDO_WINNT_H
#define TEREDO_WINNT_H

#include "basetsd.h"
#include "guiddef.h"
#include "sal.h"

#include <string.h>
#if defined(__cplusplus) ? __cplusplus < 201103L : 1
#include <uchar.h>
#endif

typedef BYTE FCHAR;
typedef WORD FSHORT;
typedef DWORD FLONG;
typedef short SHORT;
typedef int INT;
typedef unsigned int UINT;
typedef float FLOAT;
typedef double DOUBLE;
typedef SHORT *PSHORT;
typedef LONG *PLONG;
typedef UCHAR *PUCHAR;
typedef INT *PINT;
typedef UINT *PUINT;
typedef FLOAT *PFLOAT;
typedef BYTE *PBYTE;
typedef WORD *PWORD;
typedef BOOL WINBOOL, *PBOOL, *LPBOOL;
typedef char CCHAR, *PCCHAR;
typedef void *PVOID64;
typedef int64_t LONGLONG, *PLONGLONG, USN;
typedef uint64_t ULONGLONG, *PULONGLONG, DWORDLONG, *PDWORDLONG;

/* Characters have 16 bits: u"text" in C11 and C++11, and L"text" with -fshort-wchar. */
#if __SIZEOF_WCHAR_T__ == 2
typedef wchar_t WCHAR;
#define TEREDO_WIDE(text) L##text
#elif defined(__cplusplus) && __cplusplus >= 201103L
typedef char16_t WCHAR;
#define TEREDO_WIDE(text) u##text
#else
typedef uint16_t WCHAR;
#define TEREDO_WIDE(text) u##text
#endif

/* A letter each: P or LP pointer, C constant, U unaligned, N not terminated by a zero, ZZ by two, SZ and STR by one. */
typedef CHAR *PCHAR, *LPCH, *PCH, *NPSTR, *LPSTR, *PSTR, *PSZ, *PZZSTR, *PNZCH;
typedef const CHAR *LPCCH, *PCCH, *PCZZSTR, *PCNZCH, *PCSZ;
typedef PSTR *PZPSTR;
typedef const PSTR *PCZPSTR;
typedef PCSTR *PZPCSTR;
typedef WCHAR *PWCHAR, *LPWCH, *PWCH, *NWPSTR, *LPWSTR, *PWSTR, *LPUWSTR, *PUWSTR;
typedef WCHAR *PZZWSTR, *PUZZWSTR, *PNZWCH, *PUNZWCH;
typedef const WCHAR *LPCWCH, *PCWCH, *LPCWSTR, *PCWSTR, *LPCUWSTR, *PCUWSTR, *LPCWCHAR, *PCWCHAR, *LPCUWCHAR, *PCUWCHAR;
typedef const WCHAR *PCZZWSTR, *PCUZZWSTR, *PCNZWCH, *PCUNZWCH;
typedef PWSTR *PZPWSTR;
typedef const PWSTR *PCZPWSTR;
typedef PCWSTR *PZPCWSTR;
typedef uint32_t UCSCHAR, *PUCSCHAR, *PUCSSTR, *PUUCSSTR, *PUUCSCHAR;
typedef const UCSCHAR *PCUCSCHAR, *PCUCSSTR, *PCUUCSSTR, *PCUUCSCHAR;

/* Characters and texts that UNICODE makes wide. */
#ifdef UNICODE
typedef WCHAR TCHAR, *PTCHAR, TBYTE, *PTBYTE;
typedef PWSTR LPTCH, PTCH, PTSTR, LPTSTR, PUTSTR, LPUTSTR, PZZTSTR, PUZZTSTR, PNZTCH, PUNZTCH;
typedef PCWSTR LPCTCH, PCTCH, PCTSTR, LPCTSTR, PCUTSTR, LPCUTSTR, PCZZTSTR, PCUZZTSTR, PCNZTCH, PCUNZTCH;
typedef PZPWSTR PZPTSTR;
#ifndef __TEXT
#define __TEXT(text) TEREDO_WIDE(text)
#endif
#else
typedef char TCHAR, *PTCHAR;
typedef unsigned char TBYTE, *PTBYTE;
typedef PSTR LPTCH, PTCH, PTSTR, LPTSTR, PUTSTR, LPUTSTR, PZZTSTR, PUZZTSTR, PNZTCH, PUNZTCH;
typedef PCSTR LPCTCH, PCTCH, PCTSTR, LPCTSTR, PCUTSTR, LPCUTSTR, PCZZTSTR, PCUZZTSTR, PCNZTCH, PCUNZTCH;
typedef PZPSTR PZPTSTR;
#define __TEXT(text) text
#endif
#ifndef TEXT
#define TEXT(text) __TEXT(text)
#endif
#ifndef ANSI_NULL
#define ANSI_NULL ((CHAR)0)
#endif
#ifndef UNICODE_NULL
#define UNICODE_NULL ((WCHAR)0)
#endif
#ifndef UNICODE_STRING_MAX_BYTES
#define UNICODE_STRING_MAX_BYTES ((WORD)65534)
#endif
#ifndef UNICODE_STRING_MAX_CHARS
#define UNICODE_STRING_MAX_CHARS (32767)
#endif

typedef DWORD LCID, *PLCID;
typedef WORD LANGID;
typedef PVOID PACCESS_TOKEN;
typedef PVOID PSECURITY_DESCRIPTOR;
typedef PVOID PSID;
typedef PVOID PCLAIMS_BLOB;
typedef DWORD ACCESS_MASK, *PACCESS_MASK;
typedef DWORD ACCESS_REASON;
typedef DWORD SECURITY_INFORMATION, *PSECURITY_INFORMATION;
typedef WORD SECURITY_DESCRIPTOR_CONTROL, *PSECURITY_DESCRIPTOR_CONTROL;
typedef BOOLEAN SECURITY_CONTEXT_TRACKING_MODE, *PSECURITY_CONTEXT_TRACKING_MODE;
typedef ULONG_PTR SID_HASH_ENTRY, *PSID_HASH_ENTRY;
typedef DWORD EXECUTION_STATE, *PEXECUTION_STATE;
typedef ULONG_PTR KSPIN_LOCK, *PKSPIN_LOCK;
typedef DWORD TP_VERSION, *PTP_VERSION;
typedef DWORD TP_WAIT_RESULT;
typedef struct _TP_CALLBACK_INSTANCE *PTP_CALLBACK_INSTANCE;
typedef struct _TP_CLEANUP_GROUP *PTP_CLEANUP_GROUP;
typedef struct _TP_IO *PTP_IO;
typedef struct _TP_POOL *PTP_POOL;
typedef struct _TP_TIMER *PTP_TIMER;
typedef struct _TP_WAIT *PTP_WAIT;
typedef struct _TP_WORK *PTP_WORK;
typedef struct _SID SID, *PISID;

/* The parts have names in both variants: u.LowPart, and LowPart. */
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define TEREDO_PARTS(high) high HighPart; DWORD LowPart;
#else
#define TEREDO_PARTS(high) DWORD LowPart; high HighPart;
#endif
__extension__ typedef union _LARGE_INTEGER {
	__extension__ struct { TEREDO_PARTS(LONG) };
	struct { TEREDO_PARTS(LONG) } u;
	LONGLONG QuadPart;
} LARGE_INTEGER, *PLARGE_INTEGER;
__extension__ typedef union _ULARGE_INTEGER {
	__extension__ struct { TEREDO_PARTS(DWORD) };
	struct { TEREDO_PARTS(DWORD) } u;
	ULONGLONG QuadPart;
} ULARGE_INTEGER, *PULARGE_INTEGER;
#undef TEREDO_PARTS
typedef struct _LUID {
	DWORD LowPart;
	LONG HighPart;
} LUID, *PLUID;

typedef struct _LIST_ENTRY {
	struct _LIST_ENTRY *Flink;
	struct _LIST_ENTRY *Blink;
} LIST_ENTRY, *PLIST_ENTRY, *PRLIST_ENTRY;
typedef struct _SINGLE_LIST_ENTRY {
	struct _SINGLE_LIST_ENTRY *Next;
} SINGLE_LIST_ENTRY, *PSINGLE_LIST_ENTRY;
typedef struct LIST_ENTRY32 {
	DWORD Flink;
	DWORD Blink;
} LIST_ENTRY32, *PLIST_ENTRY32;
typedef struct LIST_ENTRY64 {
	ULONGLONG Flink;
	ULONGLONG Blink;
} LIST_ENTRY64, *PLIST_ENTRY64;
typedef struct _PROCESSOR_NUMBER {
	WORD Group;
	BYTE Number;
	BYTE Reserved;
} PROCESSOR_NUMBER, *PPROCESSOR_NUMBER;
typedef struct _GROUP_AFFINITY {
	KAFFINITY Mask;
	WORD Group;
	WORD Reserved[3];
} GROUP_AFFINITY, *PGROUP_AFFINITY;

#ifndef ANYSIZE_ARRAY
#define ANYSIZE_ARRAY 1
#endif
#ifndef MINCHAR
#define MINCHAR 0x80
#endif
#ifndef MAXCHAR
#define MAXCHAR 0x7f
#endif
#ifndef MINSHORT
#define MINSHORT 0x8000
#endif
#ifndef MAXSHORT
#define MAXSHORT 0x7fff
#endif
#ifndef MINLONG
#define MINLONG 0x80000000
#endif
#ifndef MAXLONG
#define MAXLONG 0x7fffffff
#endif
#ifndef MAXBYTE
#define MAXBYTE 0xff
#endif
#ifndef MAXUCHAR
#define MAXUCHAR 0xff
#endif
#ifndef MAXWORD
#define MAXWORD 0xffff
#endif
#ifndef MAXUSHORT
#define MAXUSHORT 0xffff
#endif
#ifndef MAXDWORD
#define MAXDWORD 0xffffffff
#endif
#ifndef MAXULONG
#define MAXULONG 0xffffffff
#endif
#ifndef MAXLONGLONG
#define MAXLONGLONG ((LONGLONG)INT64_MAX)
#endif

/* Words of Microsoft's compilers. */
#ifndef __cdecl
#define __cdecl
#endif
#ifndef __stdcall
#define __stdcall
#endif
#ifndef __fastcall
#define __fastcall
#endif
#ifndef __declspec
#define __declspec(what)
#endif
#ifndef __forceinline
/* Not static, because sources write static themselves. */
#if defined(__GNUC_GNU_INLINE__) && !defined(__cplusplus)
#define __forceinline extern __inline__ __attribute__((__always_inline__, __gnu_inline__))
#else
#define __forceinline __inline__ __attribute__((__always_inline__))
#endif
#endif
#ifndef __int64
#define __int64 long long
#endif
#ifndef __unaligned
#define __unaligned
#endif

/* Annotations of declarations. */
#ifndef FORCEINLINE
#define FORCEINLINE __forceinline
#endif
#ifndef FASTCALL
#define FASTCALL
#endif
#ifdef __cplusplus
#ifndef EXTERN_C
#define EXTERN_C extern "C"
#endif
#ifndef EXTERN_C_START
#define EXTERN_C_START extern "C" {
#endif
#ifndef EXTERN_C_END
#define EXTERN_C_END }
#endif
#else
#ifndef EXTERN_C
#define EXTERN_C extern
#endif
#ifndef EXTERN_C_START
#define EXTERN_C_START
#endif
#ifndef EXTERN_C_END
#define EXTERN_C_END
#endif
#endif
#ifndef STDMETHODCALLTYPE
#define STDMETHODCALLTYPE
#endif
#ifndef STDMETHODVCALLTYPE
#define STDMETHODVCALLTYPE
#endif
#ifndef STDAPICALLTYPE
#define STDAPICALLTYPE
#endif
#ifndef STDAPIVCALLTYPE
#define STDAPIVCALLTYPE
#endif
#ifndef NTAPI_INLINE
#define NTAPI_INLINE
#endif
#ifndef NTSYSAPI
#define NTSYSAPI
#endif
#ifndef NTSYSCALLAPI
#define NTSYSCALLAPI
#endif
#ifndef UNALIGNED
#define UNALIGNED
#endif
#ifndef UNALIGNED64
#define UNALIGNED64
#endif
#ifndef RESTRICTED_POINTER
#define RESTRICTED_POINTER
#endif
#ifndef ALIGNMENT_MACHINE
#define ALIGNMENT_MACHINE
#endif
#ifndef DECLSPEC_ADDRSAFE
#define DECLSPEC_ADDRSAFE
#endif
#ifndef DECLSPEC_ALIGN
#define DECLSPEC_ALIGN(bytes) __attribute__((__aligned__(bytes)))
#endif
#ifndef DECLSPEC_CACHEALIGN
#define DECLSPEC_CACHEALIGN DECLSPEC_ALIGN(64)
#endif
#ifndef DECLSPEC_DEPRECATED
#define DECLSPEC_DEPRECATED __attribute__((__deprecated__))
#endif
#ifndef DECLSPEC_DEPRECATED_DDK
#define DECLSPEC_DEPRECATED_DDK
#endif
#ifndef DECLSPEC_IMPORT
#define DECLSPEC_IMPORT
#endif
#ifndef DECLSPEC_NOINLINE
#define DECLSPEC_NOINLINE __attribute__((__noinline__))
#endif
#ifndef DECLSPEC_NORETURN
#define DECLSPEC_NORETURN __attribute__((__noreturn__))
#endif
#ifndef DECLSPEC_NOTHROW
#define DECLSPEC_NOTHROW __attribute__((__nothrow__))
#endif
#ifndef DECLSPEC_NOVTABLE
#define DECLSPEC_NOVTABLE
#endif
#ifndef DECLSPEC_SELECTANY
#define DECLSPEC_SELECTANY __attribute__((__weak__))
#endif
#ifndef DECLSPEC_UUID
#define DECLSPEC_UUID(text)
#endif
/* The language has the operators where enumerations are integers. */
#ifndef DEFINE_ENUM_FLAG_OPERATORS
#ifdef __cplusplus
#define DEFINE_ENUM_FLAG_OPERATORS(type) \
	static inline constexpr type operator|(type one, type other) { return type((int)one | (int)other); } \
	static inline constexpr type operator&(type one, type other) { return type((int)one & (int)other); } \
	static inline constexpr type operator^(type one, type other) { return type((int)one ^ (int)other); } \
	static inline constexpr type operator~(type one) { return type(~(int)one); } \
	static inline type &operator|=(type &one, type other) { return one = one | other; } \
	static inline type &operator&=(type &one, type other) { return one = one & other; } \
	static inline type &operator^=(type &one, type other) { return one = one ^ other; }
#else
#define DEFINE_ENUM_FLAG_OPERATORS(type)
#endif
#endif

/* Assertions at compile time. */
#ifndef C_ASSERT
#if defined(__cplusplus) && __cplusplus >= 201103L
#define C_ASSERT(condition) static_assert(condition, #condition)
#elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
#define C_ASSERT(condition) _Static_assert(condition, #condition)
#else
#define C_ASSERT(condition) extern char teredo_c_assert[(condition) ? 1 : -1]
#endif
#endif

/* Structures and arrays. */
#ifndef FIELD_OFFSET
#define FIELD_OFFSET(type, field) ((LONG)offsetof(type, field))
#endif
#ifndef CONTAINING_RECORD
#define CONTAINING_RECORD(address, type, field) ((type *)((char *)(address) - offsetof(type, field)))
#endif
#ifndef RTL_FIELD_SIZE
#define RTL_FIELD_SIZE(type, field) (sizeof(((type *)0)->field))
#endif
#ifndef RTL_SIZEOF_THROUGH_FIELD
#define RTL_SIZEOF_THROUGH_FIELD(type, field) (offsetof(type, field) + RTL_FIELD_SIZE(type, field))
#endif
#ifndef RTL_CONTAINS_FIELD
#define RTL_CONTAINS_FIELD(structure, size, field) \
	((char *)(&(structure)->field + 1) <= (char *)(structure) + (size))
#endif
#ifndef RTL_NUMBER_OF_V1
#define RTL_NUMBER_OF_V1(array) (sizeof(array) / sizeof((array)[0]))
#endif
#ifndef RTL_NUMBER_OF_V2
#define RTL_NUMBER_OF_V2(array) RTL_NUMBER_OF_V1(array)
#endif
#ifndef RTL_NUMBER_OF
#define RTL_NUMBER_OF(array) RTL_NUMBER_OF_V1(array)
#endif
#ifndef RTL_NUMBER_OF_FIELD
#define RTL_NUMBER_OF_FIELD(type, field) RTL_NUMBER_OF(((type *)0)->field)
#endif
#ifndef RTL_BITS_OF
#define RTL_BITS_OF(what) (sizeof(what) * 8)
#endif
#ifndef RTL_BITS_OF_FIELD
#define RTL_BITS_OF_FIELD(type, field) RTL_BITS_OF(((type *)0)->field)
#endif
#ifndef RTL_CONST_CAST
#define RTL_CONST_CAST(type) (type)
#endif
#ifndef ARRAYSIZE
#define ARRAYSIZE(array) RTL_NUMBER_OF_V2(array)
#endif
#ifndef _ARRAYSIZE
#define _ARRAYSIZE(array) RTL_NUMBER_OF_V1(array)
#endif
#ifndef ARGUMENT_PRESENT
#define ARGUMENT_PRESENT(pointer) ((pointer) != NULL)
#endif
#ifndef DBG_UNREFERENCED_PARAMETER
#define DBG_UNREFERENCED_PARAMETER(parameter) UNREFERENCED_PARAMETER(parameter)
#endif
#ifndef DBG_UNREFERENCED_LOCAL_VARIABLE
#define DBG_UNREFERENCED_LOCAL_VARIABLE(variable) UNREFERENCED_PARAMETER(variable)
#endif
#ifndef UNREFERENCED_LOCAL_VARIABLE
#define UNREFERENCED_LOCAL_VARIABLE(variable) UNREFERENCED_PARAMETER(variable)
#endif

#ifndef Int32x32To64
#define Int32x32To64(one, other) ((LONGLONG)(LONG)(one) * (LONGLONG)(LONG)(other))
#endif
#ifndef UInt32x32To64
#define UInt32x32To64(one, other) ((ULONGLONG)(DWORD)(one) * (ULONGLONG)(DWORD)(other))
#endif
#ifndef Int64ShllMod32
#define Int64ShllMod32(number, bits) ((ULONGLONG)(number) << (bits))
#endif
#ifndef Int64ShraMod32
#define Int64ShraMod32(number, bits) ((LONGLONG)(number) >> (bits))
#endif
#ifndef Int64ShrlMod32
#define Int64ShrlMod32(number, bits) ((ULONGLONG)(number) >> (bits))
#endif

/* Not for C++, whose library has functions of these names. */
#if !defined(NOMINMAX) && !defined(__cplusplus)
#ifndef min
#define min(one, other) ((one) < (other) ? (one) : (other))
#endif
#ifndef max
#define max(one, other) ((one) > (other) ? (one) : (other))
#endif
#endif

/* Memory. */
#ifndef RtlCopyMemory
#define RtlCopyMemory(to, from, bytes) memcpy(to, from, bytes)
#endif
#ifndef RtlMoveMemory
#define RtlMoveMemory(to, from, bytes) memmove(to, from, bytes)
#endif
#ifndef RtlFillMemory
#define RtlFillMemory(to, bytes, value) memset(to, value, bytes)
#endif
#ifndef RtlZeroMemory
#define RtlZeroMemory(to, bytes) memset(to, 0, bytes)
#endif
#ifndef RtlEqualMemory
#define RtlEqualMemory(one, other, bytes) (memcmp(one, other, bytes) == 0)
#endif

/* Memory that holds a secret: no compiler leaves this out. */
static __inline__ PVOID RtlSecureZeroMemory(PVOID to, SIZE_T bytes)
{
	volatile UCHAR *byte = (volatile UCHAR *)to;

	while (bytes-- != 0) {
		*byte++ = 0;
	}
	return to;
}

#ifndef MemoryBarrier
#define MemoryBarrier() __sync_synchronize()
#endif

/* Atomic operations, each a full barrier. Increment, decrement and add return the new value, all others the old one. */
#define TEREDO_ATOMIC(type, name, operation) \
	static __inline__ type name(type volatile *target, type value) \
	{ \
		return operation(target, value, __ATOMIC_SEQ_CST); \
	}
#define TEREDO_ATOMIC_STEP(type, name, operation) \
	static __inline__ type name(type volatile *target) \
	{ \
		return operation(target, 1, __ATOMIC_SEQ_CST); \
	}
#define TEREDO_ATOMIC_IF(type, name) \
	static __inline__ type name(type volatile *target, type value, type comparand) \
	{ \
		__atomic_compare_exchange_n(target, &comparand, value, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); \
		return comparand; \
	}
TEREDO_ATOMIC_STEP(LONG, InterlockedIncrement, __atomic_add_fetch)
TEREDO_ATOMIC_STEP(LONG, InterlockedDecrement, __atomic_sub_fetch)
TEREDO_ATOMIC(LONG, InterlockedAdd, __atomic_add_fetch)
TEREDO_ATOMIC(LONG, InterlockedExchangeAdd, __atomic_fetch_add)
TEREDO_ATOMIC(LONG, InterlockedAnd, __atomic_fetch_and)
TEREDO_ATOMIC(LONG, InterlockedOr, __atomic_fetch_or)
TEREDO_ATOMIC(LONG, InterlockedXor, __atomic_fetch_xor)
TEREDO_ATOMIC(LONG, InterlockedExchange, __atomic_exchange_n)
TEREDO_ATOMIC_IF(LONG, InterlockedCompareExchange)
TEREDO_ATOMIC_STEP(LONGLONG, InterlockedIncrement64, __atomic_add_fetch)
TEREDO_ATOMIC_STEP(LONGLONG, InterlockedDecrement64, __atomic_sub_fetch)
TEREDO_ATOMIC(LONGLONG, InterlockedAdd64, __atomic_add_fetch)
TEREDO_ATOMIC(LONGLONG, InterlockedExchangeAdd64, __atomic_fetch_add)
TEREDO_ATOMIC(LONGLONG, InterlockedAnd64, __atomic_fetch_and)
TEREDO_ATOMIC(LONGLONG, InterlockedOr64, __atomic_fetch_or)
TEREDO_ATOMIC(LONGLONG, InterlockedXor64, __atomic_fetch_xor)
TEREDO_ATOMIC(LONGLONG, InterlockedExchange64, __atomic_exchange_n)
TEREDO_ATOMIC_IF(LONGLONG, InterlockedCompareExchange64)
TEREDO_ATOMIC(PVOID, InterlockedExchangePointer, __atomic_exchange_n)
TEREDO_ATOMIC_IF(PVOID, InterlockedCompareExchangePointer)
#undef TEREDO_ATOMIC
#undef TEREDO_ATOMIC_STEP
#undef TEREDO_ATOMIC_IF

/* The status codes that winnt.h has itself, for sources that do not include ntstatus.h. */
#if !defined(WIN32_NO_STATUS) && !defined(TEREDO_NETIO_DRIVER)
#include "winnt_codes.h"
#endif

#endif
