/* A program as one writes it for Windows. It must compile there too, as it is. */
#include <winsock2.h>
#include <ws2ipdef.h>
#include <iphlpapi.h>
#include <fwpmu.h>
#include <stdio.h>

typedef struct _EXCEPTION_RULE {
	HANDLE Notification;
	USHORT Port;
} EXCEPTION_RULE, *PEXCEPTION_RULE;

static VOID WINAPI OnPortChange(IN PVOID CallerContext, IN USHORT Port, IN MIB_NOTIFICATION_TYPE NotificationType)
{
	PEXCEPTION_RULE Rule = (PEXCEPTION_RULE)CallerContext;

	if (NotificationType != MibInitialNotification) {
		Rule->Port = Port;
	}
}

static void CALLBACK OnSystemPorts(void *context, const FWPM_SYSTEM_PORTS0 *sysPorts)
{
	UINT32 i;

	UNREFERENCED_PARAMETER(context);
	for (i = 0; i < sysPorts->numTypes; i++) {
		if (sysPorts->types[i].type == FWPM_SYSTEM_PORT_TEREDO) {
			printf("%u Teredo ports\n", (unsigned)sysPorts->types[i].numPorts);
		}
	}
}

int main(void)
{
	EXCEPTION_RULE Rule = {NULL, MIB_INVALID_TEREDO_PORT_NUMBER};
	FWPM_SYSTEM_PORTS0 *Ports = NULL;
	HANDLE Subscription = NULL;
	NETIO_STATUS Status;
	DWORD Error;

	Status = NotifyTeredoPortChange(OnPortChange, &Rule, TRUE, &Rule.Notification);
	if (Status != NO_ERROR) {
		printf("NotifyTeredoPortChange: %lu\n", (unsigned long)Status);
		return 1;
	}
	Status = GetTeredoPort(&Rule.Port);
	if (!NETIO_SUCCESS(Status)) {
		printf("GetTeredoPort: %lu\n", (unsigned long)Status);
	}
	printf("port %u\n", (unsigned)Rule.Port);

	Error = FwpmSystemPortsSubscribe0(NULL, NULL, OnSystemPorts, NULL, &Subscription);
	if (Error == ERROR_SUCCESS) {
		if (FwpmSystemPortsGet0(NULL, &Ports) == ERROR_SUCCESS) {
			OnSystemPorts(NULL, Ports);
			FwpmFreeMemory0((void **)&Ports);
		}
		FwpmSystemPortsUnsubscribe0(NULL, Subscription);
	}
	return CancelMibChangeNotify2(Rule.Notification) == NO_ERROR ? 0 : 1;
}
