/* The part of a driver that follows the port, as one writes it for Windows. It must compile there too, as it is. */
#include <ntddk.h>
#include <netioapi.h>

typedef struct _DEVICE_EXTENSION {
	HANDLE Notification;
	USHORT Port;
	BOOLEAN Confirmed;
} DEVICE_EXTENSION, *PDEVICE_EXTENSION;

VOID NTAPI OnPortChange(PVOID CallerContext, USHORT Port, MIB_NOTIFICATION_TYPE NotificationType);
NTSTATUS FollowPort(PDEVICE_EXTENSION Extension);
VOID UnfollowPort(PDEVICE_EXTENSION Extension);

VOID NTAPI OnPortChange(PVOID CallerContext, USHORT Port, MIB_NOTIFICATION_TYPE NotificationType)
{
	PDEVICE_EXTENSION Extension = (PDEVICE_EXTENSION)CallerContext;

	switch (NotificationType) {
	case MibInitialNotification:
		Extension->Confirmed = TRUE;
		break;
	case MibParameterNotification:
	case MibAddInstance:
	case MibDeleteInstance:
		Extension->Port = Port;
		break;
	}
}

NTSTATUS FollowPort(PDEVICE_EXTENSION Extension)
{
	NTSTATUS Status;

	Extension->Confirmed = FALSE;
	Extension->Port = MIB_INVALID_TEREDO_PORT_NUMBER;
	Status = NotifyTeredoPortChange(OnPortChange, Extension, TRUE, &Extension->Notification);
	if (!NT_SUCCESS(Status)) {
		return Status;
	}
	Status = GetTeredoPort(&Extension->Port);
	if (Status == STATUS_DEVICE_NOT_READY) {
		Status = STATUS_SUCCESS;
	}
	if (!NT_SUCCESS(Status)) {
		UnfollowPort(Extension);
	}
	return Status;
}

VOID UnfollowPort(PDEVICE_EXTENSION Extension)
{
	if (Extension->Notification != NULL) {
		CancelMibChangeNotify2(Extension->Notification);
		Extension->Notification = NULL;
	}
}
