/* The headers where much of what they define exists already, in the other order, and twice. */
#include <stdbool.h>
#include <stddef.h>

#define TRUE 1
#define FALSE 0
#define VOID void
#define WINAPI
#define CALLBACK
#define IN
#define OUT
#define _In_
#define _Out_
#define _Inout_
#define NO_ERROR 0
#define ERROR_SUCCESS 0
#define ERROR_INVALID_PARAMETER 87
#define UNREFERENCED_PARAMETER(parameter) ((void)(parameter))
typedef unsigned char BOOLEAN;
typedef unsigned int ULONG;
typedef unsigned int DWORD;
typedef void *PVOID, *HANDLE;

#include <fwpmu.h>
#include <netioapi.h>
#include <iphlpapi.h>
#include <windows.h>
#include <fwpmu.h>
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

static VOID WINAPI Callback(_In_ PVOID CallerContext, _In_ USHORT Port, _In_ MIB_NOTIFICATION_TYPE NotificationType)
{
	UNREFERENCED_PARAMETER(CallerContext);
	UNREFERENCED_PARAMETER(Port);
	UNREFERENCED_PARAMETER(NotificationType);
}

int main(void)
{
	PTEREDO_PORT_CHANGE_CALLBACK callback = Callback;
	HANDLE handle = NULL;
	return NETIO_SUCCESS(NotifyTeredoPortChange(callback, NULL, FALSE, &handle)) &&
			NETIO_SUCCESS(CancelMibChangeNotify2(handle))
		? 0
		: 1;
}
