/* For drivers: types, annotations, macros and NTSTATUS. The kernel's functions are not here:
   docs/windows-source.md lists replacements. */
#ifndef TEREDO_WDM_H
#define TEREDO_WDM_H

#include "ntdef.h"
#include "ntstatus.h"

#include <assert.h>

/* The level of a thread is PASSIVE_LEVEL, always. */
typedef UCHAR KIRQL, *PKIRQL;
#ifndef PASSIVE_LEVEL
#define PASSIVE_LEVEL 0
#endif
#ifndef LOW_LEVEL
#define LOW_LEVEL 0
#endif
#ifndef APC_LEVEL
#define APC_LEVEL 1
#endif
#ifndef DISPATCH_LEVEL
#define DISPATCH_LEVEL 2
#endif
#ifndef CMCI_LEVEL
#define CMCI_LEVEL 5
#endif
#ifndef CLOCK_LEVEL
#define CLOCK_LEVEL 13
#endif
#ifndef IPI_LEVEL
#define IPI_LEVEL 14
#endif
#ifndef DRS_LEVEL
#define DRS_LEVEL 14
#endif
#ifndef POWER_LEVEL
#define POWER_LEVEL 14
#endif
#ifndef PROFILE_LEVEL
#define PROFILE_LEVEL 15
#endif
#ifndef HIGH_LEVEL
#define HIGH_LEVEL 15
#endif

typedef CCHAR KPROCESSOR_MODE;
typedef LONG KPRIORITY;
typedef ULONG64 KSPIN_LOCK_QUEUE_NUMBER;
typedef ULONG_PTR ERESOURCE_THREAD, *PERESOURCE_THREAD;
typedef PVOID PKIPI_CONTEXT;
typedef ULONG NODE_REQUIREMENT;
typedef ULONG PFN_COUNT;
typedef LONG_PTR SPFN_NUMBER, *PSPFN_NUMBER;
typedef ULONG_PTR PFN_NUMBER, *PPFN_NUMBER;
typedef HANDLE POHANDLE;
typedef int CM_RESOURCE_TYPE;
typedef ULONG PNP_DEVICE_STATE, *PPNP_DEVICE_STATE;
typedef ULONG OB_OPERATION;
typedef ULONG64 TRACEHANDLE, *PTRACEHANDLE;
typedef PVOID PEXT_CANCEL_PARAMETERS;
typedef GUID UOW, *PUOW;
typedef ULONG CLFS_CONTAINER_ID, *PCLFS_CONTAINER_ID, **PPCLFS_CONTAINER_ID;
typedef UCHAR CLS_RECORD_TYPE, *PCLS_RECORD_TYPE, **PPCLS_RECORD_TYPE;
typedef CLS_RECORD_TYPE CLFS_RECORD_TYPE, *PCLFS_RECORD_TYPE, **PPCLFS_RECORD_TYPE;
typedef UINT32 CLS_CONTAINER_STATE, *PCLS_CONTAINER_STATE, *PPCLS_CONTAINER_STATE;
typedef CLS_CONTAINER_STATE CLFS_CONTAINER_STATE, *PCLFS_CONTAINER_STATE, *PPCLFS_CONTAINER_STATE;
typedef UCHAR CLFS_SCAN_MODE, *PCLFS_SCAN_MODE;
typedef GUID CLFS_LOG_ID;
#ifndef DEVICE_TYPE
#define DEVICE_TYPE ULONG
#endif

/* Objects of the kernel that drivers know by their addresses. */
typedef struct _BUS_HANDLER *PBUS_HANDLER;
typedef struct _CALLBACK_OBJECT *PCALLBACK_OBJECT;
typedef struct _DEVICE_HANDLER_OBJECT *PDEVICE_HANDLER_OBJECT;
typedef struct _EPROCESS *PEPROCESS;
typedef struct _ETHREAD *PETHREAD;
typedef struct _EX_RUNDOWN_REF_CACHE_AWARE *PEX_RUNDOWN_REF_CACHE_AWARE;
typedef struct _EX_TIMER *PEX_TIMER;
typedef struct _HAL_DISPATCH_TABLE *PHAL_DISPATCH_TABLE;
typedef struct _HAL_PRIVATE_DISPATCH_TABLE *PHAL_PRIVATE_DISPATCH_TABLE;
typedef struct _IMAGE_NT_HEADERS *PIMAGE_NT_HEADERS32;
typedef struct _IMAGE_NT_HEADERS64 *PIMAGE_NT_HEADERS64, *PIMAGE_NT_HEADERS;
typedef struct _IO_REMOVE_LOCK_TRACKING_BLOCK *PIO_REMOVE_LOCK_TRACKING_BLOCK;
typedef struct _IO_TIMER *PIO_TIMER;
typedef struct _IO_WORKITEM *PIO_WORKITEM;
typedef struct _KINTERRUPT *PKINTERRUPT;
typedef struct _KPROCESS *PKPROCESS;
typedef struct _KTHREAD *PKTHREAD, *PRKTHREAD;
typedef struct _OBJECT_TYPE *POBJECT_TYPE;
typedef struct _PEB *PPEB;
typedef struct _WHEA_ERROR_RECORD *PWHEA_ERROR_RECORD;
typedef struct _WHEA_ERROR_SOURCE_DESCRIPTOR *PWHEA_ERROR_SOURCE_DESCRIPTOR;
typedef struct _IRP IRP, *PIRP;
typedef struct _FILE_OBJECT FILE_OBJECT, *PFILE_OBJECT;

