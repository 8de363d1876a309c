/* What the test programs have in common: checks, requests to the test that has started them and runs the Teredo
   service, and a callback that keeps a record. */
#ifndef HOST_H
#define HOST_H

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <netioapi.h>

#ifdef TEREDO_NETIO_DRIVER
#define SUCCESS STATUS_SUCCESS
#define INVALID_PARAMETER STATUS_INVALID_PARAMETER
#define INVALID_HANDLE STATUS_INVALID_HANDLE
#define NO_RESOURCES STATUS_INSUFFICIENT_RESOURCES
#define NOT_READY STATUS_DEVICE_NOT_READY
#define NOT_SUPPORTED STATUS_NOT_SUPPORTED
#else
#define SUCCESS NO_ERROR
#define INVALID_PARAMETER ERROR_INVALID_PARAMETER
#define INVALID_HANDLE ERROR_INVALID_HANDLE
#define NO_RESOURCES ERROR_NOT_ENOUGH_MEMORY
#define NOT_READY ERROR_NOT_READY
#define NOT_SUPPORTED ERROR_NOT_SUPPORTED
#endif

#define CHECK(condition) ((condition) ? (void)0 : fail(__FILE__, __LINE__, #condition))
#define RETURNS(expected, call) returns(__FILE__, __LINE__, #call, (expected), (call))
#define EXPECT(record, type, port) expect(__FILE__, __LINE__, (record), (type), (port))

static inline void fail(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: not so: %s\n", file, line, what);
	_exit(1);
}

static inline void returns(const char *file, int line, const char *call, NETIO_STATUS expected, NETIO_STATUS status)
{
	if (status != expected) {
		fprintf(stderr, "%s:%d: %s is 0x%lx, not 0x%lx\n", file, line, call, (unsigned long)status,
			(unsigned long)expected);
		_exit(1);
	}
}

/* Ends a program that hangs; SIGALRM kills it. */
static inline void begin(void)
{
	alarm(120);
}

/* Has the test do something, and waits until it is done. */
static inline void ask(const char *request)
{
	char reply[16];
	printf("? %s\n", request);
	fflush(stdout);
	CHECK(fgets(reply, sizeof reply, stdin) != NULL);
	CHECK(strcmp(reply, "done\n") == 0);
}

static inline void publish(unsigned port)
{
	char request[32];
	snprintf(request, sizeof request, "publish %u", port);
	ask(request);
}

static inline struct timespec deadline(long milliseconds)
{
	struct timespec at;
	clock_gettime(CLOCK_REALTIME, &at);
	at.tv_sec += milliseconds / 1000;
	at.tv_nsec += milliseconds % 1000 * 1000000;
	if (at.tv_nsec >= 1000000000) {
		at.tv_nsec -= 1000000000;
		at.tv_sec += 1;
	}
	return at;
}

enum { SOON = 20000, A_WHILE = 100, EVENTS = 64 };

/* What a callback was told. It begins as zeros, which is what glibc initialises its locks to. */
struct record {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned count, read;
	struct {
		MIB_NOTIFICATION_TYPE type;
		USHORT port;
	} events[EVENTS];
};

static inline void note(struct record *record, USHORT port, MIB_NOTIFICATION_TYPE type)
{
	pthread_mutex_lock(&record->lock);
	CHECK(record->count < EVENTS);
	record->events[record->count].type = type;
	record->events[record->count].port = port;
	record->count += 1;
	pthread_cond_broadcast(&record->changed);
	pthread_mutex_unlock(&record->lock);
}

static inline VOID NETIOAPI_API_ Note(PVOID context, USHORT port, MIB_NOTIFICATION_TYPE type)
{
	note((struct record *)context, port, type);
}

/* Whether there is an event within the time. */
static inline int heard(struct record *record, long milliseconds)
{
	struct timespec at = deadline(milliseconds);
	int late = 0, unread;
	pthread_mutex_lock(&record->lock);
	while (record->count == record->read && late == 0)
		late = pthread_cond_timedwait(&record->changed, &record->lock, &at);
	unread = record->count > record->read;
	pthread_mutex_unlock(&record->lock);
	return unread;
}

/* The next event is this one. */
static inline void expect(const char *file, int line, struct record *record, MIB_NOTIFICATION_TYPE type, unsigned port)
{
	MIB_NOTIFICATION_TYPE found;
	USHORT at;
	if (!heard(record, SOON))
		fail(file, line, "a notification comes");
	pthread_mutex_lock(&record->lock);
	found = record->events[record->read].type;
	at = record->events[record->read].port;
	record->read += 1;
	pthread_mutex_unlock(&record->lock);
	if (found != type || at != port) {
		fprintf(stderr, "%s:%d: notified of type %d, port %u instead of type %d, port %u\n", file, line,
			(int)found, (unsigned)at, (int)type, port);
		_exit(1);
	}
}

/* Waits until *number is at least this. */
static inline void reach(unsigned *number, unsigned least)
{
	struct timespec nap = {0, 1000000};
	for (int tries = 0; __atomic_load_n(number, __ATOMIC_SEQ_CST) < least; tries++) {
		CHECK(tries < SOON);
		nanosleep(&nap, NULL);
	}
}

static inline void add(unsigned *number)
{
	__atomic_add_fetch(number, 1, __ATOMIC_SEQ_CST);
}

#endif
