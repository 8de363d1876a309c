/* A fork: the child has no registrations and no threads, works all the same, and leaves the parent's alone. */
#include "host.h"

#include <sys/wait.h>

static struct record record, child_record;

static void ends_with(pid_t child, int code)
{
	int status = 0;
	CHECK(child > 0 && waitpid(child, &status, 0) == child);
	CHECK(WIFEXITED(status));
	CHECK(WEXITSTATUS(status) == code);
}

static void in_child(HANDLE of_parent)
{
	HANDLE handle;
	USHORT port = 0;
	alarm(60);
	RETURNS(INVALID_HANDLE, CancelMibChangeNotify2(of_parent));
	RETURNS(SUCCESS, GetTeredoPort(&port));
	CHECK(port != 0);
	RETURNS(SUCCESS, NotifyTeredoPortChange(Note, &child_record, TRUE, &handle));
	CHECK(handle != of_parent);
	RETURNS(INVALID_HANDLE, CancelMibChangeNotify2(of_parent));
	EXPECT(&child_record, MibInitialNotification, 0);
	RETURNS(SUCCESS, CancelMibChangeNotify2(handle));
	_exit(7);
}

/* Forks in a callback, and returns in both processes. */
static VOID NETIOAPI_API_ ForkAndReturn(PVOID context, USHORT port, MIB_NOTIFICATION_TYPE type)
{
	pid_t *child = (pid_t *)context;
	(void)port, (void)type;
	*child = fork();
	if (*child == 0) {
		/* Should it hang, which nobody waits for. */
		sigset_t alarms;
		sigemptyset(&alarms);
		sigaddset(&alarms, SIGALRM);
		pthread_sigmask(SIG_UNBLOCK, &alarms, NULL);
		alarm(20);
		return;
	}
	note(&record, port, type);
}

static VOID NETIOAPI_API_ ForkAndWork(PVOID context, USHORT port, MIB_NOTIFICATION_TYPE type)
{
	pid_t child = fork();
	if (child == 0)
		in_child(*(HANDLE *)context);
	ends_with(child, 7);
	note(&record, port, type);
}

static unsigned stop;

static void *Churn(void *unused)
{
	while (__atomic_load_n(&stop, __ATOMIC_SEQ_CST) == 0) {
		HANDLE handle;
		struct record *own = (struct record *)calloc(1, sizeof *own);
		RETURNS(SUCCESS, NotifyTeredoPortChange(Note, own, TRUE, &handle));
		RETURNS(SUCCESS, CancelMibChangeNotify2(handle));
		free(own);
	}
	return unused;
}

int main(void)
{
	static HANDLE handle;
	static pid_t child;
	pthread_t threads[2];
	USHORT port;

	begin();
	publish(40000);
	RETURNS(SUCCESS, NotifyTeredoPortChange(Note, &record, TRUE, &handle));
	EXPECT(&record, MibInitialNotification, 0);

	child = fork();
	if (child == 0)
		in_child(handle);
	ends_with(child, 7);
	/* The parent's registration, and its connection, are as they were. */
	publish(40001);
	EXPECT(&record, MibParameterNotification, 40001);
	RETURNS(SUCCESS, CancelMibChangeNotify2(handle));

	RETURNS(SUCCESS, NotifyTeredoPortChange(ForkAndReturn, &child, TRUE, &handle));
	EXPECT(&record, MibInitialNotification, 0);
	ends_with(child, 0);
	RETURNS(SUCCESS, CancelMibChangeNotify2(handle));

	RETURNS(SUCCESS, NotifyTeredoPortChange(ForkAndWork, &handle, TRUE, &handle));
	EXPECT(&record, MibInitialNotification, 0);
	RETURNS(SUCCESS, CancelMibChangeNotify2(handle));

	/* Whatever the other threads are doing at the moment of the fork. */
	RETURNS(SUCCESS, NotifyTeredoPortChange(Note, &record, TRUE, &handle));
	EXPECT(&record, MibInitialNotification, 0);
	for (unsigned i = 0; i < 2; i++)
		CHECK(pthread_create(&threads[i], NULL, Churn, NULL) == 0);
	for (unsigned i = 0; i < 50; i++) {
		child = fork();
		if (child == 0)
			in_child(handle);
		ends_with(child, 7);
	}
	add(&stop);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	publish(40002);
	EXPECT(&record, MibParameterNotification, 40002);
	RETURNS(SUCCESS, GetTeredoPort(&port));
	CHECK(port == 40002);
	return 0;
}