/* A driver. The program that stands for the kernel passes it to DriverEntry. */
typedef struct _DRIVER_OBJECT DRIVER_OBJECT, *PDRIVER_OBJECT;
typedef struct _DEVICE_OBJECT DEVICE_OBJECT, *PDEVICE_OBJECT;
typedef NTSTATUS NTAPI DRIVER_INITIALIZE(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath);
typedef VOID NTAPI DRIVER_UNLOAD(PDRIVER_OBJECT DriverObject);
typedef NTSTATUS NTAPI DRIVER_DISPATCH(PDEVICE_OBJECT DeviceObject, PIRP Irp);
typedef VOID NTAPI DRIVER_STARTIO(PDEVICE_OBJECT DeviceObject, PIRP Irp);
typedef NTSTATUS NTAPI DRIVER_ADD_DEVICE(PDRIVER_OBJECT DriverObject, PDEVICE_OBJECT PhysicalDeviceObject);
typedef VOID NTAPI KSTART_ROUTINE(PVOID StartContext);
typedef DRIVER_INITIALIZE *PDRIVER_INITIALIZE;
typedef DRIVER_UNLOAD *PDRIVER_UNLOAD;
typedef DRIVER_DISPATCH *PDRIVER_DISPATCH;
typedef DRIVER_STARTIO *PDRIVER_STARTIO;
typedef DRIVER_ADD_DEVICE *PDRIVER_ADD_DEVICE;
typedef KSTART_ROUTINE *PKSTART_ROUTINE;

#ifndef IRP_MJ_CREATE
#define IRP_MJ_CREATE 0x00
#endif
#ifndef IRP_MJ_CLOSE
#define IRP_MJ_CLOSE 0x02
#endif
#ifndef IRP_MJ_READ
#define IRP_MJ_READ 0x03
#endif
#ifndef IRP_MJ_WRITE
#define IRP_MJ_WRITE 0x04
#endif
#ifndef IRP_MJ_DEVICE_CONTROL
#define IRP_MJ_DEVICE_CONTROL 0x0e
#endif
#ifndef IRP_MJ_INTERNAL_DEVICE_CONTROL
#define IRP_MJ_INTERNAL_DEVICE_CONTROL 0x0f
#endif
#ifndef IRP_MJ_SHUTDOWN
#define IRP_MJ_SHUTDOWN 0x10
#endif
#ifndef IRP_MJ_CLEANUP
#define IRP_MJ_CLEANUP 0x12
#endif
#ifndef IRP_MJ_POWER
#define IRP_MJ_POWER 0x16
#endif
#ifndef IRP_MJ_SYSTEM_CONTROL
#define IRP_MJ_SYSTEM_CONTROL 0x17
#endif
#ifndef IRP_MJ_PNP
#define IRP_MJ_PNP 0x1b
#endif
#ifndef IRP_MJ_MAXIMUM_FUNCTION
#define IRP_MJ_MAXIMUM_FUNCTION 0x1b
#endif

struct _DRIVER_OBJECT {
	CSHORT Type;
	CSHORT Size;
	PDEVICE_OBJECT DeviceObject;
	ULONG Flags;
	PVOID DriverStart;
	ULONG DriverSize;
	PVOID DriverSection;
	struct _DRIVER_EXTENSION *DriverExtension;
	UNICODE_STRING DriverName;
	PUNICODE_STRING HardwareDatabase;
	struct _FAST_IO_DISPATCH *FastIoDispatch;
	PDRIVER_INITIALIZE DriverInit;
	PDRIVER_STARTIO DriverStartIo;
	PDRIVER_UNLOAD DriverUnload;
	PDRIVER_DISPATCH MajorFunction[IRP_MJ_MAXIMUM_FUNCTION + 1];
};

