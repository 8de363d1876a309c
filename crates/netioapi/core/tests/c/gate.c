/* From a new port nothing leaves before the firewalls have confirmed it. A program in C is one by default, if it may be:
   the return of its callback is the confirmation, and status names it. TEREDO_GATE=0 and TeredoSetGating opt out. And
   it hears of a port while other firewalls are waited for, so before anything leaves from it (N-16). */
#include "host.h"

#include <sys/wait.h>

static struct record record;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Returns from a change when the program lets it. */
static VOID NETIOAPI_API_ Held(PVOID context, USHORT port, MIB_NOTIFICATION_TYPE type)
{
	Note(context, port, type);
	if (type == MibInitialNotification)
		return;
	pthread_mutex_lock(&lock);
	pthread_mutex_unlock(&lock);
}

static void registrations_that_do_not_gate(void)
{
	HANDLE handle;
	RETURNS(SUCCESS, NotifyTeredoPortChange(Note, &record, FALSE, &handle));
	ask("gates 0");
	publish(40000);
	EXPECT(&record, MibAddInstance, 40000);
	ask("settled");
	publish(0);
	EXPECT(&record, MibDeleteInstance, 0);
	RETURNS(SUCCESS, CancelMibChangeNotify2(handle));
}

int main(void)
{
	HANDLE handle, other;
	USHORT port = 0;
	pid_t child;
	int status;

	begin();

	/* The environment, which is read with the first call: in a process of its own. */
	child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		CHECK(setenv("TEREDO_GATE", "0", 1) == 0);
		registrations_that_do_not_gate();
		_exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child && status == 0);

	/* The function. */
	TeredoSetGating(FALSE);
	registrations_that_do_not_gate();
	TeredoSetGating(TRUE);

	/* By default. */
	publish(40000);
	RETURNS(SUCCESS, NotifyTeredoPortChange(Held, &record, TRUE, &handle));
	EXPECT(&record, MibInitialNotification, 0);
	ask("gates 1");
	pthread_mutex_lock(&lock);
	publish(40001);
	EXPECT(&record, MibParameterNotification, 40001);
	RETURNS(SUCCESS, GetTeredoPort(&port));
	CHECK(port == 40001);
	ask("held");
	pthread_mutex_unlock(&lock);
	ask("settled");

	/* A callback that was cancelled is not waited for, but the other one is. */
	RETURNS(SUCCESS, NotifyTeredoPortChange(Note, &record, FALSE, &other));
	RETURNS(SUCCESS, CancelMibChangeNotify2(handle));
	publish(40002);
	EXPECT(&record, MibParameterNotification, 40002);
	ask("settled");

	/* While another firewall is waited for. */
	ask("gate");
	publish(40003);
	EXPECT(&record, MibParameterNotification, 40003);
	ask("held");
	ask("settle");
	RETURNS(SUCCESS, CancelMibChangeNotify2(other));
	ask("gates 0");
	return 0;
}
