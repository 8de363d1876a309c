/* For mingw-w64 alone, whose ntddk.h cannot be combined with its netioapi.h: what its other headers have of it. */
#define WIN32_NO_STATUS
#include <winsock2.h>
#include <windows.h>
#undef WIN32_NO_STATUS
#include <ntdef.h>
#include <ntstatus.h>
