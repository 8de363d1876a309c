/* The return codes, each by its cause, and their messages. */
#include "host.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/resource.h>

static struct record record;

static VOID NETIOAPI_API_ Nothing(PVOID context, USHORT port, MIB_NOTIFICATION_TYPE type)
{
	UNREFERENCED_PARAMETER(context);
	UNREFERENCED_PARAMETER(port);
	UNREFERENCED_PARAMETER(type);
}

static void says(NETIO_STATUS status, const char *part)
{
	PCSTR message = TeredoStatusMessage(status);
	CHECK(message != NULL);
	if (strstr(message, part) == NULL) {
		fprintf(stderr, "\"%s\" does not say \"%s\"\n", message, part);
		_exit(1);
	}
}

int main(void)
{
	HANDLE handle = (HANDLE)&record, other = NULL;
	struct rlimit space, before;
	USHORT port = 0;
	char line[64];
	unsigned long pages = 0;
	FILE *statm;

	begin();

	/* The numbers are Windows'. */
#ifdef TEREDO_NETIO_DRIVER
	CHECK((ULONG)INVALID_PARAMETER == 0xC000000D && (ULONG)INVALID_HANDLE == 0xC0000008);
	CHECK((ULONG)NO_RESOURCES == 0xC000009A && (ULONG)NOT_READY == 0xC00000A3);
	CHECK((ULONG)NOT_SUPPORTED == 0xC00000BB && SUCCESS == 0);
	CHECK(NETIO_SUCCESS(SUCCESS) && !NETIO_SUCCESS(NOT_READY) && NETIO_SUCCESS(0x103));
#else
	CHECK(INVALID_PARAMETER == 87 && INVALID_HANDLE == 6 && NO_RESOURCES == 8 && NOT_READY == 21);
	CHECK(NOT_SUPPORTED == 50 && SUCCESS == 0);
	CHECK(NETIO_SUCCESS(SUCCESS) && !NETIO_SUCCESS(NOT_READY));
#endif
	CHECK(sizeof(BOOLEAN) == 1 && sizeof(USHORT) == 2 && sizeof(ULONG) == 4 && sizeof(DWORD) == 4);
	CHECK(sizeof(NTSTATUS) == 4 && sizeof(HANDLE) == sizeof(void *) && sizeof(MIB_NOTIFICATION_TYPE) == 4);
	CHECK(MibParameterNotification == 0 && MibAddInstance == 1 && MibDeleteInstance == 2);
	CHECK(MibInitialNotification == 3 && MIB_INVALID_TEREDO_PORT_NUMBER == 0);

	/* NULL where it must not be. The place of the handle is NULL after every failure. */
	RETURNS(INVALID_PARAMETER, NotifyTeredoPortChange(NULL, &record, TRUE, &handle));
	CHECK(handle == NULL);
	RETURNS(INVALID_PARAMETER, NotifyTeredoPortChange(Note, &record, TRUE, NULL));
	RETURNS(INVALID_PARAMETER, NotifyTeredoPortChange(NULL, NULL, FALSE, NULL));
	RETURNS(INVALID_PARAMETER, GetTeredoPort(NULL));
	RETURNS(INVALID_PARAMETER, CancelMibChangeNotify2(NULL));
	CHECK(!heard(&record, A_WHILE));

	/* No client. */
	RETURNS(NOT_READY, GetTeredoPort(&port));

	/* No thread to be had: no room for a stack. */
	statm = fopen("/proc/self/statm", "r");
	CHECK(statm != NULL && fgets(line, sizeof line, statm) != NULL);
	pages = strtoul(line, NULL, 10);
	fclose(statm);
	CHECK(getrlimit(RLIMIT_AS, &before) == 0);
	space = before;
	space.rlim_cur = pages * (unsigned long)sysconf(_SC_PAGESIZE) + (1 << 20);
	CHECK(setrlimit(RLIMIT_AS, &space) == 0);
	handle = (HANDLE)&record;
	RETURNS(NO_RESOURCES, NotifyTeredoPortChange(Nothing, NULL, FALSE, &handle));
	CHECK(handle == NULL);
	CHECK(setrlimit(RLIMIT_AS, &before) == 0);
	RETURNS(SUCCESS, NotifyTeredoPortChange(Nothing, NULL, FALSE, &handle));
	CHECK(handle != NULL);

	/* Unknown, and cancelled already. */
	RETURNS(INVALID_HANDLE, CancelMibChangeNotify2((HANDLE)&other));
	RETURNS(SUCCESS, CancelMibChangeNotify2(handle));
	RETURNS(INVALID_HANDLE, CancelMibChangeNotify2(handle));

	says(SUCCESS, "succeeded");
	says(INVALID_PARAMETER, "NULL");
	says(INVALID_HANDLE, "handle");
	says(NO_RESOURCES, "memory");
	says(NOT_READY, "has not started");
	says(NOT_SUPPORTED, "IPv6");
	says((NETIO_STATUS)4711, "no status");
	return 0;
}
