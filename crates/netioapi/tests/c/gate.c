/* A firewall confirms each port before the client uses it. Programs in C cannot be one that is waited for; but they
   hear of a port while it waits, so before anything leaves from it (N-16). And there is one port that they never
   hear of: that of local discovery, which is no port of the client's to announce (N-09). */
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

	/* From its beginning to its end, a client with discovery at work: what is announced is what is heard. */
	publish(0);
	EXPECT(&record, MibDeleteInstance, 0);
	publish(40002);
	EXPECT(&record, MibAddInstance, 40002);
	CHECK(!heard(&record, A_WHILE));
	for (unsigned i = 0; i < record.count; i++)
		CHECK(record.events[i].port != 3544);
	return 0;
}
