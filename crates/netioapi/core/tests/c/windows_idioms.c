/* The words of a program for Windows: types, constants, annotations and macros, each used once as such programs use
   them. It must compile there too, as it is; here it runs, and 0 is success. */
#include <winsock2.h>
#include <windows.h>
#include <ws2ipdef.h>
#include <iphlpapi.h>
#include <fwpmu.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

DECLARE_HANDLE(HRULE);

typedef struct _RULE {
	LIST_ENTRY Link;
	volatile LONG References;
	SIZE_T Size;
	USHORT Port;
	UCHAR Name[16];
} RULE, *PRULE;
typedef const RULE *PCRULE;

C_ASSERT(sizeof(LONG) == 4 && sizeof(ULONG) == 4 && sizeof(DWORD) == 4 && sizeof(BOOL) == 4);
C_ASSERT(sizeof(INT64) == 8 && sizeof(ULONGLONG) == 8 && sizeof(LARGE_INTEGER) == 8 && sizeof(WCHAR) == 2);
C_ASSERT(sizeof(ULONG_PTR) == sizeof(PVOID) && sizeof(DWORD_PTR) == sizeof(HANDLE) && sizeof(GUID) == 16);
C_ASSERT(FIELD_OFFSET(RULE, Link) == 0);

static const GUID SessionKey = {0x12345678, 0x1234, 0x5678, {1, 2, 3, 4, 5, 6, 7, 8}};

EXTERN_C DWORD APIENTRY Length(_In_z_ LPCSTR Text);
static DWORD WINAPI Copy(_Out_writes_bytes_(Size) LPVOID To, _In_reads_bytes_(Size) LPCVOID From, _In_ SIZE_T Size);

DWORD APIENTRY Length(LPCSTR Text)
{
	return (DWORD)strlen(Text);
}

_Success_(return == ERROR_SUCCESS) _Must_inspect_result_
static DWORD WINAPI Find(
	_In_reads_(Count) PCRULE Rules,
	_In_range_(0, MAXDWORD) DWORD Count,
	_In_ USHORT Port,
	_Outptr_result_maybenull_ PCRULE *Found,
	_Inout_opt_ PULONG Looked)
{
	DWORD Index;

	*Found = NULL;
	for (Index = 0; Index < Count; Index++) {
		if (Looked != NULL) {
			(*Looked)++;
		}
		if (Rules[Index].Port == Port) {
			*Found = &Rules[Index];
			return NO_ERROR;
		}
	}
	return ERROR_NOT_FOUND;
}

_Use_decl_annotations_
static DWORD WINAPI Copy(LPVOID To, LPCVOID From, SIZE_T Size)
{
	if (To == NULL || From == NULL) {
		return ERROR_INVALID_PARAMETER;
	}
	if (Size > MAXWORD) {
		return ERROR_INSUFFICIENT_BUFFER;
	}
	CopyMemory(To, From, Size);
	return ERROR_SUCCESS;
}

FORCEINLINE BOOL IsValid(HANDLE Handle)
{
	return Handle != NULL && Handle != INVALID_HANDLE_VALUE;
}

static LPCSTR Name(_In_ DWORD Error)
{
	switch (Error) {
	case NO_ERROR:
		return "NO_ERROR";
	case ERROR_ACCESS_DENIED:
		return "ERROR_ACCESS_DENIED";
	case ERROR_NOT_FOUND:
		return "ERROR_NOT_FOUND";
	case ERROR_NOT_READY:
		return "ERROR_NOT_READY";
	case ERROR_IO_PENDING:
		return "ERROR_IO_PENDING";
	case ERROR_SERVICE_NOT_ACTIVE:
		return "ERROR_SERVICE_NOT_ACTIVE";
	case WAIT_TIMEOUT:
		return "WAIT_TIMEOUT";
	case WAIT_FAILED:
		return "WAIT_FAILED";
	case RPC_S_SERVER_UNAVAILABLE:
		return "RPC_S_SERVER_UNAVAILABLE";
	case (DWORD)FWP_E_ALREADY_EXISTS:
		return "FWP_E_ALREADY_EXISTS";
	default:
		return "another";
	}
}