/* Of a device's members, those that drivers use by name. */
struct _DEVICE_OBJECT {
	PDRIVER_OBJECT DriverObject;
	PDEVICE_OBJECT NextDevice;
	PDEVICE_OBJECT AttachedDevice;
	ULONG Flags;
	ULONG Characteristics;
	PVOID DeviceExtension;
	DEVICE_TYPE DeviceType;
	CCHAR StackSize;
};

/* Annotations of declarations. */
#ifndef NTKERNELAPI
#define NTKERNELAPI
#endif
#ifndef NTHALAPI
#define NTHALAPI
#endif
#ifndef CLFSUSER_API
#define CLFSUSER_API
#endif
#ifndef LOOKASIDE_ALIGN
#define LOOKASIDE_ALIGN
#endif
#ifndef POINTER_ALIGNMENT
#define POINTER_ALIGNMENT DECLSPEC_ALIGN(8)
#endif

/* Assertions and messages, in a build for developers (DBG) alone. */
#ifndef PAGED_CODE
#define PAGED_CODE() ((void)0)
#endif
#ifndef PAGED_CODE_LOCKED
#define PAGED_CODE_LOCKED() ((void)0)
#endif
#if defined(DBG) && DBG
#ifndef NT_ASSERT
#define NT_ASSERT(condition) assert(condition)
#endif
#ifndef NT_VERIFY
#define NT_VERIFY(condition) assert(condition)
#endif
#else
#define NT_ASSERT(condition) ((void)0)
#define NT_VERIFY(condition) ((void)(condition))
#endif
#ifndef NT_ASSERTMSG
#define NT_ASSERTMSG(message, condition) NT_ASSERT(condition)
#endif
#ifndef NT_ASSERT_ASSUME
#define NT_ASSERT_ASSUME(condition) NT_ASSERT(condition)
#endif
#ifndef ASSERT
#define ASSERT(condition) NT_ASSERT(condition)
#endif
#ifndef ASSERTMSG
#define ASSERTMSG(message, condition) NT_ASSERT(condition)
#endif
#ifndef KdPrint
#define KdPrint(message) ((void)0)
#endif
#ifndef KdPrintEx
#define KdPrintEx(message) ((void)0)
#endif
#ifndef KdBreakPoint
#define KdBreakPoint() ((void)0)
#endif

#ifndef RtlCopyBytes
#define RtlCopyBytes(to, from, bytes) RtlCopyMemory(to, from, bytes)
#endif
#ifndef RtlZeroBytes
#define RtlZeroBytes(to, bytes) RtlZeroMemory(to, bytes)
#endif
#ifndef RtlFillBytes
#define RtlFillBytes(to, bytes, value) RtlFillMemory(to, bytes, value)
#endif
#ifndef RtlEqualLuid
#define RtlEqualLuid(one, other) ((one)->LowPart == (other)->LowPart && (one)->HighPart == (other)->HighPart)
#endif

/* Lists with two ends. */
static __inline__ VOID InitializeListHead(PLIST_ENTRY ListHead)
{
	ListHead->Flink = ListHead->Blink = ListHead;
}

static __inline__ BOOLEAN IsListEmpty(const LIST_ENTRY *ListHead)
{
	return ListHead->Flink == ListHead;
}

/* Whether the list is empty now. */
static __inline__ BOOLEAN RemoveEntryList(PLIST_ENTRY Entry)
{
	Entry->Blink->Flink = Entry->Flink;
	Entry->Flink->Blink = Entry->Blink;
	return Entry->Flink == Entry->Blink;
}

static __inline__ PLIST_ENTRY RemoveHeadList(PLIST_ENTRY ListHead)
{
	PLIST_ENTRY Entry = ListHead->Flink;

	RemoveEntryList(Entry);
	return Entry;
}

static __inline__ PLIST_ENTRY RemoveTailList(PLIST_ENTRY ListHead)
{
	PLIST_ENTRY Entry = ListHead->Blink;

	RemoveEntryList(Entry);
	return Entry;
}

static __inline__ VOID InsertHeadList(PLIST_ENTRY ListHead, PLIST_ENTRY Entry)
{
	Entry->Flink = ListHead->Flink;
	Entry->Blink = ListHead;
	ListHead->Flink->Blink = Entry;
	ListHead->Flink = Entry;
}

static __inline__ VOID InsertTailList(PLIST_ENTRY ListHead, PLIST_ENTRY Entry)
{
	Entry->Flink = ListHead;
	Entry->Blink = ListHead->Blink;
	ListHead->Blink->Flink = Entry;
	ListHead->Blink = Entry;
}

#endif
