/* A firewall confirms each port before the client uses it. Programs in C cannot be one that is waited for; but they
   hear of a port while it waits, so before anything leaves from it (N-16). */
#include "host.h"

static struct record record;

int main(void)
{
	HANDLE handle;
	USHORT port = 0;

	begin();
	publish(40000);
	RETURNS(SUCCESS, NotifyTeredoPortChange(Note, &record, TRUE, &handle));
	EXPECT(&record, MibInitialNotification, 0);
	ask("gate");
	publish(40001);
	EXPECT(&record, MibParameterNotification, 40001);
	RETURNS(SUCCESS, GetTeredoPort(&port));
	CHECK(port == 40001);
	ask("held");
	ask("settle");
	return 0;
}
