/* C++: a callback throws, which is the nearest to a panic (N-17). */
#include "host.h"

static VOID NETIOAPI_API_ Throw(PVOID context, USHORT port, MIB_NOTIFICATION_TYPE type)
{
	(void)context, (void)port, (void)type;
	throw 1;
}

int main()
{
	HANDLE handle;
	begin();
	RETURNS(SUCCESS, NotifyTeredoPortChange(Throw, NULL, TRUE, &handle));
	for (;;)
		pause();
}
