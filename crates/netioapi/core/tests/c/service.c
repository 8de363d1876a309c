/* A service that is absent, comes, goes, comes back, and one that is somebody else (N-15). */
#include "host.h"

static struct record record, late;

int main(void)
{
	HANDLE handle, second;
	USHORT port = 0;

	begin();
	ask("stop");
	RETURNS(NOT_READY, GetTeredoPort(&port));

	/* That the client does not run is no error, and the initial notification comes all the same. */
	RETURNS(SUCCESS, NotifyTeredoPortChange(Note, &record, TRUE, &handle));
	EXPECT(&record, MibInitialNotification, 0);
	RETURNS(NOT_READY, GetTeredoPort(&port));

	for (unsigned i = 0; i < 3; i++) {
		ask("start");
		publish(45000 + i);
		EXPECT(&record, MibAddInstance, 45000 + i);
		RETURNS(SUCCESS, GetTeredoPort(&port));
		CHECK(port == 45000 + i);
		ask("stop");
		EXPECT(&record, MibDeleteInstance, 0);
		RETURNS(NOT_READY, GetTeredoPort(&port));
	}

	RETURNS(SUCCESS, CancelMibChangeNotify2(handle));

	/* Something else at the socket's place. */
	ask("file");
	RETURNS(NOT_READY, GetTeredoPort(&port));
	RETURNS(SUCCESS, NotifyTeredoPortChange(Note, &late, TRUE, &second));
	EXPECT(&late, MibInitialNotification, 0);
	RETURNS(SUCCESS, CancelMibChangeNotify2(second));

	/* Somebody who hangs up at once: a write to it raises SIGPIPE, unless the library sees to that. */
	ask("rude");
	for (unsigned i = 0; i < 300; i++)
		RETURNS(NOT_READY, GetTeredoPort(&port));
	for (unsigned i = 0; i < 100; i++) {
		RETURNS(SUCCESS, NotifyTeredoPortChange(Note, &late, TRUE, &second));
		EXPECT(&late, MibInitialNotification, 0);
		RETURNS(SUCCESS, CancelMibChangeNotify2(second));
		late.count = late.read = 0;
	}

	/* Somebody who says nothing; for other nonsense see bad_input.c. */
	ask("mute");
	RETURNS(NOT_READY, GetTeredoPort(&port));
	RETURNS(SUCCESS, NotifyTeredoPortChange(Note, &late, TRUE, &second));
	EXPECT(&late, MibInitialNotification, 0);

	/* The right one at last. */
	ask("start");
	publish(46000);
	EXPECT(&late, MibAddInstance, 46000);
	return 0;
}
