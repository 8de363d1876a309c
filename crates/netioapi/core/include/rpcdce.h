/* The ways to authenticate that FwpmEngineOpen0 takes. */
#ifndef TEREDO_RPCDCE_H
#define TEREDO_RPCDCE_H

#include "winnt.h"

#ifndef RPC_C_AUTHN_NONE
#define RPC_C_AUTHN_NONE 0
#endif
#ifndef RPC_C_AUTHN_GSS_NEGOTIATE
#define RPC_C_AUTHN_GSS_NEGOTIATE 9
#endif
#ifndef RPC_C_AUTHN_WINNT
#define RPC_C_AUTHN_WINNT 10
#endif
#ifndef RPC_C_AUTHN_GSS_KERBEROS
#define RPC_C_AUTHN_GSS_KERBEROS 16
#endif
#ifndef RPC_C_AUTHN_DEFAULT
#define RPC_C_AUTHN_DEFAULT 0xFFFFFFFF
#endif
#ifndef SEC_WINNT_AUTH_IDENTITY_ANSI
#define SEC_WINNT_AUTH_IDENTITY_ANSI 0x1
#endif
#ifndef SEC_WINNT_AUTH_IDENTITY_UNICODE
#define SEC_WINNT_AUTH_IDENTITY_UNICODE 0x2
#endif

typedef LONG RPC_STATUS;

typedef struct _SEC_WINNT_AUTH_IDENTITY_W {
	USHORT *User;
	ULONG UserLength;
	USHORT *Domain;
	ULONG DomainLength;
	USHORT *Password;
	ULONG PasswordLength;
	ULONG Flags;
} SEC_WINNT_AUTH_IDENTITY_W, *PSEC_WINNT_AUTH_IDENTITY_W;

#endif
