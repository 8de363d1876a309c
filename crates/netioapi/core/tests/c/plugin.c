/* A shared object that is linked to one of the libraries; plugins.c loads one of each flavour, unloaded.c one with the
   static library. */
#include <netioapi.h>

uint32_t status_of_null(void);
uint32_t register_and_cancel(void);

uint32_t status_of_null(void)
{
	return (uint32_t)GetTeredoPort(NULL);
}

static VOID NETIOAPI_API_ Nothing(PVOID context, USHORT port, MIB_NOTIFICATION_TYPE type)
{
	(void)context, (void)port, (void)type;
}

uint32_t register_and_cancel(void)
{
	HANDLE handle;
	NETIO_STATUS status = NotifyTeredoPortChange(Nothing, NULL, TRUE, &handle);
	return NETIO_SUCCESS(status) ? (uint32_t)CancelMibChangeNotify2(handle) : (uint32_t)status;
}
