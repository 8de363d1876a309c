/* The ports of system services as snapshots: every callback gets the whole current state.
 *
 * The functions are Windows'. Of its types of ports Teredo's alone exists here. There are no sessions with a filter
 * engine: engineHandle is NULL, or anything. The libraries are those of netioapi.h.
 */
#ifndef _INC_FWPMU
#define _INC_FWPMU

#include "fwpmtypes.h"
#include "rpcdce.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum FWPM_SYSTEM_PORT_TYPE_ {
	FWPM_SYSTEM_PORT_RPC_EPMAP,
	FWPM_SYSTEM_PORT_TEREDO,
	FWPM_SYSTEM_PORT_IPHTTPS_IN,
	FWPM_SYSTEM_PORT_IPHTTPS_OUT,
	FWPM_SYSTEM_PORT_TYPE_MAX
} FWPM_SYSTEM_PORT_TYPE;

typedef struct FWPM_SYSTEM_PORTS_BY_TYPE0_ {
	FWPM_SYSTEM_PORT_TYPE type;
	UINT32 numPorts; /* 0: the client has no port */
	UINT16 *ports;   /* in host byte order */
} FWPM_SYSTEM_PORTS_BY_TYPE0;

typedef struct FWPM_SYSTEM_PORTS0_ {
	UINT32 numTypes;
	FWPM_SYSTEM_PORTS_BY_TYPE0 *types;
} FWPM_SYSTEM_PORTS0;

/* sysPorts is the whole state, and ends with the call. */
typedef void (CALLBACK *FWPM_SYSTEM_PORTS_CALLBACK0)(
	_Inout_opt_ void *context,
	_In_ const FWPM_SYSTEM_PORTS0 *sysPorts);

/* Opens a session with the filter engine, which has no effect here. serverName must be NULL; authIdentity and session
   are not read. */
typedef struct _SEC_WINNT_AUTH_IDENTITY_W SEC_WINNT_AUTH_IDENTITY_W;
typedef struct FWPM_SESSION0_ FWPM_SESSION0;
NETIO_STATUS WINAPI FwpmEngineOpen0(
	_In_opt_ const UINT16 *serverName,
	_In_ UINT32 authnService,
	_In_opt_ SEC_WINNT_AUTH_IDENTITY_W *authIdentity,
	_In_opt_ const FWPM_SESSION0 *session,
	_Out_ HANDLE *engineHandle);

/* Closes a session. */
NETIO_STATUS WINAPI FwpmEngineClose0(_Inout_ HANDLE engineHandle);

/* The current state, to be freed with FwpmFreeMemory0. On failure *sysPorts is NULL. */
NETIO_STATUS WINAPI FwpmSystemPortsGet0(
	_In_opt_ HANDLE engineHandle,
	_Outptr_ FWPM_SYSTEM_PORTS0 **sysPorts);

/* Has callback called with the state after every change. On failure *sysPortsHandle is NULL. */
NETIO_STATUS WINAPI FwpmSystemPortsSubscribe0(
	_In_opt_ HANDLE engineHandle,
	_Reserved_ void *reserved,
	_In_ FWPM_SYSTEM_PORTS_CALLBACK0 callback,
	_In_opt_ void *context,
	_Out_ HANDLE *sysPortsHandle);

/* Ends a subscription, as CancelMibChangeNotify2 does. A handle that is none is no error. */
NETIO_STATUS WINAPI FwpmSystemPortsUnsubscribe0(
	_In_opt_ HANDLE engineHandle,
	_Inout_ HANDLE sysPortsHandle);

/* Frees what FwpmSystemPortsGet0 has allocated, in one piece, and sets *p to NULL. */
void WINAPI FwpmFreeMemory0(_Inout_ void **p);

#ifndef FwpmSystemPortsGet
#define FwpmEngineOpen FwpmEngineOpen0
#define FwpmEngineClose FwpmEngineClose0
#define FwpmSystemPortsGet FwpmSystemPortsGet0
#define FwpmSystemPortsSubscribe FwpmSystemPortsSubscribe0
#define FwpmSystemPortsUnsubscribe FwpmSystemPortsUnsubscribe0
#define FwpmFreeMemory FwpmFreeMemory0
#endif

#ifdef __cplusplus
}
#endif

#endif
