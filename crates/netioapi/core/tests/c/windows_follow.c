/* Follows the port, as one writes it for Windows by the pages of its documentation. It must compile there too, as it
   is. A line on standard input asks for the port, or cancels if it begins with a c. */
#include <winsock2.h>
#include <ws2ipdef.h>
#include <iphlpapi.h>
#include <stdio.h>

static const char *const Names[] = {
	"MibParameterNotification", "MibAddInstance", "MibDeleteInstance", "MibInitialNotification"
};

static VOID WINAPI OnPortChange(PVOID CallerContext, USHORT Port, MIB_NOTIFICATION_TYPE NotificationType)
{
	FILE *Output = (FILE *)CallerContext;

	fprintf(Output, "%s %u\n", Names[NotificationType], (unsigned)Port);
	fflush(Output);
}

int main(void)
{
	HANDLE NotificationHandle = NULL;
	char Line[16];
	USHORT Port;
	ULONG Status;

	Status = (ULONG)NotifyTeredoPortChange(OnPortChange, stdout, TRUE, &NotificationHandle);
	if (Status != 0) {
		printf("NotifyTeredoPortChange: 0x%08lx\n", (unsigned long)Status);
		return 1;
	}
	while (fgets(Line, sizeof(Line), stdin) != NULL) {
		if (Line[0] == 'c') {
			Status = (ULONG)CancelMibChangeNotify2(NotificationHandle);
			printf("CancelMibChangeNotify2: 0x%08lx\n", (unsigned long)Status);
		} else {
			Port = MIB_INVALID_TEREDO_PORT_NUMBER;
			Status = (ULONG)GetTeredoPort(&Port);
			printf("GetTeredoPort: 0x%08lx, %u\n", (unsigned long)Status, (unsigned)Port);
		}
		fflush(stdout);
	}
	return 0;
}
