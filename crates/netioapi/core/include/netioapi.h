/* Notifications of the UDP port that the Teredo client of this machine uses.
 *
 * The functions are Windows'. They exist in two libraries, which differ in what they return:
 *
 *   pkg-config teredo-iphlpapi    for programs: NO_ERROR and other Win32 errors
 *   pkg-config teredo-netio       for drivers: STATUS_SUCCESS and other NTSTATUS
 *
 * Each may be called on any thread, in callbacks too, but not in a signal handler. Section 3 of the manual has
 * a page for each.
 */
#ifndef _NETIOAPI_H_
#define _NETIOAPI_H_

#include "teredo_types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The port of a client that has none. */
#ifndef MIB_INVALID_TEREDO_PORT_NUMBER
#define MIB_INVALID_TEREDO_PORT_NUMBER 0
#endif

typedef enum _MIB_NOTIFICATION_TYPE {
	MibParameterNotification, /* the client uses another port */
	MibAddInstance,           /* the client uses a port where it had none */
	MibDeleteInstance,        /* the client has no port any more, and Port is 0 */
	MibInitialNotification    /* the registration is in force; Port is 0, whatever the port is */
} MIB_NOTIFICATION_TYPE, *PMIB_NOTIFICATION_TYPE;

/* Port is in host byte order. A callback runs on a thread of the library, never twice at once for one handle. */
typedef VOID (NETIOAPI_API_ *PTEREDO_PORT_CHANGE_CALLBACK)(
	_In_ PVOID CallerContext,
	_In_ USHORT Port,
	_In_ MIB_NOTIFICATION_TYPE NotificationType);

/* Has Callback called with every change of the port, until the handle is cancelled or the process ends.
   On failure *NotificationHandle is NULL. */
NETIOAPI_API NotifyTeredoPortChange(
	_In_ PTEREDO_PORT_CHANGE_CALLBACK Callback,
	_In_opt_ PVOID CallerContext,
	_In_ BOOLEAN InitialNotification,
	_Inout_ HANDLE *NotificationHandle);

/* The port in use. Register first and ask then: no change is missed that way. */
NETIOAPI_API GetTeredoPort(_Out_ USHORT *Port);

/* Ends a registration. When this returns, its callback does not run and is not called again; within that callback
   itself it returns at once, and the running call is the last. */
NETIOAPI_API CancelMibChangeNotify2(_In_ HANDLE NotificationHandle);

/* Whether registrations from now on gate: then the client sends nothing from a new port before their callbacks have
   returned, or a deadline has passed. They do by default, if the process runs as root or in the service's group. */
VOID NETIOAPI_API_ TeredoSetGating(_In_ BOOLEAN Gating);

/* What a status means, as FormatMessage says it on Windows. Never NULL, and not to be freed. */
PCSTR NETIOAPI_API_ TeredoStatusMessage(_In_ NETIO_STATUS Status);

#ifdef __cplusplus
}
#endif

#endif
