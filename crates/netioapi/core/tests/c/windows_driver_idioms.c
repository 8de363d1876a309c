/* The words of a driver for Windows: types, constants, annotations and macros, each used once as drivers use them. It
   must compile there too, as it is; here it runs under main, which stands for the kernel, and 0 is success. Its oldest
   annotations have to be asked for in C++. */
#define TEREDO_OLD_ANNOTATIONS
#include <ntddk.h>

typedef struct _RULE {
	LIST_ENTRY Link;
	LONG References;
	USHORT Port;
} RULE, *PRULE;

typedef struct _DEVICE_EXTENSION {
	LIST_ENTRY Rules;
	KSPIN_LOCK Lock;
	HANDLE Notification;
	LARGE_INTEGER Since;
	UCHAR Address[16];
} DEVICE_EXTENSION, *PDEVICE_EXTENSION;

C_ASSERT(sizeof(KIRQL) == 1 && sizeof(BOOLEAN) == 1 && sizeof(NTSTATUS) == 4 && sizeof(ULONG) == 4);
C_ASSERT(sizeof(LIST_ENTRY) == 2 * sizeof(PVOID));

DRIVER_INITIALIZE DriverEntry;
DRIVER_UNLOAD Unload;
DRIVER_DISPATCH Create;

static DEVICE_EXTENSION Extension;

_IRQL_requires_(PASSIVE_LEVEL) _IRQL_requires_same_ _Must_inspect_result_
static NTSTATUS Add(_Inout_ PDEVICE_EXTENSION Device, _Inout_ __drv_aliasesMem PRULE Rule, _In_ USHORT Port)
{
	PAGED_CODE();
	NT_ASSERT(Device != NULL);

	if (Port == 0) {
		return STATUS_INVALID_PARAMETER;
	}
	RtlZeroMemory(Rule, sizeof(*Rule));
	Rule->Port = Port;
	if (InterlockedIncrement(&Rule->References) != 1) {
		return STATUS_UNSUCCESSFUL;
	}
	InsertTailList(&Device->Rules, &Rule->Link);
	return STATUS_SUCCESS;
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static NTSTATUS Find(_In_ PDEVICE_EXTENSION Device, _In_ USHORT Port, _Outptr_ PRULE *Found)
{
	PLIST_ENTRY Entry;

	*Found = NULL;
	for (Entry = Device->Rules.Flink; Entry != &Device->Rules; Entry = Entry->Flink) {
		PRULE Rule = CONTAINING_RECORD(Entry, RULE, Link);

		if (Rule->Port == Port) {
			*Found = Rule;
			return STATUS_SUCCESS;
		}
	}
	return STATUS_NOT_FOUND;
}

_IRQL_raises_(DISPATCH_LEVEL) _IRQL_saves_
static KIRQL Raise(VOID)
{
	return PASSIVE_LEVEL;
}

__drv_maxIRQL(DISPATCH_LEVEL)
static VOID Remember(__in PDEVICE_EXTENSION Device, __in_bcount(Size) PVOID Address, __in SIZE_T Size)
{
	NT_ASSERT(Size <= RTL_FIELD_SIZE(DEVICE_EXTENSION, Address));
	RtlCopyMemory(Device->Address, Address, Size);
}

_Use_decl_annotations_
NTSTATUS NTAPI Create(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
	UNREFERENCED_PARAMETER(DeviceObject);
	UNREFERENCED_PARAMETER(Irp);
	return STATUS_NOT_IMPLEMENTED;
}

_Use_decl_annotations_
VOID NTAPI Unload(PDRIVER_OBJECT DriverObject)
{
	UNREFERENCED_PARAMETER(DriverObject);
	PAGED_CODE();
	while (!IsListEmpty(&Extension.Rules)) {
		RemoveHeadList(&Extension.Rules);
	}
	KdPrint(("unloaded\n"));
}

_Use_decl_annotations_
NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
	ULONG Index;

	UNREFERENCED_PARAMETER(RegistryPath);
	InitializeListHead(&Extension.Rules);
	Extension.Since.QuadPart = 0;
	for (Index = 0; Index <= IRP_MJ_MAXIMUM_FUNCTION; Index++) {
		DriverObject->MajorFunction[Index] = Create;
	}
	DriverObject->DriverUnload = Unload;
	return STATUS_SUCCESS;
}

int main(void)
{
	static DRIVER_OBJECT Driver;
	static RULE Rules[2];
	static const CHAR Text[] = "\\Registry\\Teredo";
	ANSI_STRING Path = RTL_CONSTANT_STRING((PCHAR)Text);
	UCHAR Address[16] = {0x20, 0x01};
	PRULE Found;
	NTSTATUS Status;
	KIRQL Irql = Raise();
	int Failures = 0;

	Status = DriverEntry(&Driver, NULL);
	Failures += !NT_SUCCESS(Status) || NT_ERROR(Status) || Driver.DriverUnload != Unload;
	Failures += Driver.MajorFunction[IRP_MJ_CREATE](NULL, NULL) != STATUS_NOT_IMPLEMENTED;
	Failures += Path.Buffer != Text || Irql != PASSIVE_LEVEL;
	Failures += Add(&Extension, &Rules[0], 40000) != STATUS_SUCCESS;
	Failures += Add(&Extension, &Rules[1], 40001) != STATUS_SUCCESS;
	Failures += Add(&Extension, &Rules[1], 0) != STATUS_INVALID_PARAMETER;
	Failures += Find(&Extension, 40001, &Found) != STATUS_SUCCESS || Found != &Rules[1];
	Failures += Find(&Extension, 1, &Found) != STATUS_NOT_FOUND || Found != NULL;
	Failures += RemoveEntryList(&Rules[0].Link) || Find(&Extension, 40000, &Found) != STATUS_NOT_FOUND;
	Remember(&Extension, Address, sizeof(Address));
	Failures += !RtlEqualMemory(Extension.Address, Address, sizeof(Address));
	Failures += NT_SUCCESS(STATUS_UNSUCCESSFUL) || NT_SUCCESS(STATUS_INSUFFICIENT_RESOURCES) || !NT_WARNING(STATUS_BUFFER_OVERFLOW);
	Driver.DriverUnload(&Driver);
	Failures += !IsListEmpty(&Extension.Rules);
	return Failures;
}
