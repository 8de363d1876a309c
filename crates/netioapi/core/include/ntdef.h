/* The types and macros of drivers that need no kernel. */
#ifndef TEREDO_NTDEF_H
#define TEREDO_NTDEF_H

#include "winnt.h"

typedef const UCHAR *PCUCHAR;
typedef const USHORT *PCUSHORT;
typedef const ULONG *PCULONG;
typedef NTSTATUS *PNTSTATUS;
typedef signed char SCHAR, *PSCHAR;
typedef ULONG LOGICAL, *PLOGICAL;
typedef short CSHORT, *PCSHORT;
typedef ULONG CLONG, *PCLONG;
typedef LARGE_INTEGER PHYSICAL_ADDRESS, *PPHYSICAL_ADDRESS;

__extension__ typedef struct _QUAD {
	__extension__ union {
		int64_t UseThisFieldToCopy;
		double DoNotUseThisField;
	};
} QUAD, *PQUAD, UQUAD, *PUQUAD;

/* Length and MaximumLength count bytes. */
typedef struct _UNICODE_STRING {
	USHORT Length;
	USHORT MaximumLength;
	PWSTR Buffer;
} UNICODE_STRING, *PUNICODE_STRING;
typedef const UNICODE_STRING *PCUNICODE_STRING;
typedef struct _STRING {
	USHORT Length;
	USHORT MaximumLength;
	PCHAR Buffer;
} STRING, *PSTRING, ANSI_STRING, *PANSI_STRING, OEM_STRING, *POEM_STRING, CANSI_STRING, *PCANSI_STRING, UTF8_STRING,
	*PUTF8_STRING;
typedef const STRING *PCOEM_STRING;
typedef struct _CSTRING {
	USHORT Length;
	USHORT MaximumLength;
	PCSTR Buffer;
} CSTRING, *PCSTRING;
typedef struct _STRING32 {
	USHORT Length;
	USHORT MaximumLength;
	ULONG Buffer;
} STRING32, *PSTRING32, UNICODE_STRING32, *PUNICODE_STRING32, ANSI_STRING32, *PANSI_STRING32;
typedef struct _STRING64 {
	USHORT Length;
	USHORT MaximumLength;
	ULONGLONG Buffer;
} STRING64, *PSTRING64, UNICODE_STRING64, *PUNICODE_STRING64, ANSI_STRING64, *PANSI_STRING64;

#ifndef RTL_CONSTANT_STRING
#define RTL_CONSTANT_STRING(text) {sizeof(text) - sizeof((text)[0]), sizeof(text), text}
#endif
#ifndef DECLARE_CONST_UNICODE_STRING
#define DECLARE_CONST_UNICODE_STRING(name, text) \
	const WCHAR name##_buffer[] = text; \
	const UNICODE_STRING name = {sizeof(text) - sizeof(WCHAR), sizeof(text), (PWCH)name##_buffer}
#endif
#ifndef DECLARE_UNICODE_STRING_SIZE
#define DECLARE_UNICODE_STRING_SIZE(name, length) \
	WCHAR name##_buffer[length]; \
	UNICODE_STRING name = {0, (length) * sizeof(WCHAR), name##_buffer}
#endif

typedef struct _OBJECT_ATTRIBUTES {
	ULONG Length;
	HANDLE RootDirectory;
	PUNICODE_STRING ObjectName;
	ULONG Attributes;
	PVOID SecurityDescriptor;
	PVOID SecurityQualityOfService;
} OBJECT_ATTRIBUTES, *POBJECT_ATTRIBUTES;
typedef const OBJECT_ATTRIBUTES *PCOBJECT_ATTRIBUTES;
typedef struct _OBJECT_ATTRIBUTES32 {
	ULONG Length;
	ULONG RootDirectory;
	ULONG ObjectName;
	ULONG Attributes;
	ULONG SecurityDescriptor;
	ULONG SecurityQualityOfService;
} OBJECT_ATTRIBUTES32, *POBJECT_ATTRIBUTES32;
typedef const OBJECT_ATTRIBUTES32 *PCOBJECT_ATTRIBUTES32;
typedef struct _OBJECT_ATTRIBUTES64 {
	ULONG Length;
	ULONG64 RootDirectory;
	ULONG64 ObjectName;
	ULONG Attributes;
	ULONG64 SecurityDescriptor;
	ULONG64 SecurityQualityOfService;
} OBJECT_ATTRIBUTES64, *POBJECT_ATTRIBUTES64;
typedef const OBJECT_ATTRIBUTES64 *PCOBJECT_ATTRIBUTES64;

typedef struct _SINGLE_LIST_ENTRY32 {
	ULONG Next;
} SINGLE_LIST_ENTRY32, *PSINGLE_LIST_ENTRY32;
__extension__ typedef struct _RTL_BALANCED_NODE {
	__extension__ union {
		struct _RTL_BALANCED_NODE *Children[2];
		__extension__ struct {
			struct _RTL_BALANCED_NODE *Left;
			struct _RTL_BALANCED_NODE *Right;
		};
	};
	__extension__ union {
		UCHAR Red : 1;
		UCHAR Balance : 2;
		ULONG_PTR ParentValue;
	};
} RTL_BALANCED_NODE, *PRTL_BALANCED_NODE;
typedef struct _WNF_STATE_NAME {
	ULONG Data[2];
} WNF_STATE_NAME, *PWNF_STATE_NAME;
typedef const WNF_STATE_NAME *PCWNF_STATE_NAME;

#ifndef NOTHING
#define NOTHING
#endif
#ifndef CRITICAL
#define CRITICAL
#endif
#ifndef FAR
#define FAR
#endif

#ifndef NT_INFORMATION
#define NT_INFORMATION(status) ((ULONG)(status) >> 30 == 1)
#endif
#ifndef NT_WARNING
#define NT_WARNING(status) ((ULONG)(status) >> 30 == 2)
#endif
#ifndef NT_ERROR
#define NT_ERROR(status) ((ULONG)(status) >> 30 == 3)
#endif

#endif
