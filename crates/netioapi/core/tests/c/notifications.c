/* What the callback is told, and when: N-01 to N-05 and N-10 to N-13 of the contract. */
#include "host.h"

static struct record first, second, third;

static unsigned running, calls;
static int overlapped;

/* Slow, so that invocations would overlap if they could (N-01). */
static VOID NETIOAPI_API_ Slow(PVOID context, USHORT port, MIB_NOTIFICATION_TYPE type)
{
	struct timespec nap = {0, 2000000};
	if (__atomic_add_fetch(&running, 1, __ATOMIC_SEQ_CST) > 1)
		overlapped = 1;
	nanosleep(&nap, NULL);
	*(USHORT *)context = port;
	__atomic_sub_fetch(&running, 1, __ATOMIC_SEQ_CST);
	add(&calls);
	(void)type;
}

static VOID NETIOAPI_API_ WithoutContext(PVOID context, USHORT port, MIB_NOTIFICATION_TYPE type)
{
	CHECK(context == NULL);
	note(&third, port, type);
}

static VOID NETIOAPI_API_ SignalsAreBlocked(PVOID context, USHORT port, MIB_NOTIFICATION_TYPE type)
{
	sigset_t blocked;
	pthread_sigmask(SIG_BLOCK, NULL, &blocked);
	CHECK(sigismember(&blocked, SIGTERM) == 1);
	CHECK(sigismember(&blocked, SIGSEGV) == 0);
	note((struct record *)context, port, type);
}

int main(void)
{
	HANDLE one = NULL, two = NULL, none = NULL, slow = NULL, masked = NULL;
	USHORT port = 1, last = 0;
	sigset_t blocked;

	begin();
	publish(40000);

	/* N-02, N-03: the initial notification says port 0 whatever the port is, and comes to nobody else. */
	RETURNS(SUCCESS, NotifyTeredoPortChange(Note, &first, TRUE, &one));
	RETURNS(SUCCESS, NotifyTeredoPortChange(Note, &second, FALSE, &two));
	CHECK(one != NULL && two != NULL && one != two);
	EXPECT(&first, MibInitialNotification, MIB_INVALID_TEREDO_PORT_NUMBER);

	/* N-10: host byte order, for 40000 is 0x9C40. N-12: registered first, asked then. */
	RETURNS(SUCCESS, GetTeredoPort(&port));
	CHECK(port == 40000);

	/* N-11 and N-13. */
	publish(40001);
	publish(40001);
	EXPECT(&first, MibParameterNotification, 40001);
	EXPECT(&second, MibParameterNotification, 40001);
	RETURNS(SUCCESS, GetTeredoPort(&port));
	CHECK(port == 40001);
	publish(0);
	EXPECT(&first, MibDeleteInstance, 0);
	EXPECT(&second, MibDeleteInstance, 0);
	port = 7;
	RETURNS(NOT_READY, GetTeredoPort(&port));
	CHECK(port == 7);
	publish(40002);
	EXPECT(&first, MibAddInstance, 40002);
	EXPECT(&second, MibAddInstance, 40002);

	/* N-04: NULL is a context too. Any BOOLEAN but 0 is TRUE. */
	RETURNS(SUCCESS, NotifyTeredoPortChange(WithoutContext, NULL, 0x80, &none));
	EXPECT(&third, MibInitialNotification, 0);

	/* N-06: nobody is told after a cancel; the others are. */
	RETURNS(SUCCESS, CancelMibChangeNotify2(one));
	publish(40003);
	EXPECT(&second, MibParameterNotification, 40003);
	EXPECT(&third, MibParameterNotification, 40003);
	CHECK(!heard(&first, A_WHILE));

	/* N-01, N-14. */
	RETURNS(SUCCESS, NotifyTeredoPortChange(Slow, &last, FALSE, &slow));
	for (unsigned i = 0; i < 20; i++)
		publish(50000 + i);
	for (unsigned i = 0; __atomic_load_n(&last, __ATOMIC_SEQ_CST) != 50019; i++) {
		struct timespec nap = {0, 1000000};
		CHECK(i < SOON);
		nanosleep(&nap, NULL);
	}
	RETURNS(SUCCESS, CancelMibChangeNotify2(slow));
	CHECK(!overlapped && running == 0 && calls > 0);
	CHECK(last == 50019);
	RETURNS(SUCCESS, CancelMibChangeNotify2(two));
	RETURNS(SUCCESS, CancelMibChangeNotify2(none));

	/* The threads of the library leave the program's signals to the program, which has its own mask back. */
	first.count = first.read = 0;
	RETURNS(SUCCESS, NotifyTeredoPortChange(SignalsAreBlocked, &first, TRUE, &masked));
	EXPECT(&first, MibInitialNotification, 0);
	pthread_sigmask(SIG_BLOCK, NULL, &blocked);
	CHECK(sigismember(&blocked, SIGTERM) == 0);

	/* N-05: registrations end with the process; the test sees to that. */
	return 0;
}