int __cdecl main(void)
{
	RULE Rules[2];
	PCRULE Found;
	PRULE Rule;
	PLIST_ENTRY Entry;
	FWPM_SESSION0 Session;
	SEC_WINNT_AUTH_IDENTITY_W *Identity = NULL;
	LARGE_INTEGER Time;
	ULONG Looked = 0;
	HRESULT Result;
	HRULE Handle = NULL;
	PVOID Context = NULL;
	CHAR Path[MAX_PATH];
	LPSTR Text = Path;
	UINT Failures = 0;
	INT64 Sum;
	DWORD Error;

	ZeroMemory(&Rules, sizeof(Rules));
	ZeroMemory(&Session, sizeof(Session));
	Session.sessionKey = SessionKey;
	Session.txnWaitTimeoutInMSec = INFINITE;
	Failures += RPC_C_AUTHN_WINNT != 10 || Identity != NULL || Session.displayData.name != NULL;
	Failures += !RtlEqualMemory(&Session.sessionKey, &SessionKey, sizeof(GUID));

	Rules[1].Port = MAKEWORD(0x41, 0x9c);
	Failures += LOBYTE(Rules[1].Port) != 0x41 || HIBYTE(Rules[1].Port) != 0x9c || Rules[1].Port != 40001;
	Error = Find(Rules, ARRAYSIZE(Rules), 40001, &Found, &Looked);
	Failures += Error != ERROR_SUCCESS || Found != &Rules[1] || Looked != 2;
	Error = Find(Rules, ARRAYSIZE(Rules), 1, &Found, NULL);
	Failures += Error != ERROR_NOT_FOUND || strcmp(Name(Error), "ERROR_NOT_FOUND") != 0;

	Entry = &Rules[1].Link;
	Rule = CONTAINING_RECORD(Entry, RULE, Link);
	Failures += Rule != &Rules[1];
	Failures += InterlockedIncrement(&Rule->References) != 1;
	Failures += InterlockedExchange(&Rule->References, 5) != 1;
	Failures += InterlockedCompareExchange(&Rule->References, 7, 5) != 5;
	Failures += InterlockedExchangeAdd(&Rule->References, 3) != 7;
	Failures += InterlockedDecrement(&Rule->References) != 9;
	Failures += InterlockedExchangePointer(&Context, Rule) != NULL || Context != Rule;

	Failures += Copy(Path, "teredo", sizeof("teredo")) != NO_ERROR || Length(Text) != 6;
	Failures += Copy(NULL, Path, 1) != ERROR_INVALID_PARAMETER;
	FillMemory(Path, 4, 'x');
	MoveMemory(Path + 1, Path, 4);
	Failures += strcmp(Path, "xxxxxo") != 0;
	SecureZeroMemory(Path, sizeof(Path));
	Failures += Path[0] != '\0' || RTL_NUMBER_OF(Path) != 260;

	Result = HRESULT_FROM_WIN32(ERROR_ACCESS_DENIED);
	Failures += Result != E_ACCESSDENIED || SUCCEEDED(Result) || !FAILED(Result) || HRESULT_CODE(Result) != 5;
	Failures += FAILED(S_OK) || FAILED(S_FALSE);

	Time.QuadPart = Int32x32To64(-10000, 1000);
	Failures += Time.HighPart != -1 || Time.u.LowPart != (DWORD)-10000000;
	Sum = (INT64)MAXLONG + 3;
	Failures += Sum != 2147483650LL || MAXDWORD != 0xffffffff;
	Failures += LOWORD(0x12345678) != 0x5678 || HIWORD(0x12345678) != 0x1234 || MAKELONG(0x5678, 0x1234) != 0x12345678;
	Failures += IsValid(INVALID_HANDLE_VALUE) || IsValid(NULL) || !IsValid(Rules) || Handle != NULL;
	Failures += PtrToUlong(UlongToPtr(7)) != 7 || (DWORD_PTR)(ULONG_PTR)&Failures != (UINT_PTR)&Failures;
	Failures += sizeof(TEXT("text")) != 5 * sizeof(TCHAR);

	if (Failures != 0) {
		printf("%u failures\n", Failures);
	}
	return Failures == 0 ? 0 : 1;
}
